"""What is the entropy of the differential information of these two models, from log-probabilities of sampled responses?

Three quantities bear similar names and are kept apart.  *Sequence-level*: ``H(q)``, ``q ∝ π/π_ref`` over whole responses.
*Length-normalised*: the entropy of another law over whole responses, ``q̄ ∝ (π/π_ref)^{1/|y|}``.  *Token-level*: the mean
over positions of responses drawn from π of the entropy of the next-token law ``π(·|c)/π_ref(·|c)``, normalised; it needs
no importance weights.  Dividing one of the first two by a length only changes its unit.
"""

from functools import partial
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from didsim.did import estimators, weights
from didsim.numerics import checks
from didsim.numerics.memory import check_array
from didsim.numerics.pytrees import pytree, static
from didsim.numerics.traces import jit


@final
@pytree
class EntropyEstimate:
    """An entropy estimated from K weighted draws, in nats, with what is needed to judge it; arrays of shape (...).

    Attributes:
        value: the plain estimate ``log Ẑ - Ê_q s``.
        corrected: the estimate less its jackknife bias.
        log_z: log of Ẑ, the estimate of ``Σ_y π/π_ref``.
        delta: interval by the delta method, shape (..., 2).
        jackknife: interval about ``corrected`` by the jackknife.
        bootstrap: percentile interval of the bootstrap.
        delta_error: standard error by the delta method.
        jackknife_error: standard error by the jackknife.
        effective: effective sample size of the weights, 1 … K.
        pareto_shape: tail shape k̂ of the weights; NaN where too few draws exceed for a fit.
        samples: the number K of draws.
        level: nominal coverage of the intervals.
    """

    value: Float[Array, "*batch"]
    corrected: Float[Array, "*batch"]
    log_z: Float[Array, "*batch"]
    delta: Float[Array, "*batch 2"]
    jackknife: Float[Array, "*batch 2"]
    bootstrap: Float[Array, "*batch 2"]
    delta_error: Float[Array, "*batch"]
    jackknife_error: Float[Array, "*batch"]
    effective: Float[Array, "*batch"]
    pareto_shape: Float[Array, "*batch"]
    samples: int = static()
    level: float = static()

    @property
    def trusted(self) -> Bool[Array, "*batch"]:
        """Whether the weights' tail shape is known and at most the limit for K draws (Vehtari et al. 2024).

        Necessary, not sufficient: draws that never met a heavy tail look light.
        """
        return self.pareto_shape <= weights.pareto_shape_limit(self.samples)


