"""Are factored batches NumPy's, and do two threads never wait for each other?"""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from didsim.numerics import linalg


@pytest.fixture
def square():
    return np.random.default_rng(0).normal(size=(2, 3, 5, 5))


@pytest.fixture
def symmetric(square):
    return square + np.swapaxes(square, -1, -2)


MANY_AT_ONCE = """
import jax, jax.numpy as jnp
from didsim.numerics import linalg
matrix = jax.random.normal(jax.random.key(0), (64, 32, 32))
matrix = matrix + matrix.mT

@jax.jit
def several(scale):
    return sum(jnp.sum(linalg.eigh(scale * matrix + k)[1]) for k in range(6))

for k in range(50):
    several(1.0 + 0.01 * k).block_until_ready()
"""


@pytest.mark.parametrize("compiled", [False, True])
def test_against_numpy(compiled, square, symmetric):
    run = jax.jit if compiled else lambda function: function
    values, vectors = run(linalg.eigh)(jnp.asarray(symmetric))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(symmetric), atol=1e-12)
    np.testing.assert_allclose(vectors * values[..., None, :] @ np.swapaxes(vectors, -1, -2), symmetric, atol=1e-12)
    np.testing.assert_allclose(run(linalg.eigvalsh)(jnp.asarray(symmetric)), values, atol=1e-12)
    left, sizes = run(linalg.left_singular)(jnp.asarray(square[..., :3]))
    np.testing.assert_allclose(sizes, np.linalg.svd(square[..., :3], compute_uv=False), atol=1e-12)
    np.testing.assert_allclose(np.swapaxes(left, -1, -2) @ left, np.broadcast_to(np.eye(3), (2, 3, 3, 3)), atol=1e-12)
    positive, right = symmetric @ symmetric + 0.1 * np.eye(5), square[..., 0]
    solved = run(linalg.cholesky_solve)(jnp.asarray(positive), jnp.asarray(right))
    np.testing.assert_allclose(solved, np.linalg.solve(positive, right[..., None])[..., 0], rtol=1e-9)


def test_no_factor_is_not_finite():
    assert not np.all(np.isfinite(linalg.cholesky_solve(-jnp.eye(3), jnp.ones(3))))


@pytest.mark.slow
def test_two_threads_do_not_wait_for_each_other():
    """With whole batches this program stops for ever within its first calls on two threads."""
    environment = {**os.environ, "NPROC": "2", "XLA_FLAGS": ""}
    subprocess.run([sys.executable, "-c", MANY_AT_ONCE], env=environment, timeout=120, check=True)


def test_small_systems_and_general_eigenvalues():
    random = np.random.default_rng(5)
    half = random.standard_normal((7, 4, 4))
    matrix, right = half @ half.swapaxes(1, 2) + 0.1 * np.eye(4), random.standard_normal((7, 4))
    got = np.asarray(linalg.small_solve(jnp.asarray(matrix), jnp.asarray(right)))
    np.testing.assert_allclose(got, np.linalg.solve(matrix, right[..., None])[..., 0], rtol=1e-9)
    found = np.sort_complex(np.asarray(linalg.eigvals(jnp.asarray(half))))
    np.testing.assert_allclose(found, np.sort_complex(np.linalg.eigvals(half)), atol=1e-10)


def with_null_space(values):
    """A symmetric matrix of the given eigenvalues and its eigenvectors in columns."""
    vectors = np.linalg.qr(np.random.default_rng(6).standard_normal((len(values),) * 2))[0]
    return (vectors * values) @ vectors.T, vectors


def test_null_spaces_are_left_out():
    values = np.array([0.0, 0.0, 1e-6, 1.0, 3.0])
    matrix, vectors = with_null_space(values)
    np.testing.assert_allclose(linalg.pseudo_inverse(jnp.asarray(matrix)), np.linalg.pinv(matrix, rcond=1e-12), rtol=1e-7)
    right = vectors @ np.array([5.0, 5.0, 1.0, 1.0, 1.0])  # what lies in the null space must not matter
    saddle, _ = with_null_space(values * np.array([1.0, 1.0, 1.0, -1.0, 1.0]))
    found, _, null = linalg.saddle_free_solve(jnp.asarray(saddle), jnp.asarray(right))
    np.testing.assert_allclose(found, vectors @ np.array([0.0, 0.0, 1e6, 1.0, 1.0 / 3.0]), rtol=1e-7)
    assert null.sum() == 2
    assert np.abs(np.linalg.solve(saddle + 1e-12 * np.eye(5), right) - found).max() > 1.0
    np.testing.assert_array_equal(linalg.vanishing(jnp.zeros(3)), True)


def test_quotients_are_zero_where_there_is_nothing_to_divide_by():
    below = jnp.array([2.0, 0.0, -1.0])
    np.testing.assert_array_equal(linalg.divide(1.0, below, below > 0), [0.5, 0.0, 0.0])
    slopes = jax.grad(lambda x: linalg.divide(1.0, x, x > 0).sum())(below)
    np.testing.assert_array_equal(slopes, [-0.25, 0.0, 0.0])
