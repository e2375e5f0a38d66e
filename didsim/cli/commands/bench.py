"""What does `didsim bench` do once it is understood?"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from didsim.cli.bench import picture
from didsim.cli.bench.suite import FULL, QUICK, Measured, machine, measure
from didsim.cli.bench.timing import Row
from didsim.cli.wording import duration
from didsim.numerics import checks
from didsim.numerics.provenance import origin
from didsim.plotting.style import save


def bench(command: Any) -> int:
    """Measures, prints the table, writes what was asked for."""
    _check(command)
    console, began = Console(), time.perf_counter()
    here = machine()
    with console.status("measuring") as status:
        measured = measure(QUICK if command.quick else FULL, lambda text: status.update(f"measuring: {text}"))
    console.print(table(measured.rows))
    vectors, load = f"{here['cores']} cores, {here['vectors']}", ", ".join(f"{one:.1f}" for one in here["load"])
    seconds = time.perf_counter() - began
    console.print(f"{here['cpu']}, {vectors}, jax on {here['devices'][0]}; load before {load}; {seconds:.0f} s in all")
    rows = json.dumps([row.to_json() for row in measured.rows], indent=1) + "\n"
    if command.json is not None:
        command.json.write_text(rows, encoding="utf-8")
    if command.out is not None:
        write(command.out, measured, rows, {**origin(), "machine": here, "seconds": round(seconds, 1)})
        console.print(f"files in {command.out}/")
    return 0


def table(rows: list[Row]) -> Table:
    """Table name | ours | rival | ratio | note."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("name", overflow="fold")
    for name in ("ours", "rival", "ratio"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("note", overflow="fold")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:,.3g}" if row.ratio < 1000 else f"{row.ratio:,.0f}"
        shown.add_row(row.name, duration(row.ours_s), duration(row.rival_s), ratio, escape(row.note))
    return shown


def write(out: Path, measured: Measured, rows: str, provenance: dict[str, Any]) -> None:
    """``bench.json``, its manifest and the picture, each whole or not at all."""
    figure = picture.draw(measured.per_step, measured.per_run)
    with tempfile.TemporaryDirectory(dir=out, prefix=".bench-") as scratch:
        save(figure, f"{scratch}/bench-cost.svg")
        save(figure, f"{scratch}/bench-cost.png")
        Path(scratch, "bench.json").write_text(rows, encoding="utf-8")
        Path(scratch, "bench.manifest.json").write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
        for file in sorted(Path(scratch).iterdir()):
            os.replace(file, out / file.name)


def _check(command: Any) -> None:
    for name, folder in (("json", command.json and command.json.parent), ("out", command.out)):
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            problem = f"must be a place that can be written, but {folder} is not: {error.strerror}"
            raise checks.ArgumentError(f"Argument `--{name}` {problem}.") from None
    if command.json is not None and command.json.is_dir():
        raise checks.ArgumentError(f"Argument `--json` must name a file, but {command.json} is a folder.")
