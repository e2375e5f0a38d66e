"""Pictures on the triangle of three responses: where a loss pushes every policy, where runs go, where it is least.

Data come from `didsim.triangle`; nothing is computed here.  Arrows point along the exact motion, with lengths that grow as
the square root of its size; solid lines are runs, dashed ones and rings what is predicted for their ends.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from didsim.plotting.colours import BLACK, GREY, MEANING, colour_of
from didsim.plotting.drawing import LETTERS, WIDTH, styled
from didsim.plotting.names import name_of

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
LAWS = (
    ("ref_law", "s", r"$\pi_\mathrm{ref}$", (-5, 4)),
    ("target_law", "*", r"$\pi^*$", (6, -1)),
    ("did_law", "D", "$q$", (5, 3)),
)
FRAMES_PER_SECOND, DOTS_PER_INCH = 12, 110
STILL = 1e-3  # closer to its end a run is not watched any longer
# The player's buttons are drawn with a web font that would have to be fetched; ordinary characters do as well.
FONT_LINK = re.compile(r"<link[^>]*font-awesome[^>]*>")
GLYPHS = {
    "minus": "−", "fast-backward": "|◀◀", "step-backward": "|◀", "play fa-flip-horizontal": "◀", "pause": "❚❚",
    "play": "▶", "step-forward": "▶|", "fast-forward": "▶▶|", "plus": "+",
}  # fmt: skip
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 1rem; background: white; color: black; }}
img {{ max-width: 100%; }}
.fa {{ font-style: normal; }}
{rules}</style>
</head>
<body>
{player}
</body>
</html>
"""


def flat(law: Any) -> np.ndarray:
    """Place of laws in the plane, shape (..., 2): response 0 is the left corner, 1 the right one, 2 the top."""
    return np.asarray(law) @ CORNERS


@styled
def portrait(data: xr.Dataset, ax: Axes | None = None, *, colour: str = MEANING["dpo"], words: bool = True) -> Axes:
    """One loss on the triangle: field, runs, their ends, the solution set, and the laws π_ref, π* and q.

    Args:
        data: dataset of `didsim.triangle.portrait`.
        ax: axes to draw on, new ones if missing.
        colour: of arrows and runs.
        words: whether the laws and corners are named.

    Example:
        >>> import didsim
        >>> world, dpo = didsim.triangle.three_responses(), didsim.objectives.Dpo(0.5)
        >>> ax = didsim.plotting.portrait(didsim.triangle.portrait(world, dpo, didsim.samplers.Uniform()))
        >>> len(ax.lines) > 4
        True
    """
    ax = Figure(figsize=(3.4, 3.1), layout="constrained").subplots() if ax is None else ax
    frame(ax, data["response"].values if words else ())
    _field(ax, data, colour)
    _solutions(ax, data)
    for path in flat(data["path"].values):
        ax.plot(*path.T, color=colour, linewidth=1.0, zorder=4)
        ax.plot(*path[0], "o", color=colour, markersize=2, zorder=4)
        ax.plot(*path[-1], "o", color=colour, markersize=3.6, zorder=7)
    marks(ax, data, words=words)
    return ax


