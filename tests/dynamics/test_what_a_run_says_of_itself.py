"""What do runs and trajectories say: as a dataset, in one line, and to who gives a name for an object?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import didsim
from didsim import objectives, policies, preferences, samplers, worlds
from didsim.dynamics import Adam, Plain, ProjectedGradient, Rounds, Run, Sgd, train
from didsim.dynamics.descent import evaluates_at_every_step
from didsim.dynamics.run import execute, run_key
from didsim.numerics.checks import ArgumentError
from didsim.sweeps import sweep


@pytest.fixture(scope="module")
def world():
    return didsim.problem(jnp.log(jnp.asarray([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])), reward=jnp.arange(3.0), beta=0.5)


def watch(world, objective, log_policy, comparisons):
    return {"loss": jnp.ones(()), "mean_law": jnp.exp(log_policy).mean(0)}


SETTINGS = {
    "plain": {},
    "every step": {"steps": 8, "records": 50},
    "stopped": {"stop_below": 1e-2, "optimiser": Sgd(2.0)},
    "drawn": {"pairs": 3},
    "rounds": {"pairs": 3, "rounds": Rounds(inner=6)},
    "metrics": {"metrics": watch},
}


@pytest.mark.parametrize("case", sorted(SETTINGS))
def test_a_dataset_of_a_run_is_that_of_its_sweep(world, case):
    settings = {"steps": 30, "records": 6, "optimiser": Adam(0.1), **SETTINGS[case]}
    mine = train(world, objectives.Dpo(0.5), **settings, seed=2).to_dataset()
    swept = sweep(Run(worlds.Given(world), objectives.Dpo(0.5), **settings), seeds=[2]).isel(seed=0, drop=True)
    del swept.attrs["seconds"]
    xr.testing.assert_allclose(mine, swept, atol=1e-12)
    assert list(mine.variables) == list(swept.variables)
    assert mine.attrs == swept.attrs
    for name in mine.variables:
        assert mine[name].dims == swept[name].dims
        assert mine[name].dtype == swept[name].dtype
        assert mine[name].attrs == swept[name].attrs


def test_a_batch_has_no_dataset_of_its_own(world):
    run = Run(worlds.Given(world), objectives.Dpo(0.5), steps=3)
    batch = jax.vmap(execute, in_axes=(None, 0))(run, jax.vmap(run_key)(jnp.arange(2)))
    with pytest.raises(ArgumentError, match=r"`trajectory` must be one run, but is a batch of shape \(2,\); didsim.sweep"):
        batch.to_dataset()


def test_runs_and_trajectories_are_one_line(world):
    run = Run(worlds.Given(world), objectives.Dpo(0.5), steps=3, pairs=2)
    assert repr(run) == "Run(world=Given(given=Problem(…)), objective=Dpo(beta=0.5), steps=3, pairs=2)"
    short = train(world, objectives.Dpo(0.5), steps=3)
    assert repr(short).startswith("Trajectory(steps=3, records=4, log_policy=float64[2,3], metrics=13, out of steps, gradient ")
    assert "2 out of steps" in repr(jax.vmap(execute, in_axes=(None, 0))(run, jax.vmap(run_key)(jnp.arange(2))))
    seen = []
    jax.jit(lambda traced: seen.append(repr(traced)) or traced.status)(short)
    assert seen == ["Trajectory(steps=3, records=4, log_policy=float64[2,3], metrics=13, …)"]
    assert repr(jax.tree.map(lambda _: None, short)).startswith("Trajectory(")


WRONG = {
    "objective name": ({"objective": "dpo"}, "objective", "didsim.objectives.Dpo(beta=0.1)", "'dpo'"),
    "objective class": ({"objective": objectives.Dpo}, "objective", "didsim.objectives.Dpo(beta=0.1)", "the class Dpo"),
    "sampler": ({"sampler": "uniform"}, "sampler", "didsim.samplers.Uniform()", "'uniform'"),
    "labels": ({"labels": preferences.AsShown}, "labels", "didsim.preferences.BradleyTerry()", "the class AsShown"),
    "policy": ({"policy": policies.Table}, "policy", "didsim.policies.Table()", "the class Table"),
    "optimiser": ({"optimiser": "adam"}, "optimiser", "didsim.dynamics.Adam(learning_rate=0.02)", "'adam'"),
    "rule": ({"rule": ProjectedGradient}, "rule", "didsim.dynamics.ProjectedGradient()", "the class ProjectedGradient"),
    "rounds": ({"rounds": 10}, "rounds", "didsim.dynamics.Rounds(inner=10)", "10"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_name_or_class_for_an_object_is_refused_in_one_line(world, case):
    changes, argument, example, given = WRONG[case]
    message = f"Argument `{argument}` must be an object such as {example}, but is {given}."
    parts = {
        "objective": objectives.Dpo(), "sampler": samplers.Uniform(), "labels": preferences.BradleyTerry(), **changes
    }  # fmt: skip
    with pytest.raises(ArgumentError) as raised:
        train(world, **parts)
    assert str(raised.value) == message
    with pytest.raises(ArgumentError) as raised:
        Run(worlds.Given(world), **parts)
    assert str(raised.value) == message


def test_worlds_problems_and_runs_are_not_taken_for_each_other(world):
    with pytest.raises(ArgumentError, match=r"`problem` must be an object such as didsim.problem\(.*\), but is 'world'"):
        train("world", objectives.Dpo())
    with pytest.raises(
        ArgumentError, match=r"`world` must be an object such as didsim.worlds.RandomTarget\(n=8\), but is 'given'"
    ):
        Run("given", objectives.Dpo())
    with pytest.raises(ArgumentError, match=r"`run` must be an object such as didsim.Run\(world, objective\), but is 'run'"):
        sweep("run")
    run = Run(worlds.Given(world), objectives.Dpo())
    with pytest.raises(ArgumentError, match=r"`objective` must be an object such as .*, but is 'dpo'"):
        sweep(run, {"objective": ["dpo"]})
    with pytest.raises(ArgumentError, match=r"`reference` must be an object such as didsim.dynamics.IteratedReference\(\)"):
        Rounds(reference="fixed")


def test_optax_transformations_are_optimisers_and_runs_hold_their_data(world):
    short = train(world, objectives.Dpo(), optimiser=optax.sgd(1.0), rule=Plain(), steps=2)
    assert np.all(np.isfinite(short.log_policy))
    run = Run(worlds.Given(world), objectives.Dpo(), samplers.Uniform(), preferences.BradleyTerry())
    assert (run.data.sampler, run.data.labels) == (run.sampler, run.labels)
    assert evaluates_at_every_step((0, 1, 2), None)
    assert not evaluates_at_every_step((0, 2), None)
    assert not evaluates_at_every_step((0, 1, 2), 0.0)
