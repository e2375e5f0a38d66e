"""How much of an update does the preference direction not explain?

The direction is ``R = log(π_w/π_l)``.  Of all ``q_γ ∝ π_ref e^{γR}`` the one with the policy's own mean of R is its
information projection; what is left over is the misfit ``J = KL(π‖q_γ*)``, and ``KL(π‖π_ref) = J + KL(q_γ*‖π_ref)`` (F2).
"""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import pytree

STEPS = 1000  # most of an iteration; usual updates take five, those far along a direction that hardly varies take hundreds


@final
@pytree
class Misfit:
    """A policy's update, split along and off the preference direction.

    Attributes:
        misfit: ``J = KL(π‖q_γ*)``, nats; zero iff the policy is on the power law's path.
        gamma: ``γ*``; 1/β at DPO's end.  Of no meaning where R is constant.
        log_fit: ``log q_γ*``.
    """

    misfit: Float[Array, "..."]
    gamma: Float[Array, "..."]
    log_fit: Float[Array, "... n"]


def power_law_misfit(
    log_policy: Float[Array, "*batch n"],
    log_ref: Float[Array, "*batch n"],
    log_chosen: Float[Array, "*batch n"],
    log_rejected: Float[Array, "*batch n"],
) -> Misfit:
    """``J`` and ``γ*``, with ``E_{q_γ*} R = E_π R`` (derived, F2).  Needs no target.

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
    direction = log_chosen - log_rejected
    width = jnp.max(direction, -1) - jnp.min(direction, -1)
    scale = jnp.where(width > 0, width, 1.0)[..., None]
    unit = (direction - jnp.min(direction, -1, keepdims=True)) / scale
    wanted = simplex.expectation(log_policy, unit)

    def step(gamma, log_ref, unit, wanted):
        logits = log_ref + gamma[..., None] * unit
        weight = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, -1, keepdims=True)))
        total = jnp.sum(weight, -1)
        mean = jnp.sum(weight * unit, -1) / total
        variance = jnp.sum(weight * jnp.square(unit - mean[..., None]), -1) / total
        return jnp.where(variance > 0, (wanted - mean) / jnp.where(variance > 0, variance, 1.0), 0.0)

    # γ* is least of the convex log Z(γ) - γ E_π R; a Newton step d shortened to log(1 + |d|) always takes it lower, since over
    # a range of one no third cumulant is above the second (derived).
    fixed = jax.lax.stop_gradient((jnp.broadcast_to(log_ref, unit.shape), unit, wanted))

    def advance(state):
        count, gamma, _ = state
        moved = step(gamma, *fixed)
        moved = jnp.sign(moved) * jnp.log1p(jnp.abs(moved))
        return count + 1, gamma + moved, jnp.max(jnp.abs(moved) / (1.0 + jnp.abs(gamma)))

    def going(state):
        return (state[0] < STEPS) & (state[2] > near)

    near = float(jnp.finfo(wanted.dtype).eps) ** 0.375
    start = jax.lax.stop_gradient(_slope_along(unit, log_policy - log_ref, log_policy))
    _, gamma, _ = jax.lax.while_loop(going, advance, (jnp.int32(0), start, jnp.asarray(jnp.inf, wanted.dtype)))
    # One step more, whole: to the last digit, and derivatives of the answer are those of this step alone.
    last = step(gamma, log_ref, unit, wanted)
    gamma = gamma + jnp.where(jnp.abs(last) < 1e-2 * (1.0 + jnp.abs(gamma)), last, 0.0)
    log_fit = simplex.tilt(log_ref, unit, gamma[..., None])
    return Misfit(simplex.kl(log_policy, log_fit), gamma / scale[..., 0], log_fit)


def _slope_along(unit: Array, change: Array, log_policy: Array) -> Array:
    """``Cov_π(R, h)/Var_π(R)``: γ* itself where the update is along R, and near it where it nearly is."""
    mass = jnp.exp(log_policy)
    centred = unit - jnp.sum(mass * unit, -1, keepdims=True)
    variance = jnp.sum(mass * jnp.square(centred), -1)
    change = jnp.where(mass > 0, change, 0.0)
    return jnp.where(variance > 0, jnp.sum(mass * centred * change, -1) / jnp.where(variance > 0, variance, 1.0), 0.0)
