"""What kind of answer is a solution: unique, one of many, at infinity, not reached, or no answer to that question?"""

import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from sampling import sampled
from solver_cases import NEAR, N, P, given, make, run, soft, statuses

from didsim.landscape.solvers import Status, solve
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Dpo, Hinge, Kto
from didsim.samplers import Joint, Product, Restrict, Uniform
from didsim.worlds.preferences import BradleyTerry


def blocks(labels):
    """Uniform pairs within blocks; a negative label is never shown."""
    labels = np.array(labels)
    same = (labels[:, None] == labels) & (labels[:, None] >= 0)
    return np.broadcast_to(same / same.sum(), (P, N, N))


@pytest.mark.parametrize(
    ("labels", "components"),
    [
        ([0] * 8, 1),
        ([0, 0, 0, 1, 1, 1, 1, 1], 2),
        ([0, 1, 2, 0, 1, 2, 0, 1], 3),
        ([0] * 5 + [-1] * 3, 4),
        ([0] * 2 + [-1] * 6, 7),
    ],
)
@pytest.mark.parametrize("name", sampled(["dpo", "cdpo", "ipo[sum]", "exo_pair"], 2))
def test_disconnected_data_is_reported(name, labels, components):
    got = run(make(name), blocks(labels))
    assert np.all(got.undetermined == components - 1)
    assert statuses(got) == {"CONVERGED" if components == 1 else "NOT_UNIQUE"}


def test_open_directions_stay_where_the_start_was():
    """Sums of logits over a component, relative to each other, are those of the start; ratios within are the data's."""
    labels = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    start = oracles.normalize(np.random.default_rng(4).standard_normal((P, N)))
    got = run(Dpo(beta=0.7), blocks(labels), start=jnp.asarray(start))
    moved = np.asarray(got.log_policy) - start
    shift = moved[:, 6:7]
    for block in ([0, 1, 2], [3, 4, 5], [6], [7]):
        np.testing.assert_allclose(moved[:, block].mean(1), shift[:, 0], atol=NEAR)
        inside = (np.asarray(got.log_policy) - np.asarray(given().problem.log_target))[:, block]
        assert np.ptp(inside, axis=1).max() < NEAR or len(block) == 1
    elsewhere = run(Dpo(beta=0.7), blocks(labels))
    assert np.abs(elsewhere.log_policy - got.log_policy).max() > 0.1


@pytest.mark.parametrize("name", ["dpo", "simpo"])
@pytest.mark.parametrize("wins", ["hard", "beaten"])
def test_separable_labels_have_no_minimum(name, wins):
    wins = getattr(given(), wins)
    assert statuses(run(make(name), given().flat, wins)) == {"UNBOUNDED"}
    assert statuses(run(make(name), given().flat, 0.9 * wins + 0.1 * np.swapaxes(wins, 1, 2))) == {"CONVERGED"}


def test_kto_with_equal_weights_empties_the_losers():
    got = run(Kto(beta=0.5), given().flat, given().soft)
    assert statuses(got) <= {"UNBOUNDED", "STALLED", "OUT_OF_STEPS"}
    loses = given().soft.mean(2) < 0.5
    assert np.all(np.exp(np.asarray(got.log_policy))[loses] < 1e-6)


def test_too_few_steps_are_not_called_converged():
    assert statuses(run(Dpo(beta=0.7), steps=1)) == {"OUT_OF_STEPS"}


def nowhere():
    """A sampler whose restriction leaves it no mass."""
    return Restrict(Product(jnp.log(jnp.eye(N)[0]), jnp.log(jnp.eye(N)[1])), jnp.arange(N) > 3)


ERRORS = {
    "labels alone": (
        lambda: {"labels": BradleyTerry()},
        "Argument `sampler` must be given when the other of sampler and labels is.",
    ),
    "sampler alone": (lambda: {"sampler": Uniform()}, "Argument `labels` must be given when the other of sampler and labels is."),
    "steps": (lambda: {"steps": 0}, "Argument `steps` must be an integer of at least 1, but is 0."),
    "starts": (lambda: {"starts": 0}, "Argument `starts` must be an integer of at least 1, but is 0."),
    "seed": (lambda: {"seed": -1}, "Argument `seed` must be an integer of at least 0 and below 4294967296, but is -1."),
    "start": (
        lambda: {"start": jnp.zeros((P, N + 1))},
        "Argument `start` must have the shape of `problem.log_ref`, (3, 8), but has (3, 9).",
    ),
    "no pairs": (
        lambda: {"sampler": nowhere(), "labels": BradleyTerry()},
        "Argument `sampler` must give every prompt a pair law of total probability 1, but Restrict gives nan.",
    ),
    "half a law": (
        lambda: {"sampler": Joint(jnp.log(jnp.asarray(0.5 * given().shown))), "labels": BradleyTerry()},
        "Argument `log_joint` must be normalised (total probability 1), but a law in it sums to 0.5; "
        "didsim.simplex.normalize does it.",
    ),
}


@pytest.mark.parametrize("case", sorted(ERRORS))
def test_bad_arguments_are_named(case):
    settings, message = ERRORS[case]
    with pytest.raises(ArgumentError) as raised:
        solve(given().problem, Hinge(), **settings())
    assert str(raised.value) == message


WRONG_PARTS = """
import jax.numpy as jnp, didsim
from didsim import objectives, preferences, samplers
world = didsim.problem(jnp.log(jnp.full(3, 1 / 3)), reward=jnp.arange(3.0))
dpo, pairs, labels = objectives.Dpo(), samplers.Uniform(), preferences.AsShown()
for solver in (didsim.solve, lambda *parts: didsim.solve_policy(*parts[:2], didsim.policies.Table(), *parts[2:])):
    for parts in (("dpo",), (objectives.Dpo,), (dpo, "uniform", labels), (dpo, pairs, preferences.AsShown)):
        try:
            solver(world, *parts)
        except didsim.ArgumentError as error:
            print(error)
"""


def test_names_and_classes_are_no_parts():
    """In a program of its own: here the type checker of the test run would be first to complain."""
    told = subprocess.run([sys.executable, "-c", WRONG_PARTS], capture_output=True, text=True, check=True, timeout=120).stdout
    wanted = [
        "Argument `objective` must be an object such as didsim.objectives.Dpo(beta=0.1), but is 'dpo'.",
        "Argument `objective` must be an object such as didsim.objectives.Dpo(beta=0.1), but is the class Dpo.",
        "Argument `sampler` must be an object such as didsim.samplers.Uniform(), but is 'uniform'.",
        "Argument `labels` must be an object such as didsim.preferences.BradleyTerry(), but is the class AsShown.",
    ]
    assert told.splitlines() == 2 * wanted


def test_statuses_are_words_and_stay_numbers():
    status = Status.NOT_UNIQUE
    assert [str(status), repr(status), f"{status}"] == 3 * ["not unique"]
    assert (int(status), f"{status:d}", json.dumps({"status": status}), np.asarray(status)) == (1, "1", '{"status": 1}', 1)


def test_solutions_are_one_line():
    found = soft("dpo")
    assert re.fullmatch(r"Solution\(log_policy=float64\[3,8\], 3 converged, gradient \de-\d\d\)", repr(found))
    assert "3 out of steps" in repr(run(Dpo(beta=0.7), steps=1))
    assert repr(jax.tree.map(lambda _: None, found)) == "Solution(log_policy=None, …)"
    seen = []
    jax.jit(lambda traced: seen.append(repr(traced)) or traced.value)(found)
    assert seen == ["Solution(log_policy=float64[3,8], …)"]
