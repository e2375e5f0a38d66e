"""What does one see of a sweep, while it runs and at its end?"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from didsim.cli import tables
from didsim.dynamics.metrics import UNITS
from didsim.landscape.solvers import Status
from didsim.numerics.processes import asked_for, process_pool
from didsim.sweeps.store import open_store
from didsim.sweeps.stream import failures

MOST_ROWS, NUMBER = 40, 10


def print_place(data: xr.Dataset, out: Path) -> int:
    """Says what is on disk, what failed and why, and how to open it."""
    failed = failures(open_store(out))
    for block, message in failed.items():
        print(f"block {block} failed: {message}", file=sys.stderr)
    done, total = data.attrs["blocks_done"], data.attrs["blocks"]
    print(f"{done} of {total} blocks of {data.attrs['width']} runs in {out}" + (f", {len(failed)} failed" if failed else ""))
    if failed:
        print("failed blocks are tried again when the same command is started again")
    print(f'open with: from didsim.sweeps import open_sweep; open_sweep("{out}")')
    return 0 if done == total else 1


def print_table(data: xr.Dataset) -> int:
    """Last metrics, averaged over the seeds."""
    last = data[[name for name in UNITS if name in data]].isel(record=-1).mean("seed")
    failed = int(np.sum(data["status"].values == Status.NOT_FINITE))
    axes = [str(dim) for dim in data["status"].dims if dim != "seed"]
    shown = tuple(name for name in ("loss", "jsd_target", "value_gap", "accuracy", "entropy") if name in last)
    table = tables.table(*axes, right=shown)
    cells = list(np.ndindex(*(data.sizes[axis] for axis in axes)))
    for place in cells[:MOST_ROWS]:
        row = last.isel(dict(zip(axes, place, strict=True)))
        labels = [str(data[axis].values[at]) for axis, at in zip(axes, place, strict=True)]
        table.add_row(*labels, *(f"{float(row[name]):.4g}" for name in shown))
    for column in table.columns[len(axes) :]:
        column.min_width = NUMBER  # labels are folded before numbers are cut
    tables.console().print(table)
    if len(cells) > MOST_ROWS:
        print(f"… and {len(cells) - MOST_ROWS} more rows; --out keeps them all")
    print(f"means over {data.sizes['seed']} seeds after {int(data['step'][-1])} steps; {failed} runs ended with NaN")
    return 0


@contextlib.contextmanager
def pool(workers: int | None) -> Iterator[Any]:
    """Processes on this machine, or None where none are asked for."""
    if workers is None:
        yield None
        return
    with process_pool(asked_for("--workers", workers)) as made:
        yield made


@contextlib.contextmanager
def progress(runs: int) -> Iterator[Callable[[int, int], None]]:
    """Bar with runs done, runs per second and time left; blocks of earlier starts count as done, not as fast."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sweep", total=None, rate="")
        first: list[tuple[int, float]] = []

        def show(done: int, total: int) -> None:
            now = time.perf_counter()
            if not first:
                first.append((done, now))
            fresh, seconds = (done - first[0][0]) * runs / total, now - first[0][1]
            rate = f"{fresh / seconds:.3g} runs/s" if fresh else ""
            bar.update(task, completed=done, total=total, rate=rate, description=f"{done * runs // total} of {runs} runs")

        yield show
