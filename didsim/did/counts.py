"""Do drawn responses obey the power law, and with which exponent?  An interval and a test from counts."""

from typing import final

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.did import inputs
from didsim.numerics import checks
from didsim.numerics.pytrees import pytree


@final
@pytree
class PowerLawEstimate:
    """Exponent of the power law and its test, from counts of drawn responses.

    Attributes:
        beta: estimated exponent.
        low: lower end of its confidence interval.
        high: upper end.
        misfit: χ² of the log-ratios about the fitted line.
        degrees: degrees of freedom of the misfit, responses drawn minus 2.
        p_value: chance of so large a misfit under the power law.
    """

    beta: Float[Array, "..."]
    low: Float[Array, "..."]
    high: Float[Array, "..."]
    misfit: Float[Array, "..."]
    degrees: Float[Array, "..."]
    p_value: Float[Array, "..."]


def estimate_power_law(
    chosen_counts: ArrayLike, rejected_counts: ArrayLike, log_ref: ArrayLike, log_target: ArrayLike, *, level: float = 0.95
) -> PowerLawEstimate:
    """Exponent ``β`` of ``π_w/π_l ∝ (π*/π_ref)^β`` from independent draws, with interval and test of the law (D4).

    Regresses ``log((c_w+½)/(c_l+½))`` on ``log(π*/π_ref)`` with weights ``1/(1/(c_w+½) + 1/(c_l+½))``, the delta method's
    precision of a log-ratio of counts; under the power law the weighted squares about the line are χ² in the limit of
    many draws.  Off the power law the line has no meaning and the p-value tends to zero.  Source: derived (delta
    method for multinomial counts).

    Args:
        chosen_counts: how often each response was drawn from π_w, shape (..., n), >= 0.
        rejected_counts: how often each was drawn from π_l.
        log_ref: log-law π_ref, full support.
        log_target: log-law π*, full support.
        level: level of the interval, in (0, 1).

    Returns:
        `PowerLawEstimate`; exact in the limit where every response is drawn often.

    Raises:
        ArgumentError: a negative count, a law that is none or lacks support, sizes that differ, fewer than three
            responses, or a level outside (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import did
        >>> ref, target = jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.log(jnp.array([0.1, 0.2, 0.7]))
        >>> chosen, rejected = jnp.array([500, 300, 200]), jnp.array([800, 180, 20])
        >>> found = did.estimate_power_law(chosen, rejected, ref, target)
        >>> bool(found.low < found.beta < found.high)
        True
    """
    checks.between("level", level, 1e-9, 1.0 - 1e-9)
    ref, target = inputs.laws(log_ref=log_ref, log_target=log_target, full_support=True)
    if ref.shape[-1] < 3:
        raise checks.ArgumentError(f"Argument `log_ref` must have at least 3 responses for a test, but has {ref.shape[-1]}.")
    chosen, rejected = (
        jnp.asarray(checks.at_least(name, counts, 0.0), ref.dtype)
        for name, counts in (("chosen_counts", chosen_counts), ("rejected_counts", rejected_counts))
    )
    checks.same_responses(log_ref=ref, log_target=target, chosen_counts=chosen, rejected_counts=rejected)
    return _regress(chosen, rejected, target - ref, jax.scipy.special.ndtri(0.5 + 0.5 * jnp.asarray(level, ref.dtype)))


def _regress(chosen, rejected, direction, quantile: Float[Array, ""]) -> PowerLawEstimate:
    # Haldane's half count keeps log-ratios finite and takes out their leading bias.
    data = jnp.log(chosen + 0.5) - jnp.log(rejected + 0.5)
    drawn = chosen + rejected > 0
    weight = jnp.where(drawn, 1.0 / (1.0 / (chosen + 0.5) + 1.0 / (rejected + 0.5)), 0.0)
    total = weight.sum(-1, keepdims=True)
    x, y = (v - jnp.sum(weight * v, -1, keepdims=True) / total for v in (direction, data))
    precision = jnp.sum(weight * x * x, -1)
    beta = jnp.sum(weight * x * y, -1) / precision
    misfit = jnp.sum(weight * jnp.square(y - beta[..., None] * x), -1)
    degrees = drawn.sum(-1).astype(misfit.dtype) - 2.0
    reach = quantile / jnp.sqrt(precision)
    p_value = jax.scipy.special.gammaincc(0.5 * degrees, 0.5 * misfit)
    return PowerLawEstimate(beta, beta - reach, beta + reach, misfit, degrees, p_value)
