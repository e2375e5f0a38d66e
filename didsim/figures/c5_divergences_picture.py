"""Picture of C5: what happens to chosen and rejected responses by divergence, both branches, HyPO, and rankings."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, MEANING, PREDICTED, band, new_figure, styled
from didsim.plotting.drawing import beside, note, predicted_and_measured

KEYS = {"no preference": "no preference", "uniform pairs": "uniform", "reference pairs": "reference pairs"}
NAMES = {"dpo": "DPO", "chipo": "χPO", "squaredpo": "SquaredPO"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: changes of chosen and rejected, rewards on their curves; below: HyPO's ends, and accuracies against β."""
    figure, (change, branches, hypo, ranked) = new_figure(5.2, [1.0, 1.0], rows=2)
    _changes(change, data)
    _branches(branches, data)
    _hypo(hypo, data)
    _ranked(ranked, data)
    return figure


def _changes(ax: Axes, data: xr.Dataset) -> None:
    """Means over the worlds: chosen in full colour, rejected pale; dashed what the geodesic says of DPO."""
    place = data["place"].values
    for name, spelled in NAMES.items():
        one = data.sel(objective=name)
        ax.plot(place, one["chosen"].mean("world"), color=MEANING[name], label=spelled)
        ax.plot(place, one["rejected"].mean("world"), color=MEANING[name], alpha=0.35)
    for slope in ("chosen_slope", "rejected_slope"):
        ax.plot(place, data[slope].mean("world"), **PREDICTED)
    ax.axhline(0.0, color=GREY, linewidth=0.4)
    ax.set(xlabel="law of chosen draws", ylabel="mean change of log π  [nats]")
    ax.set_xticks([0.0, 0.5, 1.0], ["π_ref", "½", "π*"])
    ax.set_title("a  chosen; rejected pale")
    ax.legend(loc="upper left")


def _branches(ax: Axes, data: xr.Dataset) -> None:
    x = np.linspace(-1.0, max(2.0, float(data["ratio"].max())) + 0.1, 300)
    ax.plot(x, x * np.exp(-x), **PREDICTED)
    ratio = data["ratio"].values
    for upper, label in ((False, "worlds on one"), (True, f"on both: {100 * float(data['upper'].mean()):.0f} %")):
        values = ratio[data["upper"].values.astype(bool) == upper].ravel()
        shown = values[values > -1.0]
        colour = MEANING["squaredpo"] if not upper else MEANING["upper branch"]
        ax.plot(shown, shown * np.exp(-shown), "x" if upper else "o", color=colour, markersize=3 if upper else 2.5, label=label)
    ax.axvline(1.0, ymin=0.4, color=GREY, linewidth=0.4, zorder=0)
    ax.set(xlabel=r"$x = \log\,\pi/\pi_\mathrm{ref}$ at the end", ylabel=r"reward ÷ β:  $x\,e^{-x}$")
    ax.set_title("b  SquaredPO: two branches")
    ax.legend(loc="lower right", handletextpad=0.2)


def _hypo(ax: Axes, data: xr.Dataset) -> None:
    ref = data["hypo_ref"].values
    order = np.argsort(ref)
    ax.plot(ref[order], data["root"].values[order], **PREDICTED)
    marks = {"no preference": "o", "uniform pairs": "s", "reference pairs": "^"}
    for name, mark in marks.items():
        colour = MEANING[KEYS[name]]
        ax.plot(ref, data["hypo"].sel(data=name), mark, color=colour, markersize=3.5, label=name)
    middle = order[len(order) // 2]
    beside(ax, (ref[middle], data["root"].values[middle]), r"$\sqrt{\pi_\mathrm{ref}}$", (5, -11), color=BLACK)
    ax.set(xlabel=r"$\log\,\pi_\mathrm{ref}$  [nats]", ylabel=r"$\log\,\pi$ at HyPO's end  [nats]", title="c  HyPO's end")
    ax.legend(loc="best", handletextpad=0.2)


def _ranked(ax: Axes, data: xr.Dataset) -> None:
    beta = data["beta"].values
    band(ax, beta, data["ranked"].transpose("world", "beta").values, MEANING["ranking accuracy"])
    ax.plot(beta, data["ranked_predicted"].median("world"), **PREDICTED)
    ax.plot(beta, data["rewarded"].mean("world"), color=MEANING["reward accuracy"])
    beside(ax, (beta[-1], 1.0), "reward accuracy", (-2, -9), ha="right", color=MEANING["reward accuracy"])
    note(ax, 0.97, 0.63, "ranking accuracy,\n95 % of worlds", ha="right", color=MEANING["ranking accuracy"])
    ax.set(xscale="log", xlim=(beta[0], beta[-1]), ylim=(None, 1.03), xlabel="β", ylabel="share of pairs right at π*")
    ax.set_title("d  the optimum misranks")
    predicted_and_measured(ax, measured="counted", loc="lower left")
