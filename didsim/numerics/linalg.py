"""How are batches of small matrices factored?

One matrix at a time on a CPU.  XLA's CPU library splits a batch over its threads and makes the calling thread, itself one
of them, wait for the others: two batches in flight at once on a machine with two threads wait for each other for ever
(seen with jaxlib 0.10.2).  Other backends get the whole batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


def eigh(matrix: Float[Array, "*batch n n"]) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n n"]]:
    """Eigenvalues, ascending, and orthonormal eigenvectors in columns of symmetric matrices."""
    values, vectors = _each(lambda one: tuple(jnp.linalg.eigh(one)), "(n,n)->(n),(n,n)")(matrix)
    return values, vectors


def eigvalsh(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch n"]:
    """Eigenvalues of symmetric matrices, ascending."""
    return _each(lambda one: jnp.linalg.eigvalsh(one), "(n,n)->(n)")(matrix)  # the bare function has an option


def left_singular(matrix: Float[Array, "*batch n k"]) -> tuple[Float[Array, "*batch n r"], Float[Array, "*batch r"]]:
    """Left singular vectors in columns and singular values, descending; ``r = min(n, k)``."""
    vectors, values, _ = _each(lambda one: tuple(jnp.linalg.svd(one, full_matrices=False)), "(n,k)->(n,r),(r),(r,k)")(matrix)
    return vectors, values


def cholesky_solve(matrix: Float[Array, "*batch n n"], right: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """``A⁻¹ b`` for positive definite A by a Cholesky factor; not finite where A has none."""
    return _each(lambda a, b: jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(a), b), "(n,n),(n)->(n)")(matrix, right)


def eigvals(matrix: Float[Array, "*batch n n"]) -> Complex[Array, "*batch n"]:
    """Eigenvalues of square matrices that need not be symmetric, in no particular order."""
    return _each(jnp.linalg.eigvals, "(n,n)->(n)")(matrix)


def small_solve(matrix: Float[Array, "*batch n n"], right: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """``A⁻¹ b`` for positive definite A of a few rows, all at once: Gauss-Jordan elimination, which such A allow unpivoted.

    Written out over the n rows, so that thousands of tiny systems cost a few vector operations instead of a call each.
    """
    joined = jnp.concatenate([matrix, right[..., None]], axis=-1)
    n = matrix.shape[-1]
    for k in range(n):
        row = joined[..., k, :] / joined[..., k, k, None]
        others = joined - joined[..., :, k, None] * row[..., None, :]
        joined = jnp.where((jnp.arange(n) == k)[:, None], row[..., None, :], others)
    return joined[..., -1]


def _each(function: Callable, signature: str) -> Callable:
    """The function over all leading axes: in turn on a CPU, at once elsewhere."""
    alone = jax.custom_batching.sequential_vmap(function) if jax.default_backend() == "cpu" else function
    return jnp.vectorize(alone, signature=signature)
