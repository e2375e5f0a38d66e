"""What are the extreme eigenvalues of a Laplacian that is too large for a matrix?

Lanczos' method with full reorthogonalisation, orthogonal to the constant.  The largest eigenvalue comes from products with
the Laplacian; the smallest non-zero one, which plain Lanczos finds last, from products with its inverse, each a few
conjugate-gradient steps scaled by the diagonal.  Both answers carry the residual of their eigenvector, which bounds the
distance to an eigenvalue.  Where the spectrum is a near-continuum the edge converges slowly: the residual says so.
"""

import functools
from collections.abc import Callable
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from didsim.landscape.hessian import ProductLaplacian
from didsim.numerics import checks, linalg
from didsim.numerics.pytrees import pytree
from didsim.numerics.search import conjugate_gradients
from didsim.numerics.traces import jit
from didsim.worlds.random import normal

INNER_STEPS = 300


@final
@pytree
class Extremes:
    """Smallest non-zero and largest eigenvalue of a Laplacian, with the evidence.

    Attributes:
        smallest: λ₂ on the responses that are shown; zero if the comparison graph falls apart.
        largest: λ_max.
        smallest_residual: ``‖Lx - λ₂x‖/λ₂`` for the unit eigenvector found; some eigenvalue lies within that share of λ₂.
        largest_residual: the same for λ_max.  The eigenvalue itself is known much better, to the residual's square over
            the distance to the next one.
        inner_steps: conjugate-gradient steps of all inverse products together.
        converged: whether both residuals are below the tolerance.
    """

    smallest: Float[Array, "*batch"]
    largest: Float[Array, "*batch"]
    smallest_residual: Float[Array, "*batch"]
    largest_residual: Float[Array, "*batch"]
    inner_steps: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


def extreme_eigenvalues(hessian: ProductLaplacian, *, steps: int = 40, tolerance: float | None = None, seed: int = 0) -> Extremes:
    """Extreme non-zero eigenvalues of a Laplacian from O(N) products alone, prompt by prompt (derived; K1, S4).

    Args:
        hessian: the Laplacian, prompts as leading axis.
        steps: Lanczos steps at either end, >= 2; memory is ``steps`` vectors.
        tolerance: largest residual that counts as converged; ``eps^{1/4}`` if missing.
        seed: seed of the starting vectors.

    Returns:
        `Extremes`, one entry per prompt.

    Raises:
        ArgumentError: fewer than 2 steps, a tolerance that is not positive, or a bad seed.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim.landscape import product_laplacian
        >>> from didsim.samplers.laws import product_law
        >>> even = jnp.log(jnp.full((1, 40), 0.025))
        >>> found = extreme_eigenvalues(product_laplacian(product_law(even, even), jnp.linspace(0.0, 1.0, 40)[None], 1.0))
        >>> bool(found.converged.all()), bool(found.smallest[0] < found.largest[0])
        (True, True)
    """
    checks.whole("steps", steps, least=2)
    dtype = hessian.margin.dtype
    limit = float(jnp.finfo(dtype).eps) ** 0.25 if tolerance is None else checks.positive("tolerance", tolerance)
    return _extremes(hessian, jnp.asarray(limit, dtype), jnp.uint32(checks.seed(seed)), steps)


@functools.partial(jit, static_argnames=("steps",))
def _extremes(hessian: ProductLaplacian, tolerance: Array, seed: Array, steps: int) -> Extremes:
    return jax.vmap(lambda one: _both_ends(one, tolerance, jax.random.key(seed), steps))(hessian)