@styled
def gallery(data: xr.Dataset) -> Figure:
    """Small multiples: a row for every objective, a column for every sampler.

    Args:
        data: dataset of `didsim.triangle.gallery`.
    """
    rows, columns = data.sizes["objective"], data.sizes["sampler"]
    width = WIDTH if columns > 2 else 3.4 * columns
    figure = Figure(figsize=(width, 0.93 * width / columns * rows + 0.55), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, objective in enumerate(data["objective"].values):
        for column, sampler in enumerate(data["sampler"].values):
            one = data.isel(objective=row, sampler=column)
            ax = axes[row, column]
            portrait(one, ax, colour=colour_of(objective), words=row == column == 0 or columns < 3)
            if row == 0:
                ax.set_title(name_of(sampler), loc="center", pad=10)
            if column == 0:
                ax.text(-0.12, 0.43, name_of(objective), rotation=90, va="center", ha="center", fontsize=8.5, fontweight="bold")
    figure.legend(handles=_handles(data), loc="outside lower center", ncols=3, columnspacing=1.2, handlelength=1.8)
    return figure


def _handles(data: xr.Dataset) -> list[Line2D]:
    ring = {"marker": "o", "markerfacecolor": "white", "markersize": 6, "linestyle": "none", "color": BLACK}
    laws = [Line2D([], [], color=BLACK, marker=mark, linestyle="none", markersize=8 if mark == "*" else 4.5, label=text)
            for _, mark, text, _ in LAWS]  # fmt: skip
    found = [Line2D([], [], **ring, label="predicted: the minimiser")]
    if bool((data["solution_dimension"] == 1).any()):
        found.append(Line2D([], [], color=BLACK, linestyle="--", label="predicted: all minimisers"))
    arrow = Line2D([], [], color=GREY, marker=r"$\rightarrow$", markersize=8, linestyle="none", label="exact gradient's motion")
    return [*laws, arrow, Line2D([], [], color=GREY, marker="o", markersize=3.6, label="run and its end"), *found]


def frame(ax: Axes, names=()) -> None:
    """An empty triangle with its corners named, and nothing else on the axes."""
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color=GREY, linewidth=0.7, zorder=1)
    for (x, y), text, up in zip(CORNERS, names, (False, False, True), strict=False):
        ax.annotate(str(text), (x, y), textcoords="offset points", xytext=(0, 3 if up else -3), ha="center",
                    va="bottom" if up else "top", fontsize=LETTERS, color=GREY)  # fmt: skip
    ax.set(xlim=(-0.07, 1.07), ylim=(-0.1, 0.97), aspect="equal")
    ax.set_axis_off()


def _field(ax: Axes, data: xr.Dataset, colour: str) -> None:
    arrow = flat(data["motion"].values)
    length = np.linalg.norm(arrow, axis=1, keepdims=True)
    spacing = 1.0 / (np.sqrt(2.0 * len(length)) + 1.0)
    scaled = spacing * arrow / np.maximum(np.sqrt(length * length.max()), np.finfo(float).tiny)
    ax.quiver(*flat(data["point_law"].values).T, *scaled.T, color=colour, alpha=0.45, angles="xy", scale_units="xy", scale=1.0,
              width=0.007, headwidth=4, headlength=4, headaxislength=3.6, pivot="mid", zorder=2)  # fmt: skip


def _solutions(ax: Axes, data: xr.Dataset) -> None:
    """A ring, a dashed line or the whole triangle."""
    dimension, ends = int(data["solution_dimension"]), flat(data["solution_ends"].values)
    if dimension == 0:
        ax.plot(*ends[0], "o", color=BLACK, markersize=7.5, markerfacecolor="none", markeredgewidth=0.9, zorder=6)
    elif dimension == 1:
        ax.plot(*ends.T, color=BLACK, linestyle="--", linewidth=1.1, zorder=5)
    elif dimension == 2:
        ax.add_patch(Polygon(CORNERS, facecolor=GREY, alpha=0.15, edgecolor=BLACK, linestyle="--", zorder=0))


def marks(ax: Axes, laws: Any, *, words: bool = True) -> None:
    """π_ref as a square, π* as a star and q as a diamond; ``laws`` holds ``ref_law``, ``target_law`` and ``did_law``."""
    for law, mark, text, shift in LAWS:
        x, y = flat(laws[law])
        size = 8.5 if mark == "*" else 4.2
        ax.plot(x, y, mark, color=BLACK, markersize=size, markeredgecolor="white", markeredgewidth=0.6, zorder=8)
        if words:
            ax.annotate(text, (x, y), textcoords="offset points", xytext=shift, fontsize=LETTERS, zorder=9,
                        ha="left" if shift[0] > 0 else "right",
                        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.3})  # fmt: skip


