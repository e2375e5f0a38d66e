"""Where do iterated rounds end, as exact maps: optima against the general solver, Jacobians, boundaries and endings?"""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip

from didsim import iterated
from didsim.dynamics.iterated import maps, stability
from didsim.dynamics.iterated.endings import Fate
from didsim.dynamics.iterated.maps import Iteration
from didsim.landscape.solvers import solve
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Dpo, IpoSum
from didsim.samplers import Product
from didsim.worlds import problem
from didsim.worlds.preferences import PreferenceMatrix

N = 4
RNG = np.random.default_rng(81)
UPPER = np.triu(RNG.uniform(0.05, 0.95, (N, N)), 1)
TABLE = UPPER + np.tril(1 - UPPER.T, -1) + 0.5 * np.eye(N)
LOG_REF, LOG_LAW, LOG_POLICY = oracles.normalize(RNG.standard_normal((3, N)))
FLAT = np.full(3, -np.log(3.0))


multipliers, next_policy, ending = map(jax.jit, (iterated.multipliers, maps.next_policy, iterated.ending))
dpo_optimum, dpo_fit = map(jax.jit, (maps.dpo_optimum, maps.dpo_fit))
iterate = jax.jit(iterated.iterate, static_argnums=2)


@jax.jit
def twelve_rounds(iteration, start):
    """The path, and which rounds reached their optimum."""
    path = iterated.iterate(iteration, start, 12)
    return path, iterated.reached(iteration, path)


def gentle():
    return Iteration(iterated.three_cycle(0.1), jnp.asarray(FLAT))


@pytest.mark.parametrize(
    ("optimum", "objective"), [(jax.jit(maps.ipo_optimum), IpoSum(0.4)), (dpo_optimum, Dpo(0.4))], ids=["ipo", "dpo"]
)
def test_optima_are_the_solvers(optimum, objective):
    """On a preference matrix with cycles the closed form and the small Newton method find the general solver's minimiser."""
    world = problem(LOG_REF, reward=np.zeros(N))
    sampler = Product(jnp.asarray(LOG_LAW), jnp.asarray(LOG_LAW))
    best = solve(world, objective, sampler, PreferenceMatrix(jnp.asarray(TABLE))).log_policy[0]
    got = optimum(jnp.asarray(LOG_REF), jnp.asarray(TABLE), jnp.asarray(LOG_LAW), 0.4)
    assert_close(np.asarray(got), np.asarray(best), atol=1e-9)
    elsewhere = optimum(jnp.asarray(LOG_REF), jnp.asarray(TABLE), jnp.asarray(LOG_POLICY), 0.4)
    assert np.abs(np.asarray(elsewhere) - np.asarray(best)).max() > 1e-2  # the sampler moves the optimum (S6)


def test_ipo_round_by_hand():
    mass = 0.7 * np.exp(LOG_POLICY) + 0.3 * np.exp(LOG_REF)
    logits = 0.6 * LOG_POLICY + 0.4 * LOG_REF + np.array([sum(TABLE[a, b] * mass[b] for b in range(N)) for a in range(N)]) / 0.5
    iteration = Iteration(jnp.asarray(TABLE), jnp.asarray(LOG_REF), 0.6, 0.7, 0.5)
    assert_close(np.asarray(next_policy(iteration, jnp.asarray(LOG_POLICY))), oracles.normalize(logits))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 12.0])
def test_dpo_optimum_solves_its_equation_for_narrow_and_wide_laws(scale):
    law = oracles.normalize(scale * RNG.standard_normal(N))
    got = np.asarray(dpo_optimum(jnp.asarray(LOG_REF), jnp.asarray(TABLE), jnp.asarray(law), 0.8))
    margin = 0.8 * (got - LOG_REF)
    chance = 1 / (1 + np.exp(margin[None] - margin[:, None]))
    left = np.array([np.sum(np.exp(law) * (TABLE[a] - chance[a])) for a in range(N)])
    # relative to the weight of a response's comparisons with others: those with itself are ½ - ½
    others = np.array([np.exp(np.delete(law, a)).sum() for a in range(N)])
    assert np.abs(left / others).max() < 1e-9
    assert np.abs(np.sum(np.exp(law) * (TABLE - 0.5), -1) / others).max() > 1e-2


@pytest.mark.parametrize("objective", ["ipo", "dpo"])
def test_multipliers_of_the_three_cycle(objective):
    temperature = 0.3
    slope = stability.slope_at_uniform(objective, temperature)
    for power, mixing, advantage in [(0.0, 1.0, 0.5), (0.7, 0.4, 0.2), (1.0, 0.9, 0.05)]:
        iteration = Iteration(iterated.three_cycle(advantage), jnp.asarray(FLAT), power, mixing, temperature, objective)
        found = np.asarray(multipliers(iteration, jnp.asarray(FLAT)))
        modulus, angle = iterated.cycle_multiplier(power, mixing, advantage, slope)
        assert_close(np.sort(np.abs(np.angle(found))), np.full(2, float(angle)), atol=1e-9)
        assert_close(np.abs(found), np.full(2, float(modulus)), atol=1e-9)


