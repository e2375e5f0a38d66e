"""Comparison graphs, null spaces and rates: thousands of random instances at once, against SciPy and plain gradient descent."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap
from scipy.sparse.csgraph import connected_components
from tolerance import tolerance

from didsim import landscape, simplex
from didsim.landscape.solvers import solve
from didsim.objectives import Dpo, loss, population
from didsim.samplers import Blocks, Joint
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry

B, N = 3000, 8
RNG = np.random.default_rng(21)
REWARD = RNG.standard_normal((B, N)) * np.geomspace(0.1, 3.0, B)[:, None]
BETA = np.geomspace(0.2, 5.0, B)[::-1].copy()
LOG_REF = oracles.log_laws(22, (B, N))

# Random pair laws: from no edge at all to nearly complete, edge weights over four orders of magnitude.
EDGES = RNG.uniform(size=(B, N, N)) < RNG.uniform(0.0, 0.25, B)[:, None, None]
PAIRS = EDGES * 10.0 ** RNG.uniform(-4, 0, (B, N, N))
GRAPH = (PAIRS + np.swapaxes(PAIRS, 1, 2) > 0) & ~np.eye(N, dtype=bool)

# Random partitions into blocks, some responses never shown: equal weights inside a block keep gradient descent quick.
BLOCK = RNG.integers(-1, 3, (B, N))
BLOCK[:, :2] = 0  # every instance shows something
TOGETHER = (BLOCK[:, :, None] == BLOCK[:, None, :]) & (BLOCK >= 0)[:, :, None]
SHOWN = TOGETHER / np.maximum(TOGETHER.sum(-1, keepdims=True), 1)
SHOWN = SHOWN / SHOWN.sum((1, 2), keepdims=True)


def first_members(graph):
    """Smallest index of every response's component, by SciPy."""
    count, label = connected_components(graph, directed=False)
    return count, np.array([np.argmax(label == own) for own in label])


def worst(error):
    """Largest error and the instance that has it."""
    index = int(np.argmax(error))
    return error[index], f"instance {index}"


COUNT, LABEL = (np.array(part) for part in zip(*map(first_members, GRAPH), strict=True))
BLOCK_LABEL = np.array([first_members(graph)[1] for graph in TOGETHER])


def test_components_are_scipys():
    graph = landscape.comparison_graph(jnp.asarray(PAIRS))
    assert np.array_equal(graph, GRAPH)
    label = jax.jit(landscape.components)(graph)
    assert np.array_equal(label, LABEL)
    assert np.array_equal(landscape.component_count(label), COUNT)
    assert set(COUNT) == set(range(1, N + 1))  # every count occurs, so a wrong one would show


def test_a_long_path_is_one_component():
    n = 200
    order = np.random.default_rng(0).permutation(n)
    graph = np.zeros((n, n), bool)
    graph[order[:-1], order[1:]] = graph[order[1:], order[:-1]] = True
    assert not np.any(jax.jit(landscape.components)(jnp.asarray(graph)))
    graph[order[99], order[100]] = graph[order[100], order[99]] = False
    assert landscape.component_count(landscape.components(jnp.asarray(graph))) == 2


def test_component_means():
    got = landscape.component_means(jnp.asarray(REWARD), jnp.asarray(LABEL))
    wanted = [[r[own == c].mean() for c in own] for r, own in zip(REWARD, LABEL, strict=True)]
    np.testing.assert_allclose(got, wanted, atol=tolerance())


@jax.jit
def _nullities(pairs, reward, beta):
    hessian = jax.vmap(landscape.hessian_at_optimum)(pairs, reward, beta)
    return landscape.null_space_dimension(hessian), hessian


def test_null_space_counts_the_components():
    """S1, exactly, over every instance."""
    nullity, hessian = _nullities(PAIRS, REWARD, BETA)
    assert np.array_equal(nullity, COUNT), worst(np.abs(np.asarray(nullity) - COUNT))
    null = (LABEL[:, :, None] == np.arange(N)).astype(float)
    left = np.abs(np.einsum("iab,ibc->iac", hessian, null)).max((1, 2)) / np.maximum(np.abs(hessian).max((1, 2)), 1e-300)
    assert worst(left)[0] < tolerance(), worst(left)


