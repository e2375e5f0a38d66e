"""Rankings, choices and rewards of K responses at once, against loops over all lists and all orders."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from loss_oracles import log_softmax
from population_oracles import central_difference
from tolerance import tolerance

from didsim import simplex
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, loss, population
from didsim.objectives.rankings import log_plackett_luce
from didsim.samplers import Uniform
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry

N, BETA = 3, 0.7
RNG = np.random.default_rng(4)
LOG_REF = oracles.normalize(RNG.standard_normal((2, N)))
REWARD = RNG.standard_normal((2, N))
WORLD = problem(LOG_REF, reward=REWARD, beta=BETA)
LOGITS = RNG.standard_normal((2, N))
PAIRS = population(WORLD, Uniform(), BradleyTerry(), WORLD.log_ref)


def ranking(scores, order):
    """Log-probability of an order, place by place."""
    total = 0.0
    for place in range(len(order)):
        total += scores[order[place]] - math.log(sum(math.exp(scores[k]) for k in order[place:]))
    return total


def listwise(logits, ref, reward, outcomes, chance):
    value = [BETA * (p - q) for p, q in zip(log_softmax(logits), ref, strict=True)]
    total = 0.0
    for drawn in itertools.product(range(N), repeat=3):
        mass = math.exp(sum(ref[y] for y in drawn))
        for outcome in outcomes:
            total -= mass * math.exp(chance([reward[y] for y in drawn], outcome)) * chance([value[y] for y in drawn], outcome)
    return total


def best(scores, first):
    return scores[first] - math.log(sum(map(math.exp, scores)))


def variance(logits, ref, reward):
    rest = np.array(reward) - BETA * (log_softmax(logits) - ref)
    mass = np.exp(ref)
    return mass @ rest**2 - (mass @ rest) ** 2


CASES = {
    "plackett-luce": lambda *row: listwise(*row, list(itertools.permutations(range(3))), ranking),
    "multinomial": lambda *row: listwise(*row, range(3), best),
    "gvpo": variance,
}


@jax.jit
def value_and_gradient(objective, logits):
    return jax.value_and_grad(lambda t: loss(objective, WORLD, simplex.normalize(t), PAIRS))(logits)


@pytest.mark.parametrize("name", CASES)
def test_value_gradient_and_end(name):
    objective = OBJECTIVES[name](beta=BETA)
    value, slope = value_and_gradient(objective, LOGITS)

    def by_hand(logits):
        return np.mean([CASES[name](*row) for row in zip(logits.reshape(2, N), LOG_REF, REWARD, strict=True)])

    assert float(value) == pytest.approx(by_hand(LOGITS), abs=tolerance())
    np.testing.assert_allclose(slope, central_difference(by_hand, LOGITS.reshape(-1)).reshape(2, N), atol=1e-8)
    end = objective.minimiser(WORLD)
    np.testing.assert_allclose(end, WORLD.log_target, atol=tolerance())
    assert np.abs(value_and_gradient(objective, end)[1]).max() < tolerance()
    assert np.abs(value_and_gradient(OBJECTIVES[name](beta=1.5), end)[1]).max() > 1e-2
    parts = WORLD, simplex.normalize(jnp.asarray(LOGITS)), PAIRS
    narrow = jax.jit(loss)(objective, *jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), parts))
    assert narrow.dtype == jnp.float32
    assert float(narrow) == pytest.approx(by_hand(LOGITS), abs=1e-5)


def test_a_ranking_says_a_little_more_than_its_pairs_cost():
    """Rewards 2, 1, 0: entropy of the ranking and of its three pairs."""
    reward = [2.0, 1.0, 0.0]
    orders = list(itertools.permutations(range(3)))
    whole = -sum(math.exp(ranking(reward, order)) * ranking(reward, order) for order in orders)
    got = -sum(float(jnp.exp(s) * s) for s in (log_plackett_luce(jnp.asarray(reward)[jnp.array(order)]) for order in orders))
    assert got == pytest.approx(whole, abs=1e-12)
    assert float(-log_plackett_luce(jnp.asarray(reward))) == pytest.approx(0.72087, abs=1e-5)
    assert sum(math.log1p(math.exp(reward[b] - reward[a])) for a, b in [(0, 1), (1, 2), (0, 2)]) == pytest.approx(
        0.75345, abs=1e-5
    )


def test_too_many_lists_are_refused():
    with pytest.raises(ArgumentError, match="Argument `draws` must leave at most"):
        loss(OBJECTIVES["multinomial"](draws=20), WORLD, WORLD.log_ref, PAIRS)
