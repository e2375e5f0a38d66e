"""Finite samples and designs: against simulation, loops and SciPy's own optimisers."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.optimize import linprog, minimize
from scipy.special import expit
from tolerance import tolerance

import didsim
from didsim import landscape
from didsim.landscape.solvers.counts import fit_counts

RNG = np.random.default_rng(41)


def edge_matrices(reward):
    """``σ'(r_a - r_b)(e_a - e_b)(e_a - e_b)ᵀ`` of all unordered pairs."""
    n = len(reward)
    found = []
    for a in range(n):
        for b in range(a + 1, n):
            arrow = np.eye(n)[a] - np.eye(n)[b]
            found.append(expit(reward[a] - reward[b]) * expit(reward[b] - reward[a]) * np.outer(arrow, arrow))
    return np.array(found)


def scipy_e_value(reward, rounds=60):
    """Largest λ₂ by cutting planes: a linear programme over ever more eigenvectors."""
    edges = edge_matrices(reward)
    cuts = list(np.linalg.eigh(edges.sum(0))[1].T[1:])
    for _ in range(rounds):
        rows = np.array([[-(v @ e @ v) for e in edges] + [1.0] for v in cuts])
        answer = linprog(
            np.append(np.zeros(len(edges)), -1.0),
            A_ub=rows,
            b_ub=np.zeros(len(rows)),
            A_eq=[[1.0] * len(edges) + [0.0]],
            b_eq=[1.0],
            bounds=[(0, None)] * len(edges) + [(None, None)],
        )
        values, vectors = np.linalg.eigh(np.tensordot(answer.x[:-1], edges, 1))
        cuts += list(vectors.T[1:3])
        if answer.x[-1] - values[1] < 1e-9:
            break
    return answer.x[-1]


def scipy_a_value(reward):
    """Smallest trace of the inverse by SLSQP."""
    edges, n = edge_matrices(reward), len(reward)

    def trace(mass):
        return np.trace(np.linalg.inv(np.tensordot(mass, edges, 1) + np.ones((n, n)) / n)) - 1

    start = np.full(len(edges), 1 / len(edges))
    constraint = {"type": "eq", "fun": lambda mass: mass.sum() - 1}
    return minimize(trace, start, bounds=[(1e-9, 1)] * len(edges), constraints=constraint, method="SLSQP", tol=1e-13).fun


MANY = np.random.default_rng(7).standard_normal((27, 5)) * np.geomspace(0.3, 3, 27)[:, None]
REWARD = MANY[[0, 13, 22]]


@pytest.fixture(scope="module")
def many():
    return landscape.optimal_designs(jnp.asarray(MANY))


@pytest.fixture(scope="module")
def designs(many):
    return jax.tree.map(lambda leaf: leaf[jnp.array([0, 13, 22])], many)


def test_designs_are_scipys(designs):
    for x, reward in enumerate(REWARD):
        assert abs(designs["E"].value[x] / scipy_e_value(reward) - 1) < 1e-4
        assert abs(designs["A"].value[x] / scipy_a_value(reward) - 1) < 1e-6


def test_designs_carry_a_certificate(designs):
    for name, design in designs.items():
        assert np.all(design.converged), design.gap
        assert np.all(design.gap < (1e-4 if name == "E" else 1e-6))
        np.testing.assert_allclose(design.pair_matrix.sum((1, 2)), 1.0, atol=tolerance())
        spectrum = np.linalg.eigvalsh([np.tensordot(m[np.triu_indices(5, 1)] * 2, edge_matrices(r), 1) for m, r in
                                       zip(np.asarray(design.pair_matrix), REWARD, strict=True)])  # fmt: skip
        worth = spectrum[:, 1] if name == "E" else np.sum(1 / spectrum[:, 1:], 1)
        np.testing.assert_allclose(design.value, worth, rtol=1e-9)


