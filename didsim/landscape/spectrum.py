"""Which eigenvalues decide what is open and how fast descent is?

The Laplacian's zero eigenvalues count what the data leaves open (S1); the smallest and the largest of the others decide
the rate of gradient descent (S4).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim.numerics import linalg


def null_space_dimension(hessian: Float[Array, "*#batch n n"]) -> Int[Array, "*#batch"]:
    """Number of zero eigenvalues of a positive semi-definite matrix, after scaling it to unit diagonal."""
    diagonal = jnp.diagonal(hessian, axis1=-2, axis2=-1)
    scale = jnp.where(diagonal > 0, jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 1.0)
    values = linalg.eigvalsh(hessian * scale[..., :, None] * scale[..., None, :])
    cut = hessian.shape[-1] * jnp.finfo(hessian.dtype).eps * jnp.maximum(jnp.abs(values).max(-1, keepdims=True), 1.0)
    return jnp.sum(jnp.abs(values) <= cut, axis=-1)


def descent_rate(hessian: Float[Array, "*#batch n n"]) -> tuple[Array, Array, Array]:
    """Smallest non-zero and largest eigenvalue, and the step ``2/(λ₂ + λ_max)`` that contracts fastest (S4).

    At that step gradient descent converges locally at the rate ``(κ-1)/(κ+1)``, ``κ = λ_max/λ₂``.
    """
    values = linalg.eigvalsh(hessian)
    largest = values[..., -1]
    cut = hessian.shape[-1] * jnp.finfo(hessian.dtype).eps * largest[..., None]
    smallest = jnp.min(jnp.where(values > cut, values, jnp.inf), axis=-1)
    return smallest, largest, 2.0 / (smallest + largest)


def pseudo_inverse(hessian: Float[Array, "*#batch n n"]) -> Float[Array, "*#batch n n"]:
    """Moore-Penrose inverse of a positive semi-definite matrix, zero on its null space."""
    values, vectors = linalg.eigh(hessian)
    cut = hessian.shape[-1] * jnp.finfo(hessian.dtype).eps * jnp.abs(values).max(-1, keepdims=True)
    inverse = jnp.where(values > cut, 1.0 / jnp.where(values > cut, values, 1.0), 0.0)
    return jnp.einsum("...ab,...b,...cb->...ac", vectors, inverse, vectors)
