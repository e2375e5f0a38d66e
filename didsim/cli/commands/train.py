"""`didsim train`: one run from a TOML file."""

from pathlib import Path

import tyro

from didsim.cli.command import Command, Overwrite, Single, command
from didsim.numerics import files
from didsim.numerics.texts import read_toml


@command
class Train(Command):
    """Train one policy as a TOML file says and print how it ended."""

    config: tyro.conf.Positional[Path]
    """TOML file with tables world, objective, sampler, labels, policy, optimiser, rule, rounds."""
    out: Path | None = None
    """File for the recorded metrics (.nc)."""
    plot: Path | None = None
    """Picture of the run (.png, .svg, .pdf)."""
    seed: int = 0
    """Seed of the world and the drawn pairs, 0 to 2^32-1."""
    single: Single = False
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses names and files before JAX is imported."""
        read_toml(self.config)
        files.ends_in("--plot", self.plot, files.PICTURES)
        files.outputs({"--out": self.out, "--plot": self.plot}, overwrite=self.overwrite, read={"CONFIG": self.config})

    def run(self) -> int:
        """Trains, prints the last metrics and the status; 1 if the run ended with NaN."""
        from didsim.cli.answers.pictures import draw_run
        from didsim.dynamics.run import run_once
        from didsim.landscape.solvers import Status
        from didsim.sweeps.toml import run_from

        training = run_from(read_toml(self.config), self.config.parent)
        path = run_once(training, self.seed)
        for name, values in path.metrics.items():
            print(f"{name:24s} {float(values[-1]):.6g}")
        status = Status(int(path.status))
        print(f"{'gradient_norm':24s} {float(path.gradient_norm):.3g}")
        print(f"{'ended':24s} {status.name.lower().replace('_', ' ')} after {int(path.steps_taken)} steps")
        files.write("--out", self.out, lambda file: path.to_dataset().to_netcdf(file, engine="scipy"))
        files.write("--plot", self.plot, lambda file: draw_run(path.to_dataset(), file))
        return 1 if status == Status.NOT_FINITE else 0