def test_no_law_beats_the_bounds(designs):
    """Thousands of random laws, sparse ones among them; and the bound from one design bites where the other is held to it."""
    laws = RNG.dirichlet(np.full(10, 0.3), 3000)
    for x, reward in enumerate(REWARD):
        spectrum = np.linalg.eigvalsh(np.einsum("ie,eab->iab", laws, edge_matrices(reward)))
        assert spectrum[:, 1].max() <= designs["E"].bound[x] * (1 + 1e-12)
        traces = np.sum(1 / np.maximum(spectrum[:, 1:], 1e-300), 1)
        assert traces.min() >= designs["A"].bound[x] * (1 - 1e-12)
    e_of_a = np.linalg.eigvalsh(landscape.hessian_at_optimum(designs["A"].pair_matrix, jnp.asarray(REWARD), 1.0))[:, 1]
    assert e_of_a[2] < 0.99 * designs["E"].value[2]


def test_when_equal_weights_are_best(many):
    """Mix-R's ``n/Σ 1/σ'`` is the E-value exactly where ``‖u‖‖v‖ + u·v ≤ 4``, and below it elsewhere (derived; S5, S7).

    With ``u = e^r - mean`` and ``v = e^{-r} - mean``: the dual point must make ``σ'_ab R_ab(Z)`` the same for all pairs, and
    ``1/σ'_ab = 2 + e^{r_a-r_b} + e^{r_b-r_a}`` are squared distances of points only under this condition
    (``Z = 2P - ½(uvᵀ + vuᵀ) ⪰ 0``, P the projection off the constant).
    """
    reward = MANY
    first, second = np.triu_indices(5, 1)
    gap = reward[:, first] - reward[:, second]
    even = 5 / np.sum(2 + np.exp(gap) + np.exp(-gap), 1)
    ratio = np.asarray(many["E"].value) / even
    up, down = (np.exp(sign * reward) - np.exp(sign * reward).mean(1, keepdims=True) for sign in (1, -1))
    said = np.linalg.norm(up, axis=1) * np.linalg.norm(down, axis=1) + np.sum(up * down, 1) <= 4
    assert 4 <= said.sum() <= 23
    np.testing.assert_allclose(ratio[said], 1.0, atol=1e-5)
    assert np.all(ratio[~said] > 1.0)
    assert np.mean(ratio[~said] > 1.001) > 0.8


@pytest.mark.slow
def test_two_responses_leave_no_choice():
    design = landscape.optimal_design(jnp.array([0.0, 1.0]), "A")
    np.testing.assert_allclose(design.pair_matrix, [[0, 0.5], [0.5, 0]], atol=1e-12)
    np.testing.assert_allclose(design.sampler.log_joint[0, 1], np.log(0.5))


def test_bad_designs_are_refused():
    with pytest.raises(didsim.ArgumentError, match="Argument `criterion` must"):
        landscape.optimal_design(jnp.zeros(3), "D")
    with pytest.raises(didsim.ArgumentError, match="Argument `reward` must"):
        landscape.optimal_design(jnp.array([0.0, jnp.nan]))
    with pytest.raises(didsim.ArgumentError, match=r"Argument `reward.shape\[-1\]` must"):
        landscape.optimal_design(jnp.zeros(65))


# Finite samples.

N = 4
TRUTH = np.array([-0.8, 0.1, 0.2, 1.1])
LAW = RNG.dirichlet(np.ones(N * N)).reshape(N, N) * (1 - np.eye(N))
LAW = LAW / LAW.sum()


def simulate(chance, pairs, repeats, seed):
    """Win tables: how often each ordered pair is shown, and how often its first response wins."""
    rng = np.random.default_rng(seed)
    shown = rng.multinomial(pairs, LAW.ravel(), size=repeats).reshape(repeats, N, N)
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
    wins = simulate(oracles.bradley_terry(TRUTH), 400, 6, 1)
    fit = jax.jit(fit_counts)(jnp.asarray(wins))
    assert np.all(fit.converged)
    np.testing.assert_allclose(fit.margin, [likelihood_fit(w) for w in wins], atol=1e-4)
    beaten = jnp.asarray([[0.0, 3.0], [0.0, 0.0]])  # one response always wins: no finite maximum
    assert not fit_counts(beaten).converged


