"""By how much does the log-likelihood of chosen and of rejected responses change?

DPO learns margins; where the likelihoods themselves go is decided by the reference.  Chosen and rejected laws on the path
from π_ref to π* gain ``Λ'(a)`` and ``Λ'(a-β)``: with chosen responses drawn from the reference both always fall
(log-likelihood displacement, D10).
"""

from typing import final

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.did import inputs
from didsim.did.learned import learned_policy
from didsim.did.path import Place, path_slope
from didsim.numerics import simplex
from didsim.numerics.pytrees import pytree


@final
@pytree
class Displacement:
    """Mean change of log-likelihood since the reference, in nats.

    Attributes:
        chosen: ``E_{π_w} log(π_θ/π_ref)``.
        rejected: ``E_{π_l} log(π_θ/π_ref)``.
    """

    chosen: Float[Array, "..."]
    rejected: Float[Array, "..."]

    @property
    def gap(self) -> Float[Array, "..."]:
        """Mean log-margin learned, chosen minus rejected."""
        return self.chosen - self.rejected


def mean_change(
    log_law: Float[Array, "*#batch n"], log_policy: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"]
) -> Float[Array, "*#batch"]:
    """Mean change of log-likelihood ``E_p log(π_θ/π_ref) = KL(p‖π_ref) - KL(p‖π_θ)`` of draws from ``p``, for any policy.

    With ``p = π_ref`` it is ``-KL(π_ref‖π_θ)``, never positive, at every moment of training (derived; D10).
    """
    return simplex.kl(log_law, log_ref) - simplex.kl(log_law, log_policy)


def displacement(log_chosen: ArrayLike, log_rejected: ArrayLike, log_ref: ArrayLike, beta: ArrayLike) -> Displacement:
    """Displacement at DPO's optimum for any chosen, rejected and reference law.

    ``chosen = αE_{π_w}s - log Z`` and ``rejected = αE_{π_l}s - log Z`` with ``α = 1/β``, ``s = log(π_w/π_l)`` and
    ``Z = E_{π_ref} e^{αs}``.  Source: derived; theory D10.

    Args:
        log_chosen: log-law π_w of chosen responses, shape (..., n), full support.
        log_rejected: log-law π_l of rejected responses, full support.
        log_ref: log-law of the reference policy, full support.
        beta: inverse temperature, > 0; scalar or broadcasting against the leading axes.

    Returns:
        `Displacement` in nats, shapes (...).

    Raises:
        ArgumentError: a law is not normalised or lacks support, sizes differ, or ``beta`` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import did
        >>> chosen, rejected = jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.log(jnp.array([0.2, 0.3, 0.5]))
        >>> moved = did.displacement(chosen, rejected, chosen, beta=1.0)  # the reference is the chosen law
        >>> print(moved.chosen.round(3), moved.rejected.round(3))  # both fall
        -0.214 -0.763
    """
    learned = learned_policy(log_chosen, log_rejected, log_ref, beta)
    chosen, rejected, ref = inputs.laws(log_chosen=log_chosen, log_rejected=log_rejected, log_ref=log_ref)
    return Displacement(mean_change(chosen, learned, ref), mean_change(rejected, learned, ref))


def path_displacement(
    log_ref: Float[Array, "*#batch n"], log_target: Float[Array, "*#batch n"], chosen_at: Place, beta: Place
) -> Displacement:
    """Displacement when π* is reached and ``π_w = π_a``, ``π_l = π_{a-β}``: ``Λ'(a)`` and ``Λ'(a-β)`` (derived; D10).

    Both fall iff ``Λ'(a) < 0``, that is ``a < β_c``; both rise iff ``a > β_c + β``.
    """
    place = jnp.asarray(chosen_at)
    return Displacement(path_slope(log_ref, log_target, place), path_slope(log_ref, log_target, place - beta))


def displacement_from_chosen(
    log_chosen: Float[Array, "*#batch n"], log_rejected: Float[Array, "*#batch n"], beta: Place
) -> Displacement:
    """Displacement when the reference is the chosen law, ``π_ref = π_w``: both changes are negative (derived; D10).

    ``chosen = α[KL(π_w‖π_l) - D_{1+α}(π_w‖π_l)]`` and ``rejected = -α[KL(π_l‖π_w) + D_{1+α}(π_w‖π_l)]``, ``α = 1/β``.
    For sharp laws the two parts of chosen cancel: what is left is right to the rounding of ``α KL(π_w‖π_l)``, times the
    largest log-ratio, and zero where rounding would make it positive.
    """
    alpha = 1.0 / jnp.asarray(beta)
    shared = simplex.renyi(log_chosen, log_rejected, 1.0 + alpha)
    forward, backward = simplex.kl(log_chosen, log_rejected), simplex.kl(log_rejected, log_chosen)
    # Rényi divergences rise with their order, so only rounding can make it positive.
    return Displacement(jnp.minimum(alpha * (forward - shared), 0.0), -alpha * (backward + shared))


def displacement_from_rejected(
    log_chosen: Float[Array, "*#batch n"], log_rejected: Float[Array, "*#batch n"], beta: Place
) -> Displacement:
    """Displacement when the reference is the rejected law, ``π_ref = π_l`` (derived; D10).

    ``chosen = αKL(π_w‖π_l) - (α-1)D_α(π_w‖π_l)`` and ``rejected = -αKL(π_l‖π_w) - (α-1)D_α(π_w‖π_l)``, ``α = 1/β``.
    """
    alpha = 1.0 / jnp.asarray(beta)
    shared = (alpha - 1.0) * simplex.renyi(log_chosen, log_rejected, alpha)
    forward, backward = simplex.kl(log_chosen, log_rejected), simplex.kl(log_rejected, log_chosen)
    return Displacement(alpha * forward - shared, -alpha * backward - shared)


def learned_margin(
    log_chosen: Float[Array, "*#batch n"], log_rejected: Float[Array, "*#batch n"], beta: Place
) -> Float[Array, "*#batch"]:
    """Mean log-margin that DPO's optimum gains, ``J(π_w, π_l)/β`` ≥ 0, whatever the reference (derived; D8, D10)."""
    return simplex.jeffreys(log_chosen, log_rejected) / beta
