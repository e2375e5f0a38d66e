"""`didsim objectives`: which losses there are, and where each ends."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from didsim.cli.command import Command, Overwrite, command, words
from didsim.numerics import files

WIDTH, INDENT = 80, 16


@command
class Objectives(Command):
    """List the objectives: reward, link, and where each population loss is least."""

    name: Annotated[tyro.conf.Positional[tuple[str, ...]], words("[NAME ...]")] = ()
    """Objectives to show one by one, with their names in trainers; a table of all if none is given."""
    json: Path | None = None
    """File for the rows."""
    overwrite: Overwrite = False
    needs_jax = False

    def check(self) -> None:
        """Refuses a file that may not be written."""
        files.writable("--json", self.json, overwrite=self.overwrite)

    def run(self) -> int:
        """Prints every objective with its parts and the class of its minimiser; writes the rows as JSON if asked."""
        from didsim.cli import known, tables

        rows = known.objectives()
        if self.name:
            chosen = [known.objective("NAME", word) for word in self.name]
            rows = [row for name in chosen for row in rows if row["name"] == name]
        files.write_json("--json", self.json, rows)
        if self.name:
            print("\n\n".join(_block(row, known.dialect(str(row["name"]))) for row in rows))
            return 0
        names = tuple(name.replace("_", " ") for name in rows[0])
        cells = [[value if isinstance(value, str) else "yes" if value else "" for value in one.values()] for one in rows]
        tables.show(names, cells)
        print("Classes hold on independent draws from π_w and π_l that follow the power law,")
        print("at the data's β. Here m is a pair's margin, chosen minus rejected; without a")
        print("link the reward is the whole loss. Objectives with a link can be followed by")
        print('projected gradients instead: rule = "projected" in a TOML file.')
        return 0


def _block(row: dict[str, Any], more: dict[str, Any]) -> str:
    """One objective in lines of at most 80 columns."""
    from didsim.cli.tables import wrapped

    lines = {
        "formula": more["formula"],
        "reward": row["reward"],
        "link": row["link"],
        "ends": f"{row['minimiser']}: {row['where']}",
        "source": row["source"],
        "kindred": ", ".join(more["kindred"]) or "none",
        **(more["names"] or {"elsewhere": "no equal in the trainers that were read"}),
    }
    indent = max(INDENT, 3 + max(map(len, lines)))
    return "\n".join([str(row["name"]), *(wrapped(label, str(text), indent, WIDTH) for label, text in lines.items())])
