"""What can K sampled responses say about the entropy of the differential information?

With draws y ~ g and log-ratio ``s = log(π/π_ref)`` the weights ``u = e^s/g`` turn averages under g into averages under
q ∝ e^s: ``Ẑ = mean u`` and ``Ê_q s = Σus/Σu`` give ``Ĥ = log Ẑ - Ê_q s``.  It is a smooth function of two means, so its
bias and its variance are of order 1/K with known coefficients; three intervals (delta method, jackknife, bootstrap) and
two diagnostics of the weights say how far to trust one set of draws.  This module is pure; `estimation` is the checked entry.
"""

import math
from statistics import NormalDist

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from didsim.did.algebra import log_ratio
from didsim.numerics import simplex

SMALLEST_LOG_WEIGHT = {4: -80.0, 8: -690.0}  # relative to the largest, by bytes of the dtype: its exponential is a number


def self_normalised_entropy(log_weights: Float[Array, "*#batch k"], ratio: Float[Array, "*#batch k"]) -> Float[Array, "*#batch"]:
    """Estimate ``Ĥ = log mean(u) - Σus/Σu`` in nats of the entropy of ``q ∝ e^s`` (D13).

    Args:
        log_weights: ``log u = s - log g`` of the draws from g, shape (..., k); g must be normalised.
        ratio: ``s = log(π/π_ref)`` of the draws; its own constant cancels only if the weights carry the same one.

    Returns:
        Ĥ, shape (...).
    """
    share = jax.nn.softmax(log_weights, axis=-1)
    return log_normaliser(log_weights) - jnp.sum(share * ratio, axis=-1)


def log_normaliser(log_weights: Float[Array, "*batch k"]) -> Float[Array, "*batch"]:
    """Log of the estimate ``Ẑ = mean u`` of ``Z = Σ_y π/π_ref`` (D13)."""
    return jax.nn.logsumexp(log_weights, axis=-1) - math.log(log_weights.shape[-1])


def delta_error(log_weights: Float[Array, "*#batch k"], ratio: Float[Array, "*#batch k"]) -> Float[Array, "*#batch"]:
    """Standard error by the delta method, ``√(Σψ²/(K(K-1)))`` (standard; D13).

    ``ψ = (w-1) - w(s - Ê_q s)``, ``w = u/Ẑ``, is the influence of one draw; it sums to zero over the draws.
    """
    k = ratio.shape[-1]
    share, centred = _shares(log_weights, ratio)
    influence = k * share * (1.0 - centred) - 1.0
    return jnp.sqrt(jnp.sum(influence**2, axis=-1) / (k * (k - 1.0)))


def jackknife(
    log_weights: Float[Array, "*#batch k"], ratio: Float[Array, "*#batch k"]
) -> tuple[Float[Array, "*#batch"], Float[Array, "*#batch"]]:
    """Jackknife estimate of the bias of `self_normalised_entropy`, and its standard error (standard; D13).

    With ``d_k`` the change when draw k is left out: bias ``(K-1) mean(d)``, variance ``(K-1)/K Σ(d - mean d)²``.  In closed
    form ``d_k = log(1-p_k) - log(1-1/K) + p_k c_k/(1-p_k)``, ``p`` the normalised weights and ``c = s - Ê_q s``, so that all K
    cost O(K).

    Returns:
        Bias and standard error, shape (...); subtract the bias to correct for it.
    """
    k = ratio.shape[-1]
    share, centred = _shares(log_weights, ratio)
    largest = jnp.arange(k) == jnp.argmax(log_weights, axis=-1, keepdims=True)
    # One minus the largest share may be nothing but rounding; what remains without that draw is summed by itself.
    rest = jnp.where(largest, 0.5, 1.0 - share)
    change = jnp.log(rest) - math.log1p(-1.0 / k) + share * centred / rest
    without = jnp.where(largest, -jnp.inf, log_weights)
    others = jax.nn.logsumexp(without, axis=-1) - math.log(k - 1) - jnp.sum(jax.nn.softmax(without, axis=-1) * ratio, axis=-1)
    alone = others - self_normalised_entropy(log_weights, ratio)
    change = jnp.where(largest, alone[..., None], change)
    mean = change.mean(-1, keepdims=True)
    return (k - 1.0) * mean[..., 0], jnp.sqrt((k - 1.0) / k * jnp.sum((change - mean) ** 2, axis=-1))


