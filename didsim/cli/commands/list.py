"""`didsim list`: which figures there are."""

from didsim.cli.command import Command, command


@command
class List(Command):
    """List the figures: what each claims, and where from."""

    needs_jax = False

    def run(self) -> int:
        """Prints the catalogue of figures."""
        from didsim.cli import tables
        from didsim.figures.catalogue import FIGURES

        rows = [(f"{one.id}  {one.slug}", one.claim, one.source, one.setting, one.theory) for one in FIGURES.values()]
        tables.show(("figure", "claim", "source", "setting", "theory"), rows)
        print("Setting: whether that of the paper's own figure is public; where it is not,")
        print("ours stands in its place.")
        print("Draw one with: didsim reproduce ID")
        return 0
