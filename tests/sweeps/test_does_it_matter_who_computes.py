"""Does it matter who computes a sweep, which devices, processes or pool, and who dies meanwhile?"""

import concurrent.futures
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import didsim
from didsim import cli, metrics, objectives, worlds
from didsim.dynamics import Run
from didsim.numerics.processes import process_pool
from didsim.sweeps import hosts, open_sweep, sweep
from didsim.sweeps.axes import replace_path
from didsim.sweeps.store import DONE, open_store

CONFIG = """
steps = 200
records = 5
seeds = 40
[world]
name = "random_target"
n = 12
[objective]
name = "dpo"
beta = 0.5
[axes]
"objective.beta" = [0.3, 0.5, 1.0]
"""
RUN = Run(worlds.RandomTarget(n=4), objectives.Dpo(0.5), steps=30, records=5)
SWEEP = {"run": RUN, "axes": {"objective.beta": [0.3, 0.5, 1.0]}, "seeds": 20, "width": 3}


@pytest.fixture(scope="module")
def memory():
    return sweep(**SWEEP)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Config file, and its sweep computed here on one device."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "s.toml").write_text(CONFIG)
    assert cli.main(["sweep", str(folder / "s.toml"), "--out", str(folder / "store"), "--width", "3"]) == 0
    return folder / "s.toml", open_sweep(folder / "store").load()


def same(one, other):
    return all(one[name].values.tobytes() == other[name].values.tobytes() for name in (*one.data_vars, *other.data_vars))


def start(config, out, *words, devices=1, **env):
    width = () if "--width" in words else ("--width", "3")
    command = [sys.executable, "-m", "didsim", "sweep", str(config), "--out", str(out), *width, *words]
    env = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), **env}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def done(out):
    return len(list((out / "block_status" / "c").glob("*/*")))