@pytest.fixture(scope="module")
def errors():
    wins = simulate(oracles.bradley_terry(TRUTH), 20_000, 4000, 2)
    fit = jax.jit(fit_counts)(jnp.asarray(wins))
    assert np.all(fit.converged)
    return np.asarray(fit.margin) - (TRUTH - TRUTH.mean())


def whitened(errors, hessian, pairs):
    """Mean square error in units of the prediction, and its standard error: 1 where the prediction is right."""
    worth = pairs * np.einsum("ia,ab,ib->i", errors, hessian, errors) / (N - 1)
    return worth.mean(), worth.std() / np.sqrt(len(worth))


def test_covariance_is_the_inverse_laplacian(errors):
    hessian = np.asarray(landscape.hessian_at_optimum(jnp.asarray(LAW), jnp.asarray(TRUTH), 1.0))
    ratio, error = whitened(errors, hessian, 20_000)
    assert abs(ratio - 1) < 4 * error + 3e-3
    stretched = np.asarray(landscape.hessian_at_optimum(jnp.asarray(LAW), 2 * jnp.asarray(TRUTH), 1.0))
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
    hessian = landscape.hessian_at_optimum(jnp.asarray(LAW), jnp.asarray(TRUTH), 1.0)
    log_target = oracles.normalize(TRUTH)
    lost = [oracles.kl(np.exp(oracles.normalize(TRUTH + e)), np.exp(log_target)) for e in errors[:1000]]
    predicted = landscape.value_error(landscape.asymptotic_covariance(hessian), jnp.asarray(log_target), 1.0) / 20_000
    assert abs(np.mean(lost) / predicted - 1) < 4 * np.std(lost) / np.mean(lost) / np.sqrt(1000)


def test_wrong_labels_need_the_sandwich():
    """Labels that saturate at 0.95 and 0.05: the inverse Hessian alone is off, the sandwich is right."""
    reward = np.linspace(-2, 2, N)
    chance = 0.05 + 0.9 * oracles.bradley_terry(3 * reward)
    wins = simulate(chance, 20_000, 4000, 3)
    fit = jax.jit(fit_counts)(jnp.asarray(np.concatenate([wins, wins.mean(0, keepdims=True)])))
    expected = LAW * chance + (LAW * (1 - chance)).T
    optimum = np.asarray(fit_counts(jnp.asarray(expected)).margin)
    errors = np.asarray(fit.margin)[:-1] - optimum
    hessian = landscape.hessian_at_optimum(jnp.asarray(LAW), jnp.asarray(optimum), 1.0)
    score = landscape.score_covariance(jnp.asarray(LAW), jnp.asarray(chance), jnp.asarray(optimum), 1.0)
    # The direction in which the two predictions differ most: J v = λ H v, seen through x = H v.
    share, vectors = np.linalg.eig(np.linalg.pinv(np.asarray(hessian), hermitian=True) @ np.asarray(score))
    seen = np.asarray(hessian) @ vectors.real[:, np.argmax(share.real)]
    measured = 20_000 * np.var(errors @ seen)
    sandwich = seen @ np.asarray(landscape.asymptotic_covariance(hessian, score)) @ seen
    naive = seen @ np.asarray(landscape.asymptotic_covariance(hessian)) @ seen
    error = np.sqrt(2 / len(errors))
    assert abs(measured / sandwich - 1) < 4 * error
    assert measured / naive - 1 > 10 * error
    truth = landscape.score_covariance(jnp.asarray(LAW), jnp.asarray(oracles.bradley_terry(optimum)), jnp.asarray(optimum), 1.0)
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
