"""What does the data determine, and where does descent leave the rest?

Comparison graphs, null spaces and limits, thousands of random instances at once, against SciPy and plain gradient descent.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap
from graph_cases import B, N, given, nullities, worst
from tolerance import tolerance

from didsim import landscape, simplex
from didsim.landscape.solvers import solve
from didsim.objectives import Dpo, loss, population
from didsim.samplers import Blocks, Joint
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry


def test_components_are_scipys():
    graph = landscape.comparison_graph(jnp.asarray(given().pairs))
    assert np.array_equal(graph, given().graph)
    label = jax.jit(landscape.components)(graph)
    assert np.array_equal(label, given().label)
    assert np.array_equal(landscape.component_count(label), given().count)
    assert set(given().count) == set(range(1, N + 1))  # every count occurs, so a wrong one would show


def test_a_long_path_is_one_component():
    n = 200
    order = np.random.default_rng(0).permutation(n)
    graph = np.zeros((n, n), bool)
    graph[order[:-1], order[1:]] = graph[order[1:], order[:-1]] = True
    assert not np.any(jax.jit(landscape.components)(jnp.asarray(graph)))
    graph[order[99], order[100]] = graph[order[100], order[99]] = False
    assert landscape.component_count(landscape.components(jnp.asarray(graph))) == 2


def test_component_means():
    got = landscape.component_means(jnp.asarray(given().reward), jnp.asarray(given().label))
    wanted = [[r[own == c].mean() for c in own] for r, own in zip(given().reward, given().label, strict=True)]
    np.testing.assert_allclose(got, wanted, atol=tolerance())


def test_null_space_counts_the_components():
    """S1, exactly, over every instance."""
    nullity, hessian = nullities(given().pairs, given().reward, given().beta)
    assert np.array_equal(nullity, given().count), worst(np.abs(np.asarray(nullity) - given().count))
    null = (given().label[:, :, None] == np.arange(N)).astype(float)
    left = np.abs(np.einsum("iab,ibc->iac", hessian, null)).max((1, 2)) / np.maximum(np.abs(hessian).max((1, 2)), 1e-300)
    assert worst(left)[0] < tolerance(), worst(left)


def test_a_miscounted_graph_is_found_out():
    """Control: a graph that overlooks the weakest edge disagrees wherever that edge was a bridge."""
    nullity, _ = nullities(given().pairs, given().reward, given().beta)
    weakest = np.where(given().graph, given().pairs + np.swapaxes(given().pairs, 1, 2), np.inf).min((1, 2), keepdims=True)
    blind = given().graph & (given().pairs + np.swapaxes(given().pairs, 1, 2) > weakest)
    count = landscape.component_count(landscape.components(jnp.asarray(blind)))
    assert np.mean(np.asarray(nullity) != count) > 0.2


def test_null_space_in_single_precision():
    pairs = np.where(given().pairs > 0, 1.0, 0.0)
    small = [jnp.asarray(a, jnp.float32) for a in (pairs, given().reward / 3, np.ones(B))]
    nullity, hessian = nullities(*small)
    assert hessian.dtype == jnp.float32
    assert np.array_equal(nullity, given().count), worst(np.abs(np.asarray(nullity) - given().count))


SMALL = 4  # instances as prompts of one problem


def small_problem(beta=0.7):
    return problem(given().ref[-SMALL:], reward=given().reward[:SMALL] * 8, beta=beta, log_prompts=np.log([0.4, 0.3, 0.2, 0.1]))


def test_hessian_at_the_optimum_is_a_laplacian():
    """S4 against jax.hessian of the loss; away from the optimum, or with other labels' gaps, it is another matrix."""
    world, shown = small_problem(), np.random.default_rng(5).dirichlet(np.ones(N * N), SMALL).reshape(SMALL, N, N)
    law = population(world, Joint(jnp.log(jnp.asarray(shown))), BradleyTerry(), world.log_ref)

    @jax.jit
    def hessian(log_policy):
        blocks = jax.hessian(lambda free: loss(Dpo(beta=0.7), world, simplex.normalize(free), law))(log_policy)
        return jnp.stack([blocks[x, :, x] for x in range(SMALL)]) / jnp.exp(world.log_prompts)[:, None, None]

    predicted = landscape.hessian_at_optimum(jnp.asarray(shown), world.reward, 0.7)
    assert_close(hessian(world.log_target), predicted)
    assert np.abs(hessian(world.log_ref) - predicted).max() > 1e-3
    weights = np.array([[(m[a, b] + m[b, a]) * (a != b) for a in range(N) for b in range(N)] for m in shown]).reshape(shown.shape)
    gaps = np.asarray(world.reward)[:, :, None] - np.asarray(world.reward)[:, None, :]
    weights = 0.49 * weights / (2 + np.exp(gaps) + np.exp(-gaps))
    by_hand = np.array([np.diag(w.sum(1)) - w for w in weights])
    assert_close(predicted, by_hand)


