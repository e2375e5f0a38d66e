"""Picture of C3: losses fall to floors that the data set, and what lies above and below such a floor."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, MEANING, PREDICTED, band, new_figure, styled
from didsim.plotting.drawing import GUIDE, beside, end_labels, note, predicted_and_measured

NAMES = {"dpo": "DPO", "bco[none]": "BCO", "kldo": "KLDO"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Plateaus by strength of the preference, excess over the floor, drawn pairs, and dependent draws."""
    figure, (plateau, excess, drawn, dependent) = new_figure(5.0, [1.0, 1.0], rows=2)
    _plateaus(plateau, data)
    _excess(excess, data)
    _drawn(drawn, data)
    _dependent(dependent, data)
    return figure


def _plateaus(ax: Axes, data: xr.Dataset) -> None:
    steps, ends = data["step"].values + 1.0, []
    for strength in data["strength"].values:
        one = data.sel(strength=strength)
        ax.plot(steps, one["plateau"], color=MEANING["dpo"])
        ax.axhline(float(one["plateau_floor"]), **PREDICTED)
        ends.append((float(one["plateau_floor"]), f"r × {strength:g}", BLACK))
    ax.set(xscale="log", xlim=(1, steps[-1]), xlabel="step + 1", ylabel="DPO loss  [nats]")
    ax.set_title("a  plateaus by reward's size")
    predicted_and_measured(ax, predicted="floor", loc="center right", bbox_to_anchor=(1.0, 0.45))
    end_labels(ax, float(steps[-1]), ends)


def _excess(ax: Axes, data: xr.Dataset) -> None:
    steps = data["step"].values + 1.0
    for name in data["objective"].values:
        one = data.sel(objective=name)
        above = np.maximum((one["loss"] - one["floor"]).values, 1e-16)
        ax.plot(steps, above, color=MEANING[str(name)], label=NAMES[str(name)])
    ax.set(xscale="log", yscale="log", xlim=(1, steps[-1]), xlabel="step + 1", ylabel="loss − its floor  [nats]")
    ax.axhline(1e-10, **GUIDE)
    beside(ax, (steps[-1], 1e-10), "bound: $10^{-10}$", (0, 3), ha="right", color=GREY)
    ax.set_title("b  losses meet floors")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.05))


def _drawn(ax: Axes, data: xr.Dataset) -> None:
    steps = data["step"].values + 1.0
    band(ax, steps, data["drawn_loss"].transpose("repeat", "record").values, MEANING["drawn pairs"])
    band(ax, steps, data["drawn_population"].transpose("repeat", "record").values, MEANING["dpo"])
    floor = float(data["floor"].sel(objective="dpo"))
    ax.axhline(floor, **PREDICTED)
    note(ax, 0.97, 0.02, "dashed: population's floor", ha="right", color=BLACK)
    note(ax, 0.03, 0.96, "bands: 95 % of data sets", va="top")
    last = float(steps[-1])
    ends = [
        (float(data["drawn_population"].isel(record=-1).median()), "on all\npairs", MEANING["dpo"]),
        (float(data["drawn_loss"].isel(record=-1).median()), f"on the {data.attrs['pairs']}\ndrawn", MEANING["drawn pairs"]),
    ]
    ax.set(xscale="log", xlim=(1, last), xlabel="step + 1", ylabel="DPO loss  [nats]")
    ax.set_title("c  few pairs fit below it")
    end_labels(ax, last, ends, gap=0.16)


def _dependent(ax: Axes, data: xr.Dataset) -> None:
    size = data["dependence"].values
    ax.plot(size, data["dependent_end"], "-o", color=MEANING["dpo"])
    ax.plot(size, data["dependent_minimum"], "x", color=BLACK, markersize=6)
    ax.plot(size, data["dependent_floor"], **PREDICTED)
    middle = len(size) // 2
    beside(ax, (size[middle], float(data["dependent_floor"][middle])), "floor", (-4, -9), ha="right")
    note(ax, 0.97, 0.97, "○ trained\n× DPO's minimum", ha="right", va="top")
    ax.set(xlabel="dependence of the two draws", ylabel="loss  [nats]", title="d  dependent draws")