def _both_ends(hessian: ProductLaplacian, tolerance: Array, key: Array, steps: int) -> Extremes:
    diagonal = hessian.diagonal()
    shown = diagonal > 0
    count = jnp.maximum(shown.sum(), 1)

    def free(vector: Array) -> Array:
        """Orthogonal to the constant on the responses that are shown, zero elsewhere."""
        return jnp.where(shown, vector - jnp.sum(jnp.where(shown, vector, 0.0)) / count, 0.0)

    def plain(vector: Array) -> tuple[Array, Array]:
        return free(hessian.product(free(vector))), jnp.int32(0)

    def inverse(vector: Array) -> tuple[Array, Array]:
        found, count = conjugate_gradients(
            lambda v: plain(v)[0],
            free(vector),
            lambda residual: free(residual / jnp.where(shown, diagonal, 1.0)),
            tolerance=16.0 * float(jnp.finfo(vector.dtype).eps),
            steps=INNER_STEPS,
        )
        return free(found), count

    def check(value: Array, vector: Array) -> Array:
        size = jnp.linalg.norm(plain(vector)[0] - value * vector)
        return size / jnp.maximum(value, jnp.finfo(size.dtype).tiny)

    # The largest eigenvalue of L, and with the inverse the smallest.
    top_key, bottom_key = jax.random.split(key)
    most = min(steps, diagonal.size - 1)
    noise = normal(jax.random.fold_in(key, 2), (most, diagonal.size)).astype(diagonal.dtype)
    largest, top, _ = largest_ritz(plain, free, jax.random.normal(top_key, diagonal.shape, dtype=diagonal.dtype), noise)
    start = jax.random.normal(bottom_key, diagonal.shape, dtype=diagonal.dtype)
    _, bottom, inner = largest_ritz(inverse, free, start, noise)
    smallest = jnp.vdot(bottom, plain(bottom)[0])
    # How far each is from an eigenvector.
    residuals = check(smallest, bottom), check(largest, top)
    return Extremes(smallest, largest, *residuals, inner, jnp.maximum(*residuals) <= tolerance)


def largest_ritz(apply: Callable, free: Callable, start: Array, noise: Array) -> tuple[Array, Array, Array]:
    """Largest Ritz value of a symmetric operator, its unit vector, and the operator's own count of steps.

    No eigenvalue is smaller than what a Ritz value proves: the operator's largest is at least that.

    Args:
        apply: vector to its image and a count.
        free: projector on the space that is searched.
        start: first direction.
        noise: fresh directions, one a step, shape (steps, n); at most as many as the space has dimensions.
    """
    steps, n = len(noise), start.size

    def outside(vector: Array, basis: Array) -> Array:
        # Twice is enough: once leaves rounding errors as large as what cancelled.
        for _ in range(2):
            vector = free(vector - basis.T @ (basis @ vector))
        return vector

    def step(state, place):
        basis, vector = state
        # Apply the operator, and keep what no earlier direction holds.
        basis = basis.at[place].set(vector)
        image, inner = apply(vector)
        along = jnp.vdot(vector, image)
        rest = outside(image, basis)
        size = jnp.linalg.norm(rest)
        # In an invariant subspace nothing is left: go on in a fresh direction, unconnected to the old ones.
        spent = size <= n * jnp.finfo(rest.dtype).eps * jnp.linalg.norm(image)
        rest = jnp.where(spent, outside(noise[place], basis), rest)
        length = jnp.linalg.norm(rest)
        return (basis, linalg.divide(rest, length, length > 0)), (along, jnp.where(spent, 0.0, size), inner)

    # A first direction, and as many more as there are steps.
    first = free(start)
    first = first / jnp.maximum(jnp.linalg.norm(first), jnp.finfo(first.dtype).tiny)
    empty = jnp.zeros((steps, n), start.dtype)
    (basis, _), (diagonal, off, inner) = jax.lax.scan(step, (empty, first), jnp.arange(steps))
    # In their basis the operator is tridiagonal; its top eigenvector is the answer's.
    tridiagonal = jnp.diag(diagonal) + jnp.diag(off[:-1], 1) + jnp.diag(off[:-1], -1)
    values, vectors = linalg.eigh(tridiagonal)
    ritz = free(vectors[:, -1] @ basis)
    return values[-1], ritz / jnp.maximum(jnp.linalg.norm(ritz), jnp.finfo(ritz.dtype).tiny), inner.sum()
