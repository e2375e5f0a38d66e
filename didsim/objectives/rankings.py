"""Objectives on K responses at once: a full ranking, the best of K, or all their rewards.

Rankings and choices are Plackett and Luce's: the next best is chosen with probability ``e^{r_i}/Σ e^{r_j}`` among those
left.  The K responses are independent draws from π_ref, and the sum over all draws is exact.
"""

import itertools
from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import positive, whole
from didsim.objectives.parts import Card, Limit, OfLaws, register

Scalar = float | Float[Array, "..."]
MOST = 2**20


def log_plackett_luce(scores: Float[Array, "*batch k"]) -> Float[Array, "*batch"]:
    """``Σ_i [s_i - log Σ_{j≥i} e^{s_j}]``: log-probability of the ranking in which the scores are listed, best first."""
    left = jax.lax.cumlogsumexp(scores, axis=scores.ndim - 1, reverse=True)
    return jnp.sum(scores - left, -1)


def log_best_of(scores: Float[Array, "*batch k"]) -> Float[Array, "*batch"]:
    """``s_1 - log Σ_j e^{s_j}``: log-probability that the first response is chosen as the best of all."""
    return scores[..., 0] - jax.nn.logsumexp(scores, -1)


class _Listwise(OfLaws):
    """What these objectives share: DPO's reward, draws from π_ref, and DPO's target as minimiser."""

    beta: Scalar

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + problem.reward / self.beta)


def _lists(n: int, draws: int) -> np.ndarray:
    """All lists of ``draws`` responses."""
    if draws > MOST.bit_length() or n**draws > MOST:
        raise checks.ArgumentError(f"Argument `draws` must leave at most {MOST} lists of {n} responses, but is {draws}.")
    return np.array(list(itertools.product(range(n), repeat=draws)))


def _mean(seen, beta, draws, orders, log_chance):
    """Cross-entropy over all lists and all outcomes, an outcome being the order in which a list is read."""
    lists = _lists(seen.log_ref.shape[-1], draws)
    mass = jnp.exp(seen.log_ref[:, lists].sum(-1))
    total = jnp.zeros(seen.log_ref.shape[:-1], seen.log_policy.dtype)
    for order in orders:
        read = lists[:, order]
        total = total - jnp.sum(mass * jnp.exp(log_chance(seen.reward[:, read])) * log_chance(beta * seen.log_ratio[:, read]), -1)
    return total


@register("plackett-luce")
@final
class PlackettLuce(_Listwise):
    """``-Σ_i log e^{βh_i}/Σ_{j≥i} e^{βh_j}`` over full rankings of ``draws`` responses (2305.18290, appendix; F14)."""

    card: ClassVar[Card] = Card("β log(π/π_ref)", "Plackett-Luce, K at once", Limit.TARGET, "π*", "2305.18290")
    beta: Scalar = positive(default=0.1)
    draws: int = whole(2, default=3)

    def batch_term(self, seen, comparisons):
        del comparisons
        orders = [list(order) for order in itertools.permutations(range(self.draws))]
        return _mean(seen, self.beta, self.draws, orders, log_plackett_luce)


@register("multinomial")
@final
class Multinomial(_Listwise):
    """``-log e^{βh_1}/Σ_j e^{βh_j}``: only the best of ``draws`` responses is said (derived, F14)."""

    card: ClassVar[Card] = Card("β log(π/π_ref)", "multinomial logit, best of K", Limit.TARGET, "π*", "derived")
    beta: Scalar = positive(default=0.1)
    draws: int = whole(2, default=3)

    def batch_term(self, seen, comparisons):
        del comparisons
        orders = [[first, *(k for k in range(self.draws) if k != first)] for first in range(self.draws)]
        return _mean(seen, self.beta, self.draws, orders, log_best_of)


@register("gvpo")
@final
class Gvpo(_Listwise):
    """``Var_{π_ref}(r - β log(π/π_ref))`` with the true reward; zero at π* alone (F14)."""

    card: ClassVar[Card] = Card("β log(π/π_ref)", "variance of r - βh under π_ref", Limit.TARGET, "π*", "2504.19599")
    beta: Scalar = positive(default=0.1)

    def batch_term(self, seen, comparisons):
        del comparisons
        return simplex.cumulants(seen.log_ref, seen.reward - self.beta * seen.log_ratio)[..., 1]