def estimate_did_entropy(
    log_p: ArrayLike,
    log_ref: ArrayLike,
    log_proposal: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> EntropyEstimate:
    """Sequence-level entropy ``H(q)``, ``q ∝ π/π_ref``, from log-probabilities of K drawn responses.

    Self-normalised importance sampling with weights ``π/(π_ref g)``; ``1/π_ref`` for draws from π itself.  Its bias is of
    order 1/K times the second moment of the weights, and for long sequences that grows exponentially with the length.
    Source: paper A uses K = 32 draws without intervals; intervals and diagnostics are standard; theory D13.

    Args:
        log_p: log π(y_k) of the draws, shape (..., k), nats, k >= 2; summed over tokens, not averaged.
        log_ref: log π_ref(y_k), same shape.
        log_proposal: log g(y_k) of the normalised law that the draws come from; π if missing.
        level: nominal coverage of the intervals, in [0, 1).
        resamples: bootstrap resamples, >= 10.
        seed: seed of the bootstrap, 0 <= seed < 2**32.

    Returns:
        `EntropyEstimate` over the leading axes.

    Raises:
        ArgumentError: fewer than two draws, shapes that differ, log-probabilities that are not finite or above zero, or
            an option out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from didsim.did import estimate_did_entropy
        >>> log_p, log_ref = jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.log(jnp.array([0.2, 0.3, 0.5]))
        >>> y = jax.random.choice(jax.random.key(1), 3, (4096,), p=jnp.exp(log_p))
        >>> found = estimate_did_entropy(log_p[y], log_ref[y])
        >>> print(abs(found.value - 0.868) < 0.03)  # exact: 0.868 nats
        True
    """
    p, ref, g = _draws(level, resamples, log_p, log_ref, log_proposal)
    return _estimate(jax.random.key(checks.seed(seed)), p - ref - g, p - ref, level=level, resamples=resamples)


def estimate_length_normalised_did_entropy(
    log_p: ArrayLike,
    log_ref: ArrayLike,
    lengths: ArrayLike,
    log_proposal: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> EntropyEstimate:
    """Entropy of the length-normalised law ``q̄ ∝ (π/π_ref)^{1/|y|}`` over whole responses, from K draws.

    A law of its own, not a rescaled `estimate_did_entropy`; its weights are ``(π/π_ref)^{1/|y|}/g``.  Source: derived;
    theory D13.

    Args:
        log_p: log π(y_k) of the draws, summed over tokens; this and all but ``lengths`` as for `estimate_did_entropy`.
        log_ref: log π_ref(y_k).
        lengths: tokens ``|y_k|`` of the draws, >= 1, same shape.
        log_proposal: log g(y_k).
        level: nominal coverage.
        resamples: bootstrap resamples.
        seed: seed of the bootstrap.

    Returns:
        `EntropyEstimate`; its ``log_z`` estimates ``Σ_y (π/π_ref)^{1/|y|}``.

    Raises:
        ArgumentError: as `estimate_did_entropy`, or a length below one.
    """
    p, ref, g = _draws(level, resamples, log_p, log_ref, log_proposal)
    sizes = jnp.asarray(checks.at_least("lengths", lengths, 1.0), p.dtype)
    checks.same_shape("log_p", p, "lengths", sizes)
    ratio = (p - ref) / sizes
    return _estimate(jax.random.key(checks.seed(seed)), ratio - g, ratio, level=level, resamples=resamples)


@partial(jit, static_argnames=("level", "resamples"))
def _estimate(key, log_weights: Array, ratio: Array, *, level: float, resamples: int) -> EntropyEstimate:
    value = estimators.self_normalised_entropy(log_weights, ratio)
    delta = estimators.delta_error(log_weights, ratio)
    bias, error = estimators.jackknife(log_weights, ratio)
    k = ratio.shape[-1]
    return EntropyEstimate(
        value=value,
        corrected=value - bias,
        log_z=estimators.log_normaliser(log_weights),
        delta=estimators.delta_interval(value, delta, level),
        jackknife=estimators.jackknife_interval(value, bias, error, level, k),
        bootstrap=estimators.percentile_interval(estimators.bootstrap(key, log_weights, ratio, resamples), level),
        delta_error=delta,
        jackknife_error=error,
        effective=weights.effective_sample_size(log_weights),
        pareto_shape=weights.pareto_shape(log_weights),
        samples=k,
        level=level,
    )


def _draws(
    level: float, resamples: int, log_p: ArrayLike, log_ref: ArrayLike, log_proposal: ArrayLike | None
) -> list[Float[Array, "*batch k"]]:
    """Log-probabilities of the draws under π, π_ref and g, checked, in one floating dtype."""
    checks.between("level", level, 0.0, 1.0, open_high=True)
    checks.whole("resamples", resamples, least=10)
    given = {"log_p": log_p, "log_ref": log_ref, "log_proposal": log_p if log_proposal is None else log_proposal}
    found = {name: jnp.asarray(checks.finite(name, value)) for name, value in given.items()}
    first = found["log_p"]
    if first.ndim < 1 or first.shape[-1] < 2 or first.size == 0:
        raise checks.ArgumentError(f"Argument `log_p` must hold at least 2 draws on its last axis, but has shape {first.shape}.")
    for name, array in found.items():
        checks.same_shape("log_p", first, name, array)
        _at_most_zero(name, array)
    check_array("resamples", resamples, (resamples, *first.shape[:-1]))
    dtype = jnp.result_type(jnp.float32, *found.values())
    return [array.astype(dtype) for array in found.values()]


def _at_most_zero(name: str, log_values: Array) -> None:
    top = float(np.asarray(log_values).max())
    if top > 1e-6:  # rounding of a probability of one
        raise checks.ArgumentError(f"Argument `{name}` must hold log-probabilities, at most 0, but reaches {top:g}.")
