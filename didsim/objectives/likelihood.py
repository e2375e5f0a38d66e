"""Objectives without a pair: likelihood of chosen or selected responses, and the reward objective that DPO replaces."""

from typing import ClassVar, final

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import positive, whole
from didsim.objectives.parts import Card, Limit, Objective, register

Scalar = float | Float[Array, "..."]


@register("sft")
@final
class Sft(Objective):
    """``-log π(y_w)``: maximum likelihood on chosen responses; minimiser π_w."""

    card: ClassVar[Card] = Card("-log π(y_w)", "none", Limit.FORMULA, "π_w", "standard")
    reference_free: ClassVar[bool] = True
    paired: ClassVar[bool] = False

    def chosen_term(self, seen):
        return -seen.log_policy

    def closed_form(self, problem):
        return problem.log_chosen


@register("sft[token_mean]")
@final
class SftTokenMean(Objective):
    """``-log π(y_w) / E n_w``: likelihood per token, over all tokens of the data's chosen responses; minimiser π_w (derived).

    Trainers average cross-entropy over the tokens of a batch, so that long responses count more than short ones; of a batch it
    is ``-Σ log π(y_w) / Σ n_w``.
    """

    card: ClassVar[Card] = Card("-log π(y_w) / E n_w", "none", Limit.FORMULA, "π_w", "standard")
    reference_free: ClassVar[bool] = True
    paired: ClassVar[bool] = False
    token_mean: ClassVar[bool] = True

    def chosen_term(self, seen):
        return -seen.log_policy / seen.mean_length

    def closed_form(self, problem):
        return problem.log_chosen


@register("sft[best_of_k]")
@final
class BestOfSft(Objective):
    """``-E log π(y)`` over the best of K draws from π_ref by the true reward; minimiser that law (S10).  Uses no pairs.

    Its pmf is ``F(y)^K - F(y⁻)^K`` with F the reference's mass in reward order; tied responses share theirs in
    proportion to the reference.
    """

    card: ClassVar[Card] = Card("-log π(best of K)", "none", Limit.FORMULA, "F(y)^K - F(y⁻)^K", "standard")
    paired: ClassVar[bool] = False
    of_pairs: ClassVar[bool] = False
    draws: int = whole(1, default=4)

    def policy_term(self, seen):
        return -_best_of(seen.log_ref, seen.reward, self.draws) * seen.log_policy

    def closed_form(self, problem):
        return simplex.normalize(jnp.log(_best_of(problem.log_ref, problem.reward, self.draws)))


@register("rlhf")
@final
class Rlhf(Objective):
    """``-E_π r + β KL(π‖π_ref)`` exactly, with the true reward; minimiser ``π_ref e^{r/β}``.  Uses no pairs."""

    card: ClassVar[Card] = Card("-E_π r + β KL(π‖π_ref)", "none", Limit.TARGET, "π_ref e^{r/β}", "standard")
    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    of_pairs: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def policy_term(self, seen):
        return jnp.exp(seen.log_policy) * (self.beta * seen.log_ratio - seen.reward)

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + problem.reward / self.beta)


def _best_of(log_law: Float[Array, "prompts n"], reward: Float[Array, "prompts n"], draws: int) -> Float[Array, "prompts n"]:
    """Probability of each response to be the best of ``draws``; a mass ``p`` on top of ``F⁻`` gets ``(F⁻ + p)^K - (F⁻)^K``."""
    order = jnp.argsort(reward, axis=-1)
    value = jnp.take_along_axis(reward, order, -1)
    mass = jnp.take_along_axis(jnp.exp(log_law), order, -1)
    total = jnp.cumsum(mass, -1)
    first = jnp.vectorize(lambda v: jnp.searchsorted(v, v, side="left"), signature="(n)->(n)")(value)
    last = jnp.vectorize(lambda v: jnp.searchsorted(v, v, side="right"), signature="(n)->(n)")(value) - 1
    upto = jnp.take_along_axis(total, last, -1)
    below = jnp.take_along_axis(jnp.pad(total, ((0, 0), (1, 0))), first, -1)
    # (F⁻+p)^K - (F⁻)^K as a sum of products, so that a small mass keeps its digits.
    share = sum((upto**k * below ** (draws - 1 - k) for k in range(1, draws)), below ** (draws - 1))
    return jnp.take_along_axis(mass * share, jnp.argsort(order, axis=-1), -1)
