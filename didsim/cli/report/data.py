"""How do the plotted numbers travel with the page?  As the netCDF file itself, gzipped, in a link that saves it."""

import base64
import gzip
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from didsim.cli.report.files import Damaged, content

BUDGET = 18_000_000  # bytes of links in one page; the smallest data go in first


@dataclass(frozen=True)
class Column:
    """One array of a dataset: its name and its axes with their lengths."""

    name: str
    axes: str
    kind: str


@dataclass(frozen=True)
class Data:
    """What a figure plots.

    Attributes:
        file: name under which it is saved.
        columns: the arrays in it.
        link: a ``data:`` URL of the gzipped file; empty where the page would become too heavy.
        size: bytes to be saved.
    """

    file: str
    columns: tuple[Column, ...]
    link: str
    size: int


def plotted(path: Path) -> Data:
    """The data of a figure, read once to see that they are whole.

    Raises:
        Damaged: the file is missing or not a whole netCDF file.
    """
    raw = content(path)
    columns = _columns(path)
    packed = gzip.compress(raw, 9, mtime=0)
    link = f"data:application/gzip;base64,{base64.b64encode(packed).decode()}"
    return Data(f"{path.name}.gz", columns, link, len(packed))


def affordable(all_data: list[Data], budget: int = BUDGET) -> set[str]:
    """Files that fit into the page, the smallest first."""
    total, chosen = 0, set()
    for data in sorted(all_data, key=lambda one: len(one.link)):
        total += len(data.link)
        if total > budget:
            break
        chosen.add(data.file)
    return chosen


def _columns(path: Path) -> tuple[Column, ...]:
    try:
        with xr.open_dataset(path, engine="scipy") as opened:
            data = opened.load()
    except Exception as error:  # a damaged file fails in as many ways as there are bytes in its header
        why = " ".join(str(error).split())[:120]
        raise Damaged(f"{path.name} is damaged: not a whole netCDF file: {why}.") from None
    return tuple(_column(str(name), values) for name, values in data.variables.items())


def _column(name: str, values: xr.Variable) -> Column:
    axes = " × ".join(f"{axis} {length}" for axis, length in values.sizes.items())
    kind = {"f": "number", "i": "whole number", "O": "text", "U": "text", "S": "text"}.get(values.dtype.kind, str(values.dtype))
    return Column(name, axes or "one value", kind)
