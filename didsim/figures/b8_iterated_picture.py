"""Picture of B8: phase maps over reference update and mixing, orbits on the simplex, and how long a turn takes."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, colour_of, name_of, new_figure, styled
from didsim.plotting.drawing import LETTERS, beside, note

NAMES = ("converges", "turns", "collapses")


@styled
def draw(data: xr.Dataset) -> Figure:
    """Maps for cyclic and transitive preferences, two orbits, and turning times beyond the boundary."""
    figure, axes = new_figure(6.6, [1.0, 1.0], rows=3)
    for row, objective in enumerate(data["objective"].values):
        for column, kind in enumerate(data["preference"].values):
            ax = axes[2 * row + column]
            _map(ax, data.sel(objective=objective, preference=kind), cyclic=kind == "cyclic")
            ax.set_title(f"{'abcd'[2 * row + column]}  {name_of(objective)}, {kind}")
    _orbits(axes[4], data)
    _turns(axes[5], data)
    return figure


def _map(ax: Axes, data: xr.Dataset, *, cyclic: bool) -> None:
    power, mixing = data["power"].values, data["mixing"].values
    colours = ListedColormap([colour_of(name) for name in NAMES])
    ax.pcolormesh(power, mixing, data["fate"].transpose("mixing", "power").values, cmap=colours, vmin=-0.5, vmax=2.5, alpha=0.75)
    if cyclic:
        fine = np.linspace(0.0, 1.0, 400)
        boundary = np.sqrt(3.0 * (1.0 - fine**2)) / (data.attrs["advantage"] * data.attrs["slope"])
        inside = boundary <= 1.0
        ax.plot(fine[inside], boundary[inside], color=BLACK, linestyle="--", linewidth=1.1)
        ax.annotate("predicted", (0.03, boundary[0] + 0.01), fontsize=LETTERS, va="bottom")
    _name_regions(ax, data)
    half = 0.5 * (power[1] - power[0])
    ax.set(xlim=(-half, 1.0 + half), ylim=(-half, 1.0 + half))
    ax.set(xlabel="$a$: reference from the policy", ylabel=r"$\lambda$: pairs from the policy")


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
            ax.annotate(
                text,
                (power[here].mean() - (0.25 if name == "turns" else 0.0), height + (0.1 if name == "turns" else 0.0)),
                ha="center",
                va="center",
                fontsize=LETTERS,
                rotation=90 if narrow else 0,
            )
        elif here.any():
            x, y = power[here].mean(), mixing[here].mean()
            ax.annotate(
                name, (x, y), xytext=(max(x - 0.30, 0.2), 0.92), fontsize=LETTERS, ha="center", va="center",
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": BLACK},
            )  # fmt: skip


def _orbits(ax: Axes, data: xr.Dataset) -> None:
    """IPO's rounds on the triangle of three responses, one inside and one beyond the boundary."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    outline = corners[[0, 1, 2, 0]]
    ax.plot(outline[:, 0], outline[:, 1], color=GREY, linewidth=0.8)
    for which, colour in ((1, colour_of("turns")), (0, colour_of("converges"))):
        way = data["path"].isel(objective=0, shown=which).values @ corners
        tail = way[-60:] if which else way
        ax.plot(tail[:, 0], tail[:, 1], "-", color=colour, linewidth=0.5, alpha=0.7)
        ax.plot(tail[:, 0], tail[:, 1], "o", color=colour, markersize=1.8)
    for corner, name, shift in zip(corners, "ABC", ((-6, -6), (6, -6), (0, 5)), strict=True):
        beside(ax, tuple(corner), name, shift, ha="center", va="center")
    ax.annotate(r"$\lambda = \frac{1}{2}$: converges", (0.5, -0.24), ha="center", fontsize=LETTERS, color=colour_of("converges"))
    ax.annotate(r"$\lambda = 1$: turns for ever", (0.5, -0.40), ha="center", fontsize=LETTERS, color=colour_of("turns"))
    ax.set(ylim=(-0.45, 1.0), aspect="equal", title="e  IPO, $a = 0.6$, three-cycle")
    ax.set_axis_off()


def _turns(ax: Axes, data: xr.Dataset) -> None:
    """Rounds per turn just beyond the boundary, measured against predicted."""
    x = data["edge_predicted"].values
    for objective, colour, mark in (("ipo", colour_of("ipo"), "o"), ("dpo", colour_of("dpo"), "x")):
        ax.plot(x, data["edge_turning"].sel(objective=objective).values, mark, color=colour, markersize=4, markerfacecolor="none")
    top = float(x.max())
    note(ax, 0.08, 0.9, "○ IPO", color=colour_of("ipo"))
    note(ax, 0.08, 0.8, "× DPO", color=colour_of("dpo"))
    ax.plot([3.7, top + 0.5], [3.7, top + 0.5], **PREDICTED)
    ax.set(xlabel="rounds per turn, predicted", ylabel="measured", title="f  turns near the boundary")
