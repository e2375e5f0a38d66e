"""What is the differential information between two laws, and what does preference data that encodes it teach?

The differential information distribution (DID) of π against π_ref is the law proportional to π/π_ref: the evidence that
turns one into the other by Bayes' rule.  In the vector space of laws it is the difference π − π_ref, so its algebra is
addition and its powers are multiples.  Preference data of chosen and rejected draws carries the DID of π_w against π_l;
this room says which policy each kind of reward learns from it.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim import checks, simplex


def log_did(log_p: ArrayLike, log_ref: ArrayLike) -> Float[Array, "*#batch n"]:
    """Log of the differential information distribution, ``log q(y) = log(π/π_ref)(y) - log Σ_z (π/π_ref)(z)``.

    The only law ``q`` with ``π ∝ π_ref q``.  Source: paper A (2505.23761); theory D1.

    Args:
        log_p: log-probabilities of π, shape (..., n), nats.
        log_ref: log-probabilities of π_ref, broadcasting against ``log_p``.

    Returns:
        Log-probabilities of ``q_{π/π_ref}``, shape (..., n); ``-inf`` where π has no mass.

    Raises:
        ArgumentError: an argument is not a log-law, or π has mass where π_ref has none (no such ``q`` exists).

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import log_did
        >>> print(jnp.exp(log_did(jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.log(jnp.array([0.2, 0.3, 0.5])))).round(3))
        [0.641 0.256 0.103]
    """
    log_p, log_ref = _laws(log_p=log_p, log_ref=log_ref)
    checks.absolutely_continuous("log_p", log_p, "log_ref", log_ref)
    return simplex.normalize(log_ratio(log_p, log_ref))


def log_ratio(log_p: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """Log-ratio ``log π - log π_ref`` with ``-inf`` (never NaN) where π has no mass."""
    return jnp.where(jnp.isneginf(log_p), -jnp.inf, log_p - log_ref)


def compose(log_q_ab: Float[Array, "*#batch n"], log_q_bc: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """DID of a against c from those of a against b and b against c: ``q_{a/c} ∝ q_{a/b} q_{b/c}`` (derived; D2)."""
    return simplex.normalize(log_q_ab + log_q_bc)


def evidence_likelihood(log_p: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """Log-likelihood ``log P(X|y) = log(π/π_ref)(y) - max_z log(π/π_ref)(z)`` of an event X with posterior π (D1)."""
    ratio = log_ratio(log_p, log_ref)
    return ratio - ratio.max(-1, keepdims=True)


def did_entropy(log_p: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Entropy ``H(q_{π/π_ref})`` in nats, exact by enumeration (paper A; D12)."""
    return simplex.entropy(simplex.normalize(log_ratio(log_p, log_ref)))


def learned_policy(
    log_chosen: ArrayLike, log_rejected: ArrayLike, log_ref: ArrayLike, beta: ArrayLike
) -> Float[Array, "*#batch n"]:
    """Policy that population DPO learns from independent chosen and rejected draws, ``π ∝ π_ref (π_w/π_l)^{1/β}``.

    The unique minimiser of the population loss over free tables.  Source: derived from paper A's setting; theory D5.

    Args:
        log_chosen: log-law π_w of chosen responses, shape (..., n).
        log_rejected: log-law π_l of rejected responses, full support.
        log_ref: log-law of the reference policy, full support.
        beta: inverse temperature of the implicit reward, > 0; scalar or broadcasting against the leading axes.

    Returns:
        Log-probabilities of the minimiser, shape (..., n).

    Raises:
        ArgumentError: a law is not normalised or lacks support, sizes differ, or ``beta`` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import learned_policy
        >>> chosen, rejected = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.2, 0.8]))
        >>> print(jnp.exp(learned_policy(chosen, rejected, chosen, beta=2.0)).round(3))
        [0.667 0.333]
    """
    chosen, rejected, ref = _laws(log_chosen=log_chosen, log_rejected=log_rejected, log_ref=log_ref, full_support=True)
    return simplex.tilt(ref, chosen - rejected, 1.0 / _inverse_temperature(beta))


def optimal_rejected(
    log_chosen: ArrayLike, log_ref: ArrayLike, log_target: ArrayLike, beta: ArrayLike
) -> Float[Array, "*#batch n"]:
    """Rejected law that makes DPO's optimum the target, ``π_l ∝ π_w (π_ref/π*)^β``.  Source: paper A; theory D7.

    Args:
        log_chosen: log-law π_w of chosen responses, shape (..., n), full support.
        log_ref: log-law of the reference policy, full support.
        log_target: log-law π* to be learned, full support.
        beta: inverse temperature of the implicit reward, > 0.

    Returns:
        Log-probabilities of the optimal rejected law, shape (..., n).

    Raises:
        ArgumentError: a law is not normalised or lacks support, sizes differ, or ``beta`` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import learned_policy, optimal_rejected
        >>> ref, target = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.9, 0.1]))
        >>> rejected = optimal_rejected(ref, ref, target, beta=0.5)
        >>> print(jnp.exp(learned_policy(ref, rejected, ref, beta=0.5)).round(3))
        [0.9 0.1]
    """
    chosen, ref, target = _laws(log_chosen=log_chosen, log_ref=log_ref, log_target=log_target, full_support=True)
    return simplex.tilt(chosen, ref - target, _inverse_temperature(beta))


def reference_free_limit(
    log_chosen: Float[Array, "*#batch n"], log_rejected: Float[Array, "*#batch n"], beta: Float[Array, ""] | float
) -> Float[Array, "*#batch n"]:
    """Policy learned by the reward ``β log π_θ``: ``π ∝ (π_w/π_l)^{1/β}``, the DID itself under the power law.

    CPO without its likelihood term and SimPO at length 1 and γ = 0 are this.  Source: derived; theory D6.
    """
    return simplex.normalize((log_chosen - log_rejected) / beta)


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


def _inverse_temperature(beta: ArrayLike) -> Float[Array, "*#batch 1"]:
    return jnp.asarray(checks.positive("beta", beta))[..., None]


def _laws(*, full_support: bool = False, **laws: ArrayLike) -> list[Array]:
    arrays = {name: checks.log_law(name, law, full_support=full_support) for name, law in laws.items()}
    checks.same_responses(**arrays)
    return list(arrays.values())
