"""What does one step towards a minimum need?  Slopes of elementwise functions, conjugate gradients and a line search."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from didsim.numerics.linalg import divide

HALVINGS = 40


def slope(function: Callable[[Array], Array], at: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Derivative of a function of one entry at a time, at every entry at once."""
    return jax.jvp(function, (at,), (jnp.ones_like(at),))[1]


def conjugate_gradients(
    product: Callable[[Array], Array],
    right: Float[Array, "*batch n"],
    precondition: Callable[[Array], Array],
    *,
    tolerance: float | Float[Array, ""],
    steps: int,
) -> tuple[Float[Array, "*batch n"], Int[Array, ""]]:
    """``A⁺ b`` for positive semi-definite A by preconditioned conjugate gradients (Hestenes and Stiefel 1952), and its steps.

    Every system of the batch takes its own steps; all are over when the last one is.

    Args:
        product: ``v ↦ A v``, orthogonal to the null space of A.
        right: ``b``, orthogonal to the null space.
        precondition: ``r ↦ M⁻¹ r`` with M close to A.
        tolerance: norm ``√(r·M⁻¹r)`` of the residual to reach, relative to that of ``b``.
        steps: most steps.
    """

    def dot(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, -1, keepdims=True)

    def going(state: tuple) -> Bool[Array, ""]:
        count, _, _, _, size = state
        return (count < steps) & jnp.any(size > tolerance**2 * first)

    def body(state: tuple) -> tuple:
        count, x, residual, direction, size = state
        image = product(direction)
        bend = dot(direction, image)
        length = divide(size, bend, bend > 0)
        residual = residual - length * image
        toward = precondition(residual)
        new = jnp.where(bend > 0, dot(residual, toward), 0.0)
        return count + 1, x + length * direction, residual, toward + divide(new, size, size > 0) * direction, new

    start = precondition(right)
    first = dot(right, start)
    count, x, *_ = jax.lax.while_loop(going, body, (jnp.int32(0), jnp.zeros_like(right), right, start, first))
    return x, count


def longest_step(
    value: Callable[[Array], Array],
    at: Float[Array, "*batch"],
    slope: Float[Array, "*batch"],
    longest: Float[Array, "*batch"],
    *,
    share: float = 1e-4,
    slack: float = 8.0,
) -> Float[Array, "*batch"]:
    """Longest of ``longest · 2^-k`` that lowers a function enough (Armijo 1966); zero where none down to ``2^-40`` does.

    Enough is ``value(length) <= at + share · length · slope`` up to ``slack`` rounding units of ``1 + |at|``.

    Args:
        value: step length to the function's value along a direction.
        at: value at length zero.
        slope: derivative along the direction there, < 0.
        longest: first length to try.
        share: share of the decrease promised by the slope that is asked for.
        slack: rounding units by which the value may lie higher.
    """
    high = at + slack * jnp.finfo(at.dtype).eps * (1.0 + jnp.abs(at))

    def attempt(state: tuple) -> tuple:
        count, length, accepted = state
        length = jnp.where(accepted, length, 0.5 * length)
        return count + 1, length, accepted | (value(length) <= high + share * length * slope)

    # The first attempt halves too; so the function stands in the compiled program once.
    start = (jnp.int32(0), 2.0 * longest, jnp.zeros(at.shape, bool))
    _, length, accepted = jax.lax.while_loop(lambda s: (s[0] <= HALVINGS) & ~jnp.all(s[2]), attempt, start)
    return jnp.where(accepted, length, 0.0)
