"""Picture of B8: phase maps over reference update and mixing, orbits on the simplex, and how long a turn takes."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from didsim.plotting import BLACK, BLUE, GREY, ORANGE, PREDICTED, RED, SKY, new_figure, styled
from didsim.plotting.style import beside, note

FATES = (SKY, ORANGE, RED)
NAMES = ("converges", "turns", "collapses")
OBJECTIVES = {"ipo": "IPO", "dpo": "DPO"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Maps for cyclic and transitive preferences, two orbits, and turning times beyond the boundary."""
    figure, axes = new_figure(4.9, [1.0, 1.0, 1.0], rows=2)
    for row, objective in enumerate(data["objective"].values):
        for column, kind in enumerate(data["preference"].values):
            ax = axes[3 * row + column]
            _map(ax, data.sel(objective=objective, preference=kind), cyclic=kind == "cyclic")
            ax.set_title(f"{'abde'[2 * row + column]}  {OBJECTIVES[str(objective)]}, {kind}")
    _orbits(axes[2], data)
    _turns(axes[5], data)
    return figure


def _map(ax: Axes, data: xr.Dataset, *, cyclic: bool) -> None:
    power, mixing = data["power"].values, data["mixing"].values
    colours = ListedColormap(FATES)
    ax.pcolormesh(power, mixing, data["fate"].transpose("mixing", "power").values, cmap=colours, vmin=-0.5, vmax=2.5, alpha=0.75)
    if cyclic:
        fine = np.linspace(0.0, 1.0, 400)
        boundary = np.sqrt(3.0 * (1.0 - fine**2)) / (data.attrs["advantage"] * data.attrs["slope"])
        inside = boundary <= 1.0
        ax.plot(fine[inside], boundary[inside], color=BLACK, linestyle="--", linewidth=1.1)
        ax.annotate("predicted", (0.06, boundary[24] + 0.02), fontsize=7, va="bottom")
    _name_regions(ax, data)
    half = 0.5 * (power[1] - power[0])
    ax.set(xlim=(-half, 1.0 + half), ylim=(-half, 1.0 + half))
    ax.set(xlabel="a: reference from the policy", ylabel="λ: pairs from the policy")


def _name_regions(ax: Axes, data: xr.Dataset) -> None:
    """Name of each fate at the middle of its cells, where there are enough of them to write on."""
    fate = data["fate"].transpose("mixing", "power").values
    power, mixing = np.meshgrid(data["power"].values, data["mixing"].values)
    for which, name in enumerate(NAMES):
        here = fate == which
        share = here.mean()
        if share > 0.12:
            height = mixing[here].mean()
            narrow = np.ptp(power[here]) < 0.35
            text = f"{name}\n(entropy\n< 0.05 log 3)" if name == "collapses" else name
            ax.annotate(text, (power[here].mean(), height), ha="center", va="center", fontsize=7, rotation=90 if narrow else 0)
        elif here.any():
            x, y = power[here].mean(), mixing[here].mean()
            ax.annotate(
                name, (x, y), xytext=(max(x - 0.30, 0.2), 0.93), fontsize=7, ha="center", va="center",
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": BLACK},
            )  # fmt: skip


def _orbits(ax: Axes, data: xr.Dataset) -> None:
    """IPO's rounds on the triangle of three responses, one inside and one beyond the boundary."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    outline = corners[[0, 1, 2, 0]]
    ax.plot(outline[:, 0], outline[:, 1], color=GREY, linewidth=0.8)
    for which, colour in ((1, ORANGE), (0, BLUE)):
        way = data["path"].isel(objective=0, shown=which).values @ corners
        tail = way[-60:] if which else way
        ax.plot(tail[:, 0], tail[:, 1], "-", color=colour, linewidth=0.5, alpha=0.7)
        ax.plot(tail[:, 0], tail[:, 1], "o", color=colour, markersize=1.8)
    for corner, name, shift in zip(corners, "ABC", ((-6, -6), (6, -6), (0, 5)), strict=True):
        beside(ax, corner, name, shift, ha="center", va="center")
    ax.annotate("λ = ½: settles at the centre", (0.5, -0.2), ha="center", fontsize=7, color=BLUE)
    ax.annotate("λ = 1: turns for ever", (0.5, -0.33), ha="center", fontsize=7, color=ORANGE)
    ax.set(ylim=(-0.4, 1.0), aspect="equal", title="c  IPO, a = 0.6, three-cycle")
    ax.set_axis_off()


def _turns(ax: Axes, data: xr.Dataset) -> None:
    """Rounds per turn just beyond the boundary, measured against predicted."""
    x = data["edge_predicted"].values
    for objective, colour, mark in (("ipo", BLUE, "o"), ("dpo", RED, "x")):
        ax.plot(x, data["edge_turning"].sel(objective=objective).values, mark, color=colour, markersize=4, markerfacecolor="none")
    top = float(x.max())
    note(ax, 0.08, 0.9, "○ IPO", color=BLUE)
    note(ax, 0.08, 0.8, "× DPO", color=RED)
    ax.plot([3.7, top + 0.5], [3.7, top + 0.5], **PREDICTED)
    ax.set(xlabel="rounds per turn, predicted", ylabel="measured, just beyond the boundary", title="f  how long a turn takes")
