"""Can a stored sweep go on wherever it stopped, and is it the sweep in memory then?"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from sweep_cases import CONFIG, RUN, SWEEP, assert_same_numbers, chunk

import didsim
from didsim import cli, objectives
from didsim.landscape.solvers import Status
from didsim.sweeps import blocks, open_sweep, stream, sweep
from didsim.sweeps.axes import replace_path
from didsim.sweeps.store import DONE, FAILED, TO_DO, open_store


def test_the_dataset_is_that_of_memory(stored, memory):
    data = open_sweep(stored)
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
def test_any_part_can_be_read(stored, memory, select):
    xr.testing.assert_equal(select(open_sweep(stored)["loss"]), select(memory["loss"]))


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


@pytest.mark.slow
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
    real = blocks._short_block

    def short_of_memory(run, values, seeds, **static):
        if 0.3 in values[0] and float(values[1][0]) == 2.0:
            raise MemoryError("no room for this")
        return real(run, values, seeds, **static)

    monkeypatch.setattr(blocks, "_short_block", short_of_memory)
    data = sweep(**SWEEP, out=tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert data.attrs["blocks_failed"] == len(stream.failures(store)) == np.sum(store.statuses() == FAILED) > 0
    assert np.sum(store.statuses() == DONE) > 0
    assert set(stream.failures(store).values()) == {"MemoryError: no room for this"}
    assert np.isnan(data["loss"]).any()
    monkeypatch.setattr(blocks, "_short_block", real)
    assert_same_numbers(sweep(**SWEEP, out=tmp_path / "store"), memory)


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
        more = _blocks_done(tmp_path) + random.integers(0, 2 * 60 // max(kills, 3) + 1)
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


# `make test` kills a worker of a pool: a pool that loses one is resumed too.
@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3, 25])
def test_killed_and_resumed_on_other_devices(tmp_path, kills):
    _kill_and_resume(tmp_path, kills)
