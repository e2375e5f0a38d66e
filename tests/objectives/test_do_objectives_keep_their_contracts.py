"""Do objectives keep their contracts: compiled, mapped, in single precision and at the ends of the range?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_jit_and_vmap, assert_round_trip
from loss_cases import KINDS, NAMES, case_of, value_and_gradient
from objective_cases import make, value_at
from problem_cases import given, narrow
from sampling import picked
from tolerance import tolerance

from didsim import simplex
from didsim.objectives import (
    OBJECTIVES,
    ChiPo,
    Hinge,
    responses,
)
from didsim.worlds import problem


def quick(names):
    return pytest.mark.parametrize("name", picked(NAMES, names))


@quick(KINDS[::2])
def test_contracts(name):
    assert_round_trip(make(name))
    comparisons = case_of("joint flipped").population
    others = [jax.tree.map(lambda leaf, by=by: jnp.asarray(leaf * by), make(name)) for by in (1.0, 0.9, 0.8)]
    assert_jit_and_vmap(lambda o, t: value_at(o, t, comparisons, given().problem), *[(o, given().logits) for o in others])


@quick(KINDS[1::2])
def test_single_precision_agrees(name):
    arguments = given().logits, case_of("joint flipped").population, given().problem
    wide = value_and_gradient(make(name), *arguments)
    value, slope = value_and_gradient(make(name), *narrow(arguments))
    assert value.dtype == slope.dtype == jnp.float32
    np.testing.assert_allclose(value, wide[0], atol=tolerance(np.float32), rtol=tolerance(np.float32))
    np.testing.assert_allclose(slope, wide[1], atol=tolerance(np.float32))


def test_links_do_not_overflow():
    plain = [OBJECTIVES[name]() for name in NAMES if OBJECTIVES[name].paired and not name.startswith(("discopop", "bpo"))]
    for objective in (*plain, Hinge().smoothed(1e-3), ChiPo().smoothed(1e-3)):
        for margin in (-1e4, 0.0, 1e4):
            value, slope = jax.value_and_grad(objective.link)(jnp.asarray(margin))
            assert np.isfinite(value)
            assert np.isfinite(slope)


def test_orpo_odds_of_a_sure_response_are_finite():
    sure = simplex.normalize(jnp.array([[0.0, -800.0], [0.0, -40.0]]))
    seen = responses(problem(np.log([[0.5, 0.5]] * 2), reward=np.zeros(2)), sure)
    assert np.all(np.isfinite(seen.log_odds))
