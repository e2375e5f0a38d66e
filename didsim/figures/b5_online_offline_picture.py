"""Picture of B5: value gap against step and K, the boundary at one half, and the value lost to finitely many pairs."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, band, colour_of, new_figure, styled
from didsim.plotting.drawing import beside, end_labels, note

LINES = ("reference", "uniform", "on-policy", "mixture", "rewrites", "one-sided 4", "two-sided 4")
SIDES = ("one-sided", "two-sided")
FEW = ("uniform", "reference", "one-sided", "two-sided", "on-policy")


@styled
def draw(data: xr.Dataset) -> Figure:
    """Training from a weak reference; one- against two-sided best-of-K; two reward levels; finite data sets."""
    figure, (training, ranks, levels, finite) = new_figure(4.9, [1.1, 1.0], rows=2)
    _training(training, data)
    _ranks(ranks, data)
    _levels(levels, data)
    _finite(finite, data)
    return figure


def _training(ax: Axes, data: xr.Dataset) -> None:
    steps = np.maximum(data["step"].values, 0.7)
    ends = []
    for name in LINES:
        colour = colour_of(name.removesuffix(" 4"))
        gap = data["value_gap"].sel(reference="weak", sampler=name).values
        band(ax, steps, gap, colour)
        ends.append((float(np.median(gap[:, -1])), name.replace(" 4", " 4"), colour))
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel="step", ylabel=r"value gap $V^* - V$  [reward]")
    ax.set_title("a  weak reference, 95 % of worlds")
    end_labels(ax, steps[-1], ends)


def _ranks(ax: Axes, data: xr.Dataset) -> None:
    """Gap at the last step against K; K = 1 is the reference itself on both sides."""
    ks = [1, 2, 4, 16]
    end = data["value_gap"].isel(record=-1)
    for reference, style in (("weak", "-"), ("strong", ":")):
        for side in SIDES:
            colour = colour_of(side)
            names = ["reference", *(f"{side} {k}" for k in ks[1:])]
            gap = end.sel(reference=reference, sampler=names).transpose("seed", "sampler").values
            band(ax, np.asarray(ks, float), gap, colour, linestyle=style, marker="o", markersize=2.5)
    ax.set(xscale="log", yscale="log")
    ax.set(
        xlabel="K of best-of-K", ylabel=f"gap after {int(data['step'].values[-1])} steps  [reward]", title="b  one side or both?"
    )
    ax.set_xticks(ks, [str(k) for k in ks])
    ax.minorticks_off()
    low, high = ax.get_ylim()
    ax.set_ylim(low / (high / low) ** 0.45, high)
    note(ax, 0.03, 0.21, "solid: weak $\\pi_\\mathrm{ref}$\ndotted: strong", va="bottom")
    for height, side in zip((0.12, 0.03), SIDES, strict=True):
        note(ax, 0.03, height, side, color=colour_of(side))


def _levels(ax: Axes, data: xr.Dataset) -> None:
    share = data["share"].values
    lead = np.log(data["level_gap"].sel(sides="two").values / data["level_gap"].sel(sides="one").values)
    for sign, side in ((-1, "two-sided"), (1, "one-sided")):
        keep = np.sign(np.round(share - 0.5, 9)) == sign
        ax.plot(share[keep], lead[keep], "o", color=colour_of(side), markersize=3.5)
    ax.plot(share, lead, color=GREY, linewidth=0.8, zorder=0)
    ax.axhline(0.0, color=GREY, linewidth=0.5, zorder=0)
    ax.axvline(0.5, **PREDICTED)
    low, high = ax.get_ylim()
    reach = 1.15 * max(abs(low), abs(high))
    ax.set(ylim=(-reach, reach))
    ax.set(xlabel="share of good, improved side", ylabel="log(gap two- ÷ one-sided)")
    ax.set_title(rf"c  two levels, {100 * data.attrs['base_share']:.0f} % good in $\pi_\mathrm{{ref}}$")
    beside(ax, (0.5, -0.93 * reach), "predicted: ½", (3, 0))
    note(ax, 0.03, 0.16, "two-sided\nahead", color=colour_of("two-sided"))
    note(ax, 0.03, 0.82, "one-sided\nahead", color=colour_of("one-sided"))


def _finite(ax: Axes, data: xr.Dataset) -> None:
    pairs, ends = data["pairs"].values.astype(float), []
    for place, name in enumerate(FEW):
        colour = colour_of(name)
        measured = data["measured"].sel(few=name).values
        middle, error = measured.mean(-1), 1.96 * measured.std(-1, ddof=1) / np.sqrt(measured.shape[-1])
        fill = colour if place % 2 else "white"
        ax.errorbar(
            pairs, middle, error, fmt="o", color=colour, markerfacecolor=fill, markersize=4.5 - 0.5 * place, elinewidth=0.8
        )
        ax.plot(pairs, data["expected"].sel(few=name).values, color=colour, linestyle="--", linewidth=0.9)
        ends.append((float(middle[-1]), name, colour))
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel="pairs in the data set", ylabel="mean gap, exact fit  [reward]", title="d  finite data, K = 2")
    end_labels(ax, pairs[-1], ends)