def settle(update, steps, some):
    """Where descent in plain NumPy ends, for some of the instances."""
    ref, beta, shown, labels = (part[some] for part in (given().ref, given().beta, given().shown, _labels()))
    logits, state = ref.copy(), np.zeros((2, *ref.shape))
    for k in range(steps):
        margin = beta[:, None, None] * ((logits - ref)[:, :, None] - (logits - ref)[:, None, :])
        force = shown * (1 / (1 + np.exp(-np.clip(margin, -700, 700))) - labels)
        logits, state = update(k, logits, beta[:, None] * (force.sum(2) - force.sum(1)), state, beta, shown)
    return logits


def _labels():
    return oracles.bradley_terry(given().reward)


def plain(k, logits, slope, state, beta, shown):
    # Half the inverse of the largest curvature there can be, β²/4 times the largest eigenvalue of a block's Laplacian.
    return logits - slope / (0.5 * beta**2 * shown.sum(2).max(1))[:, None], state


def adam(k, logits, slope, state, beta, shown):
    first, second = 0.9 * state[0] + 0.1 * slope, 0.999 * state[1] + 0.001 * slope**2
    step = 0.05 * 0.995**k / beta[:, None]
    update = (first / (1 - 0.9 ** (k + 1))) / (np.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8)
    return logits - step * update, np.array([first, second])


@functools.cache
def limits():
    return np.asarray(jax.jit(jax.vmap(landscape.descent_limit))(given().ref, given().reward, given().block_label, given().beta))


def mild():
    """Instances that a few hundred plain steps bring to rounding."""
    return np.ptp(given().reward, axis=1) < 5.0


def test_gradient_descent_lands_where_s2_says():
    error = np.abs(oracles.normalize(settle(plain, 800, mild())) - limits()[mild()]).max(1)
    assert mild().sum() > 1500
    assert worst(error)[0] < 1e-8, worst(error)


@pytest.mark.slow
def test_adam_lands_elsewhere():
    """Control: a diagonal preconditioner does not conserve the sums; the ratios that the data fixes are still found."""
    some = np.flatnonzero(mild())[::5]
    got, beta = oracles.normalize(settle(adam, 2000, some)), given().beta[some]
    gap = got - given().ref[some] - given().reward[some] / beta[:, None]
    members = np.where(given().together[some], gap[:, None, :], np.nan)
    shown = given().block[some] >= 0
    inside = np.nanmax(members[shown], -1) - np.nanmin(members[shown], -1)
    assert np.quantile(inside * np.repeat(beta, shown.sum(1)), 0.9) < 1e-2
    assert np.mean(np.abs(got - limits()[some]).max(1) > 0.02) > 0.3


@pytest.mark.slow  # where the solver leaves open directions is asked of it in test_what_kind_of_answer.py
def test_the_solver_lands_there_too():
    world = small_problem()
    sampler = Blocks(jnp.asarray(given().block[:SMALL]))
    limit = landscape.descent_limit(world.log_ref, world.reward, jnp.asarray(given().block_label[:SMALL]), 0.7)
    got = solve(world, Dpo(beta=0.7), sampler, BradleyTerry())
    np.testing.assert_allclose(got.log_policy, limit, atol=1e-9)
    counts = landscape.component_count(landscape.components(jnp.asarray(given().together[:SMALL])))
    assert np.array_equal(got.undetermined, np.asarray(counts) - 1)
    assert np.abs(limit - world.log_target).max() > 0.1


