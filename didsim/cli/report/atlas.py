"""Where does every objective end under every departure, as a table whose cells open?"""

import math
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from didsim.cli.report.files import ATLAS, ATLAS_MANIFEST, AtlasColumn, AtlasManifest, AtlasRow, Damaged, read

FULL = 0.5  # change of the lacking value at which the colour is full
SHADES = 4
UNSOLVED = "not solved"
MARKS = (("reaches π*", "∗"), ("a set of minima", "s"), ("no minimum", "n"), (UNSOLVED, "?"), ("not defined", "–"))
TOO_MUCH = 1e6  # nats of what grows without bound on the way to no minimum
ZERO = 1e-12
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
        key: what the cell is sorted by: the gap, rounding taken for none.
        change: gap less that of the matched column.
        tied: how many other objectives share the rank in this column.
        command: what repeats the cell.
    """

    row: AtlasRow
    mark: str
    shade: str
    lines: tuple[Line, ...]
    key: float | None
    change: float | None
    tied: int
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
    ranks = Counter((row.departure, row.rank) for row in found)
    rows = []
    for name in objectives:
        before = cells[name, "matched"].gap if "matched" in departures else None
        own = [cells[name, column] for column in departures]
        rows.append((name, tuple(_cell(row, before, ranks[row.departure, row.rank] - 1, origin) for row in own)))
    columns = tuple((name, titles[name], origin.columns.get(name, AtlasColumn())) for name in departures)
    return Atlas(columns, tuple(rows), origin)


def _cell(row: AtlasRow, before: float | None, tied: int, origin: AtlasManifest) -> Cell:
    mark = next((mark for words, mark in MARKS if row.kind.startswith(words)), "")
    lines = tuple(
        Line(words, *(_bounded(getattr(row, f"{name}{end}")) for end in ("", "_low", "_high"))) for name, words in MEASURES
    )
    command = ["didsim", "atlas", "--objective", row.objective, "--departure", row.departure]
    numbers = ["--worlds", str(origin.worlds), "--seed", str(origin.seed or 0)]
    key = None if row.gap is None else row.gap if abs(row.gap) > ZERO else 0.0
    change = None if key is None or before is None else key - before
    return Cell(row, mark, shade(row.gap, before), lines, key, change, tied, shlex.join([*command, *numbers]))


def _bounded(value: float | None) -> float | None:
    """A measure, infinite where it is only a stop on the way there."""
    return value if value is None or abs(value) < TOO_MUCH else math.copysign(math.inf, value)


def shade(gap: float | None, before: float | None) -> str:
    """Class of a cell's colour: how much more value is lacking than in the matched column.

    Example:
        >>> shade(0.6, 0.1), shade(0.1, 0.1), shade(-5.0, 0.0), shade(None, 0.0)
        ('worse4', 'same', 'better4', 'none')
    """
    if gap is None or before is None or math.isnan(gap - before):
        return "none"
    step = min(math.ceil(SHADES * abs(gap - before) / FULL - 0.2), SHADES) if math.isfinite(gap - before) else SHADES
    return "same" if step <= 0 else f"{'worse' if gap > before else 'better'}{step}"