def bootstrap(
    key: Key[Array, ""], log_weights: Float[Array, "*batch k"], ratio: Float[Array, "*batch k"], resamples: int
) -> Float[Array, "resamples *batch"]:
    """The estimate on bootstrap resamples of the draws (standard; D13).

    A resample is a vector of counts, the same for all leading axes, so that all of them are one matrix product; each
    interval by itself is the ordinary bootstrap's.
    """
    k = ratio.shape[-1]
    gap = log_weights - log_weights.max(-1, keepdims=True)
    weight = jnp.exp(jnp.maximum(gap, SMALLEST_LOG_WEIGHT[log_weights.dtype.itemsize]))
    middle = self_normalised_entropy(log_weights, ratio)
    _, centred = _shares(log_weights, ratio)
    total = weight.sum(-1)

    def once(one: Key[Array, ""]) -> Float[Array, "*batch"]:
        drawn = jax.random.randint(one, (k,), 0, k, dtype=jnp.int32)
        counts = jnp.zeros((k,), ratio.dtype).at[drawn].add(1.0)
        mass = jnp.matmul(weight, counts, precision="highest")
        return middle + jnp.log(mass / total) - jnp.matmul(weight * centred, counts, precision="highest") / mass

    return jax.lax.map(once, jax.random.split(key, resamples), batch_size=min(resamples, 64))


def delta_interval(value: Float[Array, "*#batch"], error: Float[Array, "*#batch"], level: float) -> Float[Array, "*#batch 2"]:
    """Ends ``Ĥ ± z·error`` with the normal quantile z of the level."""
    reach = NormalDist().inv_cdf(0.5 + 0.5 * level) * error
    return jnp.stack([value - reach, value + reach], axis=-1)


def jackknife_interval(
    value: Float[Array, "*#batch"], bias: Float[Array, "*#batch"], error: Float[Array, "*#batch"], level: float, samples: int
) -> Float[Array, "*#batch 2"]:
    """Ends ``Ĥ - bias ± t·error`` with Student's quantile t of the level at K-1 degrees of freedom."""
    from scipy import special  # a third of a second to import, and nothing else here needs it

    reach = float(special.stdtrit(samples - 1, 0.5 + 0.5 * level)) * error
    return jnp.stack([value - bias - reach, value - bias + reach], axis=-1)


def percentile_interval(draws: Float[Array, "resamples *batch"], level: float) -> Float[Array, "*batch 2"]:
    """Central quantiles of bootstrap draws."""
    ends = jnp.asarray([0.5 - 0.5 * level, 0.5 + 0.5 * level], draws.dtype)
    return jnp.moveaxis(jnp.quantile(draws, ends, axis=0), 0, -1)


def asymptotic_moments(
    log_p: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"], log_proposal: Float[Array, "*#batch n"]
) -> tuple[Float[Array, "*#batch"], Float[Array, "*#batch"]]:
    """Exact leading coefficients ``b`` and ``v``: the estimator has bias ``b/K`` and variance ``v/K`` for large K.

    By enumeration, with ``w = q/g``, ``m = E_q s`` and ψ as in ``delta_error``: ``b = -(E_g w² - 1)/2 + E_g w²(s - m)`` and
    ``v = E_g ψ²``.  Source: derived (second-order delta method); theory D13.

    Args:
        log_p: log-law π, shape (..., n).
        log_ref: log-law π_ref, full support.
        log_proposal: log-law g that responses are drawn from, with mass wherever π has.

    Returns:
        ``b`` and ``v``, shape (...).
    """
    ratio = log_ratio(log_p, log_ref)
    log_q = simplex.normalize(ratio)
    seen = jnp.isfinite(log_q)
    centred = jnp.where(seen, ratio - simplex.expectation(log_q, ratio)[..., None], 0.0)
    weight = jnp.where(seen, jnp.exp(log_q - log_proposal), 0.0)
    mean_square = weight_second_moment(log_q, log_proposal)
    bias = -0.5 * (mean_square - 1.0) + simplex.expectation(log_q, weight * centred)
    influence = weight * (1.0 - centred) - 1.0
    return bias, simplex.expectation(log_proposal, influence**2)


def weight_second_moment(log_q: Float[Array, "*#batch n"], log_proposal: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """``E_g w² = Σ q²/g = 1 + χ²(q‖g)``, the limit of K/ESS: how many draws one is worth (standard; D13)."""
    log_terms = jnp.where(jnp.isneginf(log_q), -jnp.inf, 2.0 * log_q - log_proposal)
    return jnp.exp(jax.nn.logsumexp(log_terms, axis=-1))


def _shares(log_weights: Float[Array, "*#batch k"], ratio: Float[Array, "*#batch k"]) -> tuple[Array, Array]:
    """Normalised weights of the draws, and their log-ratios about the mean under q."""
    share = jax.nn.softmax(log_weights, axis=-1)
    return share, ratio - jnp.sum(share * ratio, axis=-1, keepdims=True)
