"""Picture of B1: comparison graph, null space, where descent lands, mass off the support, and what PRO makes of it."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from didsim.plotting import GREY, PREDICTED, band, colour_of, new_figure, styled
from didsim.plotting.colours import BLOCKS
from didsim.plotting.drawing import GUIDE, beside, note


@styled
def draw(data: xr.Dataset) -> Figure:
    """Graph of what is compared; dimension of what is left open; landing points; off-support mass; DPO beside PRO."""
    figure, (graph, landing, null, mass, settled, starts) = new_figure(7.0, [1.0, 1.15], rows=3)
    _graph(graph, data)
    _landing(landing, data)
    _null(null, data)
    _mass(mass, data)
    _settled(settled, data)
    _starts(starts, data)
    return figure


def _colours(data: xr.Dataset) -> list[str]:
    return [BLOCKS[f"block {b % len(BLOCKS)}"] if b >= 0 else colour_of("unseen") for b in data["block"].values]


def _graph(ax: Axes, data: xr.Dataset) -> None:
    block = data["block"].values
    n = min(len(block), 60)
    chosen = np.linspace(0, len(block) - 1, n).astype(int)
    angle = np.pi / 2 - 2 * np.pi * np.arange(n) / n
    x, y = np.cos(angle), np.sin(angle)
    colours = [_colours(data)[k] for k in chosen]
    for i in range(n):
        for j in range(i + 1, n):
            if block[chosen[i]] == block[chosen[j]] >= 0:
                ax.plot([x[i], x[j]], [y[i], y[j]], color=colours[i], linewidth=0.3, alpha=0.6)
    for i in range(n):
        seen = block[chosen[i]] >= 0
        ax.plot(x[i], y[i], "o", color=colours[i], markersize=4, markerfacecolor=colours[i] if seen else "white")
    ax.set(aspect="equal", title="a  what is compared")
    ax.set_axis_off()
    note(ax, 0.5, 0.5, "○ never\nshown", ha="center", va="center", color=colour_of("unseen"))


def _null(ax: Axes, data: xr.Dataset) -> None:
    count, nullity = data["component_count"].values, data["nullity"].values
    top = max(count.max(), nullity.max()) + 1
    ax.plot([0, top], [0, top], **PREDICTED)
    ax.plot(count, nullity, "o", color=GREY, alpha=0.5, markeredgewidth=0)
    ax.set(xlabel="components of the graph", ylabel="null-space dimension")
    ax.set_title(f"c  {len(count)} samplers")


def _landing(ax: Axes, data: xr.Dataset) -> None:
    """Change of log-probability since π_ref, per response, first world: predicted bars, trained marks."""
    one = data.isel(seed=0)
    ref = one["log_ref"].values
    place = np.arange(len(ref))
    for k, (colour, height) in enumerate(zip(_colours(data), one["predicted"].values - ref, strict=True)):
        ax.plot([k - 0.48, k + 0.48], [height, height], color=colour, linestyle=(0, (0.6, 0.3)), linewidth=3.2)
    for name, mark in (("gradient descent", "o"), ("Adam", "x")):
        change = one["final"].sel(optimiser=name).values - ref
        ax.plot(place, change, mark, color=colour_of(name), markersize=1.8 if mark == "o" else 4, label=name)
    ax.axhline(0, **GUIDE)
    ax.set_xlabel("response; dashes: predicted")
    ax.set_ylabel(r"$\log(\pi_\infty/\pi_\mathrm{ref})$  [nats]")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.22 * (high - low))
    ax.legend(loc="upper left", ncols=2, handletextpad=0.1, columnspacing=0.8, borderaxespad=0.1)
    ax.set_title("b  where descent lands")


def _mass(ax: Axes, data: xr.Dataset) -> None:
    coverage = data["coverage"].values
    for reference in ("uniform", "weak"):
        one = data.sel(reference=reference).transpose("seed", "coverage", ...)
        ratio = one["mass_after"].values / one["mass_before"].values
        band(ax, coverage, ratio, colour_of(reference), marker="o")
        predicted = np.median(one["mass_predicted"].values / one["mass_before"].values, axis=0)
        ax.plot(coverage, predicted, **PREDICTED)
        shift = (-2, 9 if reference == "weak" else -12)
        beside(
            ax, (coverage[-1], predicted[-1]), rf"{reference} $\pi_\mathrm{{ref}}$", shift, ha="right", color=colour_of(reference)
        )
    ax.axhline(1, **GUIDE)
    ax.set_yscale("log")
    ax.set(xlabel="share of responses ever shown", ylabel="unseen mass, after ÷ before", title="d  mass never shown")


def _settled(ax: Axes, data: xr.Dataset) -> None:
    """Log-ratios of unseen responses at the end, every world and start: PRO's are the roots, DPO's are wherever they began."""
    roots = data["all_pairs_root"].transpose("start", "seed").values
    unseen = data["all_pairs_ratio"].isel(response=data["all_pairs_unseen"].values.astype(bool)).max("response")
    for loss, mark in (("dpo", "o"), ("pro", "D")):
        ends = unseen.sel(loss=loss).transpose("start", "seed").values
        ax.plot(roots.ravel(), ends.ravel(), mark, color=colour_of(loss), markersize=2.5, alpha=0.6, markeredgewidth=0)
    span = np.array([roots.min(), roots.max()])
    span += np.array([-0.15, 0.15]) * max(np.ptp(span), 0.1)
    ax.plot(span, span, **PREDICTED)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.2 * (high - low))
    note(ax, 0.03, 0.91, "DPO, five starts", color=colour_of("dpo"))
    note(ax, 0.97, 0.91, "PRO", ha="right", color=colour_of("pro"))
    ax.set(xlabel="predicted for PRO  [nats]", ylabel=r"$\log(\pi_\infty/\pi_\mathrm{ref})$  [nats]")
    ax.set_title("e  unseen responses")


def _starts(ax: Axes, data: xr.Dataset) -> None:
    """Mass of unseen responses at the end against where they start."""
    start = data["start"].values
    before = data["all_pairs_before"].values
    kept = data["all_pairs_kept"].transpose("start", "seed").values
    odds = before * np.exp(data["all_pairs_root"].transpose("start", "seed").values)
    for loss, predicted in (("dpo", kept), ("pro", odds)):
        mass = data["all_pairs_mass"].sel(loss=loss).transpose("seed", "start").values
        band(ax, start, mass, colour_of(loss), marker="o")
        ax.plot(start, np.median(predicted, axis=1), **PREDICTED)
    ax.set(yscale="log", ylim=(min(0.01, kept.min()), 1.0), ylabel="unseen mass at the end", title="f  does the start matter?")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(r"unseen start above $\pi_\mathrm{ref}$  [nats]")
    ends = {loss: float(data["all_pairs_mass"].sel(loss=loss).isel(start=0).median()) for loss in ("dpo", "pro")}
    beside(ax, (start[0], ends["dpo"]), "DPO", (10, 0), va="top", color=colour_of("dpo"))
    beside(ax, (start[0], ends["pro"]), "PRO", (2, 5), color=colour_of("pro"))
