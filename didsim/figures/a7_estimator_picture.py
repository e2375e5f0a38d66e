"""Picture of A7: error, coverage and diagnostics of the estimated DID entropy against K, and what K = 32 decides."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, colour_of, new_figure, styled
from didsim.plotting.drawing import GUIDE, beside, note

PAPER = 32
TAILS = ("mild", "moderate", "heavy")
KINDS = ("right-skewed", "unskewed", "left-skewed")


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: bias, spread, coverage; below: the weights, growing sequences, and the comparison of two updates."""
    figure, axes = new_figure(6.2, [1.0, 1.0], rows=3)
    noise = 2.0 * data["tail_sd"].mean("seed") / np.sqrt(data["replicates"] * data.sizes["seed"])
    bias = abs(data["tail_bias"].mean("seed"))
    _moment(axes[0], data, bias.where(bias > noise), abs(data["tail_b"].mean("seed")) / data["k"])
    axes[0].set(ylim=(3e-4, 20), ylabel="|bias|  [nats]", title="a  bias; dashed: first order")
    note(axes[0], 0.03, 0.04, "left out: within noise", color=GREY)
    _moment(axes[1], data, data["tail_sd"].mean("seed"), (data["tail_v"].mean("seed") / data["k"]) ** 0.5)
    axes[1].set(ylim=(1e-3, 20), ylabel="standard deviation  [nats]", title="b  spread; dashed: first order")
    _tail_key(axes[1], data)
    _coverage(axes[2], data)
    _weights(axes[3], data)
    _lengths(axes[4], data)
    _comparison(axes[5], data)
    return figure


def _k_axis(ax: Axes, data: xr.Dataset, *, named: bool = True) -> None:
    k = data["k"].values
    ax.set_xscale("log", base=2)
    ticks = [value for value in (8, 32, 128, 512, 4096) if k[0] <= value <= k[-1]]
    ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
    ax.axvline(PAPER, **GUIDE)
    if named:
        beside(ax, (PAPER, 1.0), f"K = {PAPER}", (2, -1), xycoords=("data", "axes fraction"), va="top", color=GREY)
    ax.set_xlabel("draws K")


def _moment(ax: Axes, data: xr.Dataset, measured: xr.DataArray, predicted: xr.DataArray) -> None:
    _k_axis(ax, data)
    ax.set_yscale("log")
    k = data["k"].values
    for tail in TAILS:
        values = measured.sel(tail=tail).values
        ax.plot(k, values, color=colour_of(tail), marker="o")
        ax.plot(k, predicted.sel(tail=tail).values, color=colour_of(tail), linestyle="--", linewidth=0.9)


def _tail_key(ax: Axes, data: xr.Dataset) -> None:
    """Names of the three worlds with their weights' second moment, as coloured text."""
    for line, tail in enumerate(TAILS):
        moment = float(data["tail_second_moment"].sel(tail=tail).mean())
        note(ax, 0.04, 0.29 - 0.095 * line, rf"{tail}: $1+\chi^2$ = {moment:.3g}", color=colour_of(tail), ha="left", va="top")


def _coverage(ax: Axes, data: xr.Dataset) -> None:
    """Jackknife and bootstrap; grey where a coverage that is exact would be measured."""
    _k_axis(ax, data, named=False)
    k, level = data["k"].values, data.attrs["level"]
    error = 1.96 * np.sqrt(level * (1 - level) / (data["replicates"].values * data.sizes["seed"]))
    ax.fill_between(k, level - error, level + error, color=GREY, alpha=0.3, linewidth=0)
    ax.axhline(level, **PREDICTED)
    for tail in TAILS:
        for method, line in (("jackknife", "-"), ("bootstrap", ":")):
            share = data[f"tail_{method}"].sel(tail=tail).mean("seed").values
            ax.plot(k, share, color=colour_of(tail), linestyle=line, marker="o" if line == "-" else None)
    note(ax, 0.97, 0.04, "solid: jackknife\ndotted: bootstrap\ngrey: 0.95 to sampling error", color=GREY, ha="right")
    ax.set(ylim=(None, 1.0), ylabel="coverage of 95 % intervals", title="c  coverage")