def test_a_miscounted_graph_is_found_out():
    """Control: a graph that overlooks the weakest edge disagrees wherever that edge was a bridge."""
    nullity, _ = _nullities(PAIRS, REWARD, BETA)
    weakest = np.where(GRAPH, PAIRS + np.swapaxes(PAIRS, 1, 2), np.inf).min((1, 2), keepdims=True)
    blind = GRAPH & (PAIRS + np.swapaxes(PAIRS, 1, 2) > weakest)
    count = landscape.component_count(landscape.components(jnp.asarray(blind)))
    assert np.mean(np.asarray(nullity) != count) > 0.2


def test_null_space_in_single_precision():
    pairs = np.where(PAIRS > 0, 1.0, 0.0)
    small = [jnp.asarray(a, jnp.float32) for a in (pairs, REWARD / 3, np.ones(B))]
    nullity, hessian = _nullities(*small)
    assert hessian.dtype == jnp.float32
    assert np.array_equal(nullity, COUNT), worst(np.abs(np.asarray(nullity) - COUNT))


SMALL = 4  # instances as prompts of one problem


def small_problem(beta=0.7):
    return problem(LOG_REF[-SMALL:], reward=REWARD[:SMALL] * 8, beta=beta, log_prompts=np.log([0.4, 0.3, 0.2, 0.1]))


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


def dpo_gradients(logits, labels):
    """∂L/∂θ for every instance, in plain NumPy."""
    margin = BETA[:, None, None] * ((logits - LOG_REF)[:, :, None] - (logits - LOG_REF)[:, None, :])
    force = SHOWN * (1 / (1 + np.exp(-np.clip(margin, -700, 700))) - labels)
    return BETA[:, None] * (force.sum(2) - force.sum(1))


def settle(update, steps):
    logits, labels = LOG_REF.copy(), oracles.bradley_terry(REWARD)
    state = np.zeros((2, *logits.shape))
    for k in range(steps):
        logits, state = update(k, logits, dpo_gradients(logits, labels), state)
    return logits


def plain(k, logits, slope, state):
    # Half the inverse of the largest curvature there can be, β²/4 times the largest eigenvalue of a block's Laplacian.
    return logits - slope / (0.5 * BETA**2 * SHOWN.sum(2).max(1))[:, None], state


def adam(k, logits, slope, state):
    first, second = 0.9 * state[0] + 0.1 * slope, 0.999 * state[1] + 0.001 * slope**2
    step = 0.05 * 0.995**k / BETA[:, None]
    update = (first / (1 - 0.9 ** (k + 1))) / (np.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8)
    return logits - step * update, np.array([first, second])


def limits():
    return np.asarray(jax.vmap(landscape.descent_limit)(LOG_REF, REWARD, BLOCK_LABEL, BETA))


MILD = np.ptp(REWARD, axis=1) < 5.0  # instances that a few hundred plain steps bring to rounding


def test_gradient_descent_lands_where_s2_says():
    error = np.abs(oracles.normalize(settle(plain, 800)) - limits()).max(1)[MILD]
    assert MILD.sum() > 1500
    assert worst(error)[0] < 1e-8, worst(error)


def test_adam_lands_elsewhere():
    """Control: a diagonal preconditioner does not conserve the sums; the ratios that the data fixes are still found."""
    got = oracles.normalize(settle(adam, 2000))
    gap = got - LOG_REF - REWARD / BETA[:, None]
    members = np.where(TOGETHER, gap[:, None, :], np.nan)
    shown = BLOCK >= 0
    inside = np.nanmax(members[shown], -1) - np.nanmin(members[shown], -1)
    calm = np.repeat(MILD, shown.sum(1))
    assert np.quantile((inside * np.repeat(BETA, shown.sum(1)))[calm], 0.9) < 1e-2
    assert np.mean(np.abs(got - limits()).max(1)[MILD] > 0.02) > 0.3


