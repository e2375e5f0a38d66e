"""`didsim objectives`: which losses there are, and where each ends."""

from pathlib import Path

from didsim.cli.command import Command, Overwrite, command
from didsim.numerics import files


@command
class Objectives(Command):
    """List the objectives: reward, link, and where each population loss is least."""

    json: Path | None = None
    """File for the rows."""
    overwrite: Overwrite = False
    needs_jax = False

    def run(self) -> int:
        """Prints every objective with its parts and the class of its minimiser; writes the rows as JSON if asked."""
        from rich.console import Console
        from rich.markup import escape

        from didsim.cli import known, tables

        files.writable("--json", self.json, overwrite=self.overwrite)
        rows = known.objectives()
        files.write_json("--json", self.json, rows)
        shown = tables.table(*(name.replace("_", " ") for name in rows[0]))
        for one in rows:
            shown.add_row(*(escape(value) if isinstance(value, str) else "yes" if value else "" for value in one.values()))
        Console().print(shown)
        print("Classes hold on independent draws from π_w and π_l that follow the power law, at the data's β.")
        print("Here m is a pair's margin, chosen minus rejected; without a link the first column is the whole loss.")
        print('Objectives with a link can be followed by projected gradients instead: rule = "projected" in a TOML file.')
        return 0
