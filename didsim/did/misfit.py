"""How much of an update does the preference direction not explain?

The direction is ``R = log(π_w/π_l)``.  Of all ``q_γ ∝ π_ref e^{γR}`` the one with the policy's own mean of R is its
information projection; what is left over is the misfit ``J = KL(π‖q_γ*)``, and ``KL(π‖π_ref) = J + KL(q_γ*‖π_ref)`` (F2).
"""

from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import pytree

STEPS = 1000  # more than any law needs: from a closed bracket on, every second step halves the bracket or the step


@final
@pytree
class Misfit:
    """A policy's update, split along and off the preference direction.

    Attributes:
        misfit: ``J = KL(π‖q_γ*)``, nats; zero iff the policy is on the power law's path.
        gamma: ``γ*``; 1/β at DPO's end.  ±inf where π has mass at an end of R's range only; of no meaning where R is constant.
        log_fit: ``log q_γ*``.
    """

    misfit: Float[Array, "..."]
    gamma: Float[Array, "..."]
    log_fit: Float[Array, "... n"]


class _Balance(NamedTuple):
    """``g(γ)``, zero at γ*, its slope, and what its rounding can be."""

    value: Float[Array, "*batch"]
    slope: Float[Array, "*batch"]
    rounding: Float[Array, "*batch"]


class _Search(NamedTuple):
    """Steps taken; the place, the ends of the bracket around γ*, and the last step."""

    turns: Array
    gamma: Float[Array, "*batch"]
    low: Float[Array, "*batch"]
    high: Float[Array, "*batch"]
    moved: Float[Array, "*batch"]


def power_law_misfit(
    log_policy: Float[Array, "*#batch n"],
    log_ref: Float[Array, "*#batch n"],
    log_chosen: Float[Array, "*#batch n"],
    log_rejected: Float[Array, "*#batch n"],
) -> Misfit:
    """``J`` and ``γ*``, with ``E_{q_γ*} R = E_π R`` (derived, F2).  Needs no target.

    With ``c = R - E_π R`` the equation ``Σ π_ref e^{γR} c = 0`` is solved as ``g(γ) = log Σ_{c>0} π_ref e^{γR} c - log
    Σ_{c<0} π_ref e^{γR} |c| = 0``: every sum has terms of one sign, and g rises by at least the gap between the two sides
    for a unit of γ, however sharp the laws (derived).  NaN where R is infinite, or not a number, and where the equation is
    not met.

    Args:
        log_policy: log-law π, full support.
        log_ref: log-law π_ref.
        log_chosen: log-law π_w.
        log_rejected: log-law π_l.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import did, simplex
        >>> ref, chosen, rejected = simplex.normalize(jnp.array([[0.0, 1.0, 2.0], [0.5, 1.0, 0.0], [0.0, 2.0, 1.0]]))
        >>> found = did.power_law_misfit(did.learned_policy(chosen, rejected, ref, 0.5), ref, chosen, rejected)
        >>> round(float(found.gamma), 3), bool(abs(found.misfit) < 1e-6)
        (2.0, True)
    """
    log_policy, log_ref, direction = jnp.broadcast_arrays(log_policy, log_ref, log_chosen - log_rejected)
    width = jnp.max(direction, -1) - jnp.min(direction, -1)
    scale = jnp.where(jnp.isfinite(width), jnp.where(width > 0, width, 1.0), jnp.nan)
    # R is counted from π's likeliest response on: that is where differences with the mean are small.
    mode = jnp.argmax(log_policy, -1, keepdims=True)
    apart = (direction - jnp.take_along_axis(direction, mode, -1)) / scale[..., None]
    side, log_size = _off_the_mean(apart, log_policy)
    above, below = jnp.any(side > 0, -1), jnp.any(side < 0, -1)

    start = _slope_along(apart, log_policy - log_ref, log_policy)
    gamma = _root(start, log_ref + log_size, apart, side)
    gamma = jnp.where(above & below, gamma, 0.0)
    # Without mass on both sides of its own mean π lies on one level of R: an end of the path, or all of it.
    held = (above & below)[..., None] | (side == 0)
    log_fit = simplex.normalize(jnp.where(held, log_ref + gamma[..., None] * apart, -jnp.inf))
    end = jnp.where(above == below, gamma / scale, jnp.where(above, -jnp.inf, jnp.inf))
    return Misfit(simplex.kl(log_policy, log_fit), end, log_fit)


