"""What does optimising a proxy do to the reward one means?

Along ``π_t ∝ π_ref e^{t r̂}`` the mean of any gold reward changes by its covariance with the proxy under the policy:
over-optimisation starts where the two are uncorrelated there (F5).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex

HALVINGS = 60


def gold_slope(
    log_policy: Float[Array, "*batch n"], gold: Float[Array, "*batch n"], proxy: Float[Array, "*batch n"]
) -> Float[Array, "*batch"]:
    """``d/dt E_{π_t}[g] = Cov_{π_t}(g, r̂)`` where ``π_t`` moves along the proxy ``r̂`` (derived, F5)."""
    centred = proxy - simplex.expectation(log_policy, proxy)[..., None]
    return simplex.expectation(log_policy, gold * centred)


def turning_point(
    log_ref: Float[Array, "*batch n"],
    gold: Float[Array, "*batch n"],
    proxy: Float[Array, "*batch n"],
    farthest: float | Float[Array, ""] = 50.0,
) -> Float[Array, "*batch"]:
    """A ``t`` in (0, farthest) where gold and proxy are uncorrelated under ``π_t``; nan where their signs there agree.

    Args:
        log_ref: log-law π_ref.
        gold: reward that one means.
        proxy: reward that is optimised, ``π_t ∝ π_ref e^{t r̂}``.
        farthest: largest ``t`` looked at, > 0, in units of one over reward.
    """

    def slope(t):
        return gold_slope(simplex.tilt(log_ref, proxy, t[..., None]), gold, proxy)

    zero = jnp.zeros(jnp.broadcast_shapes(log_ref.shape, gold.shape, proxy.shape)[:-1], log_ref.dtype)
    start, end = slope(zero), slope(zero + farthest)

    def halve(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        same = slope(middle) * jnp.sign(start) > 0
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (zero, zero + farthest))
    return jnp.where(start * end < 0, 0.5 * (low + high), jnp.nan)
