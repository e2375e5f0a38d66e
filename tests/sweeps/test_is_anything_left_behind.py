"""After a sweep that was killed: does no process live on, is no file left, and does nobody write where another one does?"""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import didsim
from didsim.numerics import files, processes
from didsim.sweeps import hosts, sweep
from didsim.sweeps.store import open_store

RUN = didsim.Run(didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo(beta=0.5), steps=5, records=2)
CONFIG = """
seeds = 64
steps = 4000
records = 4
world.name = "random_target"
world.n = 4
objective.name = "dpo"
axes."objective.beta" = [0.25, 0.5]
"""
KILLS = 25
LINUX = Path("/proc/self/stat").exists()


def children(process):
    """Processes that one has started, and theirs."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            number, parent = int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == process:
                found += [number, *children(number)]
    return found


def alive(number):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def content(store):
    """Every file of a store but its metadata, which holds the time."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()} | {"zarr.json": b""}


def start(config, out, *words):
    command = [sys.executable, "-m", "didsim", "sweep", str(config), "--out", str(out), "--width", "2", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def linger(pipe):
    """A child's work: to say which process it is, and to go on for ever."""
    processes.end_with_parent()
    pipe.send(os.getpid())
    time.sleep(1000)


def leave(pipe):
    """A parent's work: to start such a child, and to be killed."""
    child = multiprocessing.get_context("spawn").Process(target=linger, args=(pipe,))
    child.start()
    time.sleep(1000)


@pytest.mark.skipif(not LINUX, reason="processes are looked for in /proc")
def test_a_process_ends_with_the_one_that_started_it():
    fresh = multiprocessing.get_context("spawn")
    here, there = fresh.Pipe()
    parent = fresh.Process(target=leave, args=(there,))
    parent.start()
    try:
        assert here.poll(240)
        child = here.recv()
        assert alive(child)
    finally:
        parent.kill()
        parent.join()
    wait_for(lambda: not alive(child), 20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not LINUX, reason="processes are looked for in /proc")
def test_kills_leave_no_process_and_no_file(tmp_path):
    config, out = tmp_path / "sweep.toml", tmp_path / "store"
    config.write_text(CONFIG)
    with start(config, tmp_path / "whole") as process:
        printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    for kill in range(KILLS):
        process = start(config, out, "--workers", "2")
        wait_for(lambda process=process: len(children(process.pid)) >= 2 or process.poll() is not None)
        time.sleep(0.3 * (kill % 7))
        left = children(process.pid)
        process.send_signal(signal.SIGKILL)
        with process:
            process.communicate(timeout=30)
        wait_for(lambda left=left: not any(map(alive, left)), 30)
    with start(config, out, "--workers", "2") as process:
        printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    assert content(out) == content(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path)) == ["store", "sweep.toml", "whole"]


def told_of_memory():
    return os.environ.get(processes.OF_A_GPU)


