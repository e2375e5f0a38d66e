"""`didsim plot`: a run or a sweep that is on disk, drawn."""

import os
from pathlib import Path
from typing import Annotated

import tyro

from didsim.cli.command import Command, Overwrite, command, words
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError


@command
class Plot(Command):
    """Draw a number of a run or a sweep against the step or an axis."""

    store: tyro.conf.Positional[Path]
    """File of train --out, or folder of sweep --out, finished or not."""
    y: tyro.conf.Positional[str] = "loss"
    """Number that the runs recorded, as loss, jsd_target or value_gap."""
    x: tyro.conf.Positional[str] = "step"
    """Axis of the sweep, which takes the number at the end of the runs, or step."""
    hue: str | None = None
    """Axis that colours tell apart; the only one left if missing."""
    at: Annotated[tuple[str, ...], words("AXIS=VALUE ...")] = ()
    """Values at which other axes are held."""
    out: Path = Path("plot.png")
    """Picture (.png, .svg, .pdf)."""
    overwrite: Overwrite = False

    @property
    def needs_jax(self) -> bool:  # type: ignore[override]
        """A run's file is drawn without JAX."""
        return os.path.isdir(self.store)

    def check(self) -> None:
        """Refuses files before JAX is imported."""
        if not os.path.isdir(self.store):
            files.readable("STORE", self.store)
        elif not (self.store / "zarr.json").is_file():
            raise ArgumentError(
                f"Argument `STORE` must be a readable file or a folder of sweep --out, but {self.store} has no zarr.json."
            )
        files.writable("--out", self.out, overwrite=self.overwrite, read={"STORE": self.store})
        files.ends_in("--out", self.out, files.PICTURES)

    def run(self) -> int:
        """Draws the picture and says where it lies."""
        from didsim.cli.answers import pictures

        data = pictures.select(pictures.read_results(self.store), self.at)
        files.write("--out", self.out, lambda file: pictures.draw_sweep(data, self.y, self.x, self.hue, file))
        print(f"drawn: {self.out}")
        return 0
