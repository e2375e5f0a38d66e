"""Are the log-margins of several laws in order, or even in proportion?"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim import simplex


def margin_slope(
    increments: Float[Array, "*#batch n"], base_increments: Float[Array, "*#batch n"]
) -> tuple[Float[Array, "*#batch"], Float[Array, "*#batch"]]:
    """Least-squares slope of one log-margin increment against another over all pairs, with its relative residual.

    For log-ratios ``u`` and ``v`` (one per response), pairs contribute ``u(a)-u(b)`` and ``v(a)-v(b)``; their slope is
    ``⟨clr u, clr v⟩ / ‖clr v‖²`` and the residual is ``‖clr u - slope clr v‖ / ‖clr u‖``, zero iff the power law holds
    with exponent ``slope``.  Source: theory D8 (paper A's log-margin order, made precise here).
    """
    u, v = simplex.clr(increments), simplex.clr(base_increments)
    slope = jnp.sum(u * v, -1) / jnp.sum(v * v, -1)
    residual = jnp.linalg.norm(u - slope[..., None] * v, axis=-1) / jnp.linalg.norm(u, axis=-1)
    return slope, residual


def ordered_share(increments: Float[Array, "*#batch n"], base_increments: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Share of pairs that both increments order the same way: 1 iff each is an increasing function of the other (D8)."""

    def signs(values: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n n"]:
        return jnp.sign(values[..., :, None] - values[..., None, :])

    n = increments.shape[-1]
    agree = jnp.sum(signs(increments) * signs(base_increments) > 0, axis=(-2, -1))
    return agree / (n * (n - 1))
