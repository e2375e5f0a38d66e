"""The objective whose divergence has its least value at no change: ``f = ½ log² t``, so that both likelihoods stay put."""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import positive
from didsim.objectives.inversion import logistic_fit
from didsim.objectives.links import scaled_expm1
from didsim.objectives.parts import Card, Limit, Logistic, register

Scalar = float | Float[Array, "..."]
HALVINGS = 90
LOWEST = -60.0


@register("squaredpo")
@final
class SquaredPo(Logistic):
    """``-log σ(β(a e^{-a} - b e^{-b}))``: DPO with the divergence ``f = ½ log² t`` (2602.06788).

    The reward ``x e^{-x}`` is at most 1/e and falls again beyond ``x = 1``: two log-ratios have one reward, and the best
    response sits on the upper branch of Lambert's function wherever the lower one cannot fill up the mass (F7).
    """

    card: ClassVar[Card] = Card(
        "β x e^{-x}, x = log(π/π_ref)", "-log σ(m)", Limit.FORMULA, "π_ref e^{-W(-(log(π_w/π_l) + C)/β)}, both branches",
        "2602.06788",
    )  # fmt: skip
    convex: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def chosen_reward(self, seen):
        x = seen.log_ratio
        falling = jnp.minimum(x, -1.0)  # there x e^{-x} = -e^{log(-x) - x}, which may overflow
        return jnp.where(
            x < -1.0,
            -scaled_expm1(jnp.log(-falling) - falling, self.beta) - self.beta,
            self.beta * jnp.maximum(x, -1.0) * jnp.exp(-jnp.maximum(x, -1.0)),
        )

    def closed_form(self, problem):
        return squared_log_fit(problem.log_ref, logistic_fit(problem) / self.beta)


def squared_log_fit(log_ref: Float[Array, "*batch n"], fit: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Log-law with ``x e^{-x} = fit + C``, ``x = log(π/π_ref)``: lower branch for all but perhaps the best response (derived).

    The best response's own ``x`` decides C; it is halved below 1 if the lower branch alone reaches a mass of one, else
    above 1, where the mass grows without end.
    """
    best = fit == jnp.max(fit, -1, keepdims=True)
    best = best & (jnp.cumsum(best, -1) == 1)
    below = fit - jnp.max(fit, -1, keepdims=True)

    def ratios(top):
        return jnp.where(best, top, lower_branch(below + top * jnp.exp(-top)))

    def mass(top):
        return jax.nn.logsumexp(log_ref + ratios(top), -1, keepdims=True)

    one = jnp.ones_like(fit[..., :1])
    fills = mass(one) >= 0
    own = jnp.sum(jnp.where(best, log_ref, 0.0), -1, keepdims=True)
    bounds = jnp.where(fills, LOWEST * one, one), jnp.where(fills, one, 1.0 - own)

    def halve(_, bounds):
        middle = 0.5 * (bounds[0] + bounds[1])
        less = mass(middle) < 0
        return jnp.where(less, middle, bounds[0]), jnp.where(less, bounds[1], middle)

    return simplex.normalize(log_ref + ratios(jax.lax.fori_loop(0, HALVINGS, halve, bounds)[0]))


def lower_branch(value: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """The ``x ≤ 1`` with ``x e^{-x} = value``, ``value ≤ 1/e``: ``-W_0(-value)``, by halving."""

    def halve(_, bounds):
        middle = 0.5 * (bounds[0] + bounds[1])
        less = middle * jnp.exp(-middle) < value
        return jnp.where(less, middle, bounds[0]), jnp.where(less, bounds[1], middle)

    return jax.lax.fori_loop(0, HALVINGS, halve, (jnp.full_like(value, LOWEST), jnp.ones_like(value)))[1]
