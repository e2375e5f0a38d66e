"""`didsim bench`: how fast it is here, against what one would write otherwise."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didsim.cli.command import Command, Overwrite, command
from didsim.cli.wording import duration
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from didsim.cli.bench.suite import Measured
    from didsim.cli.bench.timing import Row

NAMES = ("bench-cost.svg", "bench-cost.png", "bench.json", "bench.manifest.json")
GPU_NAMES = ("bench-gpu.json", "bench-gpu.manifest.json")


@command
class Bench(Command):
    """Measure the speed against C, NumPy, plain XLA and PyTorch."""

    quick: bool = False
    """Fewer and smaller sizes, under a minute; rivals that are not installed are left out, with a note."""
    gpu: bool = False
    """Measure this machine's accelerator instead, against its own memory; --out then writes bench-gpu.json."""
    json: Path | None = None
    """File for the rows."""
    out: Path | None = None
    """Folder for rows, manifest and picture."""
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses files that may not be written."""
        files.writable_folder("--out", self.out)
        names = GPU_NAMES if self.gpu else NAMES
        folder = {} if self.out is None else {f"--out ({name})": self.out / name for name in names}
        files.outputs({"--json": self.json, **folder}, overwrite=self.overwrite)

    def run(self) -> int:
        """Measures, prints the table, writes what was asked for."""
        from rich.console import Console

        from didsim.cli.bench.suite import machine
        from didsim.numerics.provenance import origin

        console, began = Console(), time.perf_counter()
        here = machine()
        if self.gpu:
            needs_accelerator()
        with console.status("measuring") as status:
            measured = self._measured(lambda text: status.update(f"measuring: {text}"))
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

    def _measured(self, tell: "Callable[[str], object]") -> "Measured":
        from didsim.cli.bench import accelerator, suite

        if self.gpu:
            return suite.Measured(accelerator.rows(accelerator.QUICK if self.quick else accelerator.FULL, tell), {}, {})
        return suite.measure(suite.QUICK if self.quick else suite.FULL, tell)


def needs_accelerator() -> None:
    """Nothing, if JAX computes on a GPU or TPU.

    Raises:
        ArgumentError: it computes on the processor.
    """
    import jax

    if jax.default_backend() == "cpu":
        raise ArgumentError(
            "Argument `--gpu` must be given where JAX has a GPU or TPU, but here it computes on cpu; "
            "the extra cuda12, cuda13 or tpu installs what it needs."
        )


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
    """Rows, manifest and, where there are curves, their picture, each whole or not at all."""
    stem = "bench" if measured.per_step else "bench-gpu"
    with files.scratch_folder(out) as scratch:
        if measured.per_step:
            draw(measured, scratch)
        files.write_json("--out", scratch / f"{stem}.json", rows)
        files.write_json("--out", scratch / f"{stem}.manifest.json", provenance)
        for file in sorted(scratch.iterdir()):
            os.replace(file, out / file.name)


def draw(measured: "Measured", folder: Path) -> None:
    """The picture of the curves, as SVG and PNG."""
    from didsim.cli.bench import picture
    from didsim.plotting.drawing import save

    figure = picture.draw(measured.per_step, measured.per_run)
    for end in ("svg", "png"):
        save(figure, f"{folder}/bench-cost.{end}")
