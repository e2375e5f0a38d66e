"""Objectives of whole pairs and of whole laws, against double loops over pairs in plain Python."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_jit_and_vmap, assert_round_trip
from loss_oracles import log_sigmoid, log_softmax
from population_oracles import central_difference
from tolerance import tolerance

from didsim import simplex
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, loss
from didsim.objectives.comparisons import Population, SampledPairs
from didsim.worlds import problem

N = 4
RNG = np.random.default_rng(21)
LOG_REF = oracles.normalize(RNG.standard_normal((2, N)))
LAWS = RNG.dirichlet(np.ones(N * N), 2).reshape(2, N, N)
LOGITS = RNG.standard_normal((2, N))
SHARES = np.array([0.3, 0.7])
WORLD = problem(LOG_REF, reward=RNG.standard_normal((2, N)), log_prompts=np.log(SHARES))
PAIRS = [(a, b) for a in range(N) for b in range(N)]


def kldo(logits, ref, law, *, beta):
    value = [beta * (p - q) for p, q in zip(log_softmax(logits), ref, strict=True)]
    won = sum(law[a, b] * value[a] for a, b in PAIRS)
    return math.log(sum(law[a, b] * math.exp(value[b]) for a, b in PAIRS)) - won


def hypo(logits, ref, law, *, beta):
    log = log_softmax(logits)
    total = 0.0
    for a, b in PAIRS:
        total -= law[a, b] * log_sigmoid(beta * (log[a] - log[b] - max(0.0, ref[a] - ref[b])))
    return total


def pro(logits, ref, law, *, beta):
    value = [beta * (p - q) for p, q in zip(log_softmax(logits), ref, strict=True)]
    vote = sum(law[a, b] * (value[a] - value[b]) for a, b in PAIRS)
    return sum(math.exp(ref[a] + ref[b]) * math.log(2 * math.cosh((value[a] - value[b]) / 2)) for a, b in PAIRS) - vote / 2


def adpo(logits, ref, law, *, beta):
    """Two tokens of two kinds: response ``2 y_1 + y_2``; first token, then second given the first."""

    def tokens(log):
        first = [math.log(math.exp(log[2 * k]) + math.exp(log[2 * k + 1])) for k in range(2)]
        return [(first[y // 2], log[y] - first[y // 2]) for y in range(N)]

    pairs = zip(tokens(log_softmax(logits)), tokens(ref), strict=True)
    parts = [(p[0] - q[0], p[1] - q[1]) for p, q in pairs]
    return -sum(law[a, b] * log_sigmoid(beta * (parts[a][i] - parts[b][i])) for a, b in PAIRS for i in range(2))


CASES = {"pro": (pro, {"beta": 0.9}), "adpo": (adpo, {"beta": 1.1}), "kldo": (kldo, {"beta": 0.7}), "hypo": (hypo, {"beta": 1.3})}
each = pytest.mark.parametrize("name", CASES)


@jax.jit
def value_and_gradient(objective, logits, comparisons, world):
    return jax.value_and_grad(lambda t: loss(objective, world, simplex.normalize(t), comparisons))(logits)


def by_hand(name, logits):
    function, numbers = CASES[name]
    rows = zip(SHARES, logits, LOG_REF, LAWS, strict=True)
    return sum(share * function(row, ref, law, **numbers) for share, row, ref, law in rows)


@each
def test_value_and_gradient_by_hand(name):
    numbers = CASES[name][1]
    value, slope = value_and_gradient(OBJECTIVES[name](**numbers), LOGITS, Population(jnp.asarray(LAWS)), WORLD)
    assert float(value) == pytest.approx(by_hand(name, LOGITS), abs=tolerance())
    wanted = central_difference(lambda t: by_hand(name, t.reshape(2, N)), LOGITS.reshape(-1)).reshape(2, N)
    np.testing.assert_allclose(slope, wanted, atol=1e-8)
    for field, number in numbers.items():
        other = OBJECTIVES[name](**{**numbers, field: 0.77 * number})
        assert abs(float(value_and_gradient(other, LOGITS, Population(jnp.asarray(LAWS)), WORLD)[0]) - float(value)) > 1e-3


@each
def test_a_batch_is_the_law_of_its_pairs(name):
    objective = OBJECTIVES[name](**CASES[name][1])
    first, second, win = RNG.integers(0, N, (2, 9)), RNG.integers(0, N, (2, 9)), RNG.uniform(size=(2, 9))
    law = np.zeros((2, N, N))
    for x in range(2):
        np.add.at(law[x], (first[x], second[x]), win[x] / 9)
        np.add.at(law[x], (second[x], first[x]), (1 - win[x]) / 9)
    batch = SampledPairs(jnp.asarray(first), jnp.asarray(second), jnp.asarray(win))
    got = value_and_gradient(objective, LOGITS, batch, WORLD)
    wanted = value_and_gradient(objective, LOGITS, Population(jnp.asarray(law)), WORLD)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=tolerance())


@each
def test_contracts(name):
    objective = OBJECTIVES[name](**CASES[name][1])
    assert_round_trip(objective)
    others = [jax.tree.map(lambda leaf, by=by: jnp.asarray(leaf * by), objective) for by in (1.0, 0.9)]
    pairs, logits = Population(jnp.asarray(LAWS)), jnp.asarray(LOGITS)
    assert_jit_and_vmap(lambda o, t: loss(o, WORLD, simplex.normalize(t), pairs), *[(o, logits) for o in others])
    narrow = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (logits, pairs, WORLD))
    value, _ = value_and_gradient(objective, *narrow)
    assert value.dtype == jnp.float32
    assert float(value) == pytest.approx(by_hand(name, LOGITS), abs=1e-5)
    with pytest.raises(ArgumentError, match="Argument `beta` must be positive and finite, but is -1"):
        OBJECTIVES[name](beta=-1.0)


def test_kldo_ends_at_its_floor_and_nowhere_else():
    objective = OBJECTIVES["kldo"](beta=0.7)
    end = np.asarray(objective.minimiser(WORLD))
    chosen, rejected = np.exp(WORLD.log_chosen), np.exp(WORLD.log_rejected)
    for x in range(2):
        law = np.outer(chosen[x], rejected[x])
        floor = -sum(w * math.log(w / q) for w, q in zip(chosen[x], rejected[x], strict=True))
        assert kldo(end[x], LOG_REF[x], law, beta=0.7) == pytest.approx(floor, abs=1e-12)
        assert kldo(end[x] + 0.1 * np.arange(N), LOG_REF[x], law, beta=0.7) > floor + 1e-4


def test_one_segment_for_all_tokens_is_dpo():
    whole = OBJECTIVES["adpo"](beta=0.8, segment=2)
    pairs = Population(jnp.asarray(LAWS))
    got, wanted = (value_and_gradient(o, LOGITS, pairs, WORLD) for o in (whole, OBJECTIVES["dpo"](beta=0.8)))
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=tolerance())
    apart = value_and_gradient(OBJECTIVES["adpo"](beta=0.8), LOGITS, pairs, WORLD)[0]
    assert abs(float(apart - got[0])) > 1e-2


def test_sequences_must_be_as_many_as_responses():
    with pytest.raises(ArgumentError, match="must be the number of responses 4, but is 8"):
        loss(OBJECTIVES["adpo"](length=3), WORLD, WORLD.log_ref, Population(jnp.asarray(LAWS)))
