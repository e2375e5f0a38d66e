"""Picture of A1: JSD to the target against step, by reward form, and preference fit beside it."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, band, colour_of, new_figure, styled
from didsim.plotting.style import end_labels, note, predicted_and_measured

FLOOR = 1e-17


@styled
def draw(data: xr.Dataset) -> Figure:
    """Left: rewards with a reference; middle: without; right: fit of preferences against distance from the target."""
    figure, (left, middle, right) = new_figure(2.75, [1.0, 1.0, 0.95])
    free = data["reference_free"].values.astype(bool)
    names = data["objective"].values
    _curves(left, data, names[~free])
    left.set(ylim=(FLOOR, 2), ylabel="JSD(π*, π_θ)  [nats]", title="a  reward with a reference")
    predicted_and_measured(left, predicted="exact limit")
    _curves(middle, data, names[free])
    middle.set(yscale="log", title="b  reference-free")
    _fit(right, data, names, free)
    return figure


def _curves(ax: Axes, data: xr.Dataset, names: np.ndarray) -> None:
    steps = np.maximum(data["step"].values, 0.7)
    ax.set(xscale="log", yscale="log")
    labels = []
    for name in names:
        one = data.sel(objective=name)
        colour = colour_of(name)
        curve = np.maximum(one["jsd_target"].transpose("seed", "record").values, FLOOR)
        band(ax, steps, curve, colour)
        limit = float(np.median(one["limit_jsd_target"]))
        if limit > FLOOR:
            ax.axhline(limit, color=colour, linestyle="--", linewidth=0.9)
        text = "simpo γ=0 → q" if name == "simpo γ=0" else str(name)
        labels.append((float(np.median(curve[:, -1])), text, colour))
    ax.set(xlim=(steps[0], steps[-1]), xlabel="step")
    end_labels(ax, steps[-1], labels)


def _fit(ax: Axes, data: xr.Dataset, names: np.ndarray, free: np.ndarray) -> None:
    ax.set(xscale="log", yscale="log")
    labelled: dict[int, int] = {}
    for name, is_free in zip(names, free, strict=True):
        one = data.sel(objective=name)
        x = np.maximum(np.median(one["preference_misfit"].isel(record=-1)), FLOOR)
        y = np.maximum(np.median(one["jsd_target"].isel(record=-1)), FLOOR)
        ax.plot(x, y, "s" if is_free else "o", color=colour_of(name), markersize=5)
        if y < 1e-8 or x < 1e-8:
            height = labelled.setdefault(round(np.log10(y)), 0)
            labelled[round(np.log10(y))] += 1
            where = {"textcoords": "offset points", "xytext": (7, 9 * height), "va": "center"}
            ax.annotate(str(name), (x, y), fontsize=7, color=colour_of(name), **where)
    ax.set(xlim=(FLOOR / 10, 50), ylim=(FLOOR / 10, 50))
    ax.set(xlabel="preference misfit  [nats]", ylabel="JSD(π*, π_θ)  [nats]", title="c  fit without target")
    note(ax, 0.97, 0.70, "all others", ha="right", color=BLACK)
