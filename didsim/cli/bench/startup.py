"""How long does one wait before the first number, and how much memory does a large problem take?  Each in a fresh process."""

import json
import os
import subprocess
import sys
import tempfile
import time

from didsim.cli.bench import available
from didsim.cli.bench.timing import Row

IMPORT = "from didsim import solve, sweep, train"  # the names load on first use
COMPILE = """
import time, jax
jax.config.update("jax_enable_x64", True)
from didsim.cli.bench.training import lane, tight_run, worlds
from didsim.dynamics.run import run_key
from didsim.dynamics.run import execute
run, key = tight_run(lane(worlds(1), 0)), run_key(0)
jax.block_until_ready(run)
began = time.perf_counter()
jax.jit(execute).lower(run, key).compile()
print(time.perf_counter() - began)
"""
GRADIENT = """
import time, jax
jax.config.update("jax_enable_x64", True)
from didsim.cli.bench.pairs import population_gradient
gradient, arguments = population_gradient({n})
jax.block_until_ready(gradient(*arguments))
began = time.perf_counter()
jax.block_until_ready(gradient(*arguments))
print(time.perf_counter() - began)
"""
# getrusage may count the parent's pages from before the new program started; the kernel's own mark does not.
PEAK = """
import resource, sys
try:
    peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
except (OSError, IndexError):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(peak)
"""


def startup_rows(repeats: int, *, figure: bool) -> list[Row]:
    """Import (against importing PyTorch), compilation of a run, and a first figure from nothing if asked."""
    importing, memory = min(fresh(IMPORT) for _ in range(repeats))
    rival, why = None, available.NO_TORCH
    if available.torch_module() is not None:
        rival, why = min(fresh("import torch") for _ in range(repeats))[0], "the rival imports PyTorch"
    compiling = min(inside(COMPILE)[0] for _ in range(repeats))
    rows = [
        Row("import", importing, rival, f"a new process with `{IMPORT}`, {gibibytes(memory)}; {why}"),
        Row("compile_run", compiling, None, "one training run traced and compiled (N=20); no rival"),
    ]
    return [*rows, first_figure()] if figure else rows


def first_figure() -> Row:
    """A figure from nothing: start, compile, train, verdicts, picture."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["reproduce", "B1", "--fast", "--out", folder]
        seconds, memory = fresh(f"import didsim.cli\nassert didsim.cli.main({words!r}) == 0")
    return Row("first_figure", seconds, None, f"didsim reproduce B1 --fast from nothing, {gibibytes(memory)}; no rival")


def memory_rows(sizes: tuple[int, ...]) -> list[Row]:
    """Peak memory of a process that computes one exact gradient."""
    rows = []
    for n in sizes:
        seconds, peak = inside(GRADIENT.format(n=n))
        note = f"one exact gradient, float64, {gibibytes(peak)}; all pairs at once would take {8 * n * n / 2**30:.0f} GiB"
        rows.append(Row(f"peak_memory_n{n:.0e}".replace("e+0", "e"), seconds, None, note))
    return rows


def fresh(code: str) -> tuple[float, int]:
    """Seconds of a new process from start to end, and its peak memory in bytes."""
    began = time.perf_counter()
    lines = _output(code)
    return time.perf_counter() - began, 1024 * int(lines[-1])


def inside(code: str) -> tuple[float, int]:
    """Seconds that the code itself prints last, and the process's peak memory in bytes."""
    lines = _output(code)
    return float(lines[-2]), 1024 * int(lines[-1])


def gibibytes(count: int) -> str:
    """Peak memory in words."""
    return f"peak {count / 2**30:.2f} GiB"


def _output(code: str) -> list[str]:
    environment = {
        **os.environ,
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        "PYTHONPATH": os.pathsep.join([path for path in sys.path if path]),
    }
    done = subprocess.run([sys.executable, "-c", code + PEAK], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"a measured process failed: {done.stderr.strip()[-2000:] or json.dumps(done.stdout[-500:])}")
    return done.stdout.split("\n")[:-1]
