"""Picture of C2: error against pairs, measured against predicted covariance, λ₂ by sampler, and what the designs show."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, colour_of, new_figure, styled
from didsim.plotting.drawing import end_labels, note

SHORT = {"reference pairs": "reference", "best of 4 / reference": "best of 4", "mix-R": "Mix-R"}


RARE = 2e-3  # pairs shown more rarely stand at the lower edge


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: squared error against pairs, mass of pairs against reward gap; below: λ₂ against its bound, covariance ratios."""
    figure, (error, mass, smallest, ratio) = new_figure(5.2, [1.1, 1.0], rows=2)
    _errors(error, data)
    _mass(mass, data)
    _smallest(smallest, data)
    _ratios(ratio, data)
    return figure


def _errors(ax: Axes, data: xr.Dataset) -> None:
    pairs, ends = data["pairs"].values, []
    for name in data["sampler"].values:
        one, colour = data.sel(sampler=name), colour_of(name)
        found, expected = (one[key].transpose("seed", "pairs").values for key in ("margin_error", "margin_predicted"))
        middle = found.mean(0)
        ends_of_bar = [middle - found.min(0), found.max(0) - middle]
        ax.errorbar(pairs, middle, yerr=ends_of_bar, color=colour, fmt="o", markersize=2.5, elinewidth=0.8)
        ax.plot(pairs, expected.mean(0), color=colour, linestyle="--", linewidth=0.9)
        ends.append((float(expected.mean(0)[-1]), SHORT.get(str(name), str(name)), colour))
    ax.set(xscale="log", yscale="log", ylim=(None, 30))
    ax.set(xlabel="pairs", ylabel="squared error  [nats²]", title="a  error of log-margins")
    text = f"{data.sizes['seed']} worlds, extremes;\ndashed: predicted"
    note(ax, 0.99, 0.97, text, ha="right", va="top", color=GREY)
    end_labels(ax, float(pairs[-1]), ends)


def _ratios(ax: Axes, data: xr.Dataset) -> None:
    names = [str(name) for name in data["sampler"].values]
    seeds = data.sizes["seed"]
    for place, name in enumerate(names):
        one = data.sel(sampler=name)
        where = place + np.linspace(-0.2, 0.2, seeds)
        spread = 1.96 * one["ratio_error"].values
        ax.errorbar(one["ratio"].values, where, xerr=spread, fmt="o", color=colour_of(name), markersize=2.5, linewidth=0.8)
        ax.plot(one["doubled_ratio"].values, where, "x", color=colour_of(name), markersize=3)
    ax.axvline(1, **PREDICTED, zorder=0)
    ax.set_yticks(range(len(names)), [SHORT.get(name, name) for name in names])
    ax.set_ylim(-0.7, len(names) + 0.4)
    ax.invert_yaxis()
    ax.set(xlabel="÷ predicted, 95 %", title="d  covariance")
    note(ax, 0.02, 0.02, "×: gaps doubled", color=GREY)


def _smallest(ax: Axes, data: xr.Dataset) -> None:
    names = [str(name) for name in data["sampler"].values]
    bound = data["bound"].sel(design="E").values
    share = data["lambda_2"].transpose("sampler", "seed").values / bound
    for place, name in enumerate(names):
        ax.barh(place, share[place].mean(), color=colour_of(name), alpha=0.85, height=0.7)
        ax.plot(share[place], np.full(share.shape[1], place), "o", color="white", markeredgecolor=BLACK, markersize=2.5)
    ax.axvline(1, **PREDICTED)
    ax.set_yticks(range(len(names)), [SHORT.get(name, name) for name in names])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.08), xlabel=r"$\lambda_2$ ÷ bound; circles: worlds", title="c  slowest direction")


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
        ax.plot(
            gap[order],
            np.maximum(mass[order], RARE),
            style,
            color=colour_of(name),
            markersize=3,
            label=SHORT.get(name, name),
            clip_on=False,
        )
    ax.set(yscale="log", ylim=(RARE, 2.0))
    ax.set_yticks([RARE, 1e-2, 1e-1, 1.0], ["≤ 0.002", "0.01", "0.1", "1"])
    ax.minorticks_off()
    ax.set(xlabel="reward gap", ylabel="probability of the pair", title="b  pairs shown")
    ax.legend(loc="upper left", ncols=2, handletextpad=0.2, columnspacing=0.5, handlelength=1.0, borderaxespad=0.1)