def _weights(ax: Axes, data: xr.Dataset) -> None:
    """Tail shape against its limit, and the effective share of the draws."""
    _k_axis(ax, data)
    k = data["k"].values
    share = ax.twinx()
    for tail in TAILS:
        ax.plot(k, data["tail_shape"].sel(tail=tail).mean("seed").values, color=colour_of(tail), marker="o")
        effective = 1.0 / data["tail_draws_per_effective"].sel(tail=tail).mean("seed").values
        share.plot(k, effective, color=colour_of(tail), linestyle=":", linewidth=1.0)
    ax.plot(k, data["shape_limit"].values, **PREDICTED)
    at = int(np.argmin(np.abs(k - 128)))
    beside(ax, (k[at], data["shape_limit"].values[at]), "trusted below", (6, -8))
    ax.set(ylim=(0, 1.05), ylabel=r"tail shape $\hat{k}$, solid", title="d  what the weights tell")
    share.set(ylim=(0, 1.05), ylabel="ESS ÷ K, dotted")
    share.spines["right"].set_visible(True)


def _lengths(ax: Axes, data: xr.Dataset) -> None:
    """Root-mean-square error at K = 32 against sequence length, for three entropies."""
    length = data["length"].values
    at = data.sel(k=PAPER)
    texts = {"sequence": "whole sequence", "normalised": "length-normalised", "token": "per token, 0 at one"}
    for (name, text), height in zip(texts.items(), (0.33, 0.43, 0.05), strict=True):
        error = at[f"{name}_error"].mean("seed").values
        ax.plot(length, np.where(error > 1e-12, error, np.nan), color=colour_of(name), marker="o")
        note(ax, 0.97, height, text, color=colour_of(name), ha="right")
    first = ((at["sequence_v"].mean("seed") / PAPER + (at["sequence_b"].mean("seed") / PAPER) ** 2) ** 0.5).values
    ax.plot(length, first, color=colour_of("sequence"), linestyle="--", linewidth=0.9)
    ax.set(yscale="log", ylim=(1e-3, 20), xticks=length)
    ax.set(xlabel="tokens per response", ylabel="RMS error  [nats]", title="e  K = 32; dashed: first order")


def _comparison(ax: Axes, data: xr.Dataset) -> None:
    """H(q₊) - H(q₋) at the paper's K: dashed the truth, the mean of the plain estimate and of the jackknife's."""
    at = data.sel(k=PAPER)
    exact = (at["pair_exact"].sel(sign=1) - at["pair_exact"].sel(sign=-1)).mean("seed")
    for row, kind in enumerate(KINDS):
        truth, colour = float(exact.sel(kind=kind)), colour_of(kind)
        ax.plot([truth, truth], [row - 0.38, row + 0.38], **PREDICTED)
        for (name, mark), shift in zip((("pair_bias", "o"), ("pair_corrected_bias", "s")), (-0.16, 0.16), strict=True):
            off = at[name].sel(kind=kind)
            found = exact.sel(kind=kind) + (off.sel(sign=1) - off.sel(sign=-1))
            middle, error = float(found.mean("seed")), 1.96 * float(found.std("seed", ddof=1)) / np.sqrt(found.sizes["seed"])
            ax.errorbar(
                middle, row + shift, xerr=error, fmt=mark, color=colour, markerfacecolor=colour if mark == "o" else "white"
            )
    ax.axvline(0, **GUIDE)
    ax.set_yticks(range(len(KINDS)), [kind.replace("-", "-\n") for kind in KINDS])
    ax.set(ylim=(len(KINDS) + 0.35, -0.6))
    ax.set(xlabel=r"$H(q_+) - H(q_-)$  [nats]", title=f"f  K = {PAPER}: wrong signs")
    note(ax, 0.02, 0.02, "● plain  □ corrected  ¦ truth", color=GREY)
