"""How are batches of small matrices factored, and what is done about their null spaces?

One matrix at a time on a CPU.  XLA's CPU library splits a batch over its threads and makes the calling thread, itself one
of them, wait for the others: two batches in flight at once on a machine with two threads wait for each other for ever
(seen with jaxlib 0.10.2).  Other backends get the whole batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float


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


def divide(
    numerator: Float[Array, "*#batch"] | float, denominator: Float[Array, "*#batch"], where: Bool[Array, "*#batch"]
) -> Float[Array, "*batch"]:
    """Quotient where allowed and zero elsewhere, without a division by zero on the way."""
    return jnp.where(where, numerator / jnp.where(where, denominator, 1.0), 0.0)


def vanishing(values: Float[Array, "*batch n"], share: float = 1.0) -> Bool[Array, "*batch n"]:
    """Which eigenvalues of a positive semi-definite matrix are zero to rounding, ``λ ≤ share · n ε max|λ|``."""
    cut = share * values.shape[-1] * jnp.finfo(values.dtype).eps
    return values <= cut * jnp.max(jnp.abs(values), -1, keepdims=True)


def pseudo_inverse(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """Moore-Penrose inverse of a positive semi-definite matrix, zero on its null space."""
    values, vectors = eigh(matrix)
    return jnp.einsum("...ab,...b,...cb->...ac", vectors, divide(1.0, values, ~vanishing(values)), vectors)


def saddle_free_solve(
    matrix: Float[Array, "*batch n n"], right: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n n"], Bool[Array, "*batch n"]]:
    """``|A|⁺ b`` for symmetric A (Dauphin et al. 1406.2572), A's eigenvectors in columns, and which of them are null."""
    values, vectors = eigh(matrix)
    null = vanishing(jnp.abs(values), 4.0)
    projected = jnp.einsum("...ab,...a->...b", vectors, right)
    return jnp.einsum("...ab,...b->...a", vectors, divide(projected, jnp.abs(values), ~null)), vectors, null


def eigvals(matrix: Float[Array, "*batch n n"]) -> Complex[Array, "*batch n"]:
    """Eigenvalues of square matrices that need not be symmetric, in no particular order."""
    return _each(jnp.linalg.eigvals, "(n,n)->(n)")(matrix)


@jax.jit
def small_solve(matrix: Float[Array, "*batch n n"], right: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """``A⁻¹ b`` for positive definite A of a few rows, all at once: Gauss-Jordan elimination, which such A allow unpivoted.

    Unrolled over the n rows, so that thousands of tiny systems cost a few vector operations instead of a call each.
    """
    joined = jnp.concatenate([matrix, right[..., None]], axis=-1)
    n = matrix.shape[-1]
    for k in range(n):
        row = joined[..., k, :] / joined[..., k, k, None]
        others = joined - joined[..., :, k, None] * row[..., None, :]
        joined = jnp.where((jnp.arange(n) == k)[:, None], row[..., None, :], others)
    return joined[..., -1]


def strongly_connected(edges: Bool[Array, "*batch n n"]) -> Bool[Array, "*batch"]:
    """Whether a path along edges, from row to column, leads from every node to every other: squares of ``I + A``."""
    n = edges.shape[-1]
    reach = edges | jnp.eye(n, dtype=bool)
    for _ in range(max(1, (n - 1).bit_length())):
        counts = reach.astype(jnp.float32)
        reach = counts @ counts > 0
    return jnp.all(reach, axis=(-2, -1))


def _each(function: Callable, signature: str) -> Callable:
    """The function over all leading axes: in turn on a CPU, at once elsewhere."""
    alone = jax.custom_batching.sequential_vmap(function) if jax.default_backend() == "cpu" else function
    return jnp.vectorize(alone, signature=signature)
