"""Objectives that are told of ties, against loops over pairs and outcomes: value, gradient, end, and what drawn labels tell."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_jit_and_vmap, assert_round_trip
from loss_oracles import log_sigmoid, log_softmax, sigmoid
from population_oracles import central_difference
from tolerance import tolerance

from didsim import simplex
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, loss, population
from didsim.objectives.comparisons import draw_pairs
from didsim.samplers import Joint
from didsim.worlds import problem
from didsim.worlds.preferences import Bernoulli, BradleyTerry, Davidson, Flipped, Threshold, Ties

N, BETA = 4, 0.7
RNG = np.random.default_rng(31)
LOG_REF = oracles.normalize(RNG.standard_normal((2, N)))
REWARD = RNG.standard_normal((2, N))
SHARES = np.array([0.3, 0.7])
WORLD = problem(LOG_REF, reward=REWARD, beta=BETA, log_prompts=np.log(SHARES))
LAWS = RNG.dirichlet(np.ones(N * N), 2).reshape(2, N, N)
SHOWN = Joint(jnp.log(jnp.asarray(LAWS)))
LOGITS = RNG.standard_normal((2, N))


def rao_kupper(gap, margin):
    """Chances of win and tie."""
    win, lose = sigmoid(gap - margin), sigmoid(-gap - margin)
    return win, 1 - win - lose


def davidson(gap, tie):
    total = 1 + math.exp(-gap) + 2 * tie * math.exp(-gap / 2)
    return 1 / total, 2 * tie * math.exp(-gap / 2) / total


CASES = {
    "dpo-rk": (rao_kupper, {"beta": BETA, "margin": 0.6}, Ties(0.6), Ties(1.4)),
    "dpo-d": (davidson, {"beta": BETA, "tie": 0.8}, Davidson(0.8), Davidson(2.5)),
}
each = pytest.mark.parametrize("name", CASES)


def by_hand(name, logits, number, flipped=0.0):
    """The first number is the data's, the last the objective's: cross-entropy of three outcomes over the pairs shown."""
    chances, numbers, *_ = CASES[name]
    model = numbers["margin"] if "margin" in numbers else numbers["tie"]
    total = 0.0
    for x in range(2):
        value = [BETA * (p - q) for p, q in zip(log_softmax(logits[x]), LOG_REF[x], strict=True)]
        for a in range(N):
            for b in range(N):
                (win, tie), gap = chances(REWARD[x, a] - REWARD[x, b], number), value[a] - value[b]
                win = (1 - flipped) * win + flipped * (1 - win - tie)
                said = chances(gap, model), chances(-gap, model)
                cost = win * math.log(said[0][0]) + (1 - win - tie) * math.log(said[1][0]) + tie * math.log(said[0][1])
                total -= SHARES[x] * LAWS[x, a, b] * cost
    return total


@jax.jit
def value_and_gradient(objective, logits, comparisons):
    return jax.value_and_grad(lambda t: loss(objective, WORLD, simplex.normalize(t), comparisons))(logits)


def shown(labels, sampler=SHOWN):
    return population(WORLD, sampler, labels, WORLD.log_ref)


@each
def test_value_and_gradient_by_hand(name):
    _, numbers, _, labels = CASES[name]
    number = float(jax.tree.leaves(labels)[0])
    value, slope = value_and_gradient(OBJECTIVES[name](**numbers), LOGITS, shown(labels))
    assert float(value) == pytest.approx(by_hand(name, LOGITS, number), abs=tolerance())
    wanted = central_difference(lambda t: by_hand(name, t.reshape(2, N), number), LOGITS.reshape(-1)).reshape(2, N)
    np.testing.assert_allclose(slope, wanted, atol=1e-8)
    flipped = value_and_gradient(OBJECTIVES[name](**numbers), LOGITS, shown(Flipped(labels, 0.2)))[0]
    assert float(flipped) == pytest.approx(by_hand(name, LOGITS, number, 0.2), abs=tolerance())
    for field, other in numbers.items():
        changed = OBJECTIVES[name](**{**numbers, field: 0.77 * other})
        assert abs(float(value_and_gradient(changed, LOGITS, shown(labels))[0]) - float(value)) > 1e-4


@each
def test_it_ends_at_the_target_on_ties_of_its_own_model_alone(name):
    _, numbers, own, other = CASES[name]
    objective = OBJECTIVES[name](**numbers)
    assert np.abs(value_and_gradient(objective, WORLD.log_target, shown(own))[1]).max() < tolerance()
    assert np.abs(value_and_gradient(objective, WORLD.log_target, shown(other))[1]).max() > 1e-2
    wrong = {"dpo-rk": "dpo-d", "dpo-d": "dpo-rk"}[name]
    assert np.abs(value_and_gradient(OBJECTIVES[wrong](beta=BETA), WORLD.log_target, shown(own))[1]).max() > 1e-3
    # What DPO makes of the same labels, ties split: not the target.
    assert np.abs(value_and_gradient(OBJECTIVES["dpo"](beta=BETA), WORLD.log_target, shown(own))[1]).max() > 1e-3


@each
def test_ties_that_nobody_tells_count_as_half_a_win_for_either_side(name):
    """Without ties in the labels every pair is decided; with a threshold that all pairs miss none is."""
    objective = OBJECTIVES[name](**CASES[name][1])
    decided = float(value_and_gradient(objective, LOGITS, shown(BradleyTerry()))[0])
    chances = CASES[name][0]
    model = list(CASES[name][1].values())[1]
    wanted, undecided = 0.0, 0.0
    for x in range(2):
        value = [BETA * (p - q) for p, q in zip(log_softmax(LOGITS[x]), LOG_REF[x], strict=True)]
        for a in range(N):
            for b in range(N):
                gap, mass = value[a] - value[b], SHARES[x] * LAWS[x, a, b]
                win = sigmoid(REWARD[x, a] - REWARD[x, b])
                wanted -= mass * (win * math.log(chances(gap, model)[0]) + (1 - win) * math.log(chances(-gap, model)[0]))
                undecided -= mass * math.log(chances(gap, model)[1])
    assert decided == pytest.approx(wanted, abs=tolerance())
    none = value_and_gradient(objective, LOGITS, shown(Threshold(BradleyTerry(), 1e3)))[0]
    assert float(none) == pytest.approx(undecided, abs=tolerance())


@each
def test_drawn_ties_are_seen_and_soft_ones_are_known(name):
    _, numbers, _, labels = CASES[name]
    objective, many = OBJECTIVES[name](**numbers), 40_000
    soft = draw_pairs(jax.random.key(1), WORLD, SHOWN, labels, WORLD.log_ref, many)
    drawn = draw_pairs(jax.random.key(1), WORLD, SHOWN, Bernoulli(labels), WORLD.log_ref, many)
    number = float(jax.tree.leaves(labels)[0])
    ties = [[[CASES[name][0](a - b, number)[1] for b in row] for a in row] for row in REWARD]
    exact = [np.array(ties[x])[soft.first[x], soft.second[x]] for x in range(2)]
    np.testing.assert_allclose(soft.tied, exact, atol=tolerance())
    assert set(np.unique(drawn.tied)) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn.tied == 1.0, drawn.win == 0.5)
    wanted = by_hand(name, LOGITS, number)
    for batch in (soft, drawn):
        assert float(value_and_gradient(objective, LOGITS, batch)[0]) == pytest.approx(wanted, abs=5.0 / math.sqrt(many))
    blind = type(drawn)(drawn.first, drawn.second, drawn.win)
    assert abs(float(value_and_gradient(objective, LOGITS, blind)[0]) - wanted) > 10.0 / math.sqrt(many)


@each
def test_contracts(name):
    objective, labels = OBJECTIVES[name](**CASES[name][1]), CASES[name][3]
    assert_round_trip(objective)
    others = [jax.tree.map(lambda leaf, by=by: jnp.asarray(leaf * by), objective) for by in (1.0, 0.9)]
    pairs, logits = shown(labels), jnp.asarray(LOGITS)
    assert_jit_and_vmap(lambda o, t: loss(o, WORLD, simplex.normalize(t), pairs), *[(o, logits) for o in others])
    narrow = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (WORLD, logits, pairs))
    value = jax.jit(loss)(objective, narrow[0], simplex.normalize(narrow[1]), narrow[2])
    assert value.dtype == jnp.float32
    assert float(value) == pytest.approx(by_hand(name, LOGITS, float(jax.tree.leaves(labels)[0])), abs=1e-5)
    far = value_and_gradient(objective, jnp.asarray(LOGITS) * 1e4, pairs)
    assert all(bool(jnp.isfinite(part).all()) for part in far)
    for field in CASES[name][1]:
        with pytest.raises(ArgumentError, match=f"Argument `{field}` must be positive and finite, but is 0"):
            OBJECTIVES[name](**{field: 0.0})


def test_a_tie_costs_as_much_either_way_and_outcomes_add_up():
    margins = jnp.linspace(-30.0, 30.0, 121)
    for name in CASES:
        win, tie = OBJECTIVES[name](**CASES[name][1]).costs(margins)
        lose = OBJECTIVES[name](**CASES[name][1]).costs(-margins)[0]
        np.testing.assert_allclose(np.exp(-win) + np.exp(-lose) + np.exp(-tie), 1.0, atol=tolerance())
        np.testing.assert_allclose(tie, tie[::-1], rtol=1e-12)
    assert float(OBJECTIVES["dpo-rk"](margin=1e-9).costs(jnp.zeros(1))[0][0]) == pytest.approx(-log_sigmoid(0.0))
