"""Laplacians that are not written out, extreme eigenvalues, rates: against written-out loops and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.sparse.linalg import LinearOperator, eigsh
from tolerance import tolerance

import didsim
from didsim import landscape
from didsim.objectives import Dpo, loss, population
from didsim.samplers import ProductMixture, Uniform, product_law
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry, Flipped, PreferenceMatrix

N, K, PROMPTS = 30, 3, 2
RNG = np.random.default_rng(31)
FIRST, SECOND = oracles.log_laws(32, (PROMPTS, K, N)), oracles.log_laws(33, (PROMPTS, K, N))
SHARES = RNG.dirichlet(np.ones(K), PROMPTS)
MARGIN = RNG.standard_normal((PROMPTS, N)) * 2
BETA = 0.7


def by_hand(x: int) -> np.ndarray:
    """Hessian of one prompt, pair by pair."""
    hessian = np.zeros((N, N))
    for a in range(N):
        for b in range(N):
            mass = sum(SHARES[x, k] * np.exp(FIRST[x, k, a] + SECOND[x, k, b]) for k in range(K))
            gap = MARGIN[x, a] - MARGIN[x, b]
            weight = BETA**2 * mass / (2 + np.exp(gap) + np.exp(-gap))
            arrow = np.eye(N)[a] - np.eye(N)[b]
            hessian += weight * np.outer(arrow, arrow)
    return hessian


@pytest.fixture(scope="module")
def written_out():
    return np.array([by_hand(x) for x in range(PROMPTS)])


def mixture(dtype=jnp.float64):
    return ProductMixture(*(jnp.asarray(part, dtype) for part in (SHARES, FIRST, SECOND)))


def test_products_agree_with_the_written_out_laplacian(written_out):
    hessian = landscape.product_laplacian(mixture(), jnp.asarray(MARGIN), BETA)
    vector = RNG.standard_normal((PROMPTS, N))
    np.testing.assert_allclose(hessian.product(jnp.asarray(vector)), np.einsum("xab,xb->xa", written_out, vector), atol=1e-13)
    np.testing.assert_allclose(hessian.diagonal(), np.diagonal(written_out, axis1=1, axis2=2), atol=1e-13)
    dense = landscape.hessian_at_optimum(mixture().matrix(), jnp.asarray(MARGIN), BETA)
    np.testing.assert_allclose(dense, written_out, atol=1e-13)
    wrong = landscape.product_laplacian(mixture(), 2 * jnp.asarray(MARGIN), BETA)
    assert np.abs(wrong.product(jnp.asarray(vector)) - np.einsum("xab,xb->xa", written_out, vector)).max() > 1e-3


def test_the_hessian_at_any_policy_is_that_of_the_loss_whatever_the_labels():
    n = 6
    ref, policy = oracles.log_laws(34, (2, n))
    world = problem(ref, reward=RNG.standard_normal(n), beta=BETA)
    shown = Uniform().pair_law(world, world.log_ref).matrix()
    predicted = landscape.hessian_at_optimum(shown, BETA * (jnp.asarray(policy) - world.log_ref), BETA)
    cyclic = 1 / (1 + np.exp(-np.triu(np.ones((n, n)), 1) + np.tril(np.ones((n, n)), -1)))

    @jax.jit
    def hessian(table):
        law = population(world, Uniform(), PreferenceMatrix(table), world.log_ref)
        return jax.hessian(lambda free: loss(Dpo(beta=BETA), world, jax.nn.log_softmax(free)[None], law))(jnp.asarray(policy))

    for labels in (BradleyTerry(), Flipped(BradleyTerry(), 0.3), PreferenceMatrix(jnp.asarray(cyclic))):
        np.testing.assert_allclose(hessian(labels.matrix(world.reward)[0]), predicted[0], atol=1e-13)


def test_extreme_eigenvalues_are_scipys(written_out):
    found = landscape.extreme_eigenvalues(landscape.product_laplacian(mixture(), jnp.asarray(MARGIN), BETA))
    values = np.linalg.eigvalsh(written_out)
    assert np.all(found.converged)
    np.testing.assert_allclose(found.smallest, values[:, 1], rtol=1e-10)
    np.testing.assert_allclose(found.largest, values[:, -1], rtol=1e-12)
    dense = landscape.descent_rate(jnp.asarray(written_out))
    np.testing.assert_allclose(found.smallest, dense[0], rtol=1e-10)


def test_extreme_eigenvalues_in_single_precision(written_out):
    hessian = landscape.product_laplacian(mixture(jnp.float32), jnp.asarray(MARGIN, jnp.float32), BETA)
    found = landscape.extreme_eigenvalues(hessian)
    assert found.smallest.dtype == jnp.float32
    values = np.linalg.eigvalsh(written_out)
    np.testing.assert_allclose(found.largest, values[:, -1], rtol=1e-4)
    # The residual is a bound, whatever the conditioning: some eigenvalue lies within it.
    reach = 1e-6 * values[:, -1] + np.asarray(found.smallest_residual * found.smallest)
    assert np.all(np.min(np.abs(values[:, 1:] - np.asarray(found.smallest)[:, None]), 1) <= reach)


def test_the_smallest_graph():
    """One direction: Lanczos runs out of space and must not make any up."""
    n = 2
    even = jnp.full((1, n), -np.log(n))
    hessian = landscape.product_laplacian(product_law(even, even), jnp.zeros((1, n)), 1.0)
    found = landscape.extreme_eigenvalues(hessian)
    np.testing.assert_allclose([found.smallest[0], found.largest[0]], 2 * n / n**2 / 4, rtol=1e-12)
    assert is_quadratic(found.smallest, found.largest, n).all()


def is_quadratic(smallest, largest, n):
    """Whether all non-zero eigenvalues agree to rounding, so that the best step squares the error (S5)."""
    return np.asarray(largest - smallest <= 16 * n * np.finfo(np.float64).eps * largest)


def local_rate(smallest, largest, step):
    """Factor by which the error shrinks per step near the optimum (S4)."""
    return np.maximum(np.abs(1 - step * smallest), np.abs(1 - step * largest))


def extremes_of_four(laws, margin):
    """λ₂ and λ_max of an even mixture of two squares on four responses."""
    law = ProductMixture(jnp.full((1, 2), 0.5), jnp.asarray(laws)[None], jnp.asarray(laws)[None])
    return landscape.extreme_eigenvalues(landscape.product_laplacian(law, jnp.asarray(margin)[None], 1.0))


def test_responses_without_mass_are_left_out():
    law, margin = oracles.log([0.5, 0.3, 0.2, 0.0]), np.array([0.0, 1.0, -1.0, 5.0])
    found = extremes_of_four(np.stack([law, law]), margin)
    three = landscape.product_laplacian(product_law(*2 * [jnp.asarray(law[None, :3])]), jnp.asarray(margin[None, :3]), 1.0)
    columns = [np.asarray(three.product(jnp.eye(3)[None, k]))[0] for k in range(3)]
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


# Rates.


def test_the_best_step_beats_every_other():
    low, high = jnp.asarray([0.1, 0.5]), jnp.asarray([1.0, 0.5])
    best = landscape.best_step(low, high)
    kappa = high / low
    np.testing.assert_allclose(local_rate(low, high, best), (kappa - 1) / (kappa + 1), atol=tolerance())
    for times in (0.9, 1.1):
        assert np.all(local_rate(low, high, times * best) > local_rate(low, high, best) + 1e-3)
    assert np.array_equal(is_quadratic(low, high, 3), [False, True])


def test_a_known_rate_is_found_within_its_uncertainty():
    steps = np.arange(0, 200, 2)
    rates = np.geomspace(0.6, 0.99, 40)
    noise = np.exp(0.01 * RNG.standard_normal((40, 100)))
    errors = rates[:, None] ** steps * noise + 0.5 * (0.7 * rates[:, None]) ** steps
    fitted = jax.jit(landscape.fit_rate)
    fit = fitted(steps, jnp.asarray(errors), 1e-12)
    off = np.abs(fit.rate - rates)
    assert np.all(off < 2e-3)
    assert np.mean(off <= np.asarray(fit.uncertainty)) > 0.85
    assert np.all(np.asarray(fit.first) > 0)
    # Rounding below the floor is never fitted, and a rate that has not settled says so.
    flat = jnp.maximum(jnp.asarray(errors), 1e-9)
    np.testing.assert_allclose(fitted(steps, flat, 1e-9).rate, rates, atol=2e-3)
    young = fitted(np.arange(20), jnp.asarray(0.9 ** np.arange(20) + 100 * 0.6 ** np.arange(20)), 1e-12)
    assert abs(float(young.rate) - 0.9) < 2 * float(young.uncertainty)
    assert float(young.uncertainty) > 0.01
    assert np.isnan(fitted(np.arange(20), jnp.full(20, 1e-15), 1e-12).rate)


def test_order_tells_linear_from_quadratic():
    linear, square = 0.3 ** np.arange(12.0), 0.5 ** (2.0 ** np.arange(12))
    got = landscape.fit_order(jnp.asarray(np.stack([linear, square])), 1e-12)
    np.testing.assert_allclose(got, [1.0, 2.0], atol=1e-9)
    assert np.isnan(landscape.fit_order(jnp.asarray([1e-1, 1e-14, 1e-14]), 1e-12))


def test_the_uniform_sampler_keeps_its_bound():
    """κ ≤ max σ'/min σ' for all rewards, and by hand at one of them; a sampler that is not uniform breaks it."""
    reward = jnp.asarray(RNG.standard_normal((200, 8)) * np.geomspace(0.01, 3, 200)[:, None])
    bound = np.asarray(landscape.slope_ratio_bound(reward))
    gap = np.abs(np.asarray(reward)[0][:, None] - np.asarray(reward)[0][None]).max()
    np.testing.assert_allclose(bound[0], 0.25 * (2 + np.exp(gap) + np.exp(-gap)), rtol=1e-12)

    def kappa(pairs):
        low, high, _ = landscape.descent_rate(landscape.hessian_at_optimum(jnp.asarray(pairs), reward, 1.0))
        return np.asarray(high / low)

    assert np.all(kappa(np.full((8, 8), 1 / 64)) <= bound * (1 + 1e-9))
    assert np.mean(kappa(RNG.dirichlet(np.ones(64), 200).reshape(200, 8, 8)) > bound) > 0.3
