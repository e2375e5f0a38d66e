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

HALVINGS = 60
POLISH = 4


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

    # E_q unit rises with γ from 0 to 1: halve a bounded image of γ, then polish by Newton's method.
    def fitted(gamma):
        return simplex.tilt(log_ref, unit, gamma[..., None])

    def halve(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        less = simplex.expectation(fitted(_stretch(middle)), unit) < wanted
        return jnp.where(less, middle, low), jnp.where(less, high, middle)

    edge = jnp.ones_like(wanted)
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (-edge, edge))
    gamma = _stretch(0.5 * (low + high))
    for _ in range(POLISH):
        mean, variance = (simplex.cumulants(fitted(gamma), unit)[..., k] for k in (0, 1))
        gamma = gamma + jnp.where(variance > 0, (wanted - mean) / jnp.where(variance > 0, variance, 1.0), 0.0)
    log_fit = fitted(gamma)
    return Misfit(simplex.kl(log_policy, log_fit), gamma / scale[..., 0], log_fit)


def _stretch(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """(-1, 1) onto all real numbers."""
    return x / jnp.maximum(1.0 - jnp.square(x), jnp.finfo(x.dtype).eps)
