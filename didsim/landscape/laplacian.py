"""How does DPO's loss bend?  Its Hessian is a weighted graph Laplacian (S4)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
    """DPO's Hessian ``β² Lap(w)`` at a policy with margins ``r_a - r_b`` (derived; S4)."""
    return beta**2 * laplacian(laplacian_weights(pair_matrix, reward))