@styled
def animation(data: xr.Dataset, *, title: str = "", colour: str = MEANING["dpo"], frames: int = 48) -> FuncAnimation:
    """The first run as it goes: its path on the triangle, the mass of all three responses, and the likelihoods that change.

    Args:
        data: dataset of `didsim.triangle.portrait`.
        title: what is shown.
        colour: of arrows, path and bars.
        frames: at most how many recorded moments are shown; the last is when the run is as good as at its end.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    panels = figure.subplot_mosaic([list("AB"), list("AC")], width_ratios=[1.15, 1.0])
    _stage(panels["A"], data, title, colour)
    path, steps = data["path"].isel(start=0).values, data["step"].values
    (line,) = panels["A"].plot([], [], color=colour, linewidth=1.6, zorder=4)
    (dot,) = panels["A"].plot([], [], "o", color=colour, markersize=5, zorder=9)
    bars, head = _bars(panels["B"], data, colour), panels["B"].set_title(" ")
    cursor = _changes(panels["C"], data)

    def show(record: int):
        line.set_data(*flat(path[: record + 1]).T)
        dot.set_data(*flat(path[record : record + 1]).T)
        for bar, mass in zip(bars, path[record], strict=True):
            bar.set_height(mass)
        head.set_text(f"$\\pi$ after {int(steps[record]):,} steps; the three sum to {path[record].sum():.2f}")
        cursor.set_xdata([steps[record]] * 2)
        return (line, dot, *bars, head, cursor)

    moving = np.abs(path - path[-1]).max(-1) > STILL
    shown = np.unique(np.linspace(0, min(moving.sum(), len(steps) - 1), frames).astype(int))
    show(0)
    return FuncAnimation(figure, show, frames=shown.tolist(), interval=1000 / FRAMES_PER_SECOND, blit=False)  # type: ignore[arg-type]


def _stage(ax: Axes, data: xr.Dataset, title: str, colour: str) -> None:
    """The triangle with all that stays as it is."""
    frame(ax, data["response"].values)
    _field(ax, data, colour)
    _solutions(ax, data)
    marks(ax, data)
    ax.set_title(title)


def _bars(ax: Axes, data: xr.Dataset, colour: str):
    """Bars of the masses, with a dashed line at the target's and a square at the reference's."""
    where = np.arange(3)
    bars = ax.bar(where, data["path"].values[0, 0], width=0.6, color=colour, alpha=0.75)
    ax.hlines(data["target_law"].values, where - 0.4, where + 0.4, color=BLACK, linestyle="--", linewidth=1.0)
    ax.plot(where, data["ref_law"].values, "s", color=BLACK, markersize=4, markeredgecolor="white", markeredgewidth=0.6)
    ax.set(ylim=(0, 1), xticks=where, xticklabels=[str(name) for name in data["response"].values], ylabel="probability")
    target = Line2D([], [], color=BLACK, linestyle="--", linewidth=1.0, label=r"$\pi^*$")
    reference = Line2D([], [], color=BLACK, marker="s", linestyle="none", markersize=4, label=r"$\pi_\mathrm{ref}$")
    ax.legend(handles=[target, reference], loc="upper right", ncols=2)
    return bars


def _changes(ax: Axes, data: xr.Dataset) -> Line2D:
    """Mean changes of log-likelihood against the step, with a cursor."""
    for name, role in (("chosen_change", "chosen"), ("rejected_change", "rejected")):
        ax.plot(data["step"], data[name].isel(start=0), color=MEANING[role], label=role)
    ax.axhline(0.0, color=GREY, linewidth=0.5)
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set(xlabel="step", ylabel=r"mean $\log(\pi/\pi_\mathrm{ref})$", xlim=(0, float(data["step"][-1]) * 1.1))
    ax.legend(loc="best")
    return ax.axvline(0, color=BLACK, linewidth=0.8)


@styled
def player(moving: FuncAnimation, title: str = "") -> str:
    """The animation as an HTML page with buttons, complete in itself: frames inside, nothing fetched."""
    with matplotlib.rc_context({"savefig.dpi": DOTS_PER_INCH}):
        inside = FONT_LINK.sub("", moving.to_jshtml(fps=FRAMES_PER_SECOND, embed_frames=True, default_mode="once"))
    rules = "".join(f'.fa-{name.replace(" ", ".")}::before {{ content: "{glyph}"; }}\n' for name, glyph in GLYPHS.items())
    return PAGE.format(title=escape(title), rules=rules, player=inside)


@styled
def save_gif(moving: FuncAnimation, path: Path) -> None:
    """Writes the animation as a GIF, which plays for ever."""
    moving.save(path, writer="pillow", fps=FRAMES_PER_SECOND, dpi=DOTS_PER_INCH)