def test_the_solver_lands_there_too():
    world = small_problem()
    sampler = Blocks(jnp.asarray(BLOCK[:SMALL]))
    limit = landscape.descent_limit(world.log_ref, world.reward, jnp.asarray(BLOCK_LABEL[:SMALL]), 0.7)
    got = solve(world, Dpo(beta=0.7), sampler, BradleyTerry())
    np.testing.assert_allclose(got.log_policy, limit, atol=1e-9)
    counts = landscape.component_count(landscape.components(jnp.asarray(TOGETHER[:SMALL])))
    assert np.array_equal(got.undetermined, np.asarray(counts) - 1)
    assert np.abs(limit - world.log_target).max() > 0.1


# S3: what happens to responses that are never shown.  One component S; the rest unseen.
SUPPORT = RNG.uniform(size=(B, N)) < 0.6
SUPPORT[:, 0], SUPPORT[:, 1], SUPPORT[:, 2] = True, True, False
ONE = np.where(SUPPORT, 0, np.arange(N))


def odds(log_policy, support):
    outside = np.where(support, 0.0, np.exp(log_policy)).sum(1)
    return outside / np.where(support, np.exp(log_policy), 0.0).sum(1)


@jax.jit
def _limit_and_factor(log_ref, reward, beta):
    limit = jax.vmap(landscape.descent_limit)(log_ref, reward, jnp.asarray(ONE), beta)
    return limit, jax.vmap(landscape.off_support_factor)(log_ref, reward, jnp.asarray(SUPPORT), beta)


def odds_error(log_ref, log_policy, kappa):
    return np.abs(odds(log_policy, SUPPORT) * kappa / odds(log_ref, SUPPORT) - 1)


def test_off_support_odds_are_divided_by_kappa():
    limit, kappa = (np.asarray(a) for a in _limit_and_factor(LOG_REF, REWARD, BETA))
    by_hand = [
        sum(p[y] * np.exp((r[y] - r[s].mean()) / b) for y in np.flatnonzero(s)) / p[s].sum()
        for p, r, s, b in zip(np.exp(LOG_REF), REWARD, SUPPORT, BETA, strict=True)
    ]
    spread = np.ptp(REWARD, axis=1) / BETA
    np.testing.assert_allclose(kappa / by_hand, 1.0, atol=tolerance(condition=10 + spread.max()))
    error = odds_error(LOG_REF, limit, kappa)
    assert worst(error)[0] < tolerance(condition=10 + spread.max()), worst(error)
    mass = landscape.off_support_mass(jnp.asarray(limit), jnp.asarray(SUPPORT))
    np.testing.assert_allclose(mass, odds(limit, SUPPORT) / (1 + odds(limit, SUPPORT)), atol=tolerance())


def test_two_components_break_the_odds_identity():
    """Control: the seen responses in two blocks instead of one."""
    _, kappa = _limit_and_factor(LOG_REF, REWARD, BETA)
    split = np.where(SUPPORT & (np.arange(N) > 0), 1, ONE)
    limit = jax.vmap(landscape.descent_limit)(LOG_REF, REWARD, split, BETA)
    assert np.median(odds_error(LOG_REF, np.asarray(limit), kappa)) > 1e-2


def test_sign_rule():
    """κ > 1 for a reference that is uniform on S; κ < 1 for one that sits on the worst of S; either rule fails the other."""
    even = simplex.normalize(jnp.where(SUPPORT, 0.0, jnp.asarray(LOG_REF)))
    lowest = np.argmin(np.where(SUPPORT, REWARD, np.inf), 1)
    rest = np.where(np.arange(N) == lowest[:, None], 0.0, -200.0)
    weak = simplex.normalize(jnp.where(SUPPORT, rest, jnp.asarray(LOG_REF)))
    grows, leaks = (np.asarray(_limit_and_factor(ref, REWARD, BETA)[1]) for ref in (even, weak))
    assert worst(-grows)[0] < -1.0, worst(-grows)
    assert worst(leaks)[0] < 1.0, worst(leaks)
    mass = np.asarray(landscape.off_support_mass(_limit_and_factor(weak, REWARD, BETA)[0], jnp.asarray(SUPPORT)))
    assert np.all(mass > np.asarray(landscape.off_support_mass(weak, jnp.asarray(SUPPORT))))


