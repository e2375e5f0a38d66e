"""What does a didsim picture look like?  One style, one colour per meaning, dashed for predicted, solid for measured."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke

from didsim.plotting.colours import BLACK, GREY
from didsim.plotting.typesetting import typeset_all

P = ParamSpec("P")
T = TypeVar("T")
STYLE = Path(__file__).with_name("didsim.mplstyle")
WIDTH = 5.0  # inches: at 85 mm, one column of a journal, letters of 7.5 points are still 5 points high
LETTERS = 7.5  # points: the smallest letters

PREDICTED: dict[str, Any] = {"color": BLACK, "linestyle": "--", "linewidth": 0.9}  # a line that theory says
DATED = {".svg": "Date", ".pdf": "CreationDate"}  # what would change a file from day to day
HALO: list[AbstractPathEffect] = [
    withStroke(linewidth=2.0, foreground="white")
]  # round words that lines pass under, which a box would cut
GUIDE: dict[str, Any] = {"color": GREY, "linewidth": 0.4, "zorder": 0}  # a place to compare with


def style() -> AbstractContextManager[Any]:
    """The house style for the pictures drawn within, whatever the settings outside.

    Example:
        >>> import matplotlib
        >>> from didsim import plotting
        >>> with plotting.style():
        ...     print(matplotlib.rcParams["axes.spines.top"])
        False
    """
    return matplotlib.rc_context(fname=STYLE)


def axes_or_new(ax: Axes | None, height: float = 2.6) -> Axes:
    """The axes given, or those of a new figure of one text width, ``height`` in inches."""
    return new_figure(height, [1.0])[1][0] if ax is None else ax


def new_figure(height: float, widths: Sequence[float], *, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Figure of one text width with ``rows`` rows of panels in the house style."""
    with style():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = list(np.ravel(figure.subplots(rows, len(widths), width_ratios=widths)))
        figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)  # type: ignore[union-attr]
    return figure, axes


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorator: run a drawing function in the house style, whatever the caller's settings are, with symbols typeset."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        with style():
            drawn = draw(*args, **kwargs)
            if isinstance(drawn, Figure | Axes):
                typeset_all(drawn)
                for legend in drawn.findobj(Legend):
                    for text in legend.get_texts():
                        text.set_path_effects(HALO)
            return drawn

    return inside


def save(figure: Figure, *paths: Path | str) -> None:
    """Writes a picture in the house style, the same bytes each time: what the style says of files holds only inside it.

    It is laid out for the first file, and the others show it as it is there: working that out takes longer than drawing.
    """
    layout = figure.get_layout_engine()
    with style():
        for path in paths:
            figure.savefig(path, metadata={DATED.get(Path(path).suffix, "Software"): None})
            figure.set_layout_engine("none")
    figure.set_layout_engine(layout)


def band(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str, **line: Any) -> None:
    """Median line over the first axis with the central 95 % shaded."""
    low, middle, high = np.nanquantile(values, [0.025, 0.5, 0.975], axis=0)
    ax.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    ax.plot(x, middle, color=colour, **line)


def end_labels(ax: Axes, x: float, entries: Sequence[tuple[float, str, str]], *, gap: float | None = None) -> None:
    """Direct labels at the right end of lines, moved apart so that none overlap; a thin line leads to what was moved.

    ``entries`` are (y in data units, text, colour); ``gap`` is the least distance as a share of the axis height, a line of
    text if missing.
    """
    if gap is None:
        figure = ax.get_figure(root=True)
        assert figure is not None
        gap = 1.27 * LETTERS / (72.0 * ax.get_position().height * figure.get_figheight())
    low, high = ax.get_ylim()
    log = ax.get_yscale() == "log"
    place = np.array([(np.log(y) if log else y) for y, _, _ in entries])
    start, stop = (np.log(low), np.log(high)) if log else (low, high)
    height = np.clip((place - start) / (stop - start), 0.02, 0.98)
    order = np.argsort(height)
    spread = _spread(height[order], gap)
    for rank, which in enumerate(order):
        y, text, colour = entries[which]
        moved = abs(spread[rank] - height[which]) > 0.45 * gap
        place = (1.05 if moved else 1.03, spread[rank])
        if moved:
            leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 1}
            end = (x, float(np.clip(y, low, high)))
            ax.annotate("", end, xytext=place, textcoords="axes fraction", arrowprops=leader, annotation_clip=False)
        ax.annotate(
            text, place, xycoords="axes fraction", color=colour, fontsize=LETTERS, va="center", ha="left", annotation_clip=False
        )


def note(ax: Axes, x: float, y: float, text: str, **how: Any) -> None:
    """A word on the panel itself, at shares of its width and height."""
    ax.text(x, y, text, transform=ax.transAxes, **{"fontsize": LETTERS, "path_effects": HALO, **how})


def beside(ax: Axes, point: tuple, text: str, shift: tuple, **how: Any) -> None:
    """A word beside a point of the data, moved by ``shift`` printer's points."""
    ax.annotate(text, point, textcoords="offset points", xytext=shift, **{"fontsize": LETTERS, "path_effects": HALO, **how})


def break_marks(upper: Axes, lower: Axes) -> None:
    """Joins two axes above each other into one whose scale is broken."""
    upper.tick_params(axis="x", which="both", bottom=False)
    upper.spines["bottom"].set_visible(False)
    for ax, height in ((upper, 0.0), (lower, 1.0)):
        mark = {"marker": [(-1.0, -0.5), (1.0, 0.5)], "markersize": 6, "linestyle": "none", "color": BLACK, "clip_on": False}
        ax.plot([0], [height], transform=ax.transAxes, **mark)


def predicted_and_measured(ax: Axes, **kwargs: Any) -> None:
    """Small legend: dashed predicted, solid measured."""
    handles = [
        Line2D([], [], color=GREY, linestyle="-", label=kwargs.pop("measured", "trained")),
        Line2D([], [], color=GREY, linestyle="--", linewidth=1.0, label=kwargs.pop("predicted", "predicted")),
    ]
    ax.legend(handles=handles, **{"loc": "lower left", "handlelength": 2.2, **kwargs})


def _spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Sorted heights pushed apart to at least ``gap``, staying centred on where they were."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], gap) < _top(groups[-2], gap) + gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = np.concatenate([_bottom(group, gap) + gap * np.arange(len(group)) for group in groups])
    rank = np.arange(len(placed))
    placed = np.minimum(placed, 1.0 - gap * rank[::-1])
    return np.maximum(placed, 0.6 * gap + gap * rank)  # the lowest clear of the axis' numbers


def _bottom(group: list[float], gap: float) -> float:
    return float(np.mean(group)) - gap * (len(group) - 1) / 2


def _top(group: list[float], gap: float) -> float:
    return _bottom(group, gap) + gap * (len(group) - 1)
