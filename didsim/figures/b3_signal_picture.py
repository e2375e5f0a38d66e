"""Picture of B3: the first gradient's signal against the share and the quality of good responses."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, band, colour_of, new_figure, shades, styled
from didsim.plotting.drawing import LETTERS, end_labels, predicted_and_measured

REFERENCES = ("weak", "even", "strong")


@styled
def draw(data: xr.Dataset) -> Figure:
    """Two levels: both sides alike, one side fixed; best of K of one side and of both, in a log-linear model."""
    figure, (both, one, one_k, both_k) = new_figure(4.6, [1.0, 1.0], rows=2)
    _both(both, data)
    _one(one, data)
    top = 1.08 * float(np.nanquantile(data["differentiated"].values, 0.975, axis=0).max())
    for ax, side, title in (
        (one_k, "one-sided", "c  best of K, one side"),
        (both_k, "both-sided", "d  best of K, both sides"),
    ):
        _best_of(ax, data.sel(side=side), title, top)
    return figure


def _both(ax: Axes, data: xr.Dataset) -> None:
    share, signal = data["share"].values, data["both"].values
    ax.plot(share, signal, color=BLACK, linewidth=2.4, alpha=0.35)
    ax.plot(share, data["both_predicted"].values, **PREDICTED)
    top = signal.max()
    ax.vlines(0.5, 0.8 * top, 1.3 * top, color=GREY, linewidth=0.5, zorder=0)
    ax.set_ylim(0, 1.75 * top)
    ax.text(0.48, 1.12 * top, "helps", ha="right", fontsize=LETTERS)
    ax.text(0.52, 1.12 * top, "hurts", ha="left", fontsize=LETTERS)
    predicted_and_measured(
        ax,
        measured="exact gradient",
        predicted=r"$\varepsilon(1-\varepsilon)\, g\, \tanh(g/2)$",
        loc="upper center",
        borderaxespad=0.0,
    )
    _labels(ax, r"share $\varepsilon$ of good, both sides", "a  both sides alike")


def _one(ax: Axes, data: xr.Dataset) -> None:
    share, bases = data["share"].values, data["base"].values
    colours = shades(len(bases))
    for base, colour in zip(bases, colours, strict=True):
        line = data.sel(base=base)
        ax.plot(share, line["one"].values, color=colour, linewidth=2.4, alpha=0.35)
        ax.plot(share, line["one_predicted"].values, color=colour, linestyle="--", linewidth=0.9)
    ax.set_ylim(0, None)
    entries = [
        (float(data["one"].sel(base=b).values[-1]), rf"$\varepsilon_0$ = {b:g}", c) for b, c in zip(bases, colours, strict=True)
    ]
    end_labels(ax, share[-1], entries)
    _labels(ax, r"share $\varepsilon$ of good, one side", r"b  other side at $\varepsilon_0$")


def _best_of(ax: Axes, data: xr.Dataset, title: str, top: float) -> None:
    k = data["k"].values
    for reference in REFERENCES:
        colour = colour_of(reference)
        one = data.sel(reference=reference).transpose("seed", "k", ...)
        band(ax, k, one["differentiated"].values, colour, marker="o", markersize=2.5)
        ax.plot(k, np.median(one["formula"].values, axis=0), color=BLACK, linestyle="--", linewidth=0.7)
    ax.set_xscale("log", base=2)
    ax.set_xticks([x for x in (1, 4, 16, 64, 256) if k[0] <= x <= k[-1]])
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylim(-0.04 * top, top)
    last = data["differentiated"].isel(k=-1).median("seed")
    end_labels(ax, float(k[-1]), [(float(last.sel(reference=r)), rf"{r} $\pi_\mathrm{{ref}}$", colour_of(r)) for r in REFERENCES])
    _labels(ax, f"K; {data.sizes['seed']} worlds, 95 %", title)


def _labels(ax: Axes, x: str, title: str) -> None:
    ax.set(xlabel=x, ylabel=r"signal $\langle-\nabla L, \theta^*\rangle$", title=title)