def test_workers_share_a_gpu_unless_the_user_says_otherwise(monkeypatch):
    for name in (processes.OF_A_GPU, *processes.OTHER_LIMITS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    processes.share_accelerator(2)
    assert told_of_memory() is None
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")
    with processes.process_pool(2) as pool:
        assert 3 * float(pool.submit(told_of_memory).result()) <= 0.9  # the two, and the one that started them
    monkeypatch.setenv(processes.OF_A_GPU, "0.4")
    processes.share_accelerator(2)
    assert told_of_memory() == "0.4"


def test_two_processes_do_not_write_one_store(tmp_path):
    sweep(RUN, seeds=2, out=tmp_path / "store")
    with files.locked(tmp_path / ".store.lock") as alone:
        assert alone
        with files.locked(tmp_path / ".store.lock") as second:
            assert not second
        for more in ({}, {"overwrite": True}, {"redo": [0]}):
            with pytest.raises(didsim.ArgumentError, match="is being written by one"):
                sweep(RUN, seeds=2, out=tmp_path / "store", **more)
    assert os.listdir(tmp_path) == ["store"]
    sweep(RUN, seeds=2, out=tmp_path / "store")
    assert os.listdir(tmp_path) == ["store"]


def test_a_lock_of_a_killed_process_is_none(tmp_path):
    (tmp_path / ".store.lock").write_text("")  # nobody holds it
    sweep(RUN, seeds=2, out=tmp_path / "store")
    assert os.listdir(tmp_path) == ["store"]


def test_half_written_chunks_go(tmp_path):
    sweep(RUN, seeds=2, out=tmp_path / "store")
    store = open_store(tmp_path / "store")
    half = store.chunk_file("loss", 0).with_name("0.0123.partial")
    half.write_bytes(b"half")
    sweep(RUN, seeds=2, out=tmp_path / "store")
    assert not half.exists()


@pytest.mark.parametrize("out", ["", "/", ".."])
def test_a_store_has_a_name(out):
    with pytest.raises(didsim.ArgumentError, match="must be the name of a folder"):
        sweep(RUN, out=out)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, 10**6, 10**30])
def test_processes_are_some_and_not_too_many(count):
    with pytest.raises(didsim.ArgumentError, match="`--workers` must be"):
        processes.asked_for("--workers", count)
    assert processes.asked_for("--workers", 2) == 2


# Several hosts


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "", "x", "1.5", "٣", "9" * 30])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(didsim.ArgumentError, match="`--coordinator` must be host:port"):
        hosts.join(f"localhost:{port}", 2, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "no.such.host.invalid", "x" * 100, "a b"])
def test_a_process_that_is_not_reached_is_told_and_given_up(monkeypatch, capsys, host):
    monkeypatch.setattr(hosts, "PATIENCE", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(didsim.ArgumentError, match="must be where process 0 listens") as refused:
        hosts.join(f"{host}:{port}", 2, 1)
    assert "\n" not in str(refused.value)
    if host == "127.0.0.1":
        assert capsys.readouterr().err == f"waiting up to 1 seconds for process 0 at 127.0.0.1:{port}\n"


@pytest.mark.slow
def test_processes_that_do_not_come_are_given_up(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = f"from didsim.sweeps import hosts; hosts.PATIENCE = 2.0; hosts.join('127.0.0.1:{port}', 2, 0)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 2
    waiting, told = answer.stderr.splitlines()
    assert waiting == f"waiting at 127.0.0.1:{port} for 1 other processes"
    assert told.startswith("error: The processes that share a sweep must meet as")


LONE = [
    {"SLURM_STEP_NUM_TASKS": "2"},
    {"OMPI_COMM_WORLD_SIZE": "2"},
    {"SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "1"},
    {"SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "[", "SLURM_PROCID": "x"},
    {"SLURM_STEP_NUM_TASKS": "two"},
    {"OMPI_COMM_WORLD_SIZE": "-3"},
]


@pytest.mark.parametrize(
    "error", [KeyError("SLURM_STEP_NODELIST"), ValueError("no\nnumber"), RuntimeError("too late"), OSError(5)]
)
@pytest.mark.parametrize("environment", LONE)
def test_a_process_of_a_job_that_is_alone_is_told_which(monkeypatch, environment, error):
    def fail(*given, **limits):
        raise error

    monkeypatch.setattr("jax.distributed.initialize", fail)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(didsim.ArgumentError) as refused:
        hosts.join()
    assert any(name in str(refused.value) for name in environment)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("environment", LONE)
def test_a_process_of_a_job_that_is_alone_ends_with_one_line(tmp_path, environment):
    (tmp_path / "sweep.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "didsim", "sweep", "sweep.toml"]
    everything = {**os.environ, **environment}
    answer = subprocess.run(command, capture_output=True, timeout=200, cwd=tmp_path, env=everything, check=False)
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.count(b"\n") == 1, answer.stderr
