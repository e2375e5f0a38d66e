"""Sweeps on disk: the same dataset as in memory, resumed wherever they stopped, and damage that says where it is."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import didsim
from didsim import cli, metrics, objectives, preferences, samplers, worlds
from didsim.dynamics import Rounds, Run, Sgd
from didsim.landscape.solvers import Status
from didsim.sweeps import blocks, grid, open_sweep, stream, sweep
from didsim.sweeps.axes import replace_path
from didsim.sweeps.identity import config_hash, describe, first_difference
from didsim.sweeps.store import DONE, FAILED, TO_DO, open_store
from didsim.sweeps.toml import sweep_from
from didsim.sweeps.width import TEMPORARIES, default_width, largest_arrays

RUN = Run(
    worlds.RandomReward(n=4, prompts=2, beta=0.5),
    objectives.Dpo(0.5),
    samplers.Uniform(),
    preferences.BradleyTerry(),
    optimiser=Sgd(2.0),
    steps=10,
    records=4,
)
AXES = {
    "objective.beta": [0.3, 1.0],
    "sampler": {"uniform": samplers.Uniform(), "reference": samplers.ReferencePairs()},
    "optimiser.learning_rate": [0.5, 1.0, 2.0],
}
SWEEP = {"run": RUN, "axes": AXES, "seeds": [3, 7, 1], "width": 4}  # 2 programs of 18 lanes in 5 blocks, the last of 2
CONFIG = """
steps = 30
records = 5
seeds = 40
[world]
name = "random_target"
n = 4
[objective]
name = "dpo"
beta = 0.5
[axes]
"objective.beta" = [0.3, 0.5, 1.0]
"""


@pytest.fixture(scope="module")
def memory():
    return sweep(**SWEEP)


@pytest.fixture
def out(tmp_path):
    sweep(**SWEEP, out=tmp_path / "store")
    return tmp_path / "store"


def assert_same_numbers(one, other):
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        assert one[name].dims == other[name].dims
        assert one[name].dtype == other[name].dtype
        assert one[name].values.tobytes() == other[name].values.tobytes(), name


def chunk(out, name="loss", block=1):
    return open_store(out).chunk_file(name, block)


def test_the_dataset_is_that_of_memory(out, memory):
    data = open_sweep(out)
    xr.testing.assert_identical(data.drop_attrs(), memory.drop_attrs())
    assert_same_numbers(data, memory)
    assert all(data[name].attrs == memory[name].attrs for name in memory)
    assert {name: data.attrs[name] for name in ("didsim", "jax", "dtype", "device")}.items() <= memory.attrs.items()
    assert (data.attrs["blocks"], data.attrs["blocks_done"], data.attrs["width"]) == (10, 10, 4)


def test_a_block_of_runs_that_all_diverged_is_data(tmp_path):
    """All its numbers are the store's fill value, and still it is done, whole and resumable."""
    run = replace_path(RUN, "objective", objectives.IpoSum(0.5))
    case = {"run": replace_path(run, "optimiser.learning_rate", 1e200), "seeds": 2, "width": 1}
    written, kept = sweep(**case, out=tmp_path / "store"), sweep(**case)
    assert np.isnan(kept["log_policy"]).all()
    assert (written["status"] == Status.NOT_FINITE).all()
    assert_same_numbers(written, kept)
    assert_same_numbers(sweep(**case, out=tmp_path / "store"), kept)


@pytest.mark.parametrize(
    "select",
    [
        lambda d: d.isel(beta=1, seed=[2, 0], record=slice(1, 4, 2)),
        lambda d: d.isel(learning_rate=slice(None, None, -1), sampler=0, record=-1),
        lambda d: d.transpose("seed", ..., "beta").isel(seed=slice(1, 1)),
        lambda d: d.isel(beta=xr.DataArray([0, 1, 1], dims="p"), seed=xr.DataArray([2, 0, 1], dims="p")),
        lambda d: d.sel(sampler="reference", beta=0.3, seed=7, learning_rate=[2.0, 0.5]),
        lambda d: d.isel(record=[3, 0], seed=[1, 1, 2]),
    ],
)
def test_any_part_can_be_read(out, memory, select):
    xr.testing.assert_equal(select(open_sweep(out)["loss"]), select(memory["loss"]))


