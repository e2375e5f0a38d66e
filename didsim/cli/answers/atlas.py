"""How does an atlas look in 80 columns, and in which files is it given?"""

import csv
import inspect
import io
import string
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from didsim.landscape import atlas
from didsim.landscape.atlas import MARKS, MEASURES, WORDS, Kind
from didsim.numerics import files
from didsim.numerics.provenance import origin

WIDTH = 80
ENOUGH = 0.95  # share of cells that must be solved, or have a reason
CELL = 5


def print_chart(data: xr.Dataset, measure: str) -> None:
    """The chart of several columns, or the ranking of one, with what its marks and numbers mean."""
    one = data.sizes["departure"] == 1
    print("\n".join(ranked(data, measure) if one else charted(data, measure)))
    good = atlas.solved(data)
    residual = data["residual"].where(data["kind"] < Kind.UNSOLVED)
    print(f"{int(good.sum())} of {good.size} solves have a residual below 1e-8 or a reason; worst residual {_worst(residual)}.")
    for line in sorted({reason for reason in data["reason"].values.ravel().tolist() if reason}):
        print(textwrap.fill(f"- {line}", WIDTH, subsequent_indent="  "))


def charted(data: xr.Dataset, measure: str) -> list[str]:
    """Lines of at most 80 columns: medians over worlds, departures under letters, as many blocks as they need."""
    names = [str(name) for name in data["objective"].values]
    first = max(map(len, names), default=0) + 1
    per_block = max((WIDTH - first) // CELL, 1)
    columns = [str(name) for name in data["departure"].values]
    letters = [string.ascii_lowercase[k % 26] * (1 + k // 26) for k in range(len(columns))]
    lines = [f"Median over {data.sizes['world']} worlds: {MEASURES[measure]}."]
    lines = [*textwrap.wrap(lines[0], WIDTH), ""]
    for start in range(0, len(columns), per_block):
        some = range(start, min(start + per_block, len(columns)))
        lines.append(" " * first + "".join(f"{letters[k]:>{CELL - 1}} " for k in some).rstrip())
        for name in names:
            cells = "".join(_cell(data.sel(objective=name, departure=columns[k]), measure) for k in some)
            lines.append(f"{name:<{first}}{cells}".rstrip())
        lines.append("")
    titles = data["title"].values
    lines += [f"{letter}  {title} ({name})" for letter, title, name in zip(letters, titles, columns, strict=True)]
    marks = "; ".join(f"{mark} {WORDS[kind]}" for kind, mark in MARKS.items() if mark)
    return [*lines, *textwrap.wrap(f"Marks: {marks}.", WIDTH)]


def ranked(data: xr.Dataset, measure: str) -> list[str]:
    """Lines of at most 80 columns: objectives from the least hurt on, with intervals; equal ranks cannot be told apart."""
    column = str(data["departure"].values[0])
    rows = atlas.ranking(data, column, measure)
    first = max(len(row["objective"]) for row in rows)
    lines = [f"{data['title'].values[0]} ({column}): {MEASURES[measure]}."]
    lines = [*textwrap.wrap(lines[0], WIDTH), "", f"rank  {'objective':<{first}}  median  interval over worlds"]
    for row in rows:
        rank = f"{row['rank']:>4}" if row["rank"] else "   -"
        interval = "" if np.isnan(row["median"]) else f"{_short(row['median']):>6}  [{_short(row['low'])}, {_short(row['high'])}]"
        text = f"{rank}  {row['objective']:<{first}}  {interval:<24} "
        lines.append(f"{text}{row['kind']}"[:WIDTH].rstrip())
    told = "Rows of one rank cannot be told apart by these worlds.  There is no best loss: each column ranks anew."
    return [*lines, "", *textwrap.wrap(told, WIDTH)]


def write(data: xr.Dataset, folder: Path, asked: dict[str, Any]) -> None:
    """``atlas.csv`` and, where pyarrow is there, ``atlas.parquet``, a row a cell; ``atlas.nc``, every world; ``atlas.json``
    with ``atlas.manifest.json``, from which `didsim report` makes its table; the picture where there is a matched column.

    Args:
        data: what `atlas.chart` returned.
        folder: where the files go.
        asked: seed, number of worlds and seconds, for the manifest.
    """
    rows = atlas.summary(data)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write("--out", folder / "atlas.csv", table.getvalue())
    files.write_json("--out", folder / "atlas.json", [{name: _plain(value) for name, value in row.items()} for row in rows])
    files.write_json("--out", folder / "atlas.manifest.json", _manifest(data, asked))
    files.write("--out", folder / "atlas.nc", lambda path: data.to_netcdf(path, engine="scipy"))
    if "matched" in data["departure"].values:
        from didsim.figures.c12_atlas import labelled  # pictures are slow to import, and a chart alone has none
        from didsim.figures.c12_atlas_picture import draw
        from didsim.plotting.drawing import save

        picture = draw(labelled(data))
        for end in ("svg", "png"):
            files.write("--out", folder / f"atlas.{end}", lambda file: save(picture, file))
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        print("atlas.parquet needs pyarrow: pip install 'didsim[parquet]'")
    else:
        files.write("--out", folder / "atlas.parquet", lambda path: parquet.write_table(pyarrow.Table.from_pylist(rows), path))
    print(f"{len(rows)} cells as atlas.csv, .json, .nc and a picture, with the store atlas.jsonl, in")
    print(folder)


def _manifest(data: xr.Dataset, asked: dict[str, Any]) -> dict[str, Any]:
    """Where the cells come from, what each column changes, and the law of the worlds."""
    parts = {name: atlas.departure(name) for name in map(str, data["departure"].values)}
    columns = {name: {"about": _first_line(part), "settings": repr(part)} for name, part in parts.items()}
    return {**origin(), "dtype": "float64", **asked, "world": repr(atlas.WORLD), "columns": columns}


def _first_line(part: object) -> str:
    return (inspect.getdoc(part) or "").partition("\n\n")[0].replace("\n", " ")


def _cell(cell: xr.Dataset, measure: str) -> str:
    kinds = cell["kind"].values
    kind = atlas.main_kind(kinds)
    middle = atlas.median_interval(cell[measure].values)[0]
    return f"{'' if np.isnan(middle) else _tiny(middle):>{CELL - 1}}{MARKS[kind] or ' '}"


def _tiny(value: float) -> str:
    """A number in at most four characters."""
    if np.isinf(value):
        return "-inf" if value < 0 else "inf"
    for digits in (2, 1, 0):
        text = f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"
        if len(text) <= CELL - 1:
            return text if float(text) else "0"
    return "big"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 1e-9 or not np.isfinite(value) else "0"


def _worst(residual: xr.DataArray) -> str:
    return f"{float(residual.max()):.1e}" if bool(residual.notnull().any()) else "none"


def _plain(value: Any) -> Any:
    """Not a number as nothing, infinities as the words that ``float`` reads: JSON has neither."""
    if not isinstance(value, float) or np.isfinite(value):
        return value
    return None if np.isnan(value) else str(value)
