"""What does each command do once it is understood?  The heavy half of the command line."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from didsim.cli.commands import diagnose as diagnose_command
from didsim.cli.commands import sampler, simplex, sweep, verify
from didsim.cli.commands.bench import bench
from didsim.dynamics import execute, run_key
from didsim.figures.catalogue import FIGURES
from didsim.figures.make import Outcome, make_all, plan, prepare_folder, write_summary
from didsim.landscape.solvers import Status
from didsim.numerics import checks
from didsim.numerics.version import __version__
from didsim.objectives import OBJECTIVES, Objective
from didsim.sweeps.toml import read_toml, run_from


def run(command: Any) -> int:
    """Runs one parsed command; errors of the user's become one line and exit code 2."""
    jax.config.update("jax_enable_x64", getattr(command, "x64", True))
    plain = {"Reproduce": reproduce, "List": list_figures, "Objectives": list_objectives, "Info": info, "Train": train}
    doers = {
        **plain,
        "Sweep": sweep.sweep,
        "Bench": bench,
        "Sampler": sampler.sampler,
        "Simplex": simplex.simplex,
        "Verify": verify.verify,
        "Diagnose": diagnose_command.run,
    }
    try:
        return doers[type(command).__name__](command)
    except checks.ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished figures are whole", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python must not say so again as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def reproduce(command: Any) -> int:
    """Draws the figures, writes the summary after each, prints the verdicts."""
    settings = [text for group in command.set for text in group]
    jobs = plan(command.ids, fast=command.fast, settings=settings, seed=command.seed)
    prepare_folder(command.out, jobs, overwrite=command.overwrite)
    outcomes: list[Outcome] = []
    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("figures", total=len(jobs))
        for outcome in make_all(jobs, command.out, command.jobs):
            outcomes.append(outcome)
            write_summary(command.out, outcomes)
            progress.update(task, advance=1, description=f"figures ({outcome.entry.id} done)")
    order = list(FIGURES)
    outcomes.sort(key=lambda outcome: order.index(outcome.entry.id))
    console.print(verdict_table(outcomes))
    failed = [v for outcome in outcomes for v in outcome.verdicts if not v.ok]
    total = sum(len(outcome.verdicts) for outcome in outcomes)
    console.print(f"{total - len(failed)} of {total} verdicts ok; files in {command.out}/")
    return 1 if failed else 0


def verdict_table(outcomes: list[Outcome]) -> Table:
    """Table id | verdict | measured | bound | ok | seconds."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, align in (("id", "left"), ("verdict", "left"), ("measured", "right"), ("bound", "right"), ("", "left")):
        table.add_column(name, justify=align, overflow="fold")  # type: ignore[arg-type]
    table.add_column("seconds", justify="right")
    for outcome in outcomes:
        for place, verdict in enumerate(outcome.verdicts):
            table.add_row(
                outcome.entry.id if place == 0 else "",
                escape(verdict.name),
                f"{verdict.value:.3g}",
                f"{'≤' if verdict.sense == '<=' else '≥'} {verdict.bound:.3g}",
                "ok" if verdict.ok else "[bold red]FAILED[/]",
                f"{outcome.seconds:.1f}" if place == 0 else "",
            )
    return table


def list_figures(command: Any) -> int:
    """Prints the catalogue of figures."""
    del command
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "figure", "claim", "source", "theory"):
        table.add_column(name, overflow="fold")
    for entry in FIGURES.values():
        table.add_row(entry.id, entry.slug, entry.claim, entry.source, entry.theory)
    Console().print(table)
    print("Draw one with: didsim reproduce ID")
    return 0


def list_objectives(command: Any) -> int:
    """Prints every objective with its parts and the class of its minimiser; writes the rows as JSON if asked."""
    rows = [objective_row(kind) for kind in OBJECTIVES.values()]
    if command.json is not None:
        _check_file(command.json, command.overwrite, "--json")
        command.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(escape(value) if isinstance(value, str) else "yes" if value else "" for value in row.values()))
    Console().print(table)
    print("Classes hold on independent draws from π_w and π_l that follow the power law, at the data's β.")
    print("Here m is a pair's margin, chosen minus rejected; without a link the first column is the whole loss.")
    print('Objectives with a link can be followed by projected gradients instead: rule = "projected" in a TOML file.')
    return 0


def objective_row(kind: type[Objective]) -> dict[str, str | bool]:
    """What the table says of one objective."""
    card = kind.card
    return {
        "name": kind.name,
        "reward": card.reward,
        "link": card.link,
        "reference_free": kind.reference_free,
        "convex": kind.convex,
        "minimiser": card.limit.value,
        "where": card.where,
        "source": card.source,
    }


def info(command: Any) -> int:
    """Prints versions, devices and precision."""
    del command
    devices = jax.devices()
    print(f"didsim     {__version__}")
    print(f"jax        {jax.__version__}")
    print(f"backend    {jax.default_backend()}")
    print(f"devices    {len(devices)} × {devices[0].device_kind}")
    print(f"processes  {jax.process_count()}")
    print("precision  float64 on the command line (--no-x64 for float32); in Python as jax_enable_x64 says")
    return 0


def train(command: Any) -> int:
    """Trains one run from a TOML file and prints its last metrics and status."""
    table = read_toml(command.config)
    training = run_from(table, command.config.parent)
    if command.out is not None:
        _check_file(command.out, command.overwrite)
    checks.seed(command.seed)
    path = jax.jit(execute)(training, run_key(command.seed))
    for name, values in path.metrics.items():
        print(f"{name:16s} {float(values[-1]):.6g}")
    status = Status(int(path.status))
    print(f"{'gradient_norm':16s} {float(path.gradient_norm):.3g}")
    print(f"{'ended':16s} {status.name.lower().replace('_', ' ')} after {int(path.steps_taken)} steps")
    if command.out is not None:
        _write(path, command.out)
    return 1 if status == Status.NOT_FINITE else 0


def _check_file(path: Path, overwrite: bool, name: str = "--out") -> None:
    if path.exists() and not overwrite:
        raise checks.ArgumentError(f"Argument `{name}` must not exist already, but {path} does; use --overwrite.")
    if not path.parent.is_dir():
        raise checks.ArgumentError(f"Argument `{name}` must lie in a folder that exists, but {path.parent} does not.")


def _write(path: Any, out: Path) -> None:
    import xarray as xr

    values = {name: ("record", value) for name, value in path.metrics.items()}
    xr.Dataset(values, coords={"step": ("record", path.steps)}).to_netcdf(out, engine="scipy")
