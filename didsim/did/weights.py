"""Can importance weights be trusted?

Self-normalised estimates lean on few draws when the weights are uneven.  The effective sample size says on how many; the
shape of the weights' tail, fitted by a generalised Pareto law, says whether more draws would help: from a shape of ½ on
the variance is infinite, from 1 on the mean is.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FEWEST_TAIL = 5
PRIOR_WEIGHT, PRIOR_SHAPE = 10.0, 0.5
GRID_PRIOR, GRID_LEAST = 3.0, 30


def effective_sample_size(log_weights: Float[Array, "*batch k"]) -> Float[Array, "*batch"]:
    """Kish's effective number of draws, ``(Σu)²/Σu²``, between 1 and K (standard; D13)."""
    return jnp.exp(2.0 * jax.nn.logsumexp(log_weights, axis=-1) - jax.nn.logsumexp(2.0 * log_weights, axis=-1))


def pareto_shape_limit(samples: int) -> float:
    """Largest tail shape at which K draws can be trusted, ``min(1 - 1/log₁₀ K, 0.7)`` (Vehtari et al. 2024)."""
    return min(1.0 - 1.0 / math.log10(samples), 0.7) if samples > 1 else -math.inf


def tail_size(samples: int) -> int:
    """Number of largest weights that the tail fit looks at, ``⌈min(K/5, 3√K)⌉`` (Vehtari et al. 2024)."""
    return math.ceil(min(0.2 * samples, 3.0 * math.sqrt(samples)))


def pareto_shape(log_weights: Float[Array, "*batch k"]) -> Float[Array, "*batch"]:
    """Shape k̂ of the generalised Pareto law fitted to the largest weights, as in Pareto-smoothed importance sampling.

    Exceedances of the ``tail_size`` largest weights over the next one are fitted by Zhang and Stephens' (2009) quasi-Bayes
    rule, shrunk towards ½ with the weight of ten observations (Vehtari et al. 2024).  Weights equal to the threshold,
    as laws on few responses produce, are no exceedances.

    Args:
        log_weights: log of the weights up to a constant, shape (..., k).

    Returns:
        k̂, shape (...): ``-inf`` where no weight exceeds the threshold (the largest weights are all equal: bounded), NaN
        where fewer than five do, or where k is too small for five, so that nothing can be said.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from didsim.did import pareto_shape
        >>> even = jax.random.uniform(jax.random.key(0), (4000,), jnp.float32)
        >>> print(pareto_shape(jnp.log(even)) < 0, pareto_shape(-0.9 * jnp.log(even)) > 0.7)
        True True
    """
    tail = tail_size(log_weights.shape[-1])
    if tail < FEWEST_TAIL:
        return jnp.full(log_weights.shape[:-1], jnp.nan, log_weights.dtype)
    largest = jax.lax.top_k(log_weights, tail + 1)[0]
    scaled = jnp.exp(largest - largest[..., :1])
    excess = (scaled[..., :-1] - scaled[..., -1:])[..., ::-1]
    count = jnp.sum(excess > 0, axis=-1)
    shape = generalised_pareto_shape(excess)
    fitted = (count * shape + PRIOR_WEIGHT * PRIOR_SHAPE) / (count + PRIOR_WEIGHT)
    return jnp.where(count == 0, -jnp.inf, jnp.where(count < FEWEST_TAIL, jnp.nan, fitted))


def generalised_pareto_shape(excess: Float[Array, "*batch m"]) -> Float[Array, "*batch"]:
    """Zhang and Stephens' (2009) estimate of a generalised Pareto shape, without any prior on the shape.

    With ``x`` the positive exceedances, ``θ_j`` a grid of their quantile form and ``k(θ) = mean log(1 - θx)``, the
    profile log-likelihoods ``n[log(-θ/k) - k - 1]`` weigh the θ_j; the shape is ``k`` at their weighted mean.

    Args:
        excess: exceedances, ascending; zeros are left out.

    Returns:
        Shape, positive for heavy tails; meaningless where fewer than two exceedances are positive.
    """
    count = jnp.sum(excess > 0, axis=-1)
    safe = jnp.maximum(count, 1)
    first = excess.shape[-1] - count  # zeros come first
    quartile_at = jnp.clip(first + (safe / 4.0 + 0.5).astype(jnp.int32) - 1, 0, excess.shape[-1] - 1)
    quartile = jnp.take_along_axis(excess, quartile_at[..., None], axis=-1)[..., 0]
    places = GRID_LEAST + int(math.sqrt(excess.shape[-1]))
    steps = 1.0 - jnp.sqrt(places / (jnp.arange(1, places + 1, dtype=excess.dtype) - 0.5))
    tiny = jnp.finfo(excess.dtype).tiny
    spread = steps[(...,) + (None,) * quartile.ndim] / (GRID_PRIOR * jnp.maximum(quartile, tiny))
    thetas = 1.0 / jnp.maximum(excess[..., -1], tiny) + spread

    def mean_log(theta: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.sum(jnp.log1p(-theta[..., None] * excess), axis=-1) / safe

    shapes = jax.lax.map(mean_log, thetas)
    # Both vanish together where the grid meets θ = 0, the exponential law: their ratio there is one over the mean.
    mean = jnp.maximum(excess.sum(-1) / safe, tiny)
    inverse_scale = jnp.where(shapes == 0, 1.0 / mean, -thetas / jnp.where(shapes == 0, 1.0, shapes))
    profile = count * (jnp.log(inverse_scale) - shapes - 1.0)
    return mean_log(jnp.sum(jax.nn.softmax(profile, axis=0) * thetas, axis=0))
