"""What is measured, in which sizes, and on what machine?"""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from didsim.cli.bench import available, pairs, startup, training
from didsim.cli.bench.timing import Row

Curves = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Plan:
    """Sizes of one measurement and how long each comparison may take.

    Attributes:
        small: (responses, runs) of the sums for few responses.
        large: numbers of responses of the exact gradients.
        runs: numbers of runs of the sweeps.
        sweep_steps: steps of each of these runs.
        seconds: spent on each call that is compared.
        starts: processes started for each start-up time; 0 leaves start-up and memory out.
        figure: whether the first figure is timed.
        memory: numbers of responses whose peak memory is taken.
    """

    small: tuple[tuple[int, int], ...]
    large: tuple[int, ...]
    runs: tuple[int, ...]
    sweep_steps: int
    seconds: float
    starts: int
    figure: bool
    memory: tuple[int, ...]


FULL = Plan(
    small=((32, 256), (64, 256), (100, 256), (128, 256), (256, 256)),
    large=(10**2, 10**3, 10**4, 20_000, 10**5, 10**6, 10**7),
    runs=(1, 10, 100, 1000, 10**4, 10**5),
    sweep_steps=200,
    seconds=1.0,
    starts=3,
    figure=True,
    memory=(10**6, 10**7),
)
QUICK = Plan(
    small=((32, 256), (128, 256)),
    large=(10**2, 10**3, 10**4, 10**5, 10**6),
    runs=(1000, 10**5),
    sweep_steps=10,
    seconds=0.15,
    starts=1,
    figure=False,
    memory=(10**6,),
)


@dataclass(frozen=True)
class Measured:
    """Rows, and the times by label against the number of responses and against the number of runs."""

    rows: list[Row]
    per_step: Curves
    per_run: Curves


def measure(plan: Plan, tell: Callable[[str], object] = lambda text: None) -> Measured:
    """All rows of a plan; float64 must be on.  ``tell`` is told what comes next."""
    tell("compiling the C kernel")
    kernel = available.compiled_kernel()
    tell("training against PyTorch")
    rows = training.torch_rows(plan.seconds)
    tell("many runs of few responses")
    rows += pairs.small_n_rows(kernel, plan.small, plan.seconds)
    tell("one population of many responses")
    gradients, per_step = pairs.gradient_rows(kernel, plan.large, plan.seconds)
    tell("sweeps")
    sweeps, per_run = training.sweep_rows(plan.runs, plan.sweep_steps, plan.seconds)
    rows += gradients + sweeps
    if plan.starts:
        tell("start-up and memory")
        rows += startup.startup_rows(plan.starts, figure=plan.figure) + startup.memory_rows(plan.memory)
    return Measured(rows, per_step, per_run)


def machine() -> dict[str, Any]:
    """Name, cores, vector instructions and load of the machine, and what JAX computes on."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*:\s*(.+)", text)
    flags = re.search(r"flags\s*:\s*(.+)", text)
    known = set(flags.group(1).split()) if flags else set()
    return {
        "cpu": name.group(1) if name else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "vectors": next((word for word, flag in (("AVX-512", "avx512f"), ("AVX2", "avx2")) if flag in known), "?"),
        "load": [round(one, 2) for one in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "devices": [device.device_kind for device in jax.devices()],
    }
