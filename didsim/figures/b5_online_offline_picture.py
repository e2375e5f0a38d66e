"""Picture of B5: value gap against step and K, the boundary at one half, and the value lost to finitely many pairs."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, BLUE, GREEN, GREY, PREDICTED, RED, SKY, band, new_figure, styled
from didsim.plotting.colours import PINK
from didsim.plotting.style import end_labels, note

LINES = {
    "reference": GREY,
    "uniform": BLACK,
    "on-policy": GREEN,
    "mixture": SKY,
    "rewrites": PINK,
    "one-sided 4": BLUE,
    "two-sided 4": RED,
}
SIDES = {"one-sided": BLUE, "two-sided": RED}
FEW = {"uniform": BLACK, "reference": GREY, "one-sided": BLUE, "two-sided": RED, "on-policy": GREEN}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Training from a weak reference; one- against two-sided best-of-K; two reward levels; finite data sets."""
    figure, (training, ranks, levels, finite) = new_figure(5.2, [1.25, 1.0], rows=2)
    _training(training, data)
    _ranks(ranks, data)
    _levels(levels, data)
    _finite(finite, data)
    return figure


def _training(ax: Axes, data: xr.Dataset) -> None:
    steps = np.maximum(data["step"].values, 0.7)
    ends = []
    for name, colour in LINES.items():
        gap = data["value_gap"].sel(reference="weak", sampler=name).values
        band(ax, steps, gap, colour)
        ends.append((float(np.median(gap[:, -1])), name.replace(" 4", ", K = 4"), colour))
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel="step of gradient descent", ylabel="value gap V* − V  [reward]")
    ax.set_title("a  weak reference (bands: 95 % of the worlds)")
    end_labels(ax, steps[-1], ends)


def _ranks(ax: Axes, data: xr.Dataset) -> None:
    """Gap at the last step against K; K = 1 is the reference itself on both sides."""
    ks = [1, 2, 4, 16]
    end = data["value_gap"].isel(record=-1)
    for reference, style in (("weak", "-"), ("strong", ":")):
        for side, colour in SIDES.items():
            names = ["reference", *(f"{side} {k}" for k in ks[1:])]
            gap = end.sel(reference=reference, sampler=names).transpose("seed", "sampler").values
            band(ax, np.asarray(ks, float), gap, colour, linestyle=style, marker="o", markersize=2.5)
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel="K of best-of-K", ylabel=f"value gap after {int(data['step'].values[-1])} steps", title="b  one side or both?")
    ax.set_xticks(ks, [str(k) for k in ks])
    ax.minorticks_off()
    note(ax, 0.97, 0.03, "solid: weak π_ref\ndotted: strong", ha="right", va="bottom")
    for height, (side, colour) in zip((0.12, 0.03), SIDES.items(), strict=True):
        note(ax, 0.04, height, side, color=colour)


def _levels(ax: Axes, data: xr.Dataset) -> None:
    share = data["share"].values
    lead = np.log(data["level_gap"].sel(sides="two").values / data["level_gap"].sel(sides="one").values)
    for sign, colour in ((-1, RED), (1, BLUE)):
        keep = np.sign(np.round(share - 0.5, 9)) == sign
        ax.plot(share[keep], lead[keep], "o", color=colour, markersize=3.5)
    ax.plot(share, lead, color=GREY, linewidth=0.8, zorder=0)
    ax.axhline(0.0, color=GREY, linewidth=0.5, zorder=0)
    ax.axvline(0.5, **PREDICTED)
    low, high = ax.get_ylim()
    reach = 1.15 * max(abs(low), abs(high))
    ax.set(ylim=(-reach, reach))
    ax.set(xlabel="share of good responses on the improved side", ylabel="log(gap two-sided ÷ one-sided)")
    ax.set_title(f"c  two reward levels, π_ref with {data.attrs['base_share']:.0%} good")
    ax.annotate("predicted: ½", (0.51, -0.93 * reach), fontsize=7)
    ax.annotate("two-sided ahead", (0.14, -0.75 * reach), fontsize=7, color=RED)
    ax.annotate("one-sided ahead", (0.52, 0.85 * reach), fontsize=7, color=BLUE)


def _finite(ax: Axes, data: xr.Dataset) -> None:
    pairs = data["pairs"].values.astype(float)
    shift = np.geomspace(0.87, 1.15, len(FEW))
    for (name, colour), nudge in zip(FEW.items(), shift, strict=True):
        measured = data["measured"].sel(few=name).values
        middle, error = measured.mean(-1), 1.96 * measured.std(-1, ddof=1) / np.sqrt(measured.shape[-1])
        ax.errorbar(pairs * nudge, middle, error, fmt="o", color=colour, markersize=3, elinewidth=0.8)
        ax.plot(pairs, data["expected"].sel(few=name).values, color=colour, linestyle="--", linewidth=0.9)
        ax.plot([], [], "o", color=colour, markersize=3, label=name)
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel="pairs in the data set", ylabel="mean value gap of the exact fit", title="d  finite data, K = 2 (dashed: S7)")
    ax.legend(loc="upper right", handletextpad=0.1, borderaxespad=0.1)
