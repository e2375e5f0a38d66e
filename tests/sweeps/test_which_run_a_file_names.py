"""Which run, and which sweep, does a file name, and what is refused with a message that helps?"""

import re

import jax
import numpy as np
import pytest

import didsim
from didsim import objectives, policies, preferences, samplers, worlds
from didsim.dynamics import ParameterAverage, Rounds, Sgd
from didsim.dynamics.run import execute, run_key
from didsim.numerics.sequences import SequenceSpace
from didsim.numerics.texts import read_toml
from didsim.sweeps import sweep
from didsim.sweeps.toml import axes_from, run_from, sweep_from

FULL = """
steps = 30
records = 5
[world]
name = "random_reward"
n = 6
prompts = 2
[objective]
name = "dpo"
beta = 0.5
[sampler]
name = "mix"
first = "uniform"
second = {name = "restrict", base = "reference", support = [true, true, true, false, false, true]}
share = 0.25
[labels]
name = "flipped"
rate = 0.1
base = "bradley_terry"
[policy]
name = "log_linear"
features = [[0.0], [1.0], [2.0], [0.0], [1.0], [2.0]]
[optimiser]
name = "sgd"
learning_rate = 0.5
"""
ROUNDS = FULL + '[rounds]\ninner = 10\ndepth = 2\nreference = {name = "parameter_average", rate = 0.25}\n'


def _write(folder, text):
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_a_full_config_builds_the_run_it_names(tmp_path):
    run = run_from(read_toml(_write(tmp_path, FULL)))
    assert isinstance(run.world, worlds.RandomReward)
    assert run.objective == objectives.Dpo(0.5)
    assert isinstance(run.sampler, samplers.Mix)
    assert isinstance(run.sampler.second, samplers.Restrict)
    assert run.labels == preferences.Flipped(preferences.BradleyTerry(), 0.1)
    assert isinstance(run.policy, policies.LogLinear)
    assert run.optimiser == Sgd(0.5)
    path = jax.jit(execute)(run, run_key(0))
    assert np.all(np.isfinite(path.log_policy))


def test_laws_can_come_from_files(tmp_path):
    np.save(tmp_path / "ref.npy", np.log([0.5, 0.3, 0.2]))
    text = '[world]\nname = "given"\nlog_ref = "ref.npy"\nreward = [0.0, 1.0, 2.0]\nbeta = 0.5\n[objective]\nname = "rlhf"\n'
    run = run_from(read_toml(_write(tmp_path, text)), tmp_path)
    assert run.world.given.log_target.shape == (1, 3)


def test_sequences_are_built_from_a_table():
    space = {"vocabulary": 3, "length": 2, "ends": True}
    world = {"name": "random_sequences", "space": space, "beta": 0.5}
    run = run_from({"world": world, "objective": "dpo", "policy": {"name": "k_gram", "space": space, "k": 1}})
    assert run.world.space == run.policy.space == SequenceSpace(3, 2, ends=True)
    assert run.policy.context.tolist() == [0, 1, 2]
    for bad, message in (
        ({"vocabulary": 3}, "`policy.space` must be a table with"),
        ({**space, "end": 1}, "Did you mean 'ends'"),
    ):
        with pytest.raises(didsim.ArgumentError, match=message):
            run_from({"world": world, "objective": "dpo", "policy": {"name": "transformer", "space": bad}})


def test_rounds_and_their_references(tmp_path):
    run = run_from(read_toml(_write(tmp_path, ROUNDS)))
    assert run.rounds == Rounds(inner=10, depth=2, reference=ParameterAverage(0.25))
    table = {"rounds": [{"inner": 10}, {"inner": 30, "age": 1}]}
    assert axes_from(table) == {"rounds": {"inner=10": Rounds(inner=10), "inner=30 age=1": Rounds(inner=30, age=1)}}


@pytest.mark.slow  # axes of parts are trained in test_is_a_sweep_its_single_runs, and rounds in the room of dynamics
def test_references_of_rounds_can_be_an_axis(tmp_path):
    run = run_from(read_toml(_write(tmp_path, ROUNDS)))
    axes = axes_from({"rounds": {"reference": ["fixed", {"name": "parameter_average", "rate": 0.25}]}})
    data = sweep(run, axes, seeds=2)["loss"].isel(record=-1)
    assert list(data["reference"].values) == ["fixed", "parameter_average"]
    single = jax.jit(execute)(run, run_key(1)).metrics["loss"][-1]
    np.testing.assert_allclose(data.sel(reference="parameter_average", seed=1), single, rtol=1e-12)
    assert np.abs(data.sel(reference="fixed", seed=1) - single) > 1e-6


