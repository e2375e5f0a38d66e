"""Picture of C8: exploitability and distance from the Nash policy by round for seven algorithms, and COMAL by τ."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import MEANING, PREDICTED, new_figure, styled
from didsim.plotting.drawing import beside, note

FLOOR = 1e-17
SHOWN = 400


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: exploitability and KL by round; below: the policies' way in the plane of two responses, and COMAL's rates."""
    figure, (lost, distance, plane, rates) = new_figure(5.0, [1.0, 1.0], rows=2)
    _rounds(lost, data, "exploitability", "exploitability", "a  best reply's gain")
    figure.legend(*lost.get_legend_handles_labels(), loc="outside upper center", ncols=4, handlelength=1.2, columnspacing=1.0)
    _rounds(distance, data, "kl", r"KL$(\pi^*\Vert\,\pi_t)$  [nats]", "b  distance from Nash")
    _plane(plane, data)
    _rates(rates, data)
    return figure


def _rounds(ax: Axes, data: xr.Dataset, name: str, label: str, title: str) -> None:
    last = min(SHOWN, data.sizes["round"] - 1)
    for algorithm in data["algorithm"].values:
        values = data[name].sel(algorithm=algorithm).values[: last + 1]
        values = np.where(values > FLOOR, values, np.nan)  # below it is rounding
        dotted: dict[str, Any] = (
            {"linestyle": ":", "linewidth": 2.0, "zorder": 3} if "IPO" in str(algorithm) else {"linewidth": 1.0}
        )
        ax.plot(np.arange(last + 1), values, color=MEANING[str(algorithm).lower()], label=str(algorithm), **dotted)
    ax.set(yscale="log", xlim=(0, last), ylim=(FLOOR, 10), xlabel="round", ylabel=label, title=title)


def _plane(ax: Axes, data: xr.Dataset) -> None:
    for algorithm in ("SPPO", "INPO", "COMAL"):
        policy = data["policy"].sel(algorithm=algorithm).values
        wide = 2.0 if algorithm == "INPO" else 0.8
        ax.plot(policy[:, 0], policy[:, 1], color=MEANING[algorithm.lower()], linewidth=wide, label=algorithm, zorder=1 + wide)
    end = data["policy"].sel(algorithm="INPO").values[-1]
    ax.plot(*end[:2], "o", color=MEANING["inpo"], markersize=5, zorder=4)
    beside(ax, tuple(end[:2]), "INPO's end", (5, 5), color=MEANING["inpo"])
    ax.plot([4 / 11], [3 / 11], "+", color="black", markersize=8)
    beside(ax, (4 / 11, 3 / 11), "Nash", (-4, -27), arrowprops={"arrowstyle": "-", "linewidth": 0.5})
    ax.set(xlabel=r"$\pi(a)$", ylabel=r"$\pi(b)$", xlim=(0, 1), ylim=(0, 1), title="c  circling, biased, converging")
    ax.legend(loc="upper right")


def _rates(ax: Axes, data: xr.Dataset) -> None:
    """COMAL by τ; dashed the predicted rate from the round at which the distance has become small."""
    for place, tau in enumerate(data["tau"].values):
        kl = data["kl_comal"].sel(tau=tau).values
        shown = kl > 1e-15
        rounds = np.flatnonzero(shown)
        ax.plot(rounds, kl[shown], color=MEANING["comal"], alpha=0.2 + 0.1 * place, linewidth=3.0)
        begin = int(np.argmax(kl < 1e-4))
        later = rounds[rounds >= begin]
        ax.plot(later, kl[begin] * float(data["rate"].sel(tau=tau)) ** (later - begin), **PREDICTED)
        side = ("right", "center", "left")[min(place, 2)]
        beside(ax, (rounds[-1], kl[rounds[-1]]), rf"$\tau$ = {tau:g}" if place == 0 else f"{tau:g}", (0, -9), ha=side)
    ax.set(yscale="log", xscale="log", xlim=(1, None), ylim=(1e-17, 1), xlabel="round", ylabel=r"KL$(\pi^*\Vert\,\pi_t)$  [nats]")
    ax.set_title("d  COMAL, every τ")
    note(ax, 0.03, 0.16, "dashed:\npredicted\nrate")
