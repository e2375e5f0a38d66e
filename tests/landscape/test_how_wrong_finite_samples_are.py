"""How far from the optimum does learning from n pairs end?  Against simulation, SciPy's fits and resistances by hand."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.optimize import minimize

from didsim import landscape
from didsim.landscape.solvers.counts import fit_counts

N = 4


@functools.cache
def given() -> SimpleNamespace:
    """A reward, and a pair law without ties."""
    law = np.random.default_rng(41).dirichlet(np.ones(N * N)).reshape(N, N) * (1 - np.eye(N))
    return SimpleNamespace(truth=np.array([-0.8, 0.1, 0.2, 1.1]), law=law / law.sum())


def simulate(chance, pairs, repeats, seed):
    """Win tables: how often each ordered pair is shown, and how often its first response wins."""
    rng = np.random.default_rng(seed)
    shown = rng.multinomial(pairs, given().law.ravel(), size=repeats).reshape(repeats, N, N)
    won = rng.binomial(shown, chance)
    return (won + np.swapaxes(shown - won, 1, 2)).astype(float)


def likelihood_fit(wins):
    """The maximum by SciPy."""

    def value(free):
        u = np.append(free, 0.0)
        return np.sum(wins * np.logaddexp(0, -(u[:, None] - u[None, :])))

    free = minimize(value, np.zeros(N - 1), method="BFGS", tol=1e-10).x
    return np.append(free, 0.0) - np.append(free, 0.0).mean()


def test_counts_are_fitted_as_scipy_fits_them():
    wins = simulate(oracles.bradley_terry(given().truth), 400, 6, 1)
    fit = jax.jit(fit_counts)(jnp.asarray(wins))
    assert np.all(fit.converged)
    np.testing.assert_allclose(fit.margin, [likelihood_fit(w) for w in wins], atol=1e-4)
    beaten = jnp.asarray([[0.0, 3.0], [0.0, 0.0]])  # one response always wins: no finite maximum
    assert not fit_counts(beaten).converged


@pytest.fixture(scope="module")
def errors():
    wins = simulate(oracles.bradley_terry(given().truth), 20_000, 4000, 2)
    fit = jax.jit(fit_counts)(jnp.asarray(wins))
    assert np.all(fit.converged)
    return np.asarray(fit.margin) - (given().truth - given().truth.mean())


def whitened(errors, hessian, pairs):
    """Mean square error in units of the prediction, and its standard error: 1 where the prediction is right."""
    worth = pairs * np.einsum("ia,ab,ib->i", errors, hessian, errors) / (N - 1)
    return worth.mean(), worth.std() / np.sqrt(len(worth))


def test_covariance_is_the_inverse_laplacian(errors):
    hessian = np.asarray(landscape.hessian_at_optimum(jnp.asarray(given().law), jnp.asarray(given().truth), 1.0))
    ratio, error = whitened(errors, hessian, 20_000)
    assert abs(ratio - 1) < 4 * error + 3e-3
    stretched = np.asarray(landscape.hessian_at_optimum(jnp.asarray(given().law), 2 * jnp.asarray(given().truth), 1.0))
    assert abs(whitened(errors, stretched, 20_000)[0] - 1) > 20 * error
    sample = np.cov(errors.T) * 20_000
    covariance = np.asarray(landscape.asymptotic_covariance(jnp.asarray(hessian)))
    np.testing.assert_allclose(sample, covariance, atol=0.1 * np.abs(covariance).max())
    resistance = np.asarray(landscape.effective_resistance(jnp.asarray(hessian)))
    drawn = np.array([[np.var(errors[:, a] - errors[:, b]) for b in range(N)] for a in range(N)]) * 20_000
    off = ~np.eye(N, dtype=bool)
    np.testing.assert_allclose(drawn[off] / resistance[off], 1.0, atol=0.1)
    mean = landscape.mean_margin_error(jnp.asarray(covariance))
    np.testing.assert_allclose(mean, resistance[off].mean(), rtol=1e-10)


def test_value_error_is_the_mean_loss_of_value(errors):
    hessian = landscape.hessian_at_optimum(jnp.asarray(given().law), jnp.asarray(given().truth), 1.0)
    log_target = oracles.normalize(given().truth)
    lost = [oracles.kl(np.exp(oracles.normalize(given().truth + e)), np.exp(log_target)) for e in errors[:1000]]
    predicted = landscape.value_error(landscape.asymptotic_covariance(hessian), jnp.asarray(log_target), 1.0) / 20_000
    assert abs(np.mean(lost) / predicted - 1) < 4 * np.std(lost) / np.mean(lost) / np.sqrt(1000)


def test_wrong_labels_need_the_sandwich():
    """Labels that saturate at 0.95 and 0.05: the inverse Hessian alone is off, the sandwich is right."""
    reward = np.linspace(-2, 2, N)
    chance = 0.05 + 0.9 * oracles.bradley_terry(3 * reward)
    wins = simulate(chance, 20_000, 4000, 3)
    fit = jax.jit(fit_counts)(jnp.asarray(np.concatenate([wins, wins.mean(0, keepdims=True)])))
    expected = given().law * chance + (given().law * (1 - chance)).T
    optimum = np.asarray(fit_counts(jnp.asarray(expected)).margin)
    errors = np.asarray(fit.margin)[:-1] - optimum
    hessian = landscape.hessian_at_optimum(jnp.asarray(given().law), jnp.asarray(optimum), 1.0)
    score = landscape.score_covariance(jnp.asarray(given().law), jnp.asarray(chance), jnp.asarray(optimum), 1.0)
    # The direction in which the two predictions differ most: J v = λ H v, seen through x = H v.
    share, vectors = np.linalg.eig(np.linalg.pinv(np.asarray(hessian), hermitian=True) @ np.asarray(score))
    seen = np.asarray(hessian) @ vectors.real[:, np.argmax(share.real)]
    measured = 20_000 * np.var(errors @ seen)
    sandwich = seen @ np.asarray(landscape.asymptotic_covariance(hessian, score)) @ seen
    naive = seen @ np.asarray(landscape.asymptotic_covariance(hessian)) @ seen
    error = np.sqrt(2 / len(errors))
    assert abs(measured / sandwich - 1) < 4 * error
    assert measured / naive - 1 > 10 * error
    truth = landscape.score_covariance(
        jnp.asarray(given().law), jnp.asarray(oracles.bradley_terry(optimum)), jnp.asarray(optimum), 1.0
    )
    np.testing.assert_allclose(truth, hessian, atol=1e-12)


def test_resistances_by_hand():
    """In series they add, in parallel their inverses do; between components they are infinite."""
    series = np.diag([2.0, 2.5, 0.5]) - np.array([[0, 2, 0], [2, 0, 0.5], [0, 0.5, 0]])
    np.testing.assert_allclose(landscape.effective_resistance(jnp.asarray(series))[0], [0, 0.5, 2.5], atol=1e-12)
    apart = np.zeros((4, 4))
    apart[:2, :2] = [[3, -3], [-3, 3]]
    got = np.asarray(landscape.effective_resistance(jnp.asarray(apart)))
    np.testing.assert_allclose(got[0, :2], [0, 1 / 3], atol=1e-12)
    assert np.isinf(got[0, 2])
    assert np.isinf(got[2, 3])
    assert got[3, 3] == 0


UNDECIDED = {
    "two components": [[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 5], [0, 0, 4, 0]],
    "one never wins": [[0, 3, 1], [2, 0, 1], [0, 0, 0]],
    "one never loses": [[0, 3, 1], [0, 0, 1], [0, 1, 0]],
    "two groups, one way": [[0, 2, 1, 0], [1, 0, 0, 1], [0, 0, 0, 3], [0, 0, 1, 0]],
    "never compared": [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_fits_without_one_maximum_say_so(case):
    """Chains of wins must lead from every response to every other (Ford 1957); one more win closes the chain."""
    wins = np.array(UNDECIDED[case], float)
    assert not fit_counts(jnp.asarray(wins)).converged
    assert fit_counts(jnp.asarray(wins + 0.01)).converged
