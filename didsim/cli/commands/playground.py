"""`didsim playground`: the triangle to play with, on a page of its own."""

from pathlib import Path

from didsim.cli.command import Command, Overwrite, command
from didsim.numerics import files


@command
class Playground(Command):
    """Write a page to play with: three responses, any loss, any pairs, no network."""

    out: Path = Path("playground.html")
    """File for the page."""
    overwrite: Overwrite = False
    needs_jax = False

    def check(self) -> None:
        """Refuses a file that may not be written."""
        files.writable("--out", self.out, overwrite=self.overwrite)

    def run(self) -> int:
        """Writes the page and says how large it is."""
        from didsim.cli.wording import size
        from didsim.teaching import playground

        files.write("--out", self.out, playground.render())
        print(f"{self.out}: one page, {size(self.out.stat().st_size)}; any browser opens it, and it asks no network")
        return 0
