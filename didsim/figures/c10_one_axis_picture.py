"""Picture of C10: success against distance for three routes, GRPO's rounds beside their recursion, and first steps."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, MEANING, PREDICTED, new_figure, styled
from didsim.plotting.drawing import beside, predicted_and_measured

RULES = {"reference": "held at π_ref", "mirror": "held at the last policy"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: the common axis, GRPO round by round; below: first step against policy gradient, and the gradient's bound."""
    figure, (axis, rounds, steps, bound) = new_figure(4.6, [1.0, 1.0], rows=2)
    _axis(axis, data)
    _rounds(rounds, data)
    _steps(steps, data)
    _bound(bound, data)
    return figure


def _axis(ax: Axes, data: xr.Dataset) -> None:
    start = data.attrs["start"]
    top = float(max(data["success"].max(), data["grpo_success"].sel(anchor="reference").max()))
    p = np.linspace(start, top, 200)
    ax.plot(p * np.log(p / start) + (1 - p) * np.log((1 - p) / (1 - start)), p, **PREDICTED)
    for name in data["route"].values:
        one, offline = data.sel(route=name), str(name).startswith("offline")
        ax.plot(
            one["kl"],
            one["success"],
            color=MEANING["dpo" if offline else "online dpo"],
            label=str(name),
            linewidth=1.0 if offline else 3.0,
            zorder=2.5 if offline else 2.0,
        )
    one = data.sel(anchor="reference")
    ax.plot(one["grpo_kl"], one["grpo_success"], "o", color=MEANING["grpo"], label="GRPO, rounds")
    ax.set(xlabel=r"KL$(\pi\,\Vert\,\pi_\mathrm{ref})$  [nats]", ylabel="chance of success")
    beside(ax, (float(one["grpo_kl"][1]), float(one["grpo_success"][1])), "dashed: least KL", (6, -9))
    ax.set_title("a  one axis")
    ax.legend(loc="lower right")


def _rounds(ax: Axes, data: xr.Dataset) -> None:
    for name in data["anchor"].values:
        one = data.sel(anchor=name)
        colour = MEANING["grpo" if name == "reference" else "grpo, mirror"]
        ax.plot(one["round"], one["grpo_success"], color=colour, marker="o", markersize=2.5)
        ax.plot(one["round"], one["recursion"], **PREDICTED)
        place, up = data.sizes["round"] - 1, -9 if name == "reference" else -22
        beside(ax, (place, float(one["grpo_success"][place])), RULES[str(name)], (0, up), ha="right", color=colour)
    ax.set(xlabel="round of GRPO", ylabel="chance of success", ylim=(None, 1.06), title="b  one number's recursion")
    predicted_and_measured(ax, measured="exact rounds", predicted="recursion", loc="lower right")


def _steps(ax: Axes, data: xr.Dataset) -> None:
    for place, (name, mark) in enumerate((("first step", "o"), ("on the way", "x"))):
        one = data.isel(place=place)
        size = float(abs(one["climb"]).max())
        ax.plot(one["climb"] / size, one["pull"] / size, mark, color=MEANING["online dpo"], label=name, markersize=4)
    ax.plot([-1, 1], [-1, 1], **PREDICTED)
    ax.set(xlabel="2β × policy gradient ÷ largest", ylabel="online DPO's step ÷ same", title="c  the same first step")
    ax.legend(loc="upper left", handletextpad=0.2)


def _bound(ax: Axes, data: xr.Dataset) -> None:
    spread = data["spread"].values
    ax.plot(spread, data["gradient_bound"], **PREDICTED)
    ax.plot(spread, data["gradient"], "o-", color=GREY)
    beside(ax, (spread[2], float(data["gradient_bound"][2])), r"bound: $\max\pi\,\mathrm{Var}\,r$", (-8, 4), ha="right")
    ax.set(xscale="log", yscale="log", xlabel="spread: reward for passing", ylabel="squared policy gradient")
    ax.set_title("d  spread sets the speed")
