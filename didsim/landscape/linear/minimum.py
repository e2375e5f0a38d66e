"""Where is the minimum of a smooth function of a few parameters, and how sure is it?"""

from collections.abc import Callable
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from didsim.landscape.solvers import Status
from didsim.numerics import linalg
from didsim.numerics.pytrees import pytree
from didsim.numerics.search import longest_step

Expansion = Callable[[Array], tuple[Array, Array, Array]]


@final
@pytree
class Minimum:
    """A minimiser with its evidence.

    Attributes:
        theta: parameters, shape (d,).
        value: the function there.
        gradient_norm: largest entry of the gradient.
        step: largest entry of the last Newton step.
        undetermined: dimensions of the Hessian's null space; along them the answer is where the start was.
        status: a `didsim.Status`.
        iterations: Newton steps taken.
    """

    theta: Float[Array, "... d"]
    value: Float[Array, "..."]
    gradient_norm: Float[Array, "..."]
    step: Float[Array, "..."]
    undetermined: Int[Array, "..."]
    status: Int[Array, "..."]
    iterations: Int[Array, "..."]


class _State(NamedTuple):
    """Where the search is, and the evidence of the last point evaluated."""

    taken: Array
    theta: Array
    done: Array
    value: Array
    gradient: Array
    direction: Array
    nullity: Array
    bends_down: Array


def minimise(expansion: Expansion, value: Callable[[Array], Array], start: Float[Array, " d"], steps: int = 60) -> Minimum:
    """Local minimiser by saddle-free Newton steps ``-|H|⁺ g`` with Armijo's rule, in d dimensions (K3).

    Args:
        expansion: parameters to (value, gradient, Hessian).
        value: parameters to the value alone, for the line search.
        start: where to start; null directions of the Hessian stay there.
        steps: most Newton steps, >= 1.

    Returns:
        `Minimum`: CONVERGED, NOT_UNIQUE where the Hessian has a null space, UNBOUNDED where the value has stopped falling
        while steps stay long, SADDLE where the function bends down, STALLED, or NOT_FINITE.
    """
    tolerance = jnp.finfo(start.dtype).eps ** 0.75

    def body(state: _State) -> _State:
        at, gradient, hessian = expansion(state.theta)
        direction, nullity = newton_direction(gradient, hessian)
        # A saddle or a top has no slope to follow: the way down is along its most negative curvature.
        lowest, bends_down = _lowest(hessian)
        stuck = bends_down & (jnp.max(jnp.abs(direction)) <= tolerance)
        direction = jnp.where(stuck, lowest, direction)
        along = gradient @ direction
        length = longest_step(lambda t: value(state.theta + t * direction), at, along, jnp.ones_like(at))
        done = (jnp.max(jnp.abs(direction)) <= tolerance) | (length == 0.0) | ~jnp.isfinite(at)
        # The evidence belongs to the point that stays.
        theta = jnp.where(done, state.theta, state.theta + length * direction)
        return _State(state.taken + 1, theta, done, at, gradient, direction, nullity, bends_down)

    nothing = jnp.full_like(start, jnp.inf)
    begin = _State(
        jnp.int32(0), start, jnp.asarray(False), jnp.sum(nothing), nothing, nothing, jnp.asarray(0), jnp.asarray(False)
    )
    return _judged(jax.lax.while_loop(lambda s: (s.taken < steps) & ~s.done, body, begin))


def newton_direction(gradient: Float[Array, " d"], hessian: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """Saddle-free Newton direction ``-|H|⁺ g`` without null directions, and their number."""
    move, _, null = linalg.saddle_free_solve(hessian, gradient)
    return -move, null.sum()


def _lowest(hessian: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
    """Unit direction of the least curvature, and whether that is negative beyond the square root of the rounding unit."""
    values, vectors = linalg.eigh(hessian)
    return vectors[:, 0], values[0] < -jnp.sqrt(jnp.finfo(values.dtype).eps) * jnp.max(jnp.abs(values))


def _judged(end: _State) -> Minimum:
    step, eps = jnp.max(jnp.abs(end.direction)), jnp.finfo(end.theta.dtype).eps
    found = jnp.where(end.nullity > 0, Status.NOT_UNIQUE, Status.CONVERGED)
    flat = -end.gradient @ end.direction <= eps**1.5 * (1.0 + jnp.abs(end.value))
    status = jnp.where(step <= eps**0.375, found, jnp.where(flat, Status.UNBOUNDED, Status.STALLED))
    status = jnp.where(end.bends_down & (status == found), Status.SADDLE, status)
    return Minimum(
        theta=end.theta,
        value=end.value,
        gradient_norm=jnp.max(jnp.abs(end.gradient)),
        step=step,
        undetermined=end.nullity,
        status=jnp.where(jnp.isfinite(end.value), status, Status.NOT_FINITE),
        iterations=end.taken,
    )