def test_multipliers_are_the_growth_of_small_deviations():
    """At a fixed point of any preference matrix, by brute force: iterate a tiny deviation and fit its growth."""
    iteration = Iteration(jnp.asarray(TABLE), jnp.asarray(LOG_REF), 0.5, 0.3, 1.0)
    rest = iterate(iteration, jnp.asarray(LOG_REF), 400)[-1]
    modulus = np.abs(np.asarray(multipliers(iteration, rest))).max()
    away = iterate(iteration, rest + 1e-5 * jnp.asarray(RNG.standard_normal(N)), 24)
    size = np.linalg.norm(np.asarray(away) - np.asarray(rest), axis=1)
    assert abs((size[24] / size[14]) ** 0.1 / modulus - 1.0) < 1e-2


def test_boundary_separates_and_names_agree():
    powers = jnp.linspace(0.05, 0.95, 10)
    mixing = iterated.cycle_boundary(powers, 0.4, 6.0)
    for side, unstable in ((0.99, False), (1.01, True)):
        modulus, _ = iterated.cycle_multiplier(powers, side * mixing, 0.4, 6.0)
        assert np.all((np.asarray(modulus) > 1) == unstable)
        assert np.all((powers**2 + (0.4 * 6.0 * side * mixing) ** 2 / 3 > 1) == unstable)


def test_contraction_factor_by_hand_and_that_it_contracts():
    iteration = Iteration(jnp.asarray(TABLE), jnp.asarray(LOG_REF), 0.2, 0.5, 0.6)
    factor = 0.2 + 0.5 / 0.6 / 2 * np.linalg.norm(TABLE - 0.5, 2)
    assert_close(np.asarray(iterated.contraction_factor(iteration)), np.asarray(factor), atol=1e-9)
    paths = [np.asarray(iterate(iteration, jnp.asarray(start), 30)) for start in (LOG_LAW, LOG_POLICY)]
    centred = [path - path.mean(-1, keepdims=True) for path in paths]
    gap = np.linalg.norm(centred[0] - centred[1], axis=1)
    assert np.all(gap[1:] <= factor * gap[:-1] + 1e-14)
    assert not np.all(gap[1:] <= 0.3 * factor * gap[:-1] + 1e-14)


def synthetic(kind):
    t = np.arange(300)
    base = np.array([0.5, 0.3, 0.2])
    if kind == "settled":
        wave = 0.2 * 0.8**t
    elif kind == "corner":
        return np.log(np.stack([1 - 2 * 1e-4 * np.ones(300), 1e-4 * np.ones(300), 1e-4 * np.ones(300)], -1))
    else:
        wave = 0.1 * np.cos(2 * np.pi * t / {"period 5": 5, "period 7.3": 7.3}[kind])
    return np.log(base + np.stack([wave, -0.5 * wave, -0.5 * wave], -1))


@pytest.mark.parametrize(
    ("kind", "fate", "period", "turning"),
    [("settled", Fate.CONVERGED, 0, None), ("corner", Fate.COLLAPSE, 0, None), ("period 5", Fate.CYCLE, 5, 5.0),
     ("period 7.3", Fate.CYCLE, 0, 7.3)],
)  # fmt: skip
def test_endings_of_known_paths(kind, fate, period, turning):
    end = ending(jnp.asarray(synthetic(kind)))
    assert (int(end.fate), int(end.period)) == (fate, period)
    if turning is not None:
        assert abs(float(end.turning) / turning - 1.0) < 0.01


def test_contracts():
    one, two = (Iteration(jnp.asarray(TABLE), jnp.asarray(LOG_REF), p, 0.5, 0.7, "dpo") for p in (0.2, 0.8))
    assert_round_trip(one)
    assert_jit_and_vmap(
        lambda it, start: iterated.ending(iterated.iterate(it, start, 70)),
        (one, jnp.asarray(LOG_LAW)),
        (two, jnp.asarray(LOG_POLICY)),
    )


def test_single_precision():
    iteration = Iteration(jnp.asarray(TABLE, jnp.float32), jnp.asarray(LOG_REF, jnp.float32), 0.5, 0.5, 0.7, "dpo")
    got = iterate(iteration, jnp.asarray(LOG_LAW, jnp.float32), 20)
    assert got.dtype == jnp.float32
    wide = iterate(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), iteration), jnp.asarray(LOG_LAW), 20)
    assert_close(np.asarray(got, np.float64), np.asarray(wide), atol=1e-4)


