"""Where does every objective end under every departure, as a table whose cells open?"""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from didsim.cli.report.files import ATLAS, ATLAS_MANIFEST, AtlasColumn, AtlasManifest, AtlasRow, Damaged, read

FULL = 1.0  # change of the lacking value at which the colour is full
SHADES = 4
UNSOLVED = "not solved"
MARKS = (("reaches π*", "∗"), ("a set of minima", "s"), ("no minimum", "n"), (UNSOLVED, "?"), ("not defined", "-"))
MEASURES = (
    ("gap", Markup("value lacking against π*, ÷ the reference’s")),
    ("jsd", Markup("JSD(end‖π*), nats")),
    ("chosen_change", Markup("mean log(end/π<sub>ref</sub>) of chosen responses, nats")),
    ("misfit", Markup("J: part of the move off the reward, nats")),
)


@dataclass(frozen=True)
class Line:
    """One measure of a cell: its words, the median over worlds, and the interval that holds it."""

    words: Markup
    middle: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Cell:
    """One objective under one departure.

    Attributes:
        row: the numbers.
        mark: a letter for how it ends; empty for an end of its own.
        shade: class of the colour, from ``better4`` over ``same`` to ``worse4``; ``none`` without a number.
        lines: all measures.
        command: what repeats the cell.
    """

    row: AtlasRow
    mark: str
    shade: str
    lines: tuple[Line, ...]
    command: str


@dataclass(frozen=True)
class Atlas:
    """The chart.

    Attributes:
        columns: name, heading, and what is changed, of each departure.
        rows: the objectives with their cells, one for each departure.
        origin: the manifest.
    """

    columns: tuple[tuple[str, str, AtlasColumn], ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    origin: AtlasManifest

    @property
    def good(self) -> int:
        """Cells with a number or a reason why there is none."""
        return sum(cell.row.kind != UNSOLVED for _, cells in self.rows for cell in cells)

    @property
    def total(self) -> int:
        """Number of cells."""
        return len(self.rows) * len(self.columns)


def atlas(path: Path) -> Atlas:
    """Reads ``atlas.json`` of `didsim atlas --out`, and the manifest beside it.

    Raises:
        Damaged: a file is missing or not what it should be.
    """
    found, origin = read(path, ATLAS), read(path.with_suffix(".manifest.json"), ATLAS_MANIFEST)
    cells = {(row.objective, row.departure): row for row in found}
    objectives, departures = (tuple(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    if len(found) != len(objectives) * len(departures) or not found:
        raise Damaged(f"{path.name} is damaged: {len(found)} cells are no whole table.")
    titles = {row.departure: row.title for row in found}
    rows = []
    for name in objectives:
        before = cells[name, "matched"].gap if "matched" in departures else None
        rows.append((name, tuple(_cell(cells[name, column], before, origin) for column in departures)))
    columns = tuple((name, titles[name], origin.columns.get(name, AtlasColumn())) for name in departures)
    return Atlas(columns, tuple(rows), origin)


def _cell(row: AtlasRow, before: float | None, origin: AtlasManifest) -> Cell:
    mark = next((mark for words, mark in MARKS if row.kind.startswith(words)), "")
    lines = tuple(
        Line(words, getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high")) for name, words in MEASURES
    )
    command = ["didsim", "atlas", "--objective", row.objective, "--departure", row.departure]
    numbers = ["--worlds", str(origin.worlds), "--seed", str(origin.seed)]
    return Cell(row, mark, shade(row.gap, before), lines, shlex.join([*command, *numbers]))


def shade(gap: float | None, before: float | None) -> str:
    """Class of a cell's colour: how much more value is lacking than in the matched column.

    Example:
        >>> shade(0.9, 0.1), shade(0.1, 0.1), shade(-5.0, 0.0), shade(None, 0.0)
        ('worse4', 'same', 'better4', 'none')
    """
    if gap is None or before is None or math.isnan(gap - before):
        return "none"
    step = min(math.ceil(SHADES * abs(gap - before) / FULL - 0.2), SHADES) if math.isfinite(gap - before) else SHADES
    return "same" if step <= 0 else f"{'worse' if gap > before else 'better'}{step}"
