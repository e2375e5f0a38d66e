"""How far from the optimum does learning from n pairs end?

The maximum-likelihood logits from n independent pairs have, to first order in 1/n, the covariance of the inverse Laplacian
divided by n (S7).  Differences of logits are then the effective resistances of the comparison graph, and the loss of value is
a quadratic form in the same matrix.  With labels that no reward explains, the scores vary by more or less than the Hessian
says, and the inverse stands on both sides of their covariance.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.landscape.graph import components
from didsim.landscape.hessian import laplacian
from didsim.numerics.linalg import pseudo_inverse


def score_covariance(
    pair_matrix: Float[Array, "*#batch n n"],
    chance: Float[Array, "*#batch n n"],
    margin: Float[Array, "*#batch n"],
    beta: Float[Array, ""] | float,
) -> Float[Array, "*batch n n"]:
    """Second moment of one pair's gradient, ``β² Σ_ab μ_ab E[(y - σ(m_ab))²] (e_a - e_b)(e_a - e_b)ᵀ`` (derived; S7).

    For coin-flip labels ``E[(y - σ)²] = P(1-P) + (P-σ)²``; at a Bradley-Terry optimum that is ``σ'`` and the matrix is
    the Hessian.

    Args:
        pair_matrix: law of the pair shown, first response on the row.
        chance: probability that the first response of the pair wins.
        margin: implicit reward of each response at the optimum.
        beta: inverse temperature of the implicit reward, > 0.
    """
    fitted = jax.nn.sigmoid(margin[..., :, None] - margin[..., None, :])
    spread = pair_matrix * (chance * (1.0 - chance) + (chance - fitted) ** 2)
    both = spread + jnp.swapaxes(spread, -1, -2)
    return beta**2 * laplacian(both * (1.0 - jnp.eye(both.shape[-1], dtype=both.dtype)))


def asymptotic_covariance(
    hessian: Float[Array, "*#batch n n"], score: Float[Array, "*#batch n n"] | None = None
) -> Float[Array, "*#batch n n"]:
    """Covariance of the maximum-likelihood logits times the number of pairs: ``H⁺``, or ``H⁺ J H⁺`` (derived; S7).

    Args:
        hessian: Hessian of the population loss at its minimiser.
        score: covariance of one pair's gradient there, where it is not the Hessian: labels that are not Bradley-Terry.
    """
    inverse = pseudo_inverse(hessian)
    return inverse if score is None else inverse @ score @ inverse


def effective_resistance(hessian: Float[Array, "*#batch n n"]) -> Float[Array, "*#batch n n"]:
    """``R_ab = (e_a - e_b)ᵀ H⁺ (e_a - e_b)``, infinite between components; ``R_ab/n`` is the variance of a log-margin (S7).

    Args:
        hessian: a graph Laplacian, such as DPO's Hessian at its minimiser.

    Example:
        >>> import jax.numpy as jnp
        >>> path = jnp.array([[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]])
        >>> print(effective_resistance(path).round(6)[0])
        [0. 1. 2.]
    """
    off = ~jnp.eye(hessian.shape[-1], dtype=bool)
    label = components((hessian != 0) & off)
    together = label[..., :, None] == label[..., None, :]
    return jnp.where(together, margin_variances(pseudo_inverse(hessian)), jnp.inf)


def margin_variances(covariance: Float[Array, "*#batch n n"]) -> Float[Array, "*#batch n n"]:
    """Variance of every log-margin ``log π(a) - log π(b)`` from the covariance of the logits."""
    own = jnp.diagonal(covariance, axis1=-2, axis2=-1)
    return own[..., :, None] + own[..., None, :] - covariance - jnp.swapaxes(covariance, -1, -2)


def mean_margin_error(covariance: Float[Array, "*#batch n n"]) -> Float[Array, "*#batch"]:
    """Mean variance of a log-margin over all pairs of different responses, in nats² (derived; S7)."""
    n = covariance.shape[-1]
    return jnp.sum(margin_variances(covariance), (-2, -1)) / (n * (n - 1))


def value_error(
    covariance: Float[Array, "*#batch n n"], log_policy: Float[Array, "*#batch n"], beta: Float[Array, ""] | float
) -> Float[Array, "*#batch"]:
    """Expected loss of value ``β E KL(π̂‖π*)`` to second order, ``(β/2) tr[(diag π* - π*π*ᵀ) C]`` (derived; S7).

    Args:
        covariance: covariance of the logits; per pair if the answer is to be divided by the number of pairs.
        log_policy: log-law of the optimum π*.
        beta: inverse temperature of the value's KL term, > 0.
    """
    mass = jnp.exp(log_policy)
    own = jnp.sum(mass * jnp.diagonal(covariance, axis1=-2, axis2=-1), -1)
    return 0.5 * beta * (own - jnp.einsum("...a,...ab,...b->...", mass, covariance, mass))
