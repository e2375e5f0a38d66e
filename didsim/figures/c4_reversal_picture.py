"""Picture of C4: mean reward at the end against β and against how often the misleading pair is shown."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, MEANING, PREDICTED, new_figure, styled
from didsim.plotting.drawing import GUIDE, beside, end_labels

NAMES = {"dpo": "DPO", "auxdpo": "AuxDPO", "table": "DPO,\nfull table", "rlhf": "RLHF"}
COLOURS = {"dpo": "dpo", "auxdpo": "auxdpo", "table": "table", "rlhf": "rlhf"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Left: every route against β at one ratio of counts; right: against the ratio at one β."""
    figure, (betas, counts) = new_figure(2.8, [1.0, 1.0])
    _routes(betas, data["by_beta"], "beta", data.attrs["start"])
    for route, marks in (("dpo", "o"), ("rlhf", "o")):
        betas.plot(data["stated_beta"], data["stated"].sel(stated_route=route), marks, color=MEANING[COLOURS[route]])
    betas.set(xlabel="β  (circles: stated values)", ylabel=r"mean reward $E_\pi\,r$ at the end")
    betas.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    betas.set_title(f"a  pair (1, 3) {data.attrs['count']:g} times: DPO falls")
    _routes(counts, data["by_count"], "count", data.attrs["start"])
    turn = data.attrs["turn"]
    counts.axvline(turn, **PREDICTED)
    beside(counts, (turn, 1.29), f"predicted\nturn: {turn:.2f}", (4, 0))
    counts.set(xlabel="count of (1, 3) ÷ others'", title=f"b  β = {data.attrs['beta_of_counts']:g}, other counts")
    counts.set(ylabel=r"mean reward $E_\pi\,r$ at the end")
    return figure


def _routes(ax: Axes, values: xr.DataArray, dial: str, start: float) -> None:
    x = values[dial].values
    ends = []
    for route in values["route"].values:
        y = values.sel(route=route).values
        ax.plot(x, y, color=MEANING[COLOURS[str(route)]])
        ends.append((float(y[-1]), NAMES[str(route)], MEANING[COLOURS[str(route)]]))
    ax.axhline(start, **GUIDE)
    ax.set(xscale="log", xlim=(x[0], x[-1]))
    ax.minorticks_off()
    left = dial == "beta"
    beside(ax, (x[0] if left else x[-1], start), "reference", (3 if left else -3, -9), ha="left" if left else "right", color=GREY)
    end_labels(ax, float(x[-1]), ends, gap=0.1)
