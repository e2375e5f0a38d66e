"""D4-D7: what population DPO learns from chosen and rejected draws, and which draws teach the target."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from random_laws import DTYPES, MANY, N, cast, extent, worst
from sampling import sampled
from tolerance import tolerance

from didsim import did, simplex
from didsim.numerics.checks import ArgumentError
from didsim.worlds.preferences import BradleyTerry

HALF, SURE, THIRDS = (np.log([0.5, 0.5]), np.array([0.0, -np.inf]), np.log([1 / 3] * 3))


@pytest.mark.parametrize("dtype", sampled(reversed(DTYPES), 2))
def test_d4_under_the_power_law_preferences_carry_the_did(dtype):
    chosen, ref, target, beta = cast(dtype, MANY.chosen, MANY.ref, MANY.target, MANY.betas)
    wanted = oracles.bradley_terry(MANY.betas[:, None] * (MANY.target - MANY.ref))

    def gap(rejected):
        return worst(BradleyTerry().matrix(did.log_did(chosen, rejected)), wanted)

    near = tolerance(dtype, condition=20.0 * extent(MANY.ref, MANY.target, MANY.chosen))
    assert gap(did.optimal_rejected(chosen, ref, target, beta)) < near
    assert gap(did.optimal_rejected(chosen, ref, target, 1.1 * beta)) > 0.02
    assert gap(jnp.asarray(MANY.rejected, dtype)) > 0.1


@pytest.mark.parametrize("dtype", DTYPES)
def test_d7_best_rejected_law_teaches_the_target(dtype):
    chosen, ref, target, beta = cast(dtype, MANY.chosen, MANY.ref, MANY.target, MANY.betas)

    def gap(rejected):
        return worst(did.learned_policy(chosen, rejected, ref, beta), target, scale=(1.0 + 1.0 / MANY.betas)[:, None])

    near = tolerance(dtype, condition=20.0 * extent(MANY.ref, MANY.target, MANY.chosen))
    assert gap(did.optimal_rejected(chosen, ref, target, beta)) < near
    assert gap(did.optimal_rejected(chosen, ref, target, 1.1 * beta)) > 0.02  # β' ≠ β stops elsewhere on the geodesic
    assert gap(did.optimal_rejected(chosen, target, ref, beta)) > 0.1


def test_d5_population_gradient_vanishes_at_the_learned_policy():
    rows = range(0, MANY.count, 100)
    got = np.asarray(did.learned_policy(*cast(np.float64, MANY.chosen, MANY.rejected, MANY.ref, MANY.betas)))

    def steepest(logits):
        return max(
            np.abs(oracles.dpo_gradient(logits[i], MANY.ref[i], MANY.chosen[i], MANY.rejected[i], MANY.betas[i])).max()
            for i in rows
        )

    assert steepest(got) < tolerance(condition=20.0)
    assert steepest(MANY.target) > 1e-3


def test_d5_wrong_inverse_temperature_lands_on_the_geodesic():
    chosen, ref, target = cast(np.float64, MANY.chosen, MANY.ref, MANY.target)
    rejected = did.optimal_rejected(chosen, ref, target, 0.5)
    got = did.learned_policy(chosen, rejected, ref, 2.0)
    assert worst(got, simplex.geodesic(ref, target, 0.25)) < tolerance(condition=extent(MANY.ref, MANY.target, MANY.chosen))
    assert worst(got, target) > 0.1


def test_d6_reference_free_limit_is_the_did_under_the_power_law():
    chosen, ref, target = cast(np.float64, MANY.chosen, MANY.ref, MANY.target)
    rejected = did.optimal_rejected(chosen, ref, target, 0.5)
    got = did.reference_free_limit(chosen, rejected, 0.5)
    assert worst(got, did.log_did(target, ref)) < tolerance(condition=extent(MANY.ref, MANY.target, MANY.chosen))
    assert worst(got, target) > 0.1


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_responses_and_nearly_sure_laws(dtype):
    sure = jnp.asarray([-1e-30, -80.0], dtype)
    even = jnp.log(jnp.asarray([0.5, 0.5], dtype))
    q = did.log_did(sure, even)
    assert_close(q, sure)
    rejected = did.optimal_rejected(even, even, sure, 0.1)
    assert_close(did.learned_policy(even, rejected, even, 0.1), sure, atol=tolerance(dtype, condition=800.0))


def test_beta_broadcasts_over_leading_axes():
    chosen, rejected, ref = cast(np.float64, MANY.chosen[:6], MANY.rejected[:6], MANY.ref[:6])
    betas = jnp.array([0.5, 1.0, 2.0])
    got = did.learned_policy(*(a.reshape(2, 3, N) for a in (chosen, rejected, ref)), betas)
    for i in range(2):
        for j, beta in enumerate((0.5, 1.0, 2.0)):
            row = 3 * i + j
            assert_close(got[i, j], did.learned_policy(chosen[row], rejected[row], ref[row], beta))


def test_jit_agrees():
    chosen, rejected, ref, beta = cast(np.float64, MANY.chosen, MANY.rejected, MANY.ref, MANY.betas)
    for function, arguments in (
        (did.log_did, (chosen, ref)),
        (did.learned_policy, (chosen, rejected, ref, beta)),
        (did.optimal_rejected, (chosen, ref, rejected, beta)),
    ):
        wanted = function(*arguments)
        assert_close(jax.jit(function)(*arguments), wanted, rtol=tolerance(), atol=tolerance(condition=10.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: did.learned_policy(HALF, SURE, HALF, 1.0),
            "`log_rejected` must give every response some mass, but is -inf at index 1",
        ),
        (
            lambda: did.learned_policy(SURE, HALF, HALF, 1.0),
            "`log_chosen` must give every response some mass, but is -inf at index 1",
        ),
        (
            lambda: did.learned_policy(HALF, HALF, THIRDS, 1.0),
            "`log_ref` must have as many responses as `log_chosen`, 2, but has 3",
        ),
        (lambda: did.learned_policy(HALF, HALF, HALF, 0.0), "`beta` must be positive and finite, but is 0"),
        (lambda: did.learned_policy(HALF, HALF, HALF, np.inf), "`beta` must be positive and finite, but is inf"),
        (
            lambda: did.optimal_rejected(HALF, HALF, SURE, 1.0),
            "`log_target` must give every response some mass, but is -inf at index 1",
        ),
        (lambda: did.optimal_rejected(HALF, HALF, HALF, -2.0), "`beta` must be positive and finite, but is -2"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call()
