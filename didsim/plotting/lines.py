"""How are the lines of a picture drawn, its axes scaled, and every line named?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from didsim.plotting.colours import GREY
from didsim.plotting.drawing import LETTERS, PREDICTED, band, end_labels, predicted_and_measured
from didsim.plotting.names import axis_of
from didsim.plotting.typesetting import typeset

LINE = 1.27 * LETTERS / 72.0  # inches: the height of a label
DECADES = 100.0  # largest over smallest value from which an axis is logarithmic
FLOOR = 1e-16  # and less than this share is rounding
ROUNDING = 1e-12  # less than this share of the largest value below zero is zero
MOST_NUMBERS = 8  # more values of an axis are not written one by one
MOST_LETTERS = 50  # of all names under an axis, until they are turned


class Line(NamedTuple):
    """One line of a picture: values of shape (seeds, places)."""

    label: str
    values: np.ndarray
    colour: str
    predicted: np.ndarray | float | None = None


def height(lines: Sequence[Line]) -> float:
    """Height of a picture in inches: so many that every label has its place."""
    return max(2.6, LINE * len(lines) + 1.0)


def is_number(values: np.ndarray) -> bool:
    """Whether an axis has numbers, not names."""
    return np.issubdtype(values.dtype, np.number)


def curves(ax: Axes, places: np.ndarray, lines: Sequence[Line]) -> None:
    """Median and band of every line where it has numbers, in the order of the places."""
    order = np.argsort(places, kind="stable")
    for line in lines:
        known = order[np.isfinite(line.values[:, order]).any(0)]
        if len(known):
            band(ax, places[known], line.values[:, known], line.colour)
        if isinstance(line.predicted, np.ndarray):
            ax.plot(places[order], line.predicted[order], **_dashed(line))
        elif line.predicted is not None:
            ax.axhline(line.predicted, **_dashed(line))


def _dashed(line: Line) -> dict[str, Any]:
    return {**PREDICTED, "color": line.colour}


def columns(ax: Axes, names: Sequence[str], lines: Sequence[Line]) -> None:
    """Over every name a point for each line with the central 95 % as a bar."""
    for rank, line in enumerate(lines):
        places = np.arange(len(names)) + 0.5 * (rank - 0.5 * (len(lines) - 1)) / len(lines)
        for place, values in zip(places, line.values.T, strict=True):
            if np.isfinite(values).any():
                low, middle, high = np.nanquantile(values, [0.025, 0.5, 0.975])
                ax.vlines(place, low, high, color=line.colour, linewidth=1.2, alpha=0.6)
                ax.plot(place, middle, "o", color=line.colour)
        if line.predicted is not None:
            heights = np.broadcast_to(line.predicted, len(names))
            ax.hlines(heights, places - 0.12, places + 0.12, colors=line.colour, linestyles="--", linewidth=0.9)
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, names)) > MOST_LETTERS else {}
    ax.set_xticks(np.arange(len(names)), names, **turned)
    ax.set_xlim(-0.6, len(names) - 0.4)


def finish_steps(ax: Axes) -> None:
    """Records lie evenly on a logarithmic axis; step 0 stays in sight."""
    ax.set_xscale("symlog", linthresh=1.0, linscale=0.4)
    ax.set_xlim(left=0.0)
    ax.set_xlabel("step")


def finish_axis(ax: Axes, places: np.ndarray, x: str) -> None:
    """Logarithmic where the values lie more evenly so; few values are written one by one."""
    values = np.unique(places).astype(float)
    if len(values) > 2 and values[0] > 0 and _unevenness(np.log(values)) < _unevenness(values):
        ax.set_xscale("log")
        ax.minorticks_off()
    if len(values) <= MOST_NUMBERS:
        ax.set_xticks(values, [f"{one:g}" for one in values])
    ax.set_xlabel(axis_label(x))


def _unevenness(values: np.ndarray) -> float:
    gaps = np.diff(values)
    return float(gaps.std() / gaps.mean())


def axis_label(name: str) -> str:
    """An axis of a sweep, and which parts of the run it moves."""
    words, parts = axis_of(name)
    return f"{words} ({parts})" if parts else words


def finish(ax: Axes, end: float, lines: Sequence[Line], label: str) -> Axes:
    """Scale and name of the values, names of lines at their ends, and what the shading is."""
    drawn = np.concatenate([line.values[np.isfinite(line.values)] for line in lines])
    low, high = float(drawn.min()), float(drawn.max())
    positive = drawn[drawn > 0]
    if low > -ROUNDING * high and len(positive) and high / positive.min() >= DECADES:
        ax.set_yscale("log")
        ax.set_ylim(max(float(positive.min()), FLOOR * high) / 1.6, high * 1.6)
    ax.set_ylabel(typeset(label))
    seeds = max(len(line.values) for line in lines)
    if seeds > 1:
        ax.set_title(f"median and central 95 % of {seeds} seeds", loc="right", fontsize=LETTERS, color=GREY)
    if any(line.predicted is not None for line in lines):
        predicted_and_measured(ax, loc="best")
    ends = [(line, np.flatnonzero(np.isfinite(line.values).any(0))) for line in lines if line.label]
    named = [
        (float(np.nanmedian(line.values[:, known[-1]])), typeset(line.label), line.colour) for line, known in ends if len(known)
    ]
    if named:
        end_labels(ax, end, named)
    return ax
