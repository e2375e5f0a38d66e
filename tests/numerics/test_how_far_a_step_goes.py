"""Does a step towards a minimum do what it says: slopes, conjugate gradients and the line search?"""

import jax
import jax.numpy as jnp
import numpy as np
from tolerance import tolerance

from didsim.numerics import search


def test_slopes_are_those_of_every_entry():
    at = jnp.linspace(-2.0, 2.0, 7).reshape(7, 1)
    np.testing.assert_allclose(search.slope(jnp.sin, at), np.cos(at), atol=tolerance())


def laplacian(seed: int, n: int = 12) -> np.ndarray:
    weights = np.random.default_rng(seed).uniform(size=(n, n)) ** 4
    weights = weights + weights.T
    return np.diag(weights.sum(1)) - weights


def test_conjugate_gradients_are_the_pseudo_inverse_system_by_system():
    matrix = np.stack([laplacian(1), 1e3 * laplacian(2), laplacian(3)])
    right = np.random.default_rng(4).standard_normal((3, 12))
    right = right - right.mean(1, keepdims=True)
    right[2] = 0.0  # solved before the first step
    diagonal = np.diagonal(matrix, axis1=1, axis2=2)

    def free(vector):
        return vector - vector.mean(-1, keepdims=True)

    def solved(tolerance, steps=200):
        product = lambda v: free(jnp.einsum("xab,xb->xa", matrix, v))  # noqa: E731
        return search.conjugate_gradients(
            product, jnp.asarray(right), lambda r: free(r / diagonal), tolerance=tolerance, steps=steps
        )

    found, steps = jax.jit(lambda: solved(1e-14))()
    wanted = np.stack([np.linalg.pinv(m, rcond=1e-12) @ b for m, b in zip(matrix, right, strict=True)])
    np.testing.assert_allclose(found, wanted, atol=1e-11)
    assert int(steps) < 20
    rough, few = solved(1e-2)
    assert few < steps
    assert 1e-6 < np.abs(rough - wanted).max() < 0.1
    assert int(solved(1e-14, steps=3)[1]) == 3


def test_the_longest_step_is_the_first_that_lowers_enough():
    """A parabola with its minimum at length 1/k: half-lengths are tried until Armijo's rule holds, by hand."""
    bend = np.array([0.5, 3.0, 100.0, 1e5])
    at, fall = jnp.zeros(4), jnp.full(4, -1.0)

    def value(length):
        return -length + 0.5 * bend * length**2

    def by_hand(k, share):
        length = 1.0
        while -length + 0.5 * k * length**2 > -share * length:
            length /= 2
        return length

    for share in (1e-4, 0.1):
        found = search.longest_step(value, at, fall, jnp.ones(4), share=share)
        np.testing.assert_array_equal(found, [by_hand(k, share) for k in bend])
    np.testing.assert_array_equal(search.longest_step(value, at, fall, jnp.full(4, 0.25)), [0.25, 0.25, 0.015625, 2.0**-16])
    np.testing.assert_array_equal(search.longest_step(lambda t: t + 1.0, at, fall, jnp.ones(4)), 0.0)


def test_rounding_is_no_rise():
    at, fall = jnp.zeros(()), jnp.asarray(-1e-20)

    def found(slack):
        return float(search.longest_step(lambda t: 0.0 * t + 4.0 * np.finfo(float).eps, at, fall, jnp.ones(()), slack=slack))

    assert [found(slack) for slack in (8.0, 2.0)] == [1.0, 0.0]