def odds(log_policy, support):
    outside = np.where(support, 0.0, np.exp(log_policy)).sum(1)
    return outside / np.where(support, np.exp(log_policy), 0.0).sum(1)


@jax.jit
def _limit_and_factor(log_ref, reward, beta):
    limit = jax.vmap(landscape.descent_limit)(log_ref, reward, jnp.asarray(given().one), beta)
    return limit, jax.vmap(landscape.off_support_factor)(log_ref, reward, jnp.asarray(given().support), beta)


def odds_error(log_ref, log_policy, kappa):
    return np.abs(odds(log_policy, given().support) * kappa / odds(log_ref, given().support) - 1)


def test_off_support_odds_are_divided_by_kappa():
    limit, kappa = (np.asarray(a) for a in _limit_and_factor(given().ref, given().reward, given().beta))
    by_hand = [
        sum(p[y] * np.exp((r[y] - r[s].mean()) / b) for y in np.flatnonzero(s)) / p[s].sum()
        for p, r, s, b in zip(np.exp(given().ref), given().reward, given().support, given().beta, strict=True)
    ]
    spread = np.ptp(given().reward, axis=1) / given().beta
    np.testing.assert_allclose(kappa / by_hand, 1.0, atol=tolerance(condition=10 + spread.max()))
    error = odds_error(given().ref, limit, kappa)
    assert worst(error)[0] < tolerance(condition=10 + spread.max()), worst(error)
    mass = landscape.off_support_mass(jnp.asarray(limit), jnp.asarray(given().support))
    np.testing.assert_allclose(mass, odds(limit, given().support) / (1 + odds(limit, given().support)), atol=tolerance())


def test_two_components_break_the_odds_identity():
    """Control: the seen responses in two blocks instead of one."""
    _, kappa = _limit_and_factor(given().ref, given().reward, given().beta)
    split = np.where(given().support & (np.arange(N) > 0), 1, given().one)
    limit = jax.jit(jax.vmap(landscape.descent_limit))(given().ref, given().reward, split, given().beta)
    assert np.median(odds_error(given().ref, np.asarray(limit), kappa)) > 1e-2


def test_sign_rule():
    """κ > 1 for a reference that is uniform on S; κ < 1 for one that sits on the worst of S; either rule fails the other."""
    even = simplex.normalize(jnp.where(given().support, 0.0, jnp.asarray(given().ref)))
    lowest = np.argmin(np.where(given().support, given().reward, np.inf), 1)
    rest = np.where(np.arange(N) == lowest[:, None], 0.0, -200.0)
    weak = simplex.normalize(jnp.where(given().support, rest, jnp.asarray(given().ref)))
    grows, leaks = (np.asarray(_limit_and_factor(ref, given().reward, given().beta)[1]) for ref in (even, weak))
    assert worst(-grows)[0] < -1.0, worst(-grows)
    assert worst(leaks)[0] < 1.0, worst(leaks)
    mass = np.asarray(
        landscape.off_support_mass(_limit_and_factor(weak, given().reward, given().beta)[0], jnp.asarray(given().support))
    )
    assert np.all(mass > np.asarray(landscape.off_support_mass(weak, jnp.asarray(given().support))))


def test_contracts():
    calls = [(given().pairs[i], given().reward[i], given().ref[i], given().beta[i]) for i in (-1, -2, -3)]
    calls = [jax.tree.map(jnp.asarray, call) for call in calls]

    def everything(pairs, reward, log_ref, beta):
        label = landscape.components(landscape.comparison_graph(pairs))
        hessian = landscape.hessian_at_optimum(pairs, reward, beta)
        limit = landscape.descent_limit(log_ref, reward, label, beta)
        return label, hessian, limit, landscape.descent_rate(hessian), landscape.null_space_dimension(hessian)

    assert_jit_and_vmap(everything, *calls)
