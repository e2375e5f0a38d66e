"""Picture of C9: gold against the distance from the reference for four routes, and where it turns."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, MEANING, PREDICTED, new_figure, styled
from didsim.plotting.drawing import beside, end_labels

NAMES = {"dpo": "DPO", "chipo": "χPO", "squaredpo": "SquaredPO", "best of K": "best of K"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: one world's routes, mean of gold and proxy; below: the covariance around the turn, and turns found and predicted."""
    figure, (routes, means, slope, turns) = new_figure(5.0, [1.0, 1.0], rows=2)
    rises = data["slope"].isel(share=0).values > 0
    turned = data.isel(world=np.flatnonzero(np.isfinite(data["turn"].values) & rises))
    _routes(routes, turned)
    _means(means, data)
    _slopes(slope, turned)
    _turns(turns, turned)
    return figure


def _routes(ax: Axes, turned: xr.Dataset) -> None:
    """The world whose gold falls most, along every route."""
    fall = turned["gold dpo"].max("beta") - turned["gold dpo"].isel(beta=-1)
    one = turned.isel(world=int(fall.values.argmax()))
    for name, spelled in NAMES.items():
        wide = 3.5 if spelled == "best of K" else 1.4
        ax.plot(one[f"kl {name}"], one[f"gold {name}"], color=MEANING[name], label=spelled, linewidth=wide, zorder=3 - wide / 3)
    ax.axvline(float(one["turn_kl"]), ymax=0.66, **PREDICTED)
    beside(ax, (float(one["turn_kl"]), float(one["gold dpo"].min())), "predicted turn", (4, 2), color=BLACK)
    ax.set(xlim=(0, None), xlabel=r"KL$(\pi\,\Vert\,\pi_\mathrm{ref})$  [nats]", ylabel="mean gold reward")
    ax.set_title("a  four routes in one world")
    ax.set_ylim(top=1.6 * float(one["gold dpo"].max()))
    ax.legend(loc="upper left", ncols=2, columnspacing=1.0, handlelength=1.2)


def _means(ax: Axes, data: xr.Dataset) -> None:
    beta, ends = 1.0 / data["beta"].values, []
    for what in ("proxy", "gold"):
        mean = data[f"{what} dpo"].mean("world").values
        ax.plot(beta, mean, color=MEANING[what])
        ends.append((float(mean[-1]), what, MEANING[what]))
    ax.set(xscale="log", xlim=(beta[0], beta[-1]), xlabel="time 1/β on DPO's way", ylabel="mean reward, all worlds")
    ax.set_title("b  the proxy goes on rising")
    end_labels(ax, float(beta[-1]), ends)


def _slopes(ax: Axes, turned: xr.Dataset) -> None:
    scaled = turned["slope"] / abs(turned["slope"]).max("share")
    for world in range(turned.sizes["world"]):
        ax.plot(turned["share"], scaled.isel(world=world), color=MEANING["gold"], linewidth=0.8, alpha=0.7)
    ax.axvline(1.0, **PREDICTED)
    ax.axhline(0.0, color=GREY, linewidth=0.4)
    ax.set(xlabel="time ÷ predicted turn", ylabel="Cov(gold, proxy) ÷ largest", title="c  zero at the turn")


def _turns(ax: Axes, turned: xr.Dataset) -> None:
    ends = np.array([float(turned["turn"].min()) * 0.8, float(turned["turn"].max()) * 1.25])
    ax.plot(ends, ends, **PREDICTED)
    ax.plot(turned["turn"], turned["turn_found"], "o", color=MEANING["gold"])
    ax.set(xscale="log", yscale="log", xlabel="predicted turn, 1/β", ylabel="where mean gold stops rising")
    ax.set_title(f"d  {turned.sizes['world']} worlds that turn")
