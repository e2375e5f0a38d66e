"""How does the loss bend?  Laplacians without their matrix and extreme eigenvalues, against loops over pairs and SciPy."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from graph_cases import is_quadratic
from scipy.sparse.linalg import LinearOperator, eigsh

import didsim
from didsim import landscape
from didsim.objectives import Dpo, loss, population
from didsim.samplers import ProductMixture, Uniform
from didsim.samplers.laws import product_law
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry, Flipped, PreferenceMatrix

N, K, PROMPTS = 30, 3, 2
BETA = 0.7


@functools.cache
def given() -> SimpleNamespace:
    """Mixtures of products, with margins."""
    rng = np.random.default_rng(31)
    first, second = oracles.log_laws(32, (PROMPTS, K, N)), oracles.log_laws(33, (PROMPTS, K, N))
    shares = rng.dirichlet(np.ones(K), PROMPTS)
    return SimpleNamespace(first=first, second=second, shares=shares, margin=rng.standard_normal((PROMPTS, N)) * 2)


def by_hand(x: int) -> np.ndarray:
    """Hessian of one prompt, pair by pair."""
    hessian = np.zeros((N, N))
    for a in range(N):
        for b in range(N):
            mass = sum(given().shares[x, k] * np.exp(given().first[x, k, a] + given().second[x, k, b]) for k in range(K))
            gap = given().margin[x, a] - given().margin[x, b]
            weight = BETA**2 * mass / (2 + np.exp(gap) + np.exp(-gap))
            arrow = np.eye(N)[a] - np.eye(N)[b]
            hessian += weight * np.outer(arrow, arrow)
    return hessian


@pytest.fixture(scope="module")
def dense():
    return np.array([by_hand(x) for x in range(PROMPTS)])


def mixture(dtype=jnp.float64):
    return ProductMixture(*(jnp.asarray(part, dtype) for part in (given().shares, given().first, given().second)))


def test_products_agree_with_the_dense_laplacian(dense):
    hessian = landscape.product_laplacian(mixture(), jnp.asarray(given().margin), BETA)
    vector = np.random.default_rng(36).standard_normal((PROMPTS, N))
    product = jax.jit(lambda hessian: hessian.product(jnp.asarray(vector)))
    np.testing.assert_allclose(product(hessian), np.einsum("xab,xb->xa", dense, vector), atol=1e-13)
    np.testing.assert_allclose(hessian.diagonal(), np.diagonal(dense, axis1=1, axis2=2), atol=1e-13)
    own = landscape.hessian_at_optimum(mixture().matrix(), jnp.asarray(given().margin), BETA)
    np.testing.assert_allclose(own, dense, atol=1e-13)
    wrong = landscape.product_laplacian(mixture(), 2 * jnp.asarray(given().margin), BETA)
    assert np.abs(product(wrong) - np.einsum("xab,xb->xa", dense, vector)).max() > 1e-3


def test_the_hessian_at_any_policy_is_that_of_the_loss_whatever_the_labels():
    n = 6
    ref, policy = oracles.log_laws(34, (2, n))
    world = problem(ref, reward=np.random.default_rng(37).standard_normal(n), beta=BETA)
    shown = Uniform().pair_law(world, world.log_ref).matrix()
    predicted = landscape.hessian_at_optimum(shown, BETA * (jnp.asarray(policy) - world.log_ref), BETA)
    cyclic = 1 / (1 + np.exp(-np.triu(np.ones((n, n)), 1) + np.tril(np.ones((n, n)), -1)))

    @jax.jit
    def hessian(table):
        law = population(world, Uniform(), PreferenceMatrix(table), world.log_ref)
        return jax.hessian(lambda free: loss(Dpo(beta=BETA), world, jax.nn.log_softmax(free)[None], law))(jnp.asarray(policy))

    for labels in (BradleyTerry(), Flipped(BradleyTerry(), 0.3), PreferenceMatrix(jnp.asarray(cyclic))):
        np.testing.assert_allclose(hessian(labels.matrix(world.reward)[0]), predicted[0], atol=1e-13)


def test_extreme_eigenvalues_are_scipys(dense):
    found = landscape.extreme_eigenvalues(landscape.product_laplacian(mixture(), jnp.asarray(given().margin), BETA))
    values = np.linalg.eigvalsh(dense)
    assert np.all(found.converged)
    np.testing.assert_allclose(found.smallest, values[:, 1], rtol=1e-10)
    np.testing.assert_allclose(found.largest, values[:, -1], rtol=1e-12)
    dense = landscape.descent_rate(jnp.asarray(dense))
    np.testing.assert_allclose(found.smallest, dense[0], rtol=1e-10)


@pytest.mark.slow
def test_extreme_eigenvalues_in_single_precision(dense):
    hessian = landscape.product_laplacian(mixture(jnp.float32), jnp.asarray(given().margin, jnp.float32), BETA)
    found = landscape.extreme_eigenvalues(hessian)
    assert found.smallest.dtype == jnp.float32
    values = np.linalg.eigvalsh(dense)
    np.testing.assert_allclose(found.largest, values[:, -1], rtol=1e-4)
    # The residual is a bound, whatever the conditioning: some eigenvalue lies within it.
    reach = 1e-6 * values[:, -1] + np.asarray(found.smallest_residual * found.smallest)
    assert np.all(np.min(np.abs(values[:, 1:] - np.asarray(found.smallest)[:, None]), 1) <= reach)


@pytest.mark.slow  # with four responses it runs out of space too
def test_the_smallest_graph():
    """One direction: Lanczos runs out of space and must not make any up."""
    n = 2
    even = jnp.full((1, n), -np.log(n))
    hessian = landscape.product_laplacian(product_law(even, even), jnp.zeros((1, n)), 1.0)
    found = landscape.extreme_eigenvalues(hessian)
    np.testing.assert_allclose([found.smallest[0], found.largest[0]], 2 * n / n**2 / 4, rtol=1e-12)
    assert is_quadratic(found.smallest, found.largest, n).all()


def extremes_of_four(laws, margin):
    """λ₂ and λ_max of an even mixture of two squares on four responses."""
    law = ProductMixture(jnp.full((1, 2), 0.5), jnp.asarray(laws)[None], jnp.asarray(laws)[None])
    return landscape.extreme_eigenvalues(landscape.product_laplacian(law, jnp.asarray(margin)[None], 1.0))


def test_responses_without_mass_are_left_out():
    law, margin = oracles.log([0.5, 0.3, 0.2, 0.0]), np.array([0.0, 1.0, -1.0, 5.0])
    found = extremes_of_four(np.stack([law, law]), margin)
    three = landscape.product_laplacian(product_law(*2 * [jnp.asarray(law[None, :3])]), jnp.asarray(margin[None, :3]), 1.0)
    product = jax.jit(three.product)
    columns = [np.asarray(product(jnp.eye(3)[None, k]))[0] for k in range(3)]
    values = np.linalg.eigvalsh(columns)
    np.testing.assert_allclose([found.smallest[0], found.largest[0]], values[[1, -1]], rtol=1e-10)


def test_a_graph_that_falls_apart_has_no_gap():
    """Two blocks, pairs within each: λ₂ = 0 up to rounding, not the smallest non-zero eigenvalue."""
    found = extremes_of_four(oracles.log([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]), np.zeros(4))
    assert found.smallest[0] < 1e-9 * found.largest[0] or not found.converged[0]


def test_equal_weights_are_an_invariant_subspace():
    """The first direction is an eigenvector already; what follows must be found all the same."""
    even = np.log(np.full((2, 4), 0.25))
    found = extremes_of_four(even, np.zeros(4))
    np.testing.assert_allclose([found.smallest[0], found.largest[0]], 2 * 4 / 16 / 4, rtol=1e-12)
    assert is_quadratic(found.smallest, found.largest, 4).all()


@pytest.mark.slow
def test_extreme_eigenvalues_of_twenty_thousand_responses():
    n = 20_000
    logits = jnp.asarray(np.random.default_rng(5).standard_normal((1, n)))
    reward = jnp.asarray(np.random.default_rng(6).standard_normal((1, n)))
    law = product_law(jax.nn.log_softmax(logits), jax.nn.log_softmax(logits))
    hessian = landscape.product_laplacian(law, reward, 1.0)
    found = landscape.extreme_eigenvalues(hessian)
    product = jax.jit(lambda v: hessian.product(v[None])[0])
    operator = LinearOperator((n, n), matvec=lambda v: np.asarray(product(jnp.asarray(v.ravel()))), dtype=float)
    top = eigsh(operator, 1, which="LA", return_eigenvectors=False, tol=1e-9)
    np.testing.assert_allclose(found.largest[0], top[0], rtol=1e-8)
    assert found.converged.all()
    assert found.smallest[0] <= float(hessian.diagonal().min()) * n / (n - 1)


def test_bad_numbers_are_refused():
    even = jnp.full((1, 3), -np.log(3))
    hessian = landscape.product_laplacian(product_law(even, even), jnp.zeros((1, 3)), 1.0)
    for wrong in ({"steps": 1}, {"tolerance": -1.0}, {"seed": -1}):
        with pytest.raises(didsim.ArgumentError, match=f"Argument `{next(iter(wrong))}` must"):
            landscape.extreme_eigenvalues(hessian, **wrong)
