"""What is the differential information between two laws, and how does it add up?

The differential information distribution (DID) of π against π_ref is the law proportional to π/π_ref: the evidence that
turns one into the other by Bayes' rule.  In the vector space of laws it is the difference π − π_ref, so its algebra is
addition and its powers are multiples.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.did import inputs
from didsim.numerics import checks, simplex


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
    log_p, log_ref = inputs.laws(log_p=log_p, log_ref=log_ref)
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
