"""Which numbers and parts does an objective refuse, and what does it say?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from objective_cases import make
from problem_cases import given

from didsim.numerics.checks import ArgumentError
from didsim.objectives import (
    OBJECTIVES,
    AlphaDpo,
    AlphaPo,
    BcoRunning,
    BestOfSft,
    ChiPo,
    ConservativeDpo,
    Cpo,
    DiscoPop,
    Dpo,
    Dpop,
    ExoPair,
    ExoPairClamped,
    Hinge,
    Kto,
    LengthDpo,
    OffsetDpo,
    Orpo,
    OrpoSum,
    Rebel,
    RobustDpo,
    SimPo,
    SimPoRatio,
    Slic,
    Sppo,
    responses,
)


def bad(kind, field, value, allowed):
    return pytest.param(kind, field, value, allowed, id=f"{kind.name}-{field}-{value}")


POSITIVE, COUNT = "positive and finite", "finite and at least 0"
BETAS = [kind for kind in OBJECTIVES.values() if "beta" in kind.__dataclass_fields__]
ERRORS = [bad(kind, "beta", value, POSITIVE) for kind in BETAS for value in (0.0, -0.1, np.nan, np.inf)]
POSITIVES = [(Rebel, "eta"), (Sppo, "eta"), (DiscoPop, "temperature"), (AlphaPo, "alpha"), (ChiPo, "reward_bound")]
ERRORS += [bad(kind, field, value, POSITIVE) for kind, field in POSITIVES for value in (0.0, np.nan)]
ERRORS += [bad(AlphaDpo, "alpha", value, "in [0, 2]") for value in (-0.1, 2.5, np.nan)]
ERRORS += [bad(BcoRunning, "delta", value, "finite") for value in (np.nan, np.inf)]
ERRORS += [bad(RobustDpo, "smoothing", value, "in [0, 0.5)") for value in (-0.1, 0.5, np.nan)]
ERRORS += [bad(ExoPairClamped, "smoothing", value, "in [0, 0.5]") for value in (-0.1, 0.6)]
ERRORS += [bad(Slic, "margin", value, POSITIVE) for value in (0.0, -1.0, np.nan)]
ERRORS += [bad(Kto, field, value, POSITIVE) for field in ("desirable", "undesirable") for value in (0.0, np.nan)]
ERRORS += [bad(ExoPair, "smoothing", value, POSITIVE) for value in (0.0, np.nan)]
ERRORS += [bad(ExoPair, "smoothing", 0.6, "in [0, 0.5]")]
ERRORS += [bad(ConservativeDpo, "smoothing", value, "in [0, 0.5)") for value in (-0.1, 0.5, np.nan)]
AT_LEAST = [(Slic, "nll_weight"), (Cpo, "nll_weight"), (SimPo, "gamma"), (Orpo, "odds_weight"), (Dpop, "penalty")]
AT_LEAST += [(LengthDpo, "length_weight"), (OffsetDpo, "offset"), (OrpoSum, "odds_weight"), (SimPoRatio, "gamma_ratio")]
AT_LEAST += [(AlphaPo, "gamma"), (ChiPo, "width"), (Hinge, "width"), (Slic, "width"), (Dpop, "width")]
ERRORS += [bad(kind, field, value, COUNT) for kind, field in AT_LEAST for value in (-0.1, np.nan)]


@pytest.mark.parametrize(("kind", "field", "value", "allowed"), ERRORS)
def test_bad_numbers_are_named(kind, field, value, allowed):
    with pytest.raises(ArgumentError) as raised:
        kind(**{field: value})
    assert str(raised.value) == f"Argument `{field}` must be {allowed}, but is {value:g}."


def test_draws_are_a_whole_number():
    with pytest.raises(ArgumentError, match="Argument `draws` must be an integer of at least 1, but is 0"):
        BestOfSft(0)


def test_numbers_are_swept_by_vmap_not_in_one_objective():
    with pytest.raises(ArgumentError, match=r"Argument `beta` must be one number, but has shape \(2,\)\."):
        Dpo(beta=jnp.array([0.1, -1.0]))
    assert jax.vmap(Dpo)(jnp.array([0.1, 1.0])).beta.shape == (2,)


def test_unpaired_objectives_have_no_pair_parts():
    with pytest.raises(TypeError, match="objective 'sft' has no link"):
        make("sft").link(jnp.zeros(()))
    with pytest.raises(TypeError, match="objective 'sft' has no implicit reward"):
        make("sft").chosen_reward(responses(given().problem, given().problem.log_ref))
