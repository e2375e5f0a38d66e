"""Picture of B7: in each world, what DPO loses beyond RLHF by sampler, cell by cell of what is too small."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, colour_of, new_figure, styled
from didsim.plotting.drawing import GUIDE, note

TITLES = {
    "both hold": "a  reward and policy hold",
    "policy too small": "b  policy too small",
    "reward too small": "c  reward too small",
    "both, alike": "d  both small, alike",
    "both, unlike": "e  both small, unlike",
    "labels not BT": "f  labels not Bradley–Terry",
}
SAYS = {
    "both hold": "DPO = RLHF",
    "policy too small": "RLHF is best in class",
    "reward too small": "DPO reaches $\\pi^*$",
    "both, alike": "DPO = RLHF",
    "both, unlike": "either may win",
    "labels not BT": "DPO = RLHF",
}
ROUNDING = 1e-9  # differences below it are none


@styled
def draw(data: xr.Dataset) -> Figure:
    """Six panels; columns the samplers, then online DPO less the best in class; a mark per world, a bar at the median."""
    figure, axes = new_figure(5.8, [1.0, 1.0], rows=3)
    for place, (ax, cell) in enumerate(zip(axes, data["cell"].values, strict=True)):
        _cell(ax, data.sel(cell=cell), str(cell))
        if place % 2 == 0:
            ax.set_ylabel("lost beyond RLHF [reward]")
    note(axes[0], 0.03, 0.06, f"{data.sizes['world']} worlds, bars: medians", color=GREY)
    note(axes[1], 0.03, 0.06, "logarithmic beyond ±0.01", color=GREY)
    return figure


def _cell(ax: Axes, data: xr.Dataset, cell: str) -> None:
    samplers = [str(name) for name in data["sampler"].values]
    random = np.random.default_rng(0)
    columns = [(name, (data["dpo"] - data["rlhf"]).sel(sampler=name)) for name in samplers]
    columns.append(("online dpo", data["online"] - data["best"]))
    for place, (name, values) in enumerate(columns):
        lost = np.where(np.abs(values.values) < ROUNDING, 0.0, values.values)
        where = place + random.uniform(-0.28, 0.28, lost.size)
        ax.plot(where, lost, ".", color=colour_of(name), markersize=2.6, alpha=0.5, rasterized=True)
        ax.plot([place - 0.36, place + 0.36], [np.median(lost)] * 2, color=BLACK, linewidth=1.4, solid_capstyle="butt")
    ax.axhline(0.0, **{**PREDICTED, "zorder": 0})
    ax.set_yscale("symlog", linthresh=0.01, linscale=0.6)
    ax.axvline(len(columns) - 1.5, **GUIDE)
    ax.set(ylim=(-6.0, 30.0), title=TITLES[cell], xlim=(-0.6, len(columns) - 0.4))
    ax.set_yticks([-1.0, -0.1, 0.0, 0.1, 1.0], ["−1", "−0.1", "0", "0.1", "1"])
    ax.minorticks_off()
    note(ax, 0.03, 0.97, SAYS[cell], va="top")
    note(ax, 0.985, 0.97, "minus best\nin class", ha="right", va="top", color=colour_of("online dpo"))
    ax.set_xticks(range(len(columns)), ["uniform", "ref.", "rewrites", "online"])
    ax.tick_params(axis="x", length=0)
