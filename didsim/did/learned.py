"""Which policy does each kind of reward learn from chosen and rejected draws, and which draws teach the target?"""

from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.did import inputs
from didsim.numerics import simplex


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
    chosen, rejected, ref = inputs.laws(log_chosen=log_chosen, log_rejected=log_rejected, log_ref=log_ref, full_support=True)
    return simplex.tilt(ref, chosen - rejected, 1.0 / inputs.inverse_temperature(beta))


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
    chosen, ref, target = inputs.laws(log_chosen=log_chosen, log_ref=log_ref, log_target=log_target, full_support=True)
    return simplex.tilt(chosen, ref - target, inputs.inverse_temperature(beta))


def reference_free_limit(
    log_chosen: Float[Array, "*#batch n"], log_rejected: Float[Array, "*#batch n"], beta: Float[Array, ""] | float
) -> Float[Array, "*#batch n"]:
    """Policy learned by the reward ``β log π_θ``: ``π ∝ (π_w/π_l)^{1/β}``, the DID itself under the power law.

    CPO without its likelihood term and SimPO at length 1 and γ = 0 are this.  Source: derived; theory D6.
    """
    return simplex.normalize((log_chosen - log_rejected) / beta)
