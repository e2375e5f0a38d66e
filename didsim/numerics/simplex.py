"""How do laws on a finite response set live in log space?

A law is an array of log-probabilities whose last axis runs over the N responses and log-sums to zero.  Laws modulo
normalisation form a vector space: adding log-probabilities is multiplying laws, scaling is tempering, and a constant
is forgotten.  Everything here broadcasts over leading axes, works in the dtype it is given, and is written so that a
small distance keeps its relative accuracy instead of drowning in the rounding of a sum that cancels.

Nearly everything is made of these functions, so each is compiled by itself: JAX then traces it once for each shape, not
wherever it is used, and outside of other programs it is one program instead of one for each operation.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_TWO = 0.6931471805599453


@jax.jit
def normalize(log_weights: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """Log-law proportional to the given log-weights: ``w - log Σ e^w`` (definition)."""
    return log_weights - jax.nn.logsumexp(log_weights, axis=-1, keepdims=True)


def uniform(n: int, dtype=None) -> Float[Array, " n"]:
    """Log of the uniform law U on ``n`` responses: ``-log n`` everywhere."""
    return jnp.full((n,), -jnp.log(float(n)), dtype=dtype or jnp.zeros(()).dtype)


@jax.jit
def clr(log_weights: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """Centred log-ratio ``v - mean(v)``: the representative of a law that sums to zero."""
    return log_weights - log_weights.mean(-1, keepdims=True)


@jax.jit
def tilt(
    log_law: Float[Array, "*#batch n"], direction: Float[Array, "*#batch n"], amount: Float[Array, "..."] | float = 1.0
) -> Float[Array, "*#batch n"]:
    """Exponential tilt ``π(y) e^{t s(y)} / Σ_z π(z) e^{t s(z)}`` by ``t`` along ``s`` (definition).

    An array ``amount`` broadcasts against the laws, last axis included.
    """
    return normalize(log_law + amount * direction)


@jax.jit
def geodesic(
    log_start: Float[Array, "*#batch n"], log_end: Float[Array, "*#batch n"], t: Float[Array, ""] | float
) -> Float[Array, "*#batch n"]:
    """Point ``π_t ∝ start^{1-t} end^t`` of the exponential path (D9): ``t=0`` start, ``t=1`` end, any real ``t``.

    Both laws need full support: ``0 · (-inf)`` has no value at the ends, nor ``∞ - ∞`` beyond them.
    """
    return normalize((1.0 - t) * log_start + t * log_end)


@jax.jit
def log_partition(
    log_law: Float[Array, "*#batch n"], direction: Float[Array, "*#batch n"], t: Float[Array, ""] | float
) -> Float[Array, "*#batch"]:
    """Cumulant function ``Λ(t) = log Σ_y π(y) e^{t s(y)}`` in nats (D9): convex in ``t``, ``Λ(0) = 0``."""
    return jax.nn.logsumexp(log_law + t * direction, axis=-1)


@jax.jit
def expectation(log_law: Float[Array, "*#batch n"], values: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Mean ``E_π f``; responses without mass contribute zero whatever ``f`` is there."""
    mass = jnp.exp(log_law)
    return jnp.sum(jnp.where(mass > 0, mass * jnp.where(mass > 0, values, 0.0), 0.0), axis=-1)


