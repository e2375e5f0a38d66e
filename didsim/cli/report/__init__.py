"""What does a person open?  One page with all results: figures and verdicts, the ledger, the benchmarks, the environment.

It is made of files alone, so it needs no JAX, and what is missing or damaged among them is told on it.
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from didsim.cli.report.benchmarks import benchmarks
from didsim.cli.report.figures import attempt, drawn
from didsim.cli.report.ledger import ledger
from didsim.cli.report.page import Contents, render
from didsim.cli.wording import size
from didsim.numerics.errors import ArgumentError
from didsim.numerics.provenance import finished

LEDGER = "ledger.json"

__all__ = ["Contents", "gather", "render", "report"]


def report(command: Any) -> int:
    """Writes the page; 0 if all on it is whole and ok, 1 if the page tells of something that is not, 2 for bad usage."""
    try:
        _check(command)
        contents = gather(command.figures, command.ledger)
        _write(command.out, render(contents))
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in contents.all_troubles:
        print(f"damaged or missing: {line}", file=sys.stderr)
    for line in contents.failures:
        print(f"failed: {line}", file=sys.stderr)
    print(_summary(contents, command.out))
    return 1 if contents.all_troubles or contents.failures else 0


def gather(figures: Path, ledger_file: Path | None = None) -> Contents:
    """Reads a results folder and the ledger.

    Args:
        figures: folder that `didsim reproduce` wrote.
        ledger_file: file of `didsim verify --json`; ``ledger.json`` in that folder if there is one and none is named.

    Raises:
        ArgumentError: the folder holds no results at all, or the file that is named is not there.
    """
    found = drawn(figures)
    if not found.figures:
        raise ArgumentError(f"Argument `--figures` must be a folder with results of didsim reproduce, but {figures} has none.")
    troubles: list[str] = []
    path = figures / LEDGER if ledger_file is None else ledger_file
    claims = attempt(lambda: ledger(path), troubles) if ledger_file is not None or path.exists() else None
    return Contents(found, claims, benchmarks(figures), tuple(troubles), finished())


def _check(command: Any) -> None:
    if not command.figures.is_dir():
        raise ArgumentError(f"Argument `--figures` must be a folder, but {command.figures} is not.")
    if command.ledger is not None and not command.ledger.is_file():
        raise ArgumentError(f"Argument `--ledger` must be a file that didsim verify --json wrote, but {command.ledger} is not.")
    if command.out.is_dir():
        raise ArgumentError(f"Argument `--out` must be a file, but {command.out} is a folder.")
    if command.out.exists() and not command.overwrite:
        raise ArgumentError(f"Argument `--out` must not exist already, but {command.out} does; use --overwrite.")


def _write(out: Path, text: str) -> None:
    """The page, whole or not at all."""
    scratch = None
    try:
        handle, scratch = tempfile.mkstemp(dir=out.parent, prefix=".report-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, out)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(scratch or "")
        raise ArgumentError(f"Argument `--out` must be a file that can be written, but {out} is not: {error.strerror}.") from None


def _summary(contents: Contents, out: Path) -> str:
    verdicts = [verdict for figure in contents.drawn.figures for verdict in figure.verdicts]
    parts = [f"{len(contents.drawn.figures)} figures", f"{sum(v.ok for v in verdicts)} of {len(verdicts)} verdicts ok"]
    if contents.ledger is not None:
        parts.append(f"{contents.ledger.good} of {len(contents.ledger.claims)} claims ok")
    return f"{out}: {', '.join(parts)}; {size(out.stat().st_size)}"