ERRORS = {
    "preference": (lambda: Iteration(jnp.ones((3, 3)), jnp.asarray(FLAT)), "`preference` must satisfy"),
    "power": (lambda: Iteration(iterated.three_cycle(0.1), jnp.asarray(FLAT), power=1.2), "`power` must"),
    "mixing": (lambda: Iteration(iterated.three_cycle(0.1), jnp.asarray(FLAT), mixing=-0.1), "`mixing` must"),
    "temperature": (lambda: Iteration(iterated.three_cycle(0.1), jnp.asarray(FLAT), temperature=0.0), "`temperature` must"),
    "objective": (lambda: Iteration(iterated.three_cycle(0.1), jnp.asarray(FLAT), objective="dpp"), "Did you mean 'dpo'"),
    "slope": (lambda: stability.slope_at_uniform("ipq", 1.0), "Did you mean 'ipo'"),
    "advantage": (lambda: iterated.three_cycle(0.6), "`advantage` must"),
    "rounds": (
        lambda: iterated.iterate(gentle(), jnp.asarray(FLAT), 0),
        "`rounds` must",
    ),
    "responses": (
        lambda: iterated.iterate(gentle(), jnp.asarray(LOG_REF), 5),
        "`log_first` must have as many responses",
    ),
    "path of one law": (lambda: iterated.reached(gentle(), jnp.asarray(FLAT)[None]), "`rounds` must"),
    "path's responses": (
        lambda: iterated.reached(gentle(), jnp.asarray([LOG_REF, LOG_REF])),
        "`path` must have as many responses",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_arguments_are_named(case):
    make, message = ERRORS[case]
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize("gap", [1.0, 10.0, 20.0, 34.0])
@pytest.mark.parametrize("law", [np.log([0.5, 0.5]), np.log([1e-9, 1 - 1e-9])], ids=["even", "narrow"])
def test_dpo_optimum_is_the_reward_however_sure_the_labels(gap, law):
    """Bradley-Terry labels of rewards 0 and R teach R (S6); ten steps from zero do not reach it."""
    reward = jnp.asarray([0.0, gap])
    fit = dpo_fit(jnp.asarray(law), jax.nn.sigmoid(reward[:, None] - reward), jnp.asarray(law), 1.0)
    assert fit.converged
    np.testing.assert_allclose(fit.margin[1] - fit.margin[0], gap, rtol=1e-10)


@pytest.mark.parametrize("cut", [[(0, 1), (0, 2)], [(1, 0), (1, 2)], [(0, 2), (1, 2)]], ids=str)
def test_dpo_optimum_says_when_there_is_none(cut):
    """A response, or a group, that never loses has no finite reward."""
    table = np.full((3, 3), 0.5)
    for a, b in cut:
        table[a, b], table[b, a] = 1.0, 0.0
    flat = jnp.asarray(FLAT)
    assert not dpo_fit(flat, jnp.asarray(table), flat, 1.0).converged
    assert dpo_fit(flat, iterated.three_cycle(0.5), flat, 1.0).converged  # sure labels alone are no hindrance


SKEWED = np.log([0.7, 0.2, 0.1])
NO_OPTIMUM = [((0, 1), (0, 2)), ((1, 0), (1, 2)), ((0, 2), (1, 2))]


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_rounds_say_whether_they_reached_their_optimum(power):
    """Each round's optimum solves its own equation; where a group never loses, or a response has no mass, none does."""
    turning = Iteration(iterated.three_cycle(0.3), jnp.asarray(FLAT), power, 0.5, 1.0, "dpo")
    path, reached = twelve_rounds(turning, jnp.asarray(SKEWED))
    assert reached.all()
    for before, after in zip(np.asarray(path)[:-1], np.asarray(path)[1:], strict=True):
        law = 0.5 * np.exp(before) + 0.5 / 3
        margin = after - (power * before + (1 - power) * FLAT)
        pull = np.asarray(turning.preference) - 1 / (1 + np.exp(-(margin[:, None] - margin)))
        np.testing.assert_allclose(law * (pull @ law), 0.0, atol=1e-9)
    for cut in NO_OPTIMUM:
        table = np.full((3, 3), 0.5)
        for a, b in cut:
            table[a, b], table[b, a] = 1.0, 0.0
        for objective, all_reached in (("dpo", False), ("ipo", True)):
            sure = Iteration(jnp.asarray(table), jnp.asarray(FLAT), power, 0.5, 1.0, objective)
            found = twelve_rounds(sure, jnp.asarray(SKEWED))[1]
            assert found.all() if all_reached else not found.any()
    gone = Iteration(iterated.three_cycle(0.3), jnp.asarray(FLAT), power, 1.0, 1.0, "dpo")
    assert not iterated.reached(gone, jnp.asarray([[0.0, -1.0, -1000.0], SKEWED]))[0]
