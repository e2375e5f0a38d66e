"""`didsim sweep`: many runs from a TOML file, printed or kept."""

from pathlib import Path
from typing import Annotated

import tyro

from didsim.cli.command import Command, Overwrite, Single, Whole, command, words
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError
from didsim.numerics.texts import read_toml


@command
class Sweep(Command):
    """Train over every combination of axes and seeds that a TOML file names."""

    config: tyro.conf.Positional[Path]
    """TOML file as for train, with a table axes and a number or list seeds."""
    out: Path | None = None
    """Folder for the results (a Zarr store), which the same command completes if stopped; a short table if missing."""
    no_resume: bool = False
    """Refuse a folder that holds results already, instead of going on with it."""
    redo: Annotated[tuple[Whole, ...], words("BLOCK ...")] = ()
    """Blocks to compute again."""
    width: int | None = None
    """Runs per block; chosen from the sweep, or as the folder has it."""
    workers: int | None = None
    """Processes that compute blocks side by side on this machine."""
    coordinator: str | None = None
    """host:port of process 0, when several hosts share the sweep."""
    num_processes: int | None = None
    """How many processes share the sweep."""
    process_id: int | None = None
    """Which of them this is, from 0."""
    single: Single = False
    overwrite: Overwrite = False
    joins_others = True

    @property
    def kept(self) -> str:
        """Blocks are written one by one."""
        return "; finished blocks are kept, start again to go on" if self.out else ""

    def check(self) -> None:
        """Refuses names and files before JAX is imported."""
        needs_folder = self.workers is not None or self.redo or any(one is not None for one in self._several)
        if self.out is None and needs_folder:
            raise ArgumentError("Argument `--out` must be given with workers, redo or several hosts, but is missing.")
        files.place_for_folder("--out", self.out)
        read_toml(self.config)

    def run(self) -> int:
        """Runs a sweep from a TOML file; prints a table, or where the results lie."""
        from didsim.cli.answers import sweep as answers
        from didsim.cli.starting import find_devices
        from didsim.numerics.processes import asked_for, share_accelerator
        from didsim.sweeps import grid, hosts
        from didsim.sweeps import sweep as run_sweep
        from didsim.sweeps.toml import sweep_from

        hosts.join(*self._several)
        if self.workers is not None:
            share_accelerator(asked_for("--workers", self.workers))
        find_devices()
        run, axes, seeds = sweep_from(read_toml(self.config), self.config.parent)
        cells = grid(run, axes, seeds)
        with answers.progress(cells.size * len(cells.programs())) as progress, answers.pool(self.workers) as pool:
            data = run_sweep(
                run,
                axes,
                seeds=seeds,
                width=self.width,
                progress=progress,
                out=self.out,
                resume=not self.no_resume,
                overwrite=self.overwrite,
                redo=self.redo,
                executor=pool,
            )
        return answers.print_table(data) if self.out is None else answers.print_place(data, self.out)

    @property
    def _several(self) -> tuple[str | None, int | None, int | None]:
        return self.coordinator, self.num_processes, self.process_id
