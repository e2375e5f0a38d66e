"""`didsim list`: which figures there are."""

from didsim.cli.command import Command, command


@command
class List(Command):
    """List the figures: what each claims, and where from."""

    needs_jax = False

    def run(self) -> int:
        """Prints the catalogue of figures."""
        from rich.console import Console

        from didsim.cli import tables
        from didsim.figures.catalogue import FIGURES

        shown = tables.table("id", "figure", "claim", "source", "theory")
        for entry in FIGURES.values():
            shown.add_row(entry.id, entry.slug, entry.claim, entry.source, entry.theory)
        Console().print(shown)
        print("Draw one with: didsim reproduce ID")
        return 0