GRIDS = {
    "one run a block": (CONFIG.replace("seeds = 40", "seeds = 3"), "1"),
    "two hundred responses": (CONFIG.replace("n = 12", "n = 200").replace("seeds = 40", "seeds = 4"), "2"),
    "the README's": (
        """
steps = 100
records = 10
seeds = 2
labels = "bradley_terry"
world = { name = "random_reward", n = 20, reference_scale = 0.3 }
objective = "dpo"
sampler = { name = "best_of_base", base = "policy" }
optimiser = { name = "sgd", learning_rate = 4.0 }
[axes]
sampler = [{ name = "best_of_base", base = "policy" }, { name = "best_of_both", base = "policy" }]
"sampler.k" = [1, 2, 4, 8, 16]
"world.reference_skill" = [-1.6, 0.8]
"objective.beta+world.beta" = [0.25, 2.0]
""",
        "7",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("grid", GRIDS)
def test_one_to_four_devices_make_the_same_store(tmp_path, grid):
    text, width = GRIDS[grid]
    (tmp_path / "s.toml").write_text(text)
    for devices in (1, 2, 3, 4):
        out = tmp_path / str(devices)
        assert start(tmp_path / "s.toml", out, "--width", width, devices=devices).wait(timeout=600) == 0
        assert same(open_sweep(out), open_sweep(tmp_path / "1"))


@pytest.mark.slow  # as a sweep that is killed on one device and goes on on two, in test_can_a_stored_sweep_go_on
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_devices_do_not_change_a_bit(tmp_path, whole, devices):
    config, expected = whole
    assert start(config, tmp_path / "store", devices=devices).wait(timeout=120) == 0
    assert same(open_sweep(tmp_path / "store"), expected)


@pytest.mark.slow
def test_devices_do_not_change_a_bit_of_sampled_runs(tmp_path):
    config = tmp_path / "s.toml"
    choices = 'sampler = ["uniform", "on_policy"]\n'
    config.write_text('pairs = 16\nstop_below = 0.02\nsampler = "uniform"\nlabels = "bradley_terry"\n' + CONFIG + choices)
    for devices in (1, 4):
        assert start(config, tmp_path / str(devices), devices=devices).wait(timeout=120) == 0
    one, four = (open_sweep(tmp_path / name) for name in "14")
    assert dict(one.sizes)["sampler"] == 2
    assert same(one, four)


@pytest.mark.slow
def test_threads_do_not_change_a_bit(tmp_path, whole):
    config, expected = whole
    assert start(config, tmp_path / "store", NPROC="1").wait(timeout=120) == 0
    assert same(open_sweep(tmp_path / "store"), expected)


@pytest.mark.slow
def test_two_processes_of_two_devices_one_killed_resumed_as_one(tmp_path, whole):
    config, expected = whole
    out = tmp_path / "store"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id"]
    processes = [start(config, out, *words, str(place), devices=2) for place in range(2)]
    try:
        limit = time.monotonic() + 120
        while done(out) < 5:
            assert all(process.poll() is None for process in processes), "ended before it was killed"
            assert time.monotonic() < limit, "no block was computed"
            time.sleep(0.001)
        processes[1].send_signal(signal.SIGKILL)
        while done(out) < 20 and time.monotonic() < limit:  # the other goes on with its own half of 40
            time.sleep(0.01)
        assert processes[0].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert 20 <= done(out) < 40
    assert start(config, out).wait(timeout=120) == 0
    assert same(open_sweep(out), expected)


@pytest.mark.slow
def test_two_processes_finish_together(tmp_path, whole):
    config, expected = whole
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id"]
    processes = [start(config, tmp_path / "store", *words, str(place)) for place in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert same(open_sweep(tmp_path / "store"), expected)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_pool_that_loses_a_worker_is_resumed(tmp_path, memory, workers):
    def kill_at_four(finished, total):
        if finished == 4:
            os.kill(next(iter(pool._processes)), signal.SIGKILL)

    with (
        process_pool(workers) as pool,
        pytest.raises(concurrent.futures.BrokenExecutor, match=r"start the same sweep again to go on"),
    ):
        sweep(**SWEEP, out=tmp_path / "store", executor=pool, progress=kill_at_four)
    left = np.sum(open_store(tmp_path / "store").statuses() != DONE)
    assert 0 < left <= 16
    assert same(sweep(**SWEEP, out=tmp_path / "store"), memory)


def test_threads_are_an_executor_too(tmp_path, memory):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert same(sweep(**SWEEP, out=tmp_path / "store", executor=pool), memory)


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_finishes(tmp_path, memory):
    distributed = pytest.importorskip("distributed", reason="the extra didsim[dask] is not installed")
    killed = []

    def kill_at_four(finished, total):
        if finished == 4:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    with cluster, distributed.Client(cluster) as client:
        data = sweep(**SWEEP, out=tmp_path / "store", executor=client, progress=kill_at_four)
    assert len(killed) == 1
    assert data.attrs["blocks_done"] == 20
    assert same(data, memory)


def test_a_block_that_raises_in_a_worker_is_recorded(tmp_path, monkeypatch):
    class Failing(concurrent.futures.ThreadPoolExecutor):
        def submit(self, task, *arguments):
            if arguments[2] == 1:
                return super().submit(lambda: 1 / 0)
            return super().submit(task, *arguments)

    with Failing(1) as pool:
        data = sweep(**SWEEP, out=tmp_path / "store", executor=pool)
    assert (data.attrs["blocks_failed"], data.attrs["blocks_done"]) == (1, 19)
    assert open_store(tmp_path / "store").message(1) == "ZeroDivisionError: division by zero"


def test_forks_and_what_cannot_travel_are_refused(tmp_path, monkeypatch):
    fork = concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with fork, pytest.raises(didsim.ArgumentError, match="`executor` must not fork"):
        sweep(**SWEEP, out=tmp_path / "store", executor=fork)
    with pytest.raises(didsim.ArgumentError, match="must have a method `submit`"):
        sweep(**SWEEP, out=tmp_path / "store", executor=print)
    with pytest.raises(didsim.ArgumentError, match="`out` must be given with `executor`"):
        sweep(**SWEEP, executor=print)
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    local = {**SWEEP, "run": replace_path(RUN, "metrics", lambda *arguments: metrics.measure(*arguments))}
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.raises(didsim.ArgumentError, match=r"`run` must be picklable.*at the top level of a module"),
    ):
        sweep(**local, out=tmp_path / "other", executor=pool)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("localhost:1", None, None), "`--num-processes` must be given with the other two"),
        ((None, 2, 0), "`--coordinator` must be given with the other two"),
        (("localhost", 2, 0), "`--coordinator` must be host:port, but is 'localhost'"),
        (("localhost:1", 2, 2), "`--process-id` must be an integer of at least 0 and below 2, but is 2"),
        (("localhost:1", 0, 0), "`--num-processes` must be an integer of at least 1, but is 0"),
    ],
)
def test_half_described_hosts_are_refused(words, message):
    with pytest.raises(didsim.ArgumentError, match=message):
        hosts.join(*words)


@pytest.mark.parametrize(
    ("env", "several"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "1"}, False),  # a shell inside an allocation is one process
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a"}, False),
    ],
)
def test_several_hosts_are_detected_from_the_environment(monkeypatch, env, several):
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *words, **limits: joined.append(words))
    assert hosts.detected() == several
    hosts.join()
    assert joined == [()] * several


def test_processes_share_what_is_to_do(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(jax, "process_index", lambda rank=rank: rank)
        shares.append(hosts.own_share([1, 4, 5, 8]))
    assert shares == [[1, 8], [4], [5]]
