"""What does `didsim sweep` do once it is understood?"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from didsim.dynamics.metrics import UNITS
from didsim.landscape.solvers import Status
from didsim.numerics import checks
from didsim.sweeps import grid, hosts
from didsim.sweeps import sweep as run_sweep
from didsim.sweeps.pool import process_pool
from didsim.sweeps.store import open_store
from didsim.sweeps.stream import failures
from didsim.sweeps.toml import read_toml, sweep_from

MOST_ROWS = 40


def sweep(command: Any) -> int:
    """Runs a sweep from a TOML file; prints a table, or where the results lie."""
    several = [command.coordinator, command.num_processes, command.process_id]
    needs_folder = command.workers is not None or command.redo or any(one is not None for one in several)
    if command.out is None and needs_folder:
        raise checks.ArgumentError("Argument `--out` must be given with workers, redo or several hosts, but is missing.")
    if command.resume and command.no_resume:
        raise checks.ArgumentError("Argument `--resume` must not be given together with --no-resume, but is.")
    hosts.join(*several)
    run, axes, seeds = sweep_from(read_toml(command.config), command.config.parent)
    cells = grid(run, axes, seeds)
    with _progress(cells.size * len(cells.programs())) as progress, _pool(command.workers) as pool:
        try:
            data = run_sweep(
                run,
                axes,
                seeds=seeds,
                width=command.width,
                progress=progress,
                out=command.out,
                resume=not command.no_resume,
                overwrite=command.overwrite,
                redo=command.redo,
                executor=pool,
            )
        except (BrokenExecutor, OSError) as error:  # workers died, the disk is full: what is finished stays
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            kept = "; finished blocks are kept, start again to go on" if command.out else ""
            print(f"interrupted{kept}", file=sys.stderr)
            return 130
    return _print_table(data) if command.out is None else _print_place(data, command)


def _print_place(data: xr.Dataset, command: Any) -> int:
    """Says what is on disk, what failed and why, and how to open it."""
    failed = failures(open_store(command.out))
    for block, message in failed.items():
        print(f"block {block} failed: {message}", file=sys.stderr)
    done, total = data.attrs["blocks_done"], data.attrs["blocks"]
    print(
        f"{done} of {total} blocks of {data.attrs['width']} runs in {command.out}" + (f", {len(failed)} failed" if failed else "")
    )
    if failed:
        print("failed blocks are tried again when the same command is started again")
    print(f'open with: from didsim.sweeps import open_sweep; open_sweep("{command.out}")')
    return 0 if done == total else 1


def _print_table(data: xr.Dataset) -> int:
    """Last metrics, averaged over the seeds."""
    last = data[[name for name in UNITS if name in data]].isel(record=-1).mean("seed")
    failed = int(np.sum(data["status"].values == Status.NOT_FINITE))
    axes = [str(dim) for dim in data["status"].dims if dim != "seed"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [name for name in ("loss", "jsd_target", "value_gap", "accuracy", "entropy") if name in last]
    for name in (*axes, *shown):
        table.add_column(name, justify="right")
    cells = list(np.ndindex(*(data.sizes[axis] for axis in axes)))
    for place in cells[:MOST_ROWS]:
        row = last.isel(dict(zip(axes, place, strict=True)))
        labels = [str(data[axis].values[at]) for axis, at in zip(axes, place, strict=True)]
        table.add_row(*labels, *(f"{float(row[name]):.4g}" for name in shown))
    Console().print(table)
    if len(cells) > MOST_ROWS:
        print(f"… and {len(cells) - MOST_ROWS} more rows; --out keeps them all")
    print(f"means over {data.sizes['seed']} seeds after {int(data['step'][-1])} steps; {failed} runs ended with NaN")
    return 0


@contextlib.contextmanager
def _pool(workers: int | None) -> Iterator[Any]:
    if workers is None:
        yield None
        return
    with process_pool(checks.whole("--workers", workers, least=1)) as pool:
        yield pool


@contextlib.contextmanager
def _progress(runs: int) -> Iterator[Callable[[int, int], None]]:
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
