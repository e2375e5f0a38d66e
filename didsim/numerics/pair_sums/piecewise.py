"""How are squared and hinge losses summed over all pairs exactly?

A polynomial of a difference separates into moments, so its sum over N sources costs N and each target a constant.  A ramp
max(0, d) is a polynomial on each side of its kink, so once the sources are sorted each target needs only two prefix sums,
found by bisection.  Neither is an approximation: the only error is rounding, relative to sum |w_b| times max d^2 (square) or
max |d| (double, hinge).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def polynomial_sums(
    kernels: tuple[str, ...],
    targets: Float[Array, "#batch m"],
    sources: Float[Array, "#batch n"],
    weights: Float[Array, "batch n"],
) -> list[Float[Array, "batch m"]]:
    """Sum a polynomial kernel over all sources by its moments about the middle of the data.

    With x = u - c, W_k = sum_b w_b (v_b - c)^k:  sum_b w_b (u-v_b)^2 = x^2 W_0 - 2 x W_1 + W_2.  Source: derived (K1).
    """
    x, y = _centred(targets, sources)
    w0, w1, w2 = (jnp.sum(weights * y**k, -1, keepdims=True) for k in range(3))
    ones = jnp.ones_like(x)
    forms = {
        "square": lambda: x * x * w0 - 2 * x * w1 + ones * w2,
        "double": lambda: 2 * (x * w0 - w1),
        "two": lambda: 2 * ones * w0,
    }
    return [forms[name]() for name in kernels]


def ramp_sums(
    kernels: tuple[str, ...],
    targets: Float[Array, "#batch m"],
    sources: Float[Array, "#batch n"],
    weights: Float[Array, "batch n"],
) -> list[Float[Array, "batch m"]]:
    """Sum max(0, u - v_b) or its derivative over all sources by sorting them.

    sum_{v_b < u} w_b (u - v_b) = x W(u) - V(u) with the prefix sums W, V of w and w (v - c) in the order of v.  The derivative
    takes the middle of the subdifferential, 1/2, at a tie u = v_b, as `jnp.maximum` does.  Source: derived (K1).
    """
    x, y = _centred(targets, sources)
    batch = weights.shape[0]
    x, u = (jnp.broadcast_to(z, (batch, z.shape[-1])) for z in (x, targets))
    y, v = (jnp.broadcast_to(z, weights.shape) for z in (y, sources))
    v, y, weights = lax.sort((v, y, weights), dimension=-1, num_keys=1)  # v itself decides: shifting may round into ties
    before = _ranks(v, u, "left")
    below = _prefix(weights)
    forms = {
        "hinge": lambda: x * _pick(below, before) - _pick(_prefix(weights * y), before),
        "step": lambda: (_pick(below, before) + _pick(below, _ranks(v, u, "right"))) / 2,
    }
    return [forms[name]() for name in kernels]


def _centred(targets: Float[Array, "#batch m"], sources: Float[Array, "#batch n"]) -> tuple[Array, Array]:
    """Shift both sets by the middle of their union, so that no moment is larger than the range makes it."""
    low = jnp.minimum(targets.min(-1), sources.min(-1))
    high = jnp.maximum(targets.max(-1), sources.max(-1))
    middle = (low / 2 + high / 2)[..., None]
    return targets - middle, sources - middle


def _prefix(x: Float[Array, "batch n"]) -> Float[Array, "batch k"]:
    return jnp.pad(jnp.cumsum(x, -1), ((0, 0), (1, 0)))


def _pick(table: Float[Array, "batch k"], index: Array) -> Array:
    return jnp.take_along_axis(table, index, axis=-1)


def _ranks(sorted_sources: Float[Array, "batch n"], targets: Float[Array, "batch m"], side: str) -> Array:
    return jax.vmap(lambda v, u: jnp.searchsorted(v, u, side=side))(sorted_sources, targets)
