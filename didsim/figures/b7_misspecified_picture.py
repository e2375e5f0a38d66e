"""Picture of B7: one panel per cell of the dichotomy, value lost by every route, one mark per world and sampler."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, BLUE, GREEN, GREY, ORANGE, new_figure, styled
from didsim.plotting.style import note

TITLES = {
    "both hold": "a  reward ✓  policy ✓",
    "policy too small": "b  reward ✓  policy too small",
    "reward too small": "c  reward too small  policy ✓",
    "both, alike": "d  both small, alike",
    "both, unlike": "e  both small, unlike",
    "labels not BT": "f  labels not Bradley–Terry",
}
SAYS = {
    "both hold": "all reach π*",
    "policy too small": "RLHF is best in class",
    "reward too small": "DPO reaches π*",
    "both, alike": "DPO = RLHF",
    "both, unlike": "either may win",
    "labels not BT": "DPO = RLHF, both miss",
}
NOTHING, FLOOR = 1e-9, 1e-4  # what counts as no loss at all, and where it is drawn
PLACES = (0, 1, 2, 4, 5, 6, 8)


@styled
def draw(data: xr.Dataset) -> Figure:
    """Six panels; columns DPO and RLHF for each sampler, then online DPO; dashed: median of the best in class.

    Samplers: uni(form), ref(erence), rew(rites): a reference response beside a rewritten, better one.
    """
    figure, axes = new_figure(5.0, [1.0, 1.0, 1.0], rows=2)
    for place, (ax, cell) in enumerate(zip(axes, data["cell"].values, strict=True)):
        _cell(ax, data.sel(cell=cell), str(cell))
        if place % 3 == 0:
            ax.set_ylabel("value lost, V* − V  [reward]")
    return figure


def _cell(ax: Axes, data: xr.Dataset, cell: str) -> None:
    samplers = [str(name) for name in data["sampler"].values]
    random = np.random.default_rng(0)
    columns = [(f"{route} {name}", data[route].sel(sampler=name)) for route in ("dpo", "rlhf") for name in samplers]
    columns.append(("online", data["online"]))
    for place, (name, values) in zip(PLACES, columns, strict=True):
        colour = ORANGE if name.startswith("dpo") else BLUE if name.startswith("rlhf") else GREEN
        lost = np.where(values.values < NOTHING, FLOOR, values.values)
        ax.plot(
            place + random.uniform(-0.25, 0.25, lost.size), lost, ".", color=colour, markersize=2.2, alpha=0.4, rasterized=True
        )
        ax.plot([place - 0.36, place + 0.36], [np.median(lost)] * 2, color=BLACK, linewidth=1.2, solid_capstyle="butt")
    best = float(np.median(data["best"].values))
    ax.axhline(best if best > NOTHING else FLOOR, color=GREY, linestyle="--", linewidth=0.9, zorder=0)
    ax.set(yscale="log", ylim=(0.5 * FLOOR, 60.0), title=TITLES[cell])
    ax.set_yticks([FLOOR, 1e-3, 1e-2, 1e-1, 1.0, 10.0], ["none", "0.001", "0.01", "0.1", "1", "10"])
    ax.minorticks_off()
    note(ax, 0.5, 0.985, SAYS[cell], ha="center", va="top")
    if cell == "policy too small":
        note(ax, 0.03, 0.1, "dashed: best in class, median", color=GREY)
    ax.set_xticks(PLACES[:-1], [name[:3] for name in samplers * 2])
    ax.tick_params(axis="x", labelsize=6, length=0)
    for place, name, colour in ((1, "DPO", ORANGE), (5, "RLHF", BLUE), (8, "online DPO", GREEN)):
        ax.annotate(
            name, (place, -0.1), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=7, color=colour,
            annotation_clip=False,
        )  # fmt: skip
