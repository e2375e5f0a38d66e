"""Picture of C7: error against what annotators read, and what a question and a response read are worth by K."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import MEANING, PREDICTED, new_figure, styled
from didsim.plotting.drawing import end_labels, predicted_and_measured


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: error against effort, measured covariance; below: worth of a question and of a response read against K."""
    figure, (error, ratio, worth, read) = new_figure(5.0, [1.0, 1.0], rows=2)
    _errors(error, data)
    _ratios(ratio, data)
    _worths(worth, data, 1.0 + 0.0 * data["size"].values, "c  worth of a question", "pairs it is worth")
    _worths(read, data, data["size"].values / 2.0, "d  worth of a response", "per response ÷ a pair's")
    return figure


def _spelled(name: str, data: xr.Dataset) -> str:
    k = int(data.attrs["k"])  # a file may give it back as an array of one
    return {"pairs": "pairs", "best of K": f"best of {k}", "ranking": f"rankings of {k}"}[name]


def _errors(ax: Axes, data: xr.Dataset) -> None:
    ends, last = [], 0.0
    for name in data["kind"].values:
        one = data.sel(kind=name)
        effort = one["question"].values * float(one["read"])
        colour = MEANING[f"asked: {name}"]
        ax.plot(effort, one["error"], color=colour, marker="o", markersize=3, clip_on=False)
        ax.plot(effort, one["predicted"], color=colour, linestyle="--", linewidth=0.9)
        ends.append((float(one["predicted"][-1]), _spelled(str(name), data), colour))
        last = max(last, effort[-1])
    ax.set(xscale="log", yscale="log", xlabel="responses read", ylabel="squared error of a reward gap")
    ax.set_xlim(right=last)
    ax.set_title("a  error against effort")
    predicted_and_measured(ax, measured="simulated")
    end_labels(ax, last, ends, gap=0.1)


def _ratios(ax: Axes, data: xr.Dataset) -> None:
    names = list(data["kind"].values)
    for place, name in enumerate(names):
        one = data.sel(kind=name)
        spread = 1.96 * float(one["ratio_error"])
        ax.errorbar(float(one["ratio"]), place, xerr=spread, fmt="o", color=MEANING[f"asked: {name}"], capsize=2)
    ax.axvline(1.0, **PREDICTED, zorder=0)
    ax.set_yticks(range(len(names)), [_spelled(str(name), data) for name in names])
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="measured ÷ predicted, bars 95 %", title="b  covariance of the fits")


def _worths(ax: Axes, data: xr.Dataset, cost: np.ndarray, title: str, what: str) -> None:
    """Worth in units of a pair by K; dashed near indifference, circles at the world's rewards."""
    size, ends = data["size"].values, []
    for name in data["kind"].values:
        one, colour = data.sel(kind=name), MEANING[f"asked: {name}"]
        price = cost if name != "pairs" else cost[0]
        ax.plot(size, one["worth"] / price, color=colour, marker="o", markersize=3, clip_on=False)
        ax.plot(size, one["worth_stated"] / price, color=colour, linestyle="--", linewidth=0.9)
        shown = {"pairs": "pairs", "best of K": "best of K", "ranking": "ranking"}[str(name)]
        ends.append((float(one["worth"][-1]) / float(np.ravel(price)[-1]), shown, colour))
    ax.set(
        xticks=size,
        xlim=(size[0], size[-1]),
        ylim=(0, 1.4 * ax.dataLim.y1),
        xlabel="K responses in a question",
        ylabel=what,
        title=title,
    )
    predicted_and_measured(ax, predicted="near indifference", measured="these rewards", loc="upper left")
    end_labels(ax, float(size[-1]), ends, gap=0.1)
