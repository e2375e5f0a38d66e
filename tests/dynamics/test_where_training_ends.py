"""Where does training end: at a small gradient, out of steps, beyond all numbers, and at which law?"""

import numpy as np
import oracles
import pytest
from contracts import assert_close
from objective_cases import make
from problem_cases import BETA, P, given
from tolerance import tolerance
from training_cases import gradient, watch

from didsim.dynamics import Sgd, train
from didsim.landscape.solvers import Status
from didsim.objectives import Dpo, IpoSum, SimPo
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry


def test_a_run_stops_when_the_gradient_is_small():
    settings = {"steps": 400, "records": 20, "optimiser": Sgd(4.0), "metrics": watch}
    run = train(given().problem, make("dpo"), given().pairs, BradleyTerry(), stop_below=1e-3, **settings)
    logits, taken = given().ref.copy(), 0
    while np.linalg.norm(gradient("dpo", logits)) > 1e-3:
        logits, taken = logits - 4.0 * gradient("dpo", logits), taken + 1
    assert Status(int(run.status)) == Status.CONVERGED
    assert run.steps_taken == taken < 400
    assert_close(run.params, logits, atol=1e-12)
    np.testing.assert_allclose(run.gradient_norm, np.linalg.norm(gradient("dpo", logits)), atol=tolerance())
    after = run.metrics["log_policy"][np.asarray(run.steps) >= taken]
    assert np.all(np.asarray(after) == np.asarray(run.log_policy))
    full = train(given().problem, make("dpo"), given().pairs, BradleyTerry(), stop_below=0.0, **settings)
    assert Status(int(full.status)) == Status.OUT_OF_STEPS
    assert full.steps_taken == 400


def test_a_diverging_rate_is_not_called_an_answer():
    settings = {"optimiser": Sgd(1e3), "steps": 300, "metrics": watch}
    run = train(given().problem, IpoSum(beta=0.1), given().pairs, BradleyTerry(), **settings)
    assert Status(int(run.status)) == Status.NOT_FINITE
    settings["optimiser"] = Sgd(0.5)
    assert (
        Status(int(train(given().problem, IpoSum(beta=0.1), given().pairs, BradleyTerry(), **settings).status))
        == Status.OUT_OF_STEPS
    )


# Where runs end.  Chosen and rejected draws of one geodesic (D4): π_w = π_ref, π_l ∝ π_ref (π_ref/π*)^β.


def power():
    """The problem whose chosen and rejected draws lie on its own geodesic."""
    return problem(given().ref, reward=given().reward, beta=BETA)


def end_of(objective):
    run = train(power(), objective, steps=10_000, optimiser=Sgd(3.0 * P / BETA), records=2, stop_below=1e-13)
    assert Status(int(run.status)) == Status.CONVERGED
    return np.asarray(run.log_policy)


def test_dpo_training_reaches_the_target():
    """D5, and its control: at β' ≠ β it ends on the geodesic at β/β', which is not π*."""
    target = np.asarray(power().log_target)
    np.testing.assert_allclose(end_of(Dpo(beta=BETA)), target, atol=1e-10)
    for wrong in (0.5, 1.0):
        end = end_of(Dpo(beta=wrong))
        np.testing.assert_allclose(end, oracles.normalize(given().ref + BETA / wrong * (target - given().ref)), atol=1e-10)
        assert np.abs(end - target).max() > 0.1


@pytest.mark.slow
def test_simpo_training_ends_at_the_differential_information():
    """D6: the reference-free reward learns π*/π_ref, not π*."""
    end, target = end_of(SimPo(beta=BETA)), np.asarray(power().log_target)
    np.testing.assert_allclose(end, oracles.normalize(target - given().ref), atol=1e-10)
    assert np.abs(end - target).max() > 0.1
