"""What happens on the path from the reference to the target?

With ``s = log(π*/π_ref)`` the laws ``π_t ∝ π_ref e^{ts}`` form one exponential path; its cumulant function
``Λ(t) = log Σ π_ref e^{ts}`` is convex and vanishes at both ends, and its slope ``Λ'(t) = E_{π_t} s`` decides who gains
likelihood (D9, D10).  All that is small here when the laws are close is built from divergences, whose terms are
non-negative, instead of from sums that cancel.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.did import inputs
from didsim.numerics import simplex
from didsim.numerics.traces import jit

Place = Float[Array, "..."] | float


def path_law(log_ref: Float[Array, "*#batch n"], log_target: Float[Array, "*#batch n"], t: Place) -> Float[Array, "*#batch n"]:
    """Law ``π_t ∝ π_ref^{1-t} π*^t``: 0 the reference, 1 the target, any real ``t`` (derived; D9).

    ``t`` broadcasts against the leading axes, here and in the functions below.
    """
    return simplex.tilt(log_ref, log_target - log_ref, jnp.asarray(t)[..., None])


def path_cumulant(log_ref: Float[Array, "*#batch n"], log_target: Float[Array, "*#batch n"], t: Place) -> Float[Array, "*#batch"]:
    """``Λ(t) = log Σ π_ref^{1-t} π*^t = (t-1) KL(π_t‖π_ref) - t KL(π_t‖π*)`` in nats (derived; D9)."""
    from_ref, from_target = simplex.path_divergences(log_ref, log_target, t)
    return (jnp.asarray(t) - 1.0) * from_ref - t * from_target


def path_slope(log_ref: Float[Array, "*#batch n"], log_target: Float[Array, "*#batch n"], t: Place) -> Float[Array, "*#batch"]:
    """``Λ'(t) = E_{π_t} log(π*/π_ref) = KL(π_t‖π_ref) - KL(π_t‖π*)`` in nats, increasing in ``t`` (derived; D9, D10).

    The mean change of log-likelihood of draws from ``π_t`` when the policy goes from π_ref to π*.
    """
    from_ref, from_target = simplex.path_divergences(log_ref, log_target, t)
    return from_ref - from_target


def path_curvature(
    log_ref: Float[Array, "*#batch n"], log_target: Float[Array, "*#batch n"], t: Place
) -> Float[Array, "*#batch"]:
    """``Λ''(t) = Var_{π_t} log(π*/π_ref)`` in squared nats (derived; D9)."""
    return simplex.cumulants(path_law(log_ref, log_target, t), log_target - log_ref)[..., 1]


def critical_beta(log_ref: ArrayLike, log_target: ArrayLike) -> Float[Array, "*#batch"]:
    """Inverse temperature ``β_c`` in (0, 1) at which chosen responses stop falling when ``π_l = π_ref``: ``Λ'(β_c) = 0``.

    Unique, because Λ' increases from ``-KL(π_ref‖π*)`` at 0 to ``KL(π*‖π_ref)`` at 1.  Source: derived; theory D10.
    Newton's method, kept inside a shrinking bracket.

    Args:
        log_ref: log-law π_ref, shape (..., n), full support.
        log_target: log-law π*, full support.

    Returns:
        ``β_c``, shape (...); its limit ½ where the two laws are equal.

    Raises:
        ArgumentError: a law is not normalised or lacks support, or sizes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import did
        >>> ref, target = jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.log(jnp.array([0.1, 0.2, 0.7]))
        >>> print(did.critical_beta(ref, target).round(3))
        0.492
    """
    ref, target = jnp.broadcast_arrays(*inputs.laws(log_ref=log_ref, log_target=log_target, full_support=True))
    return _critical(ref, target)


@jit
def _critical(ref: Float[Array, "*batch n"], target: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    rounding = 16.0 * jnp.finfo(ref.dtype).eps

    def unsettled(state):
        return jnp.any(~state[-1]) & (state[-2] < 100)

    def improve(state):
        low, high, t, moved, count, settled = state
        from_ref, from_target = simplex.path_divergences(ref, target, t)
        slope = from_ref - from_target
        low, high = jnp.where(slope < 0, t, low), jnp.where(slope > 0, t, high)
        newton = t - slope / path_curvature(ref, target, t)
        good = (newton > low) & (newton < high) & (jnp.abs(newton - t) <= 0.5 * jnp.abs(moved))
        settled |= (jnp.abs(slope) <= rounding * (from_ref + from_target)) | (high - low <= rounding)
        following = jnp.where(settled, t, jnp.where(good, newton, 0.5 * (low + high)))
        return low, high, following, following - t, count + 1, settled

    middle = jnp.full(ref.shape[:-1], 0.5, ref.dtype)
    low, high = jnp.zeros_like(middle), jnp.ones_like(middle)
    start = (low, high, middle, high, jnp.int32(0), jnp.zeros(middle.shape, bool))
    return jax.lax.while_loop(unsettled, improve, start)[2]
