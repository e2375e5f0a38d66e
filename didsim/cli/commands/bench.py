"""`didsim bench`: how fast it is here, against what one would write otherwise."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didsim.cli.command import Command, Overwrite, command
from didsim.cli.wording import duration
from didsim.numerics import files

if TYPE_CHECKING:
    from rich.table import Table

    from didsim.cli.bench.suite import Measured
    from didsim.cli.bench.timing import Row

NAMES = ("bench-cost.svg", "bench-cost.png", "bench.json", "bench.manifest.json")


@command
class Bench(Command):
    """Measure the speed against C, NumPy, plain XLA and PyTorch."""

    quick: bool = False
    """Fewer and smaller sizes, under a minute; rivals that are not installed are left out, with a note."""
    json: Path | None = None
    """File for the rows."""
    out: Path | None = None
    """Folder for rows, manifest and picture."""
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses files that may not be written."""
        files.writable_folder("--out", self.out)
        folder = {} if self.out is None else {f"--out ({name})": self.out / name for name in NAMES}
        files.outputs({"--json": self.json, **folder}, overwrite=self.overwrite)

    def run(self) -> int:
        """Measures, prints the table, writes what was asked for."""
        from rich.console import Console

        from didsim.cli.bench.suite import FULL, QUICK, machine, measure
        from didsim.numerics.provenance import origin

        console, began = Console(), time.perf_counter()
        here = machine()
        with console.status("measuring") as status:
            measured = measure(QUICK if self.quick else FULL, lambda text: status.update(f"measuring: {text}"))
        console.print(row_table(measured.rows))
        vectors, load = f"{here['cores']} cores, {here['vectors']}", ", ".join(f"{one:.1f}" for one in here["load"])
        seconds = time.perf_counter() - began
        console.print(f"{here['cpu']}, {vectors}, jax on {here['devices'][0]}; load before {load}; {seconds:.0f} s in all")
        rows = [row.to_json() for row in measured.rows]
        files.write_json("--json", self.json, rows)
        if self.out is not None:
            write(self.out, measured, rows, {**origin(), "machine": here, "seconds": round(seconds, 1)})
            console.print(f"files in {self.out}/")
        return 0


def row_table(rows: "list[Row]") -> "Table":
    """Table name | ours | rival | ratio | note."""
    from rich.markup import escape

    from didsim.cli import tables

    shown = tables.table("name", right=("ours", "rival", "ratio"), last=("note",))
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:,.3g}" if row.ratio < 1000 else f"{row.ratio:,.0f}"
        shown.add_row(row.name, duration(row.ours_s), duration(row.rival_s), ratio, escape(row.note))
    return shown


def write(out: Path, measured: "Measured", rows: list[dict], provenance: dict[str, Any]) -> None:
    """``bench.json``, its manifest and the picture, each whole or not at all."""
    from didsim.cli.bench import picture
    from didsim.plotting.drawing import save

    figure = picture.draw(measured.per_step, measured.per_run)
    with files.scratch_folder(out) as scratch:
        save(figure, f"{scratch}/bench-cost.svg")
        save(figure, f"{scratch}/bench-cost.png")
        files.write_json("--out", scratch / "bench.json", rows)
        files.write_json("--out", scratch / "bench.manifest.json", provenance)
        for file in sorted(scratch.iterdir()):
            os.replace(file, out / file.name)
