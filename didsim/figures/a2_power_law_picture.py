"""Picture of A2: distance from the target along the three dials that lead off the power law, and what labels say."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import PREDICTED, band, colour_of, new_figure, styled
from didsim.plotting.drawing import GUIDE, beside, predicted_and_measured


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: angle and ratio of inverse temperatures; below: distance and misfit of labels for three kinds of correlation."""
    figure, (angle, ratio, distance, labels) = new_figure(4.4, [1.0, 1.0], rows=2)
    _dial(angle, data, "angle")
    _off_line(angle, data)
    angle.set(ylabel="distance  [nats]", ylim=(None, 1.45 * angle.get_ylim()[1]))
    beside(angle, (88, float(data["angle_jsd"].isel(angle=-1).median())), r"JSD($\pi^*, \pi_\theta$)", (-14, 8), ha="right")
    angle.set(xticks=[0, 30, 60, 90], xlabel="angle off the power law  [°]", title="a  direction of the data")
    predicted_and_measured(angle, loc="upper left", measured="exact, 95 % of worlds", predicted="predicted")
    _dial(ratio, data, "ratio")
    ratio.set_xscale("log", base=2)
    ratio.axvline(1.0, **GUIDE)
    ratio.set(xlabel=r"$\beta$ in training ÷ $\beta$ in the data", title="b  inverse temperature")
    _distance(distance, data)
    _labels(labels, data)
    return figure


def _dial(ax: Axes, data: xr.Dataset, dial: str) -> None:
    values = data.transpose("seed", dial, ...)
    band(ax, data[dial].values, values[f"{dial}_jsd"].values, colour_of("power law"), marker="o", markersize=2.5)
    ax.plot(data[dial], values[f"{dial}_predicted"].median("seed"), **PREDICTED)
    ax.set(ylim=(-0.02 * ax.get_ylim()[1], None), ylabel=r"JSD($\pi^*, \pi_\theta$)  [nats]")


def _off_line(ax: Axes, data: xr.Dataset) -> None:
    """J of the same ends: all of the update lies along the data's own direction."""
    off = data["angle_off_line"].transpose("seed", "angle").values
    band(ax, data["angle"].values, off, colour_of("misfit"))
    beside(ax, (88, 0.0), r"$J$, off $\log(\pi_w/\pi_l)$", (0, 5), ha="right", color=colour_of("misfit"))


def _distance(ax: Axes, data: xr.Dataset) -> None:
    """Circulating drawn thick under symmetric: both stay on zero."""
    for name, width in (("other", 1.4), ("circulating", 3.5), ("symmetric", 1.2)):
        one = data.sel(coupling=name).transpose("seed", "strength", ...)
        band(ax, data["strength"].values, one["coupling_jsd"].values, colour_of(name), linewidth=width)
    predicted = data["coupling_predicted"].sel(coupling="other").median("seed")
    ax.plot(data["strength"], predicted, **PREDICTED)
    middle = float(data["coupling_jsd"].sel(coupling="other").isel(strength=-1).median())
    beside(ax, (0.97, middle), "not symmetric\n(dashed: first order)", (-32, 2), ha="right", color=colour_of("other"))
    beside(ax, (0.97, 0.0), "symmetric", (-62, -10), ha="right", color=colour_of("symmetric"))
    beside(ax, (0.97, 0.0), "circulating", (-10, -10), ha="right", color=colour_of("circulating"))
    ax.set(ylim=(-0.16 * ax.get_ylim()[1], None))
    ax.set(xlabel="strength of the correlation", ylabel=r"JSD($\pi^*, \pi_\theta$)  [nats]")
    ax.set_title("c  correlated pairs")


def _labels(ax: Axes, data: xr.Dataset) -> None:
    for name in ("other", "circulating", "symmetric"):
        one = data.sel(coupling=name).transpose("seed", "strength", ...)
        band(ax, data["strength"].values, one["misfit"].values, colour_of(name))
        end = float(one["misfit"].isel(strength=-1).median())
        text = {"other": "not symmetric", "circulating": "circulating", "symmetric": "symmetric"}[name]
        beside(ax, (0.97, end), text, (-2, 4 if name != "other" else -40), ha="right", color=colour_of(name))
    ax.axhline(0.0, **PREDICTED)
    ax.set(xlabel="strength of the correlation", ylabel=r"largest $|P - \sigma(\log(\pi_w/\pi_l))|$")
    ax.set_title("d  … and their labels")
