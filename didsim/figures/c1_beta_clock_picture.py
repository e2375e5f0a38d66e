"""Picture of C1: distance from the reference against step for every β and learning-rate rule, and who overtakes when."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, curves_by_beta, new_figure, styled
from didsim.plotting.curves import shades
from didsim.plotting.drawing import beside, note, predicted_and_measured


@styled
def draw(data: xr.Dataset) -> Figure:
    """KL to π_ref against step under three rules for the learning rate, who overtakes when, and one pair with a hard label."""
    figure, (fixed, clocked, slow, crossing, clock, pair) = new_figure(7.4, [1.0, 1.0], rows=3)
    _paths(fixed, data, "fixed", "a  one rate: order turns")
    _predicted(fixed, data)
    _paths(clocked, data, "∝ 1/β²", r"b  rate $\propto 1/\beta^2$: one clock")
    note(clocked, 0.97, 0.03, "bands: 95 % of worlds", ha="right", color=GREY)
    _paths(slow, data, "∝ 1/β", r"c  rate $\propto 1/\beta$: one start")
    _crossings(crossing, data)
    _one_clock(clock, data)
    _no_end(pair, data)
    return figure


def _paths(ax: Axes, data: xr.Dataset, rule: str, title: str) -> None:
    one = data["kl_ref"].sel(rule=rule).transpose("beta", "seed", "record").values
    curves_by_beta(ax, data["step"].values, one, data["beta"].values).set_title(title)


def _predicted(ax: Axes, data: xr.Dataset) -> None:
    """The whole path of every β as one curve on the clock ηβ²t says, and the end in closed form."""
    steps = data["step"].values
    shown = steps >= 1
    path = data["kl_path"].transpose("beta", "seed", "record").values
    for place in range(data.sizes["beta"]):
        ax.plot(steps[shown], np.median(path[place][:, shown], axis=0), color=BLACK, linestyle="--", linewidth=0.8)
    predicted_and_measured(ax, predicted=r"$U(\eta\beta^2 t)$", measured="trained", loc="lower right")


def _crossings(ax: Axes, data: xr.Dataset) -> None:
    """Step at which each β is overtaken by the next smaller one."""
    middle = data["pair"].values
    trained, predicted = (data[name].transpose("pair", "seed").values for name in ("crossing", "crossing_predicted"))
    ax.plot(middle, np.median(predicted, axis=1), **PREDICTED)
    colours = shades(data.sizes["beta"])
    for place, one in enumerate(trained):
        ax.plot(np.full(one.shape, middle[place]), one, "o", color=colours[place], markersize=3, alpha=0.6, markeredgewidth=0)
    slope = np.median(predicted, axis=1)[0] * (middle / middle[0]) ** -2.0
    ax.plot(middle, 0.3 * slope, color=GREY, linestyle=":", linewidth=0.9)
    beside(ax, (middle[len(middle) // 2], 0.3 * slope[len(middle) // 2]), "slope −2", (-4, -9), ha="right", color=GREY)
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel=r"$\beta$, between neighbours", ylabel="step of overtaking", title=r"d  the smaller $\beta$ overtakes")
    ax.set_xticks(data["beta"].values[::2], [f"{beta:g}" for beta in data["beta"].values[::2]])
    ax.minorticks_off()


def _one_clock(ax: Axes, data: xr.Dataset) -> None:
    """Margin of one pair on the clock, hard and soft labels."""
    clock = data["pair_clock"].transpose("beta", "record").values
    margin = data["pair_margin"].transpose("label", "beta", "record")
    for place, colour in enumerate(shades(data.sizes["beta"])):
        ax.plot(clock[place, 1:], margin.sel(label="hard").values[place, 1:], color=colour)
        ax.plot(clock[place, 1:], margin.sel(label="soft").values[place, 1:], color=GREY, linewidth=0.9)
    predicted = data["pair_predicted"].transpose("beta", "record").values
    order = np.argsort(clock[:, 1:], axis=None)
    ax.plot(clock[:, 1:].ravel()[order], predicted[:, 1:].ravel()[order], **PREDICTED)
    note(ax, 0.03, 0.97, "colours: β as in a", va="top", color=GREY)
    beside(ax, (clock[-1, -1], float(margin.sel(label="soft").values[-1, -1])), "soft label", (-2, -9), ha="right", color=GREY)
    ax.set(xscale="log", yscale="log", xlabel=r"clock $\tau = \frac{1}{2}\eta\beta^2 t$", ylabel=r"$z = \beta\Delta$  [nats]")
    ax.set_title("e  one hard pair: one curve")
    predicted_and_measured(ax, predicted=r"$\log\,\omega(1 + 2\tau)$", measured="trained", loc="lower right")


def _no_end(ax: Axes, data: xr.Dataset) -> None:
    """The same pair at one learning rate: how far the policy has gone."""
    beta = data["beta"].values
    margin = data["pair_margin"].sel(label="hard").transpose("beta", "record").values
    curves_by_beta(ax, data["step"].values, margin[:, None] / beta[:, None, None], beta, ylabel=r"log-ratio gap $\Delta$  [nats]")
    for one, b in zip(data["pair_predicted"].transpose("beta", "record").values, beta, strict=True):
        ax.plot(data["step"].values[1:], one[1:] / b, color=BLACK, linestyle="--", linewidth=0.8)
    ax.set_title("f  no end, yet the order turns")