@jax.jit
def entropy(log_law: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Shannon entropy ``-Σ π log π`` in nats, with ``0 log 0 = 0``."""
    return -expectation(log_law, log_law)


@jax.jit
def kl(log_p: Float[Array, "*#batch n"], log_q: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Kullback-Leibler divergence ``Σ p log(p/q)`` in nats; ``inf`` where ``p`` has mass and ``q`` has none.

    Summed as ``Σ [p δ + q - p]`` with ``δ = log(p/q)``: every term is non-negative, so nothing cancels.
    """
    return _relative(log_p, log_p - log_q, log_q)


@jax.jit
def jeffreys(log_p: Float[Array, "*#batch n"], log_q: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Jeffreys divergence ``J(p,q) = KL(p‖q) + KL(q‖p)`` in nats (D8)."""
    return kl(log_p, log_q) + kl(log_q, log_p)


@jax.jit
def jsd(log_p: Float[Array, "*#batch n"], log_q: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Jensen-Shannon divergence in nats, between 0 and log 2.

    With ``δ = log(p/q)`` and ``m = (p+q)/2`` it equals ``½ Σ m [δ tanh(δ/2) - 2 log cosh(δ/2)]`` (derived): terms are
    non-negative and of order ``δ²``, so values far below the rounding unit of one law keep their relative accuracy.
    """
    middle = 0.5 * (jnp.exp(log_p) + jnp.exp(log_q))
    either = jnp.isfinite(log_p) | jnp.isfinite(log_q)
    gap = jnp.abs(jnp.where(either, log_p - log_q, 0.0))
    near = jnp.minimum(gap, 1.0)
    close = near * jnp.tanh(0.5 * near) - 2.0 * jnp.log1p(2.0 * jnp.square(jnp.sinh(0.25 * near)))
    tail = jnp.exp(-gap)
    far = 2.0 * LOG_TWO - 2.0 * jnp.where(jnp.isinf(gap), 0.0, gap) * tail / (1.0 + tail) - 2.0 * jnp.log1p(tail)
    return 0.5 * jnp.sum(middle * jnp.where(gap < 1.0, close, far), axis=-1)


@jax.jit
def renyi(
    log_p: Float[Array, "*#batch n"], log_q: Float[Array, "*#batch n"], alpha: Float[Array, "..."] | float
) -> Float[Array, "*#batch"]:
    """Rényi divergence ``D_α(p‖q) = log Σ p^α q^{1-α} / (α - 1)`` in nats, for ``α > 0``; KL at ``α = 1``.

    Summed as ``KL(m‖q) + α/(1-α) KL(m‖p)`` with ``m ∝ p^α q^{1-α}`` (standard; derived from D9): neither part drowns in
    rounding where the laws are close.  An array ``alpha`` broadcasts against the leading axes.
    """
    from_q, from_p = path_divergences(log_q, log_p, alpha)
    rest = 1.0 - jnp.asarray(alpha)
    close = from_q + jnp.where(rest == 0, 0.0, alpha / jnp.where(rest == 0, 1.0, rest)) * from_p
    seen, other = jnp.isfinite(log_p), jnp.isfinite(log_q)
    apart = ~jnp.any(seen & other, axis=-1)
    escapes = jnp.any(seen & ~other, axis=-1) & (rest <= 0)
    return jnp.where(apart | escapes, jnp.inf, close)


@jax.jit
def path_divergences(
    log_start: Float[Array, "*#batch n"], log_end: Float[Array, "*#batch n"], t: Float[Array, "..."] | float
) -> tuple[Float[Array, "*#batch"], Float[Array, "*#batch"]]:
    """``KL(π_t‖start)`` and ``KL(π_t‖end)`` of the point ``π_t ∝ start^{1-t} end^t``, relatively accurate for close laws.

    With ``Λ(t) = log Σ start^{1-t} end^t`` they give ``Λ = (t-1) KL(π_t‖start) - t KL(π_t‖end)`` and
    ``Λ' = KL(π_t‖start) - KL(π_t‖end)`` (derived; D9).  An array ``t`` broadcasts against the leading axes; responses
    that only one of the laws can give have no mass at ``t``.
    """
    place = jnp.asarray(t)[..., None]
    both = jnp.isfinite(log_start) & jnp.isfinite(log_end)
    gap = jnp.where(both, log_end - log_start, 0.0)
    log_weights = jnp.where(both, log_start + place * gap, -jnp.inf)
    total = jax.nn.logsumexp(log_weights, axis=-1, keepdims=True)
    middle = log_weights - total
    # The log-ratios come from the gap itself, not from differences of logs, which would cost the small ones their digits.
    return _relative(middle, place * gap - total, log_start), _relative(middle, (place - 1.0) * gap - total, log_end)


@jax.jit
def cumulants(log_law: Float[Array, "*#batch n"], values: Float[Array, "*#batch n"]) -> Float[Array, "*#batch 3"]:
    """First three cumulants of ``f(Y)``, ``Y ~ π``: mean, variance, third central moment (D12's κ₁, κ₂, κ₃)."""
    mean = expectation(log_law, values)
    centred = values - mean[..., None]
    return jnp.stack([mean, expectation(log_law, centred**2), expectation(log_law, centred**3)], axis=-1)


def _relative(
    log_p: Float[Array, "*#batch n"], gap: Float[Array, "*#batch n"], log_q: Float[Array, "*#batch n"]
) -> Float[Array, "*#batch"]:
    """``Σ [p δ + q - p]`` for log-ratios ``δ = log(p/q)`` that are given; where ``p`` is zero they may be anything."""
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    seen = p > 0
    gap = jnp.where(seen, gap, 0.0)
    close = p * _excess(jnp.clip(gap, -1.0, 1.0))
    far = jnp.where(seen, p * gap, 0.0) + q - p
    return jnp.sum(jnp.where(seen, jnp.where(jnp.abs(gap) < 1.0, close, far), q), axis=-1)


def _excess(gap: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
    """``δ + e^{-δ} - 1`` with full relative accuracy: near zero the sum cancels, so its Taylor series takes over."""
    near = jnp.clip(gap, -0.1, 0.1)
    series = jnp.polyval(jnp.asarray([(-1.0) ** k / math.factorial(k + 2) for k in range(9, -1, -1)], gap.dtype), near)
    return jnp.where(jnp.abs(gap) < 0.1, jnp.square(near) * series, gap + jnp.expm1(-gap))