def test_only_the_chunks_asked_for_are_read(out, memory):
    chunk(out, "loss", 7).unlink()
    first = open_sweep(out)["loss"].sel(sampler="uniform")
    xr.testing.assert_equal(first, memory["loss"].sel(sampler="uniform"))


def test_starting_again_computes_only_what_is_to_do(out, memory, monkeypatch):
    computed = []
    real = stream.compute
    monkeypatch.setattr(stream, "compute", lambda cells, to_do, width: computed.extend(to_do) or real(cells, to_do, width))
    assert_same_numbers(sweep(**SWEEP, out=out), memory)
    assert computed == []
    open_store(out).set_status([2, 9], TO_DO)
    before = open_sweep(out)
    assert np.isnan(before["loss"]).sum() == 4 * (4 + 2)
    assert (before["status"] == -1).sum() == 4 + 2
    seen = []
    again = sweep(**{**SWEEP, "width": None}, out=out, progress=lambda done, total: seen.append((done, total)))
    assert computed == [2, 9]
    assert seen == [(8, 10), (9, 10), (10, 10)]
    assert_same_numbers(again, memory)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "missing", "flipped"])
@pytest.mark.parametrize("block", [1, 4])
def test_damaged_chunks_are_named_and_can_be_recomputed_alone(out, memory, damage, block):
    file = chunk(out, "entropy", block)
    raw = bytearray(file.read_bytes())
    raw[11] ^= 1
    size = len(raw)
    file.unlink()
    if damage != "missing":
        file.write_bytes({"truncated": raw[:50], "garbage": os.urandom(size), "flipped": raw}[damage])
    message = (
        rf"variable `entropy`, block {block} is {damage if damage in ('truncated', 'missing') else 'damaged'}.*--redo {block}"
    )
    with pytest.raises(didsim.ArgumentError, match=message):
        open_sweep(out)["entropy"].load()
    if damage in ("truncated", "missing"):  # seen before anything is computed
        with pytest.raises(didsim.ArgumentError, match=message):
            sweep(**SWEEP, out=out)
    assert_same_numbers(sweep(**SWEEP, out=out, redo=[block]), memory)


def test_a_damaged_status_is_named_and_can_be_recomputed(out, memory):
    (out / "block_status" / "c" / "0" / "1").write_bytes(b"?")
    with pytest.raises(didsim.ArgumentError, match=r"variable `block_status`, block 1 is damaged.*--redo 1"):
        sweep(**SWEEP, out=out)
    assert_same_numbers(sweep(**SWEEP, out=out, redo=[1]), memory)


def _drop_attribute(out):
    text = json.loads((out / "zarr.json").read_text())
    del text["attributes"]["width"]
    (out / "zarr.json").write_text(json.dumps(text))


def _drop_array(out, name="block_status"):
    (out / name / "zarr.json").unlink()