def test_axes_hold_numbers_parts_and_pairs_of_paths():
    axes = axes_from({"objective": {"beta": [0.1, 1.0]}, "sampler": ["uniform", "on_policy"], "objective.beta+world.beta": [1.0]})
    assert axes["objective.beta"] == [0.1, 1.0]
    assert list(axes["sampler"]) == ["uniform", "on_policy"]
    assert axes["objective.beta", "world.beta"] == [1.0]


def test_a_config_ties_paths_and_holds_arrays():
    table = {
        "world": {"name": "random_reward", "n": 4},
        "objective": "dpo",
        "sampler": {"name": "blocks", "block": [0, 0, 1, 1]},
        "labels": "bradley_terry",
        "steps": 5,
        "records": 3,
        "axes": {"objective.beta+world.beta": [[0.3, 0.4], [1.0, 2.0]], "sampler": {"block": [[0, 0, 1, 1], [0, 1, 1, 1]]}},
        "seeds": [4, 2],
    }
    run, axes, seeds = sweep_from(table)
    assert axes["objective.beta", "world.beta"] == [(0.3, 0.4), (1.0, 2.0)]
    data = sweep(run, axes, seeds=seeds)
    assert dict(data["loss"].sizes) == {"beta": 2, "block": 2, "seed": 2, "record": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps = 30", "stesp = 30"), r"config field.*'stesp'.*Did you mean 'steps'"),
        (('name = "dpo"', 'name = "ddpo"'), "objective.*Did you mean 'dpo'"),
        (("beta = 0.5", "betta = 0.5"), "objective field.*Did you mean 'beta'"),
        (("beta = 0.5", "beta = -0.5"), "`beta` must be positive and finite, but is -0.5"),
        (("beta = 0.5", "beta = inf"), "`beta` must be positive and finite, but is inf"),
        (("beta = 0.5", 'beta = "half"'), "`objective.beta` must be a number or an array of numbers, but is 'half'"),
        (("n = 6", "n = 1"), "`n` must be an integer of at least 2, but is 1"),
        (("steps = 30", "steps = 0"), "`steps` must be an integer of at least 1, but is 0"),
        (("rate = 0.1", "rate = 1.1"), r"`rate` must be in \[0, 1\], but is 1.1"),
        (('base = "bradley_terry"\n', ""), "`labels.base` must be given"),
        (("[world]", "[word]"), "Did you mean 'world'"),
        (('name = "sgd"', ""), "`optimiser` must be a name or a table with a `name`"),
        (("support = [true, true, true, false, false, true]", "support = [false, false]"), "must keep at least one response"),
        (("share = 0.25", "share = ["), "must be valid TOML"),
        (("features", "featurs"), "policy field.*Did you mean 'features'"),
        (("[policy]", "[rounds]\ninner = 7\n[policy]"), "`inner` must divide the run's 30 steps, but is 7"),
        (("[policy]", '[rounds]\nreference = "iterate"\n[policy]'), "reference.*Did you mean 'iterated'"),
        (("[policy]", "[rounds]\ndeph = 2\n[policy]"), "rounds field.*Did you mean 'depth'"),
    ],
)
def test_bad_configs_are_refused(tmp_path, change, message):
    text = FULL.replace(*change)
    assert text != FULL
    with pytest.raises(didsim.ArgumentError, match=message):
        run_from(read_toml(_write(tmp_path, text)))


@pytest.mark.parametrize("part", ["world", "objective"])
def test_missing_parts_are_named(part):
    parts = {"world": "random_reward", "objective": "dpo"}
    del parts[part]
    with pytest.raises(didsim.ArgumentError, match=f"`{part}` must be given"):
        run_from(parts)


def test_sampler_without_labels_is_refused():
    with pytest.raises(didsim.ArgumentError, match="`labels` must be given"):
        run_from({"world": "random_reward", "objective": "dpo", "sampler": "uniform"})


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(didsim.ArgumentError, match="must be a readable file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(didsim.ArgumentError, match="UTF-8"):
        read_toml(tmp_path / "bytes.toml")
    table = {"world": {"name": "given", "log_ref": "none.npy", "reward": [0.0, 1.0]}, "objective": "dpo"}
    with pytest.raises(didsim.ArgumentError, match=re.escape("`world.log_ref` must name a readable .npy file")):
        run_from(table, tmp_path)


def test_axes_that_are_no_lists_are_refused():
    with pytest.raises(didsim.ArgumentError, match=r"`axes.objective.beta` must be a list"):
        axes_from({"objective": {"beta": 0.5}})
