"""`didsim worlds`: named problems with exact answers, as `cli.golden.worlds` has and computes them."""

from pathlib import Path

from didsim.cli.command import Command, Overwrite, command
from didsim.numerics import files


@command
class Worlds(Command):
    """Write named problems with their optimum and the exact ends of objectives."""

    out: Path
    """File, JSON."""
    renew: bool = False
    """Compute the answers anew instead of taking those that ship."""
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses a file that may not be written."""
        files.writable("--out", self.out, overwrite=self.overwrite)

    def run(self) -> int:
        """Writes the problems and says how many there are."""
        from didsim.cli.golden import worlds

        content = worlds.compute() if self.renew else worlds.shipped()
        files.write("--out", self.out, worlds.text(content))
        print(f"{len(content['worlds'])} worlds in {self.out}")
        return 0