@pytest.mark.parametrize(
    ("damage", "changes", "message"),
    [
        (None, {"seeds": [3, 7, 2]}, r"of config hash \w+, but .* has config hash \w+ \(`seeds` is .* here and .* there\)"),
        (None, {"run": replace_path(RUN, "steps", 9)}, "`run.steps` is 9 here and 10 there"),
        (None, {"axes": {**AXES, "objective.beta": [0.3, 2.0]}}, r"`axes.beta.*` is .*2\.0.* here and .*1\.0.* there"),
        (None, {"width": 5}, "of block width 5, but .* has block width 4"),
        (None, {"resume": False}, "must not exist without resume"),
        (None, {"redo": [10]}, "`redo` must be an integer of at least 0 and below 10, but is 10"),
        (_drop_attribute, {}, "lacks the attribute `width`"),
        (_drop_array, {}, "has no array `block_status`"),
        (lambda out: _drop_array(out, "entropy"), {}, "has no array `entropy`"),
        (lambda out: (out / "loss" / "zarr.json").write_text("{"), {}, "loss/zarr.json is damaged"),
        (lambda out: (out / "seed" / "c" / "0").write_bytes(b"?"), {}, "the array `seed` is damaged"),
        (lambda out: (out / "zarr.json").unlink(), {}, "has no zarr.json"),
        (lambda out: (out / "zarr.json").write_text("{"), {}, "zarr.json is damaged"),
        (lambda out: (out / "zarr.json").unlink(), {"overwrite": True}, "folder of a sweep to be overwritten"),
    ],
)
def test_other_sweeps_and_broken_stores_are_refused_and_left_alone(out, damage, changes, message):
    if damage:
        damage(out)
    before = {file: file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}
    with pytest.raises(didsim.ArgumentError, match=message):
        sweep(**{**SWEEP, **changes}, out=out)
    assert before == {file: file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


def test_another_precision_is_refused(out, monkeypatch):
    monkeypatch.setattr(stream, "float_dtype", lambda: "float32")
    with pytest.raises(didsim.ArgumentError, match=r"of dtype float32, but .* has dtype float64"):
        sweep(**SWEEP, out=out)


def test_places_that_cannot_hold_a_store_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(didsim.ArgumentError, match=r"at .*file there is a file"):
        sweep(**SWEEP, out=tmp_path / "file")
    with pytest.raises(didsim.ArgumentError, match="must be a folder that can be written"):
        sweep(**SWEEP, out=tmp_path / "file" / "store")
    with pytest.raises(didsim.ArgumentError, match="there is nothing"):
        open_sweep(tmp_path / "none")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(didsim.ArgumentError, match="must be the folder of a sweep"):
            sweep(**SWEEP, out=tmp_path / "notes", overwrite=overwrite)
    assert (tmp_path / "notes" / "diary.txt").read_text() == "mine"


def test_overwriting_starts_anew(out, memory):
    other = sweep(**{**SWEEP, "seeds": 2}, out=out, overwrite=True)
    assert other.sizes["seed"] == 2
    assert_same_numbers(sweep(**SWEEP, out=out, overwrite=True), memory)


def test_one_changed_number_is_noticed(out, memory):
    store = open_store(out)
    value = store.variables["loss"][0:1, 0:1]
    store.variables["loss"][0:1, 0:1] = np.nextafter(value, 2.0)
    with pytest.raises(AssertionError, match="loss"):
        assert_same_numbers(open_sweep(out), memory)


def test_failed_cells_are_data(tmp_path):
    data = sweep(RUN, {"world.reward_scale": [1.0, 1e308]}, seeds=2, out=tmp_path / "store")
    assert set(data["status"].sel(reward_scale=1e308).values) == {didsim.Status.NOT_FINITE}
    assert data.attrs["blocks_failed"] == 0


def test_a_block_that_raises_is_recorded_and_tried_again(tmp_path, memory, monkeypatch):
    real = blocks._group

    def short_of_memory(run, values, seeds, **static):
        if 0.3 in values[0] and float(values[1][0]) == 2.0:
            raise MemoryError("no room for this")
        return real(run, values, seeds, **static)

    short_of_memory.eval_shape = real.eval_shape
    monkeypatch.setattr(blocks, "_group", short_of_memory)
    data = sweep(**SWEEP, out=tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert data.attrs["blocks_failed"] == len(stream.failures(store)) == np.sum(store.statuses() == FAILED) > 0
    assert np.sum(store.statuses() == DONE) > 0
    assert set(stream.failures(store).values()) == {"MemoryError: no room for this"}
    assert np.isnan(data["loss"]).any()
    monkeypatch.setattr(blocks, "_group", real)
    assert_same_numbers(sweep(**SWEEP, out=tmp_path / "store"), memory)


def test_widths_follow_from_the_sizes_of_the_arrays():
    def sized(n, pairs=None, **more):
        data = (samplers.Uniform(), preferences.BradleyTerry())
        return Run(worlds.RandomTarget(n=n), objectives.Dpo(0.5), *data, pairs=pairs, **more)

    step, at_all = largest_arrays(sized(64))
    assert step <= at_all
    few, many = (default_width(grid(sized(n), {}, 100_000)) for n in (256, 8))
    assert 1 <= few < many == 1021  # 98 even blocks of at most 1,024
    assert default_width(grid(sized(8), {}, 10)) == 10
    lean = default_width(grid(sized(64), {}, 100_000), memory=100 * TEMPORARIES * at_all)
    assert lean <= 100
    assert default_width(grid(sized(64), {}, 100_000), memory=1) == 1
    assert largest_arrays(sized(64, pairs=4))[0] < largest_arrays(sized(64, pairs=4))[1]  # drawn pairs in the steps only
    assert largest_arrays(sized(64, rounds=Rounds(inner=20)))[0] == step
    every_step = [largest_arrays(sized(64, steps=steps, records=10**6))[0] for steps in (10, 10_000)]
    assert every_step[0] == every_step[1] >= step  # the look is part of the step, what was recorded before is not


def test_names_the_store_needs_are_refused(tmp_path):
    run = replace_path(RUN, "metrics", lambda *_: {"block_status": jnp.zeros(())})
    with pytest.raises(didsim.ArgumentError, match="must not use the name `block_status`"):
        sweep(run, out=tmp_path / "store")
    assert not list(tmp_path.iterdir())


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


def test_the_command_prints_or_writes(tmp_path, capsys):
    (tmp_path / "s.toml").write_text(CONFIG)
    words = ["sweep", str(tmp_path / "s.toml")]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert re.search(r"beta\s+loss.*\n\s*0\.3 ", printed)
    assert "means over 40 seeds after 30 steps" in printed
    words += ["--out", str(tmp_path / "store")]
    assert cli.main([*words, "--width", "50"]) == cli.main(words) == 0
    assert "3 of 3 blocks of 50 runs" in capsys.readouterr().out
    chunk(tmp_path / "store").unlink()
    assert cli.main(words) == 2
    assert "--redo 1" in capsys.readouterr().err
    assert cli.main([*words, "--redo", "1"]) == 0
    assert cli.main(words) == 0
    assert cli.main([*words, "--no-resume"]) == 2
    assert open_sweep(tmp_path / "store")["loss"].notnull().all()


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (CONFIG + "[axes", (), "must be valid TOML"),
        (CONFIG.replace("objective.beta", "objective.bta"), (), "Did you mean 'beta'"),
        (CONFIG.replace("[axes]", "[axis]"), (), "Did you mean 'axes'"),
        (CONFIG.replace("seeds = 40", 'seeds = "many"'), (), "`seeds` must be an integer of at least 0, but is 'many'"),
        (CONFIG.replace("seeds = 40", "seeds = [1, -1]"), (), "`seeds` must be an integer of at least 0, but is -1"),
        (CONFIG.replace("[0.3, 0.5, 1.0]", "0.3"), (), "`axes.objective.beta` must be a list of values, but is 0.3"),
        (CONFIG, ("--redo", "1"), "`--out` must be given with"),
        (CONFIG, ("--process-id", "0", "--out", "x"), "must be given with the other two"),
        (CONFIG, ("--out", "x", "--workers", "0"), "`--workers` must be an integer of at least 1"),
    ],
)
def test_bad_configs_and_words_are_one_line_and_exit_2(tmp_path, capsys, text, words, message):
    (tmp_path / "s.toml").write_text(text)
    assert cli.main(["sweep", str(tmp_path / "s.toml"), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


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


def _start(folder, devices):
    words = [sys.executable, "-m", "didsim", "sweep", str(folder / "s.toml"), "--out", str(folder / "store"), "--width", "2"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)}, **quiet)


