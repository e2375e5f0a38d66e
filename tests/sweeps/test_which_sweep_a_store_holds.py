"""Does a store know its sweep again, also one of an earlier release or one whose optimiser has been used meanwhile?"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import optax
import pytest
from sweep_cases import AXES, RUN

from didsim import metrics, objectives, preferences, samplers, worlds
from didsim.dynamics import Custom, Run
from didsim.dynamics.metrics import LONG_NAMES
from didsim.numerics.errors import ArgumentError
from didsim.sweeps import grid, sweep
from didsim.sweeps.axes import replace_path
from didsim.sweeps.identity import config_hash, describe, first_difference, same_sweep
from didsim.sweeps.store import TO_DO, open_store

EARLIER = Path(__file__).parents[1] / "data" / "sweep-of-an-earlier-release.zip"


def run_with_schedule(decay_steps):
    schedule = optax.cosine_decay_schedule(0.1, decay_steps)
    return Run(
        worlds.RandomTarget(n=4),
        objectives.Dpo(beta=0.5),
        samplers.OnPolicy(),
        preferences.BradleyTerry(),
        optimiser=Custom(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))),
        steps=10,
        records=4,
    )


def test_a_store_of_an_earlier_release_is_resumed(tmp_path):
    axes = {
        "objective": {"dpo": objectives.Dpo(beta=0.5), "simpo": objectives.SimPo(beta=2.0)},
        "sampler": {"uniform": samplers.Uniform(), "mixed": samplers.Mix(samplers.Uniform(), samplers.OnPolicy(), 0.3)},
        "world.beta": [0.5, 1.0],
    }
    zipfile.ZipFile(EARLIER).extractall(tmp_path / "store")
    assert list(open_store(tmp_path / "store").statuses() == TO_DO) == [False, True] * 4
    run = run_with_schedule(10.0)
    resumed = sweep(run, axes, seeds=2, out=tmp_path / "store")
    fresh = sweep(run, axes, seeds=2, width=2)
    assert resumed.attrs["blocks_done"] == resumed.attrs["blocks"] == 8
    assert resumed.attrs["didsim"] == "0.1.0"
    since = set(fresh.variables) - set(resumed.variables)  # a store keeps the numbers that it was begun with
    assert since >= {"floor", "excess", "misfit", "gamma", "ranking_accuracy", "ranking_accuracy_target", "exploitability"}
    assert since == set(LONG_NAMES) - set(resumed.variables)
    assert set(resumed.variables) <= set(fresh.variables)
    for name in set(fresh.variables) - since:
        assert resumed[name].dims == fresh[name].dims
        if fresh[name].dtype.kind == "f":
            # Another processor, or another release of XLA, gives other last bits.
            np.testing.assert_allclose(resumed[name], fresh[name], rtol=1e-9, atol=1e-11, err_msg=name)
        else:
            assert np.array_equal(resumed[name], fresh[name]), name


@pytest.mark.parametrize(
    ("objective", "difference"), [(objectives.SimPo(beta=2.0, smoothing=0.1), "smoothing"), (objectives.SimPo(beta=2.5), "beta")]
)
def test_a_field_that_came_later_has_its_default_there(tmp_path, objective, difference):
    """The store above is of a release whose SimPO had no label smoothing: it meant none, and no other number is guessed."""
    axes = {
        "objective": {"dpo": objectives.Dpo(beta=0.5), "simpo": objective},
        "sampler": {"uniform": samplers.Uniform(), "mixed": samplers.Mix(samplers.Uniform(), samplers.OnPolicy(), 0.3)},
        "world.beta": [0.5, 1.0],
    }
    zipfile.ZipFile(EARLIER).extractall(tmp_path / "store")
    with pytest.raises(ArgumentError, match=f"objective.1.{difference}"):
        sweep(run_with_schedule(10.0), axes, seeds=2, out=tmp_path / "store")


@pytest.mark.slow
def test_a_schedule_that_counts_whole_steps_can_be_stored_and_resumed(tmp_path):
    """Optax turns the whole number of steps that a schedule holds into a floating one when it is first used."""
    run = run_with_schedule(10)
    first = sweep(run, seeds=2, out=tmp_path / "store")
    again = sweep(run, seeds=2, out=tmp_path / "store")
    anew = sweep(run_with_schedule(10), seeds=2, out=tmp_path / "store")
    assert np.array_equal(first["loss"], again["loss"])
    assert np.array_equal(first["loss"], anew["loss"])


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        ("run.metrics = didsim.measure", "run.metrics = didsim.measure", True),
        ("run.metrics = didsim.measure", "run.metrics = didsim.metrics.measure", True),
        ("run.f.0 = optax.chain.<locals>.init_fn", "run.f.0 = optax.transforms._combining.chain.<locals>.init_fn", True),
        ("run.metrics = didsim.measure", "run.metrics = didsim.metrics.remeasure", False),
        ("run.metrics = didsim.measure", "run.metrics = optax.measure", False),
        ("run.metrics = mine.measure 0123", "run.metrics = mine.other.measure 0123", False),
        ("run.rule = didsim.measure", "run.metrics = didsim.metrics.measure", False),
        ("run.f.decay_steps = 10.0", "run.f.decay_steps = 10", True),
        ("run.f.decay_steps = 10.0", "run.f.decay_steps = 11", False),
        ("run.f.decay_steps = 10.0", "run.f.steps = 10", False),
        ("run.f.decay_steps = True", "run.f.decay_steps = 1", False),
    ],
)
def test_descriptions_of_one_sweep_may_differ_in_where_a_function_lies(mine, theirs, same):
    assert same_sweep([mine], [theirs]) is same
    assert not same_sweep([mine], [theirs, theirs])


def _scaled(scale):
    def scaled(*arguments):
        return {"scaled": scale * metrics.measure(*arguments)["loss"]}

    return scaled


def test_the_hash_follows_everything_that_decides_a_number():
    base = describe(grid(RUN, AXES, 3))
    assert config_hash(base) == config_hash(describe(grid(RUN, AXES, 3)))
    long = np.arange(40.0)
    changed = [
        grid(RUN, AXES, 4),
        grid(RUN, AXES, [0, 2, 1]),
        grid(replace_path(RUN, "world.beta", 0.25), AXES, 3),
        grid(replace_path(RUN, "metrics", _scaled(1.0)), AXES, 3),
        grid(replace_path(RUN, "metrics", _scaled(2.0)), AXES, 3),
        grid(RUN, {"optimiser.learning_rate": 1 + long}, 3),
        grid(RUN, {"optimiser.learning_rate": 1 + np.where(long == 39, 39.5, long)}, 3),
    ]
    hashes = [config_hash(base), *(config_hash(describe(cells)) for cells in changed)]
    assert len(set(hashes)) == len(hashes)
    assert first_difference(describe(changed[3]), describe(changed[4])) == "`run.metrics.scale` is 1.0 here and 2.0 there"


HASH = """
import optax, didsim
from didsim.sweeps import grid
from didsim.sweeps.identity import config_hash, describe
optimiser = didsim.dynamics.Custom(optax.chain(optax.clip(1.0), optax.adam(optax.cosine_decay_schedule(0.1, 10))))
run = didsim.Run(didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo(0.5), optimiser=optimiser)
text = config_hash(describe(grid(run, {"objective": [didsim.objectives.Dpo(0.5), didsim.objectives.Dpo(0.7)]}, 3)))
"""


def test_the_hash_is_the_same_in_every_process():
    words = [sys.executable, "-c", HASH + "print(text)"]
    other = subprocess.run(words, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, timeout=60)
    here = {}
    exec(HASH, here)
    assert other.stdout.strip() == here["text"]
