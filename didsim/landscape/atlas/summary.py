"""What does an atlas say in few numbers: one line a cell, and who is hurt least by a departure?"""

from typing import Any

import numpy as np
import xarray as xr

from didsim.landscape.atlas.cells import MEASURES, WORDS, Kind, median_interval


def summary(data: xr.Dataset) -> list[dict[str, Any]]:
    """One row a cell: its most frequent kind, median and interval of every measure over worlds, worst residual, reason.

    Args:
        data: what `chart` returned.

    Returns:
        Rows of plain values in the order of rows and columns; NaN where there is no number.  ``rank`` is the objective's
        among those charted, by the gap in that column (`ranking`); 0 without a number.
    """
    ranks = {str(column): {one["objective"]: one["rank"] for one in ranking(data, column)} for column in data["departure"].values}
    shape = ("objective", "departure", "world")
    found = {name: data[name].transpose(*shape).values for name in (*MEASURES, "kind", "residual")}
    titles, reasons = data["title"].values, data["reason"].transpose(*shape[:2]).values
    rows = []
    for i, objective in enumerate(map(str, data["objective"].values)):
        for j, column in enumerate(map(str, data["departure"].values)):
            kinds = found["kind"][i, j]
            row = {
                "objective": objective,
                "departure": column,
                "title": str(titles[j]),
                "kind": WORDS[main_kind(kinds)],
                "worlds": int(np.sum((kinds != Kind.UNDEFINED) & (kinds != Kind.UNSOLVED))),
                "residual": float(np.max(found["residual"][i, j])),
                "rank": ranks[column][objective],
            }
            for name in MEASURES:
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), median_interval(found[name][i, j]), strict=True))
            rows.append(row | {"reason": str(reasons[i, j])})
    return rows


def main_kind(kinds: np.ndarray) -> Kind:
    """The kind that most worlds have; of several, the first in the order of `Kind`."""
    return Kind(int(np.argmax(np.bincount(kinds, minlength=len(Kind)))))


def ranking(data: xr.Dataset, departure: str, measure: str = "gap") -> list[dict[str, Any]]:
    """Objectives from the least to the most hurt by one departure; rows that cannot be told apart share a rank.

    Worlds are shared, so rows are compared world by world: a row has a rank of its own once the interval of the median
    difference to the first row of the rank before lies above zero.

    Args:
        data: what `chart` returned.
        departure: which column.
        measure: which of ``MEASURES``, small for good.

    Returns:
        Rows ``rank``, ``objective``, the median with its interval, ``kind``; those without a number last, their rank 0.
    """
    column = data.sel(departure=departure)
    names = [str(name) for name in column["objective"].values]
    found = dict(zip(names, column[measure].transpose("objective", "world").values, strict=True))
    kinds = dict(zip(names, column["kind"].transpose("objective", "world").values, strict=True))
    middle = {name: median_interval(values) for name, values in found.items()}
    order = sorted((name for name in found if np.isfinite(middle[name][0])), key=lambda name: middle[name][0])
    rows, first, rank = [], "", 0
    for place, name in enumerate(order, 1):
        with np.errstate(invalid="ignore"):
            apart = median_interval(found[name] - found[first])[1] if first else np.inf
        if apart > 1e-9:
            first, rank = name, place
        rows.append((rank, name))
    rows += [(0, name) for name in found if name not in order]
    return [
        {
            "rank": place,
            "objective": name,
            **dict(zip(("median", "low", "high"), middle[name], strict=True)),
            "kind": WORDS[main_kind(kinds[name])],
        }
        for place, name in rows
    ]
