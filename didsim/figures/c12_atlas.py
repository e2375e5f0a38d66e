"""C12: where does every objective end under every departure from the matched world, and which is hurt least by which?

Rows are all registered objectives, columns one departure each; a cell is the exact end in random worlds of eight responses,
its lack of value in units of the reference's.  There is no best loss: which row lacks least depends on the column.
"""

from typing import ClassVar

import numpy as np
import xarray as xr

from didsim.figures.settings import Count, Seed, config
from didsim.figures.verdicts import Verdict, above, below, must_break
from didsim.landscape import atlas
from didsim.landscape.atlas import Kind
from didsim.objectives import OBJECTIVES, Limit

FEW = ("dpo", "cdpo", "robust", "ipo[sum]", "simpo", "cpo", "kto", "kldo", "sft", "rlhf")
TIED = 1e-6  # lacking values that differ by less are alike
SEES_REWARD = "rlhf"  # learns from the reward itself, so it is no choice for who has preferences
CLOSED = ("matched", "beta", "angle", "weak-reference")  # columns whose pairs are independent draws still
FAMILIES = {
    "ratio": "DPO", "shaped": "other links", "divergences": "divergences", "squared": "squares",
    "reference_free": "no reference", "unpaired": "unpaired", "transport": "sorted", "likelihood": "likelihood",
    "variational": "whole laws", "bregman": "Bregman", "squared_log": "squared log", "tokenwise": "tokens",
    "rankings": "lists", "tied": "ties", "auxiliary": "auxiliary",
}  # fmt: skip


@config
class Config:
    """Numbers of C12; the configuration is this project's own.  Rows are a few well-known objectives; ``every`` takes
    all of them, two to four minutes.
    """

    FAST: ClassVar[dict] = {"worlds": 2}

    worlds: Count = 8
    seed: Seed = 0
    every: bool = False


def run(settings: Config) -> xr.Dataset:
    """The atlas with its controls, and what closed forms say where there are some."""
    rows = list(OBJECTIVES) if settings.every else list(FEW)
    data = atlas.chart(rows, atlas.DEPARTURES, worlds=settings.worlds, seed=settings.seed)
    closed = atlas.closed_forms(rows, CLOSED, worlds=settings.worlds, seed=settings.seed)
    return labelled(data.assign(closed=closed.reindex(departure=data["departure"])))


def labelled(data: xr.Dataset) -> xr.Dataset:
    """An atlas with what the picture and the verdicts want to know of its rows: family, whether it aims at π*, convexity."""
    rows = [str(name) for name in data["objective"].values]
    family = [FAMILIES.get(OBJECTIVES[name].__module__.rpartition(".")[2], "one's own") for name in rows]
    limit = [OBJECTIVES[name].card.limit.name for name in rows]
    return data.assign_coords(
        family=("objective", family),
        aims=("objective", [name == Limit.TARGET.name for name in limit]),
        convex=("objective", [OBJECTIVES[name].convex for name in rows]),
    )


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C12."""
    gap, kind = data["gap"], data["kind"]
    matched = gap.sel(departure="matched", drop=True)
    sure = (kind <= Kind.OWN) & data["convex"]
    known = data["closed"].notnull() & gap.notnull()
    off = abs(gap - data["closed"]).where(known, 0.0)
    renamed = abs(gap.sel(departure="renamed") - matched).where(sure.sel(departure="renamed"), 0.0)
    moved = abs(gap.sel(departure="reversed") - matched).median("world")
    return [
        above("share of solves with a residual below 1e-8 or a reason", atlas.solved(data).mean(), 0.95),
        above("departures under which the objective that is best most often is not", _lost(data), 2.0),
        above("solves that a closed form answers", known.sum(), 1.0),
        below("lacking value, solver against closed form", off, 1e-7),
        below("objectives that aim at π*, matched column: lacking value", matched.where(data["aims"], 0.0), 1e-7),
        below("responses renamed: change of a unique end", renamed, 1e-7),
        must_break("closed form of the matched column, taken for β doubled", _wrong_column(data), 1e-3),
        must_break("reward reversed: every row moves", moved.where(moved.notnull(), np.inf), 1e-2),
    ]


def best(data: xr.Dataset) -> xr.DataArray:
    """Which objectives lack least value under each departure: by the median of the worlds, ties included, RLHF apart.

    An objective that is not solved in every world of a departure is not compared there.
    """
    lacking = data["gap"].median("world").where(solved_everywhere(data) & (data["objective"] != SEES_REWARD))
    return lacking <= lacking.min("objective") + TIED


def solved_everywhere(data: xr.Dataset) -> xr.DataArray:
    """Which cells have an end, or a reason why there is none, in every world."""
    return (data["kind"] != Kind.UNSOLVED).all("world")


def _wrong_column(data: xr.Dataset) -> xr.DataArray:
    """Largest error per world of the closed forms of one column against the cells of another."""
    wrong = abs(data["gap"].sel(departure="beta", drop=True) - data["closed"].sel(departure="matched", drop=True))
    return wrong.max("objective")


def _lost(data: xr.Dataset) -> xr.DataArray:
    """Departures, the controls apart, less those under which one objective is best most often."""
    first = best(data).sel(departure=~data["control"].astype(bool))
    return first.sizes["departure"] - first.sum("departure").max("objective")