def _blocks_done(folder):
    return len(list((folder / "store" / "block_status" / "c").glob("*/*")))


def _kill_and_resume(tmp_path, kills):
    (tmp_path / "s.toml").write_text(CONFIG)
    assert cli.main(["sweep", str(tmp_path / "s.toml"), "--out", str(tmp_path / "whole"), "--width", "2"]) == 0
    random = np.random.default_rng(5)
    stopped_at = []
    for kill in range(kills):
        process = _start(tmp_path, devices=(1, 2, 4)[kill % 3])
        more = _blocks_done(tmp_path) + random.integers(0, 2 * 60 // kills + 1)
        limit = time.monotonic() + 120
        while process.poll() is None and _blocks_done(tmp_path) < more and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        stopped_at.append(_blocks_done(tmp_path))
    assert any(0 < done < 60 for done in stopped_at), stopped_at
    assert _start(tmp_path, devices=2).wait(timeout=120) == 0
    assert_same_numbers(open_sweep(tmp_path / "store"), open_sweep(tmp_path / "whole"))


def test_killed_three_times_and_resumed_on_other_devices(tmp_path):
    _kill_and_resume(tmp_path, 3)


@pytest.mark.slow
def test_killed_25_times_and_resumed_on_other_devices(tmp_path):
    _kill_and_resume(tmp_path, 25)
