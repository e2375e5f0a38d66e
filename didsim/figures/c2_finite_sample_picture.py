"""Picture of C2: error against pairs, measured against predicted covariance, λ₂ by sampler, and what the designs show."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, colour_of, new_figure, styled
from didsim.plotting.style import end_labels, predicted_and_measured


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: squared error against pairs, mass of pairs against reward gap; below: λ₂ against its bound, covariance ratios."""
    figure, (error, mass, smallest, ratio) = new_figure(5.0, [1.0, 1.15], rows=2)
    _errors(error, data)
    _mass(mass, data)
    _smallest(smallest, data)
    _ratios(ratio, data)
    return figure


def _errors(ax: Axes, data: xr.Dataset) -> None:
    pairs, ends = data["pairs"].values, []
    for name in data["sampler"].values:
        one = data.sel(sampler=name).isel(seed=0)
        colour = colour_of(name)
        ax.plot(pairs, one["margin_error"].values, color=colour, marker="o", markersize=2.5)
        ax.plot(pairs, one["margin_predicted"].values, color=colour, linestyle="--", linewidth=0.9)
        ends.append((float(one["margin_predicted"].values[-1]), str(name), colour))
    ax.set(xscale="log", yscale="log", xlim=(pairs[0], pairs[-1]))
    ax.set(xlabel="pairs", ylabel="squared log-margin error  [nats²]", title="a  error of learning, one world")
    predicted_and_measured(ax, loc="upper right", measured="simulated", predicted="effective resistance / n")
    end_labels(ax, float(pairs[-1]), ends)


def _ratios(ax: Axes, data: xr.Dataset) -> None:
    names = [str(name) for name in data["sampler"].values]
    seeds = data.sizes["seed"]
    for place, name in enumerate(names):
        one = data.sel(sampler=name)
        where = place + np.linspace(-0.2, 0.2, seeds)
        spread = 1.96 * one["ratio_error"].values
        ax.errorbar(one["ratio"].values, where, xerr=spread, fmt="o", color=colour_of(name), markersize=2.5, linewidth=0.8)
        ax.plot(one["doubled_ratio"].values, where, "x", color=GREY, markersize=3)
    ax.axvline(1, **PREDICTED, zorder=0)
    ax.set_yticks(range(len(names)), [])
    ax.invert_yaxis()
    ax.set(xlabel="measured ÷ predicted (×: gaps doubled)", title="d  covariance, bars 95 %")


def _smallest(ax: Axes, data: xr.Dataset) -> None:
    names = [str(name) for name in data["sampler"].values]
    bound = data["bound"].sel(design="E").values
    share = data["lambda_2"].transpose("sampler", "seed").values / bound
    for place, name in enumerate(names):
        ax.barh(place, share[place].mean(), color=colour_of(name), alpha=0.85, height=0.7)
        ax.plot(share[place], np.full(share.shape[1], place), "o", color="white", markeredgecolor=BLACK, markersize=2.5)
    ax.axvline(1, **PREDICTED)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.08), xlabel="λ₂ ÷ bound for any law (circles: worlds)", title="c  slowest direction's information")


def _mass(ax: Axes, data: xr.Dataset) -> None:
    """Probability of each unordered pair against its reward gap, first world."""
    one = data.isel(seed=0)
    reward = one["reward"].values
    first, second = np.triu_indices(len(reward), 1)
    gap = np.abs(reward[first] - reward[second])
    order = np.argsort(gap)
    for name, style in (("E-optimal", "o"), ("A-optimal", "s"), ("mix-R", "-"), ("uniform", "-")):
        law = one["pair_mass"].sel(sampler=name).values
        mass = (law[first, second] + law[second, first]) / (1.0 - np.trace(law))
        ax.plot(gap[order], np.maximum(mass[order], 1e-5), style, color=colour_of(name), markersize=3, label=name)
    ax.set(yscale="log", ylim=(1e-4, 2.0))
    ax.set(xlabel="reward gap of the pair", ylabel="probability of showing it", title="b  pairs shown, one world")
    ax.legend(loc="upper left", ncols=2, handletextpad=0.3, columnspacing=0.8)
