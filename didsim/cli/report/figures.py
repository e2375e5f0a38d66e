"""What has been drawn, with what outcome, and what of it is missing?"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from didsim.cli.report.data import Data, plotted
from didsim.cli.report.files import MANIFEST, SUMMARY, Damaged, Manifest, SummaryRow, VerdictRow, read, text
from didsim.cli.report.picture import Picture, picture
from didsim.figures.catalogue import FIGURES, Entry

ENDINGS = (".svg", ".png", ".nc", ".toml", ".manifest.json")
T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One figure and all that is known of it; what is damaged is None and told in ``troubles``."""

    entry: Entry
    verdicts: tuple[VerdictRow, ...]
    seconds: float | None
    picture: Picture | None
    config: str | None
    data: Data | None
    manifest: Manifest | None
    troubles: tuple[str, ...]

    @property
    def good(self) -> int:
        """Verdicts that hold."""
        return sum(verdict.ok for verdict in self.verdicts)


@dataclass(frozen=True)
class Drawn:
    """All figures of a folder, in the catalogue's order.

    Attributes:
        figures: those of which the folder holds anything.
        missing: ids of the catalogue of which it holds nothing.
        troubles: what is wrong with the folder itself.
    """

    figures: tuple[Figure, ...]
    missing: tuple[str, ...]
    troubles: tuple[str, ...]


def drawn(folder: Path) -> Drawn:
    """Reads a results folder; whatever is damaged in it is told, not raised."""
    troubles: list[str] = []
    rows = attempt(lambda: read(folder / "summary.json", SUMMARY), troubles) or []
    summary = {row.id: row for row in rows}
    troubles += [f"summary.json has a row of {id!r}, which is no figure." for id in summary if id not in FIGURES]
    there = [entry for entry in FIGURES.values() if entry.id in summary or _files(folder, entry)]
    figures = tuple(_figure(folder, entry, summary.get(entry.id), bool(summary)) for entry in there)
    return Drawn(figures, tuple(id for id in FIGURES if FIGURES[id] not in there), tuple(troubles))


def attempt(reading: Callable[[], T], troubles: list[str]) -> T | None:
    """What was read, or None and a line more in ``troubles``."""
    try:
        return reading()
    except Damaged as damage:
        troubles.append(str(damage))
        return None


def _files(folder: Path, entry: Entry) -> bool:
    return any((folder / (entry.stem + end)).exists() for end in ENDINGS)


def _figure(folder: Path, entry: Entry, row: SummaryRow | None, summarised: bool) -> Figure:
    troubles: list[str] = []
    stem = folder / entry.stem
    manifest = attempt(lambda: read(folder / f"{entry.stem}.manifest.json", MANIFEST), troubles)
    if row is None and summarised:
        troubles.append(f"summary.json has no row of {entry.id}.")
    if row is not None and manifest is not None and row.verdicts != manifest.verdicts:
        troubles.append(f"summary.json and {entry.stem}.manifest.json do not have the same verdicts of {entry.id}.")
    told = row or manifest
    verdicts = tuple(told.verdicts) if told else ()
    if told is not None and not verdicts:
        troubles.append(f"{entry.id} has no verdicts.")
    held = f"{sum(verdict.ok for verdict in verdicts)} of {len(verdicts)} verdicts hold."
    title = f"Figure {entry.id}: {entry.slug.replace('-', ' ')}."
    shown = attempt(lambda: picture(stem, title, f"{entry.claim} {held}"), troubles)
    config = attempt(lambda: _config(folder / f"{entry.stem}.toml", manifest), troubles)
    data = attempt(lambda: plotted(folder / f"{entry.stem}.nc"), troubles)
    return Figure(entry, verdicts, told.seconds if told else None, shown, config, data, manifest, tuple(troubles))


def _config(path: Path, manifest: Manifest | None) -> str:
    config = text(path)
    try:
        tomllib.loads(config)
    except tomllib.TOMLDecodeError as error:
        raise Damaged(f"{path.name} is damaged: not TOML: {error}.") from None
    if manifest is not None and manifest.config != config:
        raise Damaged(f"{path.name} is not the config that the manifest beside it was written for.")
    return config
