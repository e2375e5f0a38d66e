"""`didsim golden`: numbers that a loss must give, and a check of one's own loss against them."""

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from didsim.cli.command import Command, Overwrite, command, words
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError

ENDINGS = {"json": ".json", "jsonl": ".jsonl", "npz": ".npz", "pytest": ".py"}


@command
class Golden(Command):
    """Write golden vectors for any trainer's tests; check a loss of one's own."""

    out: Path | None = None
    """File for the cases."""
    objective: Annotated[tuple[str, ...], words("NAME ...")] = ()
    """Objectives, all if none is given; `didsim objectives` lists them."""
    format: Literal["json", "jsonl", "npz", "pytest"] = "json"
    """One JSON, one JSON object a line, NumPy arrays, or a test that is complete in itself."""
    loss: Annotated[str | None, tyro.conf.arg(name="check", metavar="MODULE:FUNCTION", help_behavior_hint="")] = None
    """Your loss, a function whose parameters are named `policy_chosen`, `policy_rejected`, `ref_chosen`, `ref_rejected`,
    `beta` and so on; says which dialect it is."""
    renew: bool = False
    """Compute the cases anew instead of taking those that ship; minutes."""
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses a call that asks for nothing, a file that may not be written, and names that are none."""
        from didsim.cli import known

        if self.out is None and self.loss is None:
            raise ArgumentError("Argument `--out` must be given where `--check` is not, but neither is.")
        files.writable("--out", self.out, overwrite=self.overwrite)
        ending = "" if self.out is None else self.out.suffix
        if ending in ENDINGS.values() and ending != ENDINGS[self.format]:
            wanted = next(kind for kind, one in ENDINGS.items() if one == ending)
            raise ArgumentError(f"Argument `--format` must be {wanted} for a file that ends in {ending}, but is {self.format}.")
        known.check_parts("--objective", "objectives", self.objective)

    def run(self) -> int:
        """Writes the cases asked for; with a function, prints how it agrees with each objective and what it is nearest to."""
        from didsim.objectives import OBJECTIVES

        names = tuple(OBJECTIVES.spelled(word, "--objective") for word in self.objective)
        from didsim.cli.golden import cases, check

        function = None if self.loss is None else check.load(self.loss)
        content = cases.compute(names or OBJECTIVES) if self.renew else cases.shipped()
        content = _only(content, names) if names else content
        if not content["cases"]:
            raise ArgumentError(f"Argument `--objective` must be a loss of pairs, but is {' '.join(names)}, one of whole laws.")
        if self.out is not None:
            _write(self.out, self.format, content)
        return (
            0 if function is None else _told(check.check(function, content, names or tuple(content["objectives"])), bool(names))
        )


def _only(content: dict, names: tuple[str, ...]) -> dict:
    """The same file with the cases of some objectives alone."""
    made = [one for one in content["cases"] if one["objective"] in names]
    facts = {name: fact for name, fact in content["objectives"].items() if name in names}
    return {**content, "objectives": facts, "cases": made}


def _told(rows: list, named: bool) -> int:
    """Prints a table; of all objectives those alone that agree, or the nearest one if none does."""
    from rich.console import Console
    from rich.markup import escape

    from didsim.cli import tables

    if not rows:
        raise ArgumentError("Argument `--check` must be a function of what these objectives take, but none gives it that.")
    if not named:
        agreeing = [row for row in rows if row.ok]
        rows = agreeing or sorted(rows, key=lambda row: (row.nearest.startswith("none"), -row.right / row.asked, row.worst))[:1]
    shown = tables.table("dialect", right=("agrees", "worst/tol"), last=("is instead",))
    for row in rows:
        shown.add_row(escape(row.objective), f"{row.right}/{row.asked}", f"{row.worst:.2g}", escape(row.nearest))
    Console().print(shown)
    return 0 if all(row.ok for row in rows) else 1


def _write(out: Path, kind: str, content: dict) -> None:
    from didsim.cli.golden import cases, formats

    if kind == "npz":
        files.write("--out", out, lambda path: formats.save_npz(path, content))
    elif kind == "jsonl":
        files.write("--out", out, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in formats.lines(content)))
    else:
        text = cases.text(content)
        files.write("--out", out, text if kind == "json" else formats.pytest_file(text))