# S4: rates.


def test_descent_rate_is_the_spectrum():
    hessian = np.asarray(_nullities(PAIRS, REWARD, BETA)[1])[COUNT < N]
    low, high, step = (np.asarray(a) for a in landscape.descent_rate(jnp.asarray(hessian)))
    values = np.linalg.eigvalsh(hessian)
    wanted = np.take_along_axis(values, COUNT[COUNT < N][:, None], 1)[:, 0]
    kappa = values[:, -1] / wanted
    np.testing.assert_allclose(high, values[:, -1], rtol=tolerance())
    assert worst(np.abs(low / wanted - 1) / kappa)[0] < tolerance(), worst(np.abs(low / wanted - 1) / kappa)
    np.testing.assert_allclose(step, 2 / (low + high))


@pytest.mark.parametrize("times", [1.0, 0.5, 0.999])
def test_measured_contraction(times):
    """Plain gradient descent on the loss, started beside the optimum, contracts at max|1 - ηλ|; at the best step (κ-1)/(κ+1)."""
    rng = np.random.default_rng(6)
    shown, reward, ref = rng.dirichlet(np.ones(36)).reshape(6, 6), rng.standard_normal(6), np.zeros(6)
    hessian = landscape.hessian_at_optimum(jnp.asarray(shown), jnp.asarray(reward), 0.7)
    low, high, best = (float(a) for a in landscape.descent_rate(hessian))
    predicted = max(abs(1 - times * best * low), abs(1 - times * best * high))
    if times == 1.0:
        assert abs(predicted - (high / low - 1) / (high / low + 1)) < 1e-12
    optimum = reward / 0.7
    start = 1e-3 * rng.standard_normal(6)
    logits, sizes = optimum + start - start.mean(), []
    for _ in range(22):
        margin = 0.7 * ((logits - ref)[:, None] - (logits - ref)[None, :])
        force = shown * (1 / (1 + np.exp(-margin)) - oracles.bradley_terry(reward))
        logits = logits - times * best * 0.7 * (force.sum(1) - force.sum(0))
        sizes.append(np.linalg.norm(logits - optimum + (optimum - logits).mean()))
    measured = (sizes[-1] / sizes[-3]) ** 0.5
    assert abs(measured - predicted) < 5e-3
    assert abs(measured - predicted**2) > 5e-3


def test_beyond_twice_the_inverse_curvature_it_diverges():
    hessian = np.asarray(_nullities(PAIRS, REWARD, BETA)[1])[np.flatnonzero(COUNT == 1)[0]]
    _, high, _ = landscape.descent_rate(jnp.asarray(hessian))
    for times, grows in ((1.9, False), (2.1, True)):
        size = np.linalg.norm(np.linalg.matrix_power(np.eye(N) - times / float(high) * hessian, 400), 2)
        assert (size > 10) == grows


def test_contracts():
    calls = [(PAIRS[i], REWARD[i], LOG_REF[i], BETA[i]) for i in (-1, -2, -3)]
    calls = [jax.tree.map(jnp.asarray, call) for call in calls]

    def everything(pairs, reward, log_ref, beta):
        label = landscape.components(landscape.comparison_graph(pairs))
        hessian = landscape.hessian_at_optimum(pairs, reward, beta)
        limit = landscape.descent_limit(log_ref, reward, label, beta)
        return label, hessian, limit, landscape.descent_rate(hessian), landscape.null_space_dimension(hessian)

    assert_jit_and_vmap(everything, *calls)
