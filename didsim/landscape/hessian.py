"""How does DPO's loss bend?  Its Hessian is a weighted graph Laplacian (S4).

A matrix where the responses are few; products with vectors in O(N) where pairs come from a mixture of products (K1).
"""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim.numerics import linalg
from didsim.numerics.pair_sums import kernel_sum
from didsim.numerics.pytrees import pytree
from didsim.samplers import ProductMixture


def laplacian_weights(pair_matrix: Float[Array, "*#batch n n"], reward: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n n"]:
    """Edge weights of the Hessian at the optimum, ``w_ab = (μ_ab + μ_ba) σ'(r_a - r_b)``, zero diagonal (S4)."""
    gap = reward[..., :, None] - reward[..., None, :]
    slope = jax.nn.sigmoid(gap) * jax.nn.sigmoid(-gap)
    both = pair_matrix + jnp.swapaxes(pair_matrix, -1, -2)
    return both * slope * (1.0 - jnp.eye(pair_matrix.shape[-1], dtype=reward.dtype))


def laplacian(weights: Float[Array, "*#batch n n"]) -> Float[Array, "*#batch n n"]:
    """Graph Laplacian ``diag(Σ_b w_ab) - w``."""
    return weights.sum(-1)[..., :, None] * jnp.eye(weights.shape[-1], dtype=weights.dtype) - weights


def hessian_at_optimum(
    pair_matrix: Float[Array, "*#batch n n"], reward: Float[Array, "*#batch n"], beta: Float[Array, ""] | float
) -> Float[Array, "*#batch n n"]:
    """DPO's Hessian ``β² Lap(w)`` in the logits of a table, at a policy with margins ``r_a - r_b`` (derived; S4).

    At any other policy pass its own implicit reward ``β log(π/π_ref)``: the second derivative of
    ``-P log σ(m) - (1-P) log σ(-m)`` is ``σ'(m)`` for every ``P``, so labels matter only through the policy that they lead to.
    """
    return beta**2 * laplacian(laplacian_weights(pair_matrix, reward))


def null_space_dimension(hessian: Float[Array, "*#batch n n"]) -> Int[Array, "*#batch"]:
    """Number of zero eigenvalues of a positive semi-definite matrix, after scaling it to unit diagonal."""
    diagonal = jnp.diagonal(hessian, axis1=-2, axis2=-1)
    scale = jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    values = linalg.eigvalsh(hessian * scale[..., :, None] * scale[..., None, :])
    return jnp.sum(linalg.vanishing(jnp.abs(values)), axis=-1)


@final
@pytree
class ProductLaplacian:
    """A Hessian ``β² Lap(w)`` of a mixture of products without its matrix: N numbers where a matrix has N² (K1).

    Attributes:
        laws: the components' laws, first of all pairs and then second, shape (..., 2k, n).
        partners: ``β² c_k`` times the law of the other response, shape (..., 2k, n).
        margin: implicit reward whose differences are the margins, shape (..., n).
        degree: diagonal of the Laplacian with the pairs of a response with itself, shape (..., n).
        own: weight of the pairs of a response with itself, shape (..., n).
    """

    laws: Float[Array, "*batch k n"]
    partners: Float[Array, "*batch k n"]
    margin: Float[Array, "*batch n"]
    degree: Float[Array, "*batch n"]
    own: Float[Array, "*batch n"]

    def product(self, vector: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """``β² Lap(w) v`` in O(N): ``v_a Σ_b w_ab - Σ_b w_ab v_b``."""
        return self.degree * vector - _weighted_sums(self.laws, self.partners, self.margin, vector)

    def diagonal(self) -> Float[Array, "*batch n"]:
        """Diagonal of the Laplacian, not below zero."""
        return jnp.maximum(self.degree - self.own, 0.0)


def product_laplacian(law: ProductMixture, margin: Float[Array, "prompts n"], beta: Float[Array, ""] | float) -> ProductLaplacian:
    """Hessian of DPO under a mixture of products at a policy with the given implicit rewards (derived; K1, S4).

    Args:
        law: mixture of products, one per prompt.
        margin: implicit reward of each response, or the true reward for the Hessian at the optimum.
        beta: inverse temperature of the implicit reward, > 0.

    Returns:
        `ProductLaplacian` with the prompts as leading axis.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim.samplers.laws import product_law
        >>> law = product_law(jnp.log(jnp.full((1, 4), 0.25)), jnp.log(jnp.full((1, 4), 0.25)))
        >>> hessian = product_laplacian(law, jnp.zeros((1, 4)), 1.0)
        >>> print(hessian.product(jnp.array([[1.0, -1.0, 0.0, 0.0]])))
        [[ 0.125 -0.125  0.     0.   ]]
    """
    first, second = jnp.exp(law.log_first), jnp.exp(law.log_second)
    shares = beta**2 * law.weights[..., None]
    laws, partners = jnp.concatenate([first, second], -2), jnp.concatenate([shares * second, shares * first], -2)
    degree = _weighted_sums(laws, partners, margin, jnp.ones_like(margin))
    return ProductLaplacian(laws, partners, margin, degree, 0.25 * jnp.sum(laws * partners, -2))


def _weighted_sums(laws: Array, partners: Array, margin: Array, vector: Array) -> Array:
    """``Σ_k p_k(a) Σ_b σ'(u_a - u_b) q_k(b) v_b``."""
    points = margin[..., None, :]
    return jnp.sum(laws * kernel_sum("slope", points, points, partners * vector[..., None, :]), -2)
