"""How spread out is the differential information, and does the update that carries it sharpen or flatten the policy?

Two entropies move when π_ref is updated to π: that of the policy and that of the DID q ∝ π/π_ref.  The first falls iff
the log-ratio correlates with log π_ref (reinforcement) and rises iff it anti-correlates (smoothing).  The second is
log N minus a quadratic term that does not know the direction, minus a cubic one that does: its sign is that of a third
cumulant, so whether a low DID entropy goes with reinforcement is a matter of the reference's skewness over responses.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.did.algebra import log_ratio
from didsim.numerics import simplex

Amount = Float[Array, "..."] | float


def did_entropy(log_p: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Entropy ``H(q_{π/π_ref})`` in nats, exact by enumeration (paper A; D12)."""
    return simplex.entropy(simplex.normalize(log_ratio(log_p, log_ref)))


def did_entropy_deficit(log_p: Float[Array, "*#batch n"], log_ref: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """What the DID's entropy lacks of the largest possible: ``log N - H(q) = KL(q‖U)`` in nats (derived; D12).

    Summed as a divergence, so that a deficit far below the rounding unit of ``log N`` keeps its relative accuracy.
    """
    log_q = simplex.normalize(log_ratio(log_p, log_ref))
    return simplex.kl(log_q, simplex.uniform(log_q.shape[-1], log_q.dtype))


def entropy_slope(log_law: Float[Array, "*#batch n"], direction: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Rate of a policy's entropy along a tilt, ``dH(π_t)/dt = -Cov_{π_t}(s, log π_t)`` for ``π_t ∝ π e^{ts}``.

    At the reference with ``s = log(π*/π_ref)``: negative (reinforcement) iff the update correlates with ``log π_ref``,
    positive (smoothing) iff it anti-correlates.  Source: paper A's claim with the condition it needs; theory D11.

    Args:
        log_law: log-law π_t where the rate is wanted, shape (..., n).
        direction: log-ratio ``s`` up to a constant, finite, broadcasting against ``log_law``.

    Returns:
        Nats per unit of ``t``, shape (...).

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim.did import entropy_slope
        >>> law = jnp.log(jnp.array([0.5, 0.3, 0.2]))
        >>> print(entropy_slope(law, law) < 0, entropy_slope(law, -law) > 0)
        True True
    """
    centred = direction - simplex.expectation(log_law, direction)[..., None]
    surprise = log_law - simplex.expectation(log_law, log_law)[..., None]
    return -simplex.expectation(log_law, centred * surprise)


def tempered(log_ref: Float[Array, "*#batch n"], amount: Amount) -> Float[Array, "*#batch n"]:
    """Policy at temperature ``1/(1+ε)``, ``π ∝ π_ref^{1+ε}``: the path with ``s = log π_ref`` (D12).

    ``ε > 0`` sharpens, ``ε < 0`` flattens; its DID is ``q ∝ π_ref^ε``.  ``amount`` broadcasts, last axis included.
    """
    return simplex.tilt(log_ref, log_ref, amount)


def third_order_did_entropy(direction: Float[Array, "*#batch n"], amount: Amount) -> Float[Array, "*#batch"]:
    """Entropy of ``q ∝ e^{εs}`` to third order, ``log N - ε²κ₂/2 - ε³κ₃/3`` in nats (derived; D12).

    ``κ_k`` are the cumulants of ``s`` under the uniform law; the rest is ``-Σ_{k≥4} κ_k ε^k (k-1)/k!``.

    Args:
        direction: log-ratio ``s`` up to a constant, shape (..., n).
        amount: ``ε``, a number or of shape (...).

    Returns:
        The approximation, shape (...).
    """
    n = direction.shape[-1]
    _, second, third = jnp.moveaxis(uniform_cumulants(direction), -1, 0)
    return jnp.log(float(n)) - amount**2 * second / 2.0 - amount**3 * third / 3.0


def uniform_cumulants(values: Float[Array, "*#batch n"]) -> Float[Array, "*#batch 3"]:
    """Cumulants κ₁, κ₂, κ₃ of ``values`` under the uniform law on responses (D12)."""
    return simplex.cumulants(simplex.uniform(values.shape[-1], values.dtype), values)


def skewness(values: Float[Array, "*#batch n"]) -> Float[Array, "*#batch"]:
    """Skewness ``κ₃/κ₂^{3/2}`` over responses; of log π_ref positive where few responses stand out as likely (D12)."""
    _, second, third = jnp.moveaxis(uniform_cumulants(values), -1, 0)
    return third / second**1.5


def temperature_gap(log_ref: Float[Array, "*#batch n"], amount: Amount) -> Float[Array, "*#batch"]:
    """DID entropy of sharpening minus that of flattening, ``H(q₊) - H(q₋)`` with ``q_± ∝ π_ref^{±ε}``, exactly.

    Negative: the reinforcing update has the lower DID entropy, as paper A finds in language models.  To leading order
    the sign is that of ``-κ₃``, so a left-skewed ``log π_ref`` reverses it.  Source: derived; theory D12.

    Args:
        log_ref: log-law of the reference, full support, shape (..., n).
        amount: ``ε > 0``, a number or of shape (...).

    Returns:
        Nats, shape (...).

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import simplex
        >>> from didsim.did import temperature_gap
        >>> right = simplex.normalize(jnp.array([2.0, 0.0, 0.0, 0.0]))  # one response stands out as likely
        >>> left = simplex.normalize(jnp.array([-2.0, 0.0, 0.0, 0.0]))  # one stands out as unlikely
        >>> print(temperature_gap(right, 0.3) < 0, temperature_gap(left, 0.3) > 0)
        True True
    """
    place = jnp.asarray(amount, log_ref.dtype)[..., None]
    even = simplex.uniform(log_ref.shape[-1], log_ref.dtype)
    sharp, flat = (simplex.normalize(sign * place * simplex.clr(log_ref)) for sign in (1.0, -1.0))
    return simplex.kl(flat, even) - simplex.kl(sharp, even)


def temperature_gap_third_order(log_ref: Float[Array, "*#batch n"], amount: Amount) -> Float[Array, "*#batch"]:
    """Leading term of `temperature_gap`, ``-(2/3) κ₃ ε³`` with κ₃ of log π_ref under U (derived; D12)."""
    return -2.0 / 3.0 * uniform_cumulants(log_ref)[..., 2] * amount**3
