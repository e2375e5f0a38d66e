"""What do runs and trajectories say: as a dataset, in one line, and to who gives a name for an object?"""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from sampling import sampled

import didsim
from didsim import objectives, preferences, samplers, worlds
from didsim.dynamics import Adam, Plain, Rounds, Run, Sgd, train
from didsim.dynamics.descent import evaluates_at_every_step
from didsim.dynamics.run import execute, run_key
from didsim.numerics.checks import ArgumentError
from didsim.sweeps import sweep


@pytest.fixture(scope="module")
def world():
    return didsim.problem(jnp.log(jnp.asarray([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])), reward=jnp.arange(3.0), beta=0.5)


def watch(world, objective, log_policy, comparisons):
    return {"loss": jnp.ones(()), "mean_law": jnp.exp(log_policy).mean(0)}


@pytest.fixture(scope="module")
def batched(world):
    """A run, and two of it at once that measure little."""
    run = Run(worlds.Given(world), objectives.Dpo(0.5), steps=3, pairs=2)
    many = jax.jit(jax.vmap(execute, in_axes=(None, 0)))
    return run, many(dataclasses.replace(run, metrics=watch), jax.vmap(run_key)(jnp.arange(2)))


SETTINGS = {
    "plain": {},
    "every step": {"steps": 8, "records": 50},
    "stopped": {"stop_below": 1e-2, "optimiser": Sgd(2.0)},
    "drawn": {"pairs": 3},
    "rounds": {"pairs": 3, "rounds": Rounds(inner=6)},
    "metrics": {"metrics": watch},
}


@pytest.mark.parametrize("case", sampled(["plain", *sorted(SETTINGS.keys() - {"plain"})], 6))
def test_a_dataset_of_a_run_is_that_of_its_sweep(world, case):
    settings = {"steps": 30, "records": 6, "optimiser": Adam(0.1), **SETTINGS[case]}
    mine = train(world, objectives.Dpo(0.5), **settings, seed=2).to_dataset()
    swept = sweep(Run(worlds.Given(world), objectives.Dpo(0.5), **settings), seeds=[2]).isel(seed=0, drop=True)
    del swept.attrs["seconds"]
    xr.testing.assert_allclose(mine, swept, atol=1e-12)
    assert set(mine.variables) == set(swept.variables)
    assert mine.attrs == swept.attrs
    for name in mine.variables:
        assert mine[name].dims == swept[name].dims
        assert mine[name].dtype == swept[name].dtype
        assert mine[name].attrs == swept[name].attrs


def test_a_batch_has_no_dataset_of_its_own(batched):
    with pytest.raises(ArgumentError, match=r"`trajectory` must be one run, but is a batch of shape \(2,\); didsim.sweep"):
        batched[1].to_dataset()


def test_runs_and_trajectories_are_one_line(world, batched):
    run, batch = batched
    assert repr(run) == "Run(world=Given(…), objective=Dpo(beta=0.5), steps=3, pairs=2)"
    short = train(world, objectives.Dpo(0.5), steps=3, metrics=watch)
    numbers = f"metrics={len(short.metrics)}"
    assert repr(short).startswith(f"Trajectory(steps=3, records=4, log_policy=float64[2,3], {numbers}, out of steps, gradient ")
    assert "2 out of steps" in repr(batch)
    seen = []
    jax.jit(lambda traced: seen.append(repr(traced)) or traced.status)(short)
    assert seen == [f"Trajectory(steps=3, records=4, log_policy=float64[2,3], {numbers}, …)"]


WRONG_PARTS = """
import jax.numpy as jnp, didsim
from didsim import dynamics, objectives, policies, preferences, samplers, worlds
world = didsim.problem(jnp.log(jnp.full(3, 1 / 3)), reward=jnp.arange(3.0))
given, dpo = worlds.Given(world), objectives.Dpo()
data = {"sampler": samplers.Uniform(), "labels": preferences.BradleyTerry()}

def refused(make):
    try:
        make()
    except didsim.ArgumentError as error:
        print(error)

for start in (lambda **parts: didsim.train(world, **parts), lambda **parts: didsim.Run(given, **parts)):
    for wrong in (
        {"objective": "dpo"},
        {"objective": objectives.Dpo},
        {"sampler": "uniform"},
        {"labels": preferences.AsShown},
        {"policy": policies.Table},
        {"optimiser": "adam"},
        {"rule": dynamics.ProjectedGradient},
        {"rounds": 10},
    ):
        refused(lambda: start(**{"objective": dpo, **data, **wrong}))
refused(lambda: didsim.train("world", dpo))
refused(lambda: didsim.Run("given", dpo))
refused(lambda: didsim.sweep("run"))
refused(lambda: didsim.sweep(didsim.Run(given, dpo), {"objective": ["dpo"]}))
refused(lambda: dynamics.Rounds(reference="fixed"))
"""


def test_a_name_or_class_for_an_object_is_refused_in_one_line():
    """In a program of its own: here the type checker of the test run would be first to complain."""
    words = [sys.executable, "-c", WRONG_PARTS]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    parts = [
        ("objective", "didsim.objectives.Dpo(beta=0.1)", "'dpo'"),
        ("objective", "didsim.objectives.Dpo(beta=0.1)", "the class Dpo"),
        ("sampler", "didsim.samplers.Uniform()", "'uniform'"),
        ("labels", "didsim.preferences.BradleyTerry()", "the class AsShown"),
        ("policy", "didsim.policies.Table()", "the class Table"),
        ("optimiser", "didsim.dynamics.Adam(learning_rate=0.02)", "'adam'"),
        ("rule", "didsim.dynamics.ProjectedGradient()", "the class ProjectedGradient"),
        ("rounds", "didsim.dynamics.Rounds(inner=10)", "10"),
    ]
    others = [
        ("problem", "didsim.problem(log_ref, reward=reward, beta=0.5)", "'world'"),
        ("world", "didsim.worlds.RandomTarget(n=8)", "'given'"),
        ("run", "didsim.Run(world, objective)", "'run'"),
        ("objective", "didsim.objectives.Dpo(beta=0.1)", "'dpo'"),
        ("reference", "didsim.dynamics.IteratedReference()", "'fixed'"),
    ]
    line = "Argument `{}` must be an object such as {}, but is {}."
    wanted = [line.format(*row) for row in 2 * parts + others]
    assert printed.splitlines() == wanted


def test_optax_transformations_are_optimisers_and_runs_hold_their_data(world):
    short = train(world, objectives.Dpo(), optimiser=optax.sgd(1.0), rule=Plain(), steps=2, metrics=watch)
    assert np.all(np.isfinite(short.log_policy))
    run = Run(worlds.Given(world), objectives.Dpo(), samplers.Uniform(), preferences.BradleyTerry())
    assert (run.data.sampler, run.data.labels) == (run.sampler, run.labels)
    assert evaluates_at_every_step((0, 1, 2), None)
    assert not evaluates_at_every_step((0, 2), None)
    assert not evaluates_at_every_step((0, 1, 2), 0.0)
