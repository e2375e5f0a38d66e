"""Which pairs should be shown?  Designs against SciPy's own optimisers, random laws and a closed condition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.special import expit
from tolerance import tolerance

import didsim
from didsim import landscape


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


SHOWN = (0, 13, 22)  # those that SciPy solves as well


def rewards():
    """Rewards of five responses, from nearly equal to far apart."""
    return np.random.default_rng(7).standard_normal((27, 5)) * np.geomspace(0.3, 3, 27)[:, None]


def few():
    return rewards()[list(SHOWN)]


@pytest.fixture(scope="module")
def many():
    return landscape.optimal_designs(jnp.asarray(rewards()))


@pytest.fixture(scope="module")
def designs(many):
    return jax.tree.map(lambda leaf: leaf[jnp.array(SHOWN)], many)


def test_designs_are_scipys(designs):
    for x, reward in enumerate(few()):
        assert abs(designs["E"].value[x] / scipy_e_value(reward) - 1) < 1e-4
        assert abs(designs["A"].value[x] / scipy_a_value(reward) - 1) < 1e-6


def test_designs_carry_a_certificate(designs):
    for name, design in designs.items():
        assert np.all(design.converged), design.gap
        assert np.all(design.gap < (1e-4 if name == "E" else 1e-6))
        np.testing.assert_allclose(design.pair_matrix.sum((1, 2)), 1.0, atol=tolerance())
        spectrum = np.linalg.eigvalsh([np.tensordot(m[np.triu_indices(5, 1)] * 2, edge_matrices(r), 1) for m, r in
                                       zip(np.asarray(design.pair_matrix), few(), strict=True)])  # fmt: skip
        worth = spectrum[:, 1] if name == "E" else np.sum(1 / spectrum[:, 1:], 1)
        np.testing.assert_allclose(design.value, worth, rtol=1e-9)


def test_no_law_beats_the_bounds(designs):
    """Thousands of random laws, sparse ones among them; and the bound from one design bites where the other is held to it."""
    laws = np.random.default_rng(41).dirichlet(np.full(10, 0.3), 3000)
    for x, reward in enumerate(few()):
        spectrum = np.linalg.eigvalsh(np.einsum("ie,eab->iab", laws, edge_matrices(reward)))
        assert spectrum[:, 1].max() <= designs["E"].bound[x] * (1 + 1e-12)
        traces = np.sum(1 / np.maximum(spectrum[:, 1:], 1e-300), 1)
        assert traces.min() >= designs["A"].bound[x] * (1 - 1e-12)
    e_of_a = np.linalg.eigvalsh(landscape.hessian_at_optimum(designs["A"].pair_matrix, jnp.asarray(few()), 1.0))[:, 1]
    assert e_of_a[2] < 0.99 * designs["E"].value[2]


def test_when_equal_weights_are_best(many):
    """Mix-R's ``n/Σ 1/σ'`` is the E-value exactly where ``‖u‖‖v‖ + u·v ≤ 4``, and below it elsewhere (derived; S5, S7).

    With ``u = e^r - mean`` and ``v = e^{-r} - mean``: the dual point must make ``σ'_ab R_ab(Z)`` the same for all pairs, and
    ``1/σ'_ab = 2 + e^{r_a-r_b} + e^{r_b-r_a}`` are squared distances of points only under this condition
    (``Z = 2P - ½(uvᵀ + vuᵀ) ⪰ 0``, P the projection off the constant).
    """
    reward = rewards()
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
