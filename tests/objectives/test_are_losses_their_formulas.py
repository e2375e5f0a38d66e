"""Are losses and their gradients the formulas of their papers, by double loops, for every kind of data?"""

import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import population_oracles
import pytest
from contracts import assert_close
from loss_cases import CASES, NAMES, PAIRLESS, SORTED, by_hand, case_of, each_objective, value_and_gradient
from objective_cases import NUMBERS, make, value_at
from problem_cases import N, P, given
from sampling import sampled
from tolerance import tolerance

from didsim.objectives import (
    OBJECTIVES,
    BestOfSft,
)
from didsim.objectives.comparisons import Population
from didsim.worlds import problem


@pytest.mark.parametrize("case", sorted(CASES))
def test_law_of_chosen_and_rejected(case):
    assert_close(case_of(case).population.ordered, np.array(case_of(case).laws))
    np.testing.assert_allclose(case_of(case).population.ordered.sum((1, 2)), 1.0, atol=tolerance())


def test_the_catalogue_is_complete():
    assert sorted(OBJECTIVES) == sorted(NAMES + SORTED)
    assert sorted([*oracle.PAIRS, *PAIRLESS]) == NAMES
    assert len(OBJECTIVES) >= 28


# From the end, so that every family is there; the formula of each for a pair is in test_loss_of_given_pairs.py.
@pytest.mark.parametrize("name", sampled(NAMES[::-1], 2))
def test_value_and_gradient_by_hand(name):
    objective = make(name)
    for case in CASES:
        value, slope = value_and_gradient(objective, given().logits, case_of(case).population)
        wanted_value, wanted_slope = by_hand(name, case)
        assert_close(value, wanted_value, atol=tolerance(condition=10.0))
        assert_close(slope, wanted_slope, atol=tolerance(condition=10.0))


@each_objective
def test_hand_derived_gradient_is_the_central_difference(name):
    row, world, law = given().logits[1], given().worlds[1], case_of("joint flipped").laws[1]
    frozen = {} if name in PAIRLESS else {"z0": population_oracles.constant(name, row, world, law, **NUMBERS[name])}

    def value(logits):
        return population_oracles.value_and_gradient(name, logits, world, law, **NUMBERS[name], **frozen)[0]

    _, slope = population_oracles.value_and_gradient(name, row, world, law, **NUMBERS[name])
    np.testing.assert_allclose(population_oracles.central_difference(value, row), slope, atol=2e-9)


@pytest.mark.parametrize("name", ["kto", "bco[batch]"])
def test_constants_are_held_still(name):
    """The full derivative, through the constant as well, is another one: the stop-gradient is part of the objective."""
    row, world, law = given().logits[1], given().worlds[1], case_of("joint flipped").laws[1]
    moving = population_oracles.central_difference(
        lambda t: population_oracles.value_and_gradient(name, t, world, law, **NUMBERS[name])[0], row
    )
    _, slope = population_oracles.value_and_gradient(name, row, world, law, **NUMBERS[name])
    assert np.abs(moving - slope).max() > 1e-3


@each_objective
def test_another_number_is_another_loss(name):
    """Control: if a number were ignored, the comparison with the formula could not see a wrong one."""
    for field, number in NUMBERS[name].items():
        changed = OBJECTIVES[name](**{**NUMBERS[name], field: number + 1 if isinstance(number, int) else 0.77 * number})
        case = "joint flipped"
        assert abs(value_and_gradient(changed, given().logits, case_of(case).population)[0] - by_hand(name, case)[0]) > 1e-4


def test_best_of_draws_shares_ties():
    """Tied rewards share their mass in proportion to the reference, as going through all draws says."""
    world = problem(given().ref, reward=np.round(given().reward), beta=0.7)
    for x in range(P):
        wanted = population_oracles.best_of(oracle.World(given().ref[x], np.round(given().reward[x]), given().lengths[x]), 3)
        np.testing.assert_allclose(np.exp(BestOfSft(3).minimiser(world)[x]), wanted, atol=tolerance())
    assert len(set(np.round(given().reward[0]))) < N


# One pair: ℓ_w = log ½, ℓ_l = log 0.3, a = log 2, b = log 0.6, lengths 2 and 3.  Numbers worked out outside this project.
GOLDEN = {
    "ipo[sum]": ({"beta": 0.5}, 0.041604904905),
    "ipo[token_mean]": ({"beta": 0.5}, 0.233435083799),
    "ipo[reference_free]": ({"beta": 0.5}, 0.893496281065),
    "ipo[margin]": ({"beta": 0.5}, 0.495577709231),
    "hinge": ({"beta": 0.5}, 0.398013597837),
    "slic": ({"margin": 1.0, "nll_weight": 0.1}, 0.558489094290),
    "simpo": ({"beta": 0.5, "gamma": 0.3}, 0.838721407303),
    "simpo[gamma_ratio]": ({"beta": 0.5, "gamma_ratio": 0.3}, 0.756337935587),
    "orpo": ({"odds_weight": 0.2}, 0.468399045577),
    "orpo[sum]": ({"odds_weight": 0.2}, 0.764482169348),
    "bco[none]": ({"beta": 0.5}, 1.108373165250),
    "bco[running]": ({"beta": 0.5, "delta": 0.4}, 1.138419237815),
    "bco[batch]": ({"beta": 0.5}, 1.107865401766),
    "exo_pair[clamped]": ({"beta": 0.5, "smoothing": 0.0}, 1.795406462934),
    "exo_pair": ({"beta": 0.5, "smoothing": 0.1}, 0.233113812377),
    "cdpo": ({"beta": 0.5, "smoothing": 0.2}, 0.557181813119),
    "robust": ({"beta": 0.5, "smoothing": 0.2}, 0.236122398632),
}


def test_dialects_by_golden_values():
    """No two functions of one name: each dialect has its own number on the same pair."""
    one = problem(np.log([0.25, 0.5, 0.25]), reward=np.zeros(3), lengths=np.array([2.0, 3.0, 1.0]))
    pair = Population(jnp.zeros((1, 3, 3)).at[0, 0, 1].set(1.0))
    for name, (numbers, wanted) in GOLDEN.items():
        got = value_at(OBJECTIVES[name](**numbers), jnp.log(jnp.array([[0.5, 0.3, 0.2]])), pair, one)
        np.testing.assert_allclose(got, wanted, atol=2e-12, err_msg=name)
    assert len({round(value, 9) for _, value in GOLDEN.values()}) == len(GOLDEN)