def _off_the_mean(apart: Float[Array, "*batch n"], log_policy: Float[Array, "*batch n"]) -> tuple[Array, Array]:
    """Sign of ``c = R - E_π R`` and ``log |c|``, for R counted from π's likeliest response; zero where c is.

    At that response c is minus a sum of small masses times differences, which may be too small for a number: it is summed in
    units of the largest of the masses.
    """
    away = apart != 0
    largest = jax.lax.stop_gradient(jnp.max(jnp.where(away, log_policy, -jnp.inf), -1, keepdims=True))
    largest = jnp.where(jnp.isneginf(largest), 0.0, largest)
    mass = jnp.where(away, jnp.exp(jnp.where(away, log_policy - largest, 0.0)), 0.0)
    mean = jnp.sum(mass * apart, -1, keepdims=True)
    off = jnp.where(away, apart - jnp.exp(largest) * mean, -mean)
    size = jnp.abs(jnp.where(off == 0, 1.0, off))
    return jnp.sign(off), jnp.log(size) + jnp.where(away, 0.0, largest)


def _root(start: Array, log_weights: Array, apart: Array, side: Array) -> Float[Array, "*batch"]:
    """γ with ``g(γ) = 0``, by Newton's steps kept in a bracket; NaN where it is not found.

    R has a range of one, so that no second derivative of g is above its first: after a step d at most ``½d²e^d`` is left
    (derived).  Derivatives of the answer are those of the last step alone.
    """
    fixed = jax.lax.stop_gradient((log_weights, apart, side))
    enough = float(jnp.finfo(apart.dtype).eps) ** 0.25

    def advance(at: _Search) -> _Search:
        here = _balance(at.gamma, *fixed)
        low, high = jnp.where(here.value < 0, at.gamma, at.low), jnp.where(here.value > 0, at.gamma, at.high)
        newton = -here.value / here.slope
        # Steps that leave the bracket, or do not shrink in it, give way to its middle.
        to, closed = at.gamma + newton, jnp.isfinite(high - low)
        good = (to > low) & (to < high) & (jnp.abs(newton) <= 0.5 * jnp.abs(at.moved))
        moved = jnp.where(good | ~closed, newton, 0.5 * low + 0.5 * high - at.gamma)
        moved = jnp.where(jnp.abs(here.value) <= here.rounding, 0.0, moved)
        return _Search(at.turns + 1, at.gamma + moved, low, high, moved)

    def going(at: _Search) -> Bool[Array, ""]:
        return (at.turns < STEPS) & jnp.any((jnp.abs(at.moved) > enough) & jnp.isfinite(at.moved) | (at.turns == 0))

    start = jax.lax.stop_gradient(start)
    far = jnp.full_like(start, jnp.inf)
    gamma = jax.lax.while_loop(going, advance, _Search(jnp.int32(0), start, -far, far, far)).gamma
    # One step more, to the last digit; where g is rounding it says nothing of the place.
    last = _balance(gamma, log_weights, apart, side)
    step = -last.value / jax.lax.stop_gradient(last.slope)
    near, met = jnp.abs(step) <= enough, jnp.abs(last.value) <= last.rounding
    return gamma + jnp.where(near, step, jnp.where(met, step - jax.lax.stop_gradient(step), jnp.nan))


def _balance(gamma: Array, log_weights: Array, apart: Array, side: Array) -> _Balance:
    """``g(γ)``: log of the weight above the mean less that of the weight below, the weights being ``π_ref e^{γR} |c|``."""
    exponents = log_weights + gamma[..., None] * apart
    sides = side > 0, side < 0
    tops = [jnp.max(jnp.where(among, exponents, -jnp.inf), -1, keepdims=True) for among in sides]
    tops = [jax.lax.stop_gradient(jnp.where(jnp.isneginf(top), 0.0, top)) for top in tops]
    weight = jnp.exp(jnp.where(side == 0, -jnp.inf, exponents - jnp.where(sides[0], *tops)))
    totals = [jnp.sum(jnp.where(among, weight, 0.0), -1) for among in sides]
    totals = [jnp.where(total > 0, total, 1.0) for total in totals]
    means = [jnp.sum(jnp.where(among, weight * apart, 0.0), -1) / total for among, total in zip(sides, totals, strict=True)]
    above, below = (top[..., 0] + jnp.log(total) for top, total in zip(tops, totals, strict=True))
    reach = jnp.abs(above) + jnp.abs(below) + jnp.abs(gamma) * (jnp.abs(means[0]) + jnp.abs(means[1]))
    return _Balance(above - below, means[0] - means[1], 4.0 * jnp.finfo(apart.dtype).eps * (1.0 + reach))


def _slope_along(apart: Array, change: Array, log_policy: Array) -> Array:
    """``Cov_π(R, h)/Var_π(R)``: γ* itself where the update is along R, and near it where it nearly is."""
    mass = jnp.exp(log_policy)
    centred = apart - jnp.sum(mass * apart, -1, keepdims=True)
    variance = jnp.sum(mass * jnp.square(centred), -1)
    change = jnp.where(mass > 0, change, 0.0)
    return jnp.where(variance > 0, jnp.sum(mass * centred * change, -1) / jnp.where(variance > 0, variance, 1.0), 0.0)
