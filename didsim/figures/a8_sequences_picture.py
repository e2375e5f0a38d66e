"""Picture of A8: JSD while training, limits by parameters, displacement along the map, what CHES ranks, token-wise losses."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, colour_of, styled
from didsim.plotting.drawing import WIDTH, beside, end_labels, note

FLOOR = 1e-17


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: training of tables, limits by number of parameters; below: displacement, and ranks of pairs; losses by token."""
    figure = Figure(figsize=(WIDTH, 6.8), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=[1.0, 1.0, 0.75])
    training, limits, moved, ranks = (figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (0, 1))
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)  # type: ignore[union-attr]
    _training(training, data)
    _limits(limits, data)
    _moved(moved, data)
    _ranks(ranks, data)
    _segments(figure.add_subplot(grid[2, :]), data)
    return figure


def _training(ax: Axes, data: xr.Dataset) -> None:
    """JSD to π* of k-grams and of the prefix table while Adam trains them; dashed where each must end."""
    steps = np.maximum(data["step"].values, 0.7)
    labels, names = [], [str(name) for name in data["table"].values]
    for place, name in enumerate(names):
        colour = colour_of("k-gram" if name != names[-1] else "prefix table")
        one = data.isel(table=place)
        curve = np.maximum(one["jsd_target"].values, FLOOR)
        ax.plot(steps, curve, color=colour)
        limit = max(float(one["table_limit"]), FLOOR)
        ax.axhline(limit, color=colour, linestyle="--", linewidth=0.9)
        labels.append((curve[-1], name, colour))
    labels = [(labels[0][0], f"{names[0]} to\n{names[-2]}", colour_of("k-gram")), labels[-1]] if len(names) > 2 else labels
    ax.set(xscale="log", yscale="log", ylim=(FLOOR / 5, 3), xlim=(steps[0], steps[-1]))
    ax.set(xlabel="step of Adam", ylabel=r"JSD($\pi^*, \pi_\theta$)  [nats]")
    vocabulary, length = data.attrs["vocabulary"], data.attrs["length"]
    ax.set_title(f"a  {vocabulary}$^{length}$ sequences: trained")
    note(ax, 0.04, 0.14, "dashed: exact limit", color=GREY)
    end_labels(ax, steps[-1], labels)


def _limits(ax: Axes, data: xr.Dataset) -> None:
    """JSD of the solver's ends against parameters; dashed how many it takes to say every law."""
    x, worlds = data["order_parameters"].values, np.maximum(data["order_jsd"].values, FLOOR)
    ax.fill_between(x, worlds.min(1), worlds.max(1), color=colour_of("k-gram"), alpha=0.2, linewidth=0)
    ax.plot(x, np.median(worlds, 1), color=colour_of("k-gram"), marker="o")
    ax.plot(x[-1], np.median(worlds[-1]), "o", color=colour_of("prefix table"), zorder=4)
    for place in range(len(x) - 1):
        beside(ax, (x[place], worlds[place].max()), f"{place}", (0, 4), ha="center", color=colour_of("k-gram"))
    beside(ax, (x[-1], np.median(worlds[-1])), "prefix\ntable", (-5, 3), ha="right", color=colour_of("prefix table"))
    wide = (data[name].values for name in ("width", "width_parameters", "transformer_jsd"))
    for width, count, ends in zip(*wide, strict=True):
        ax.plot(np.full(len(ends), count), np.maximum(ends, FLOOR), "x", color=colour_of("transformer"), clip_on=False)
        beside(ax, (count, np.maximum(ends, FLOOR).max()), f"{width}", (0, 6), ha="center", color=colour_of("transformer"))
    need = data.attrs["dimension"]
    ax.axvline(need, **PREDICTED)
    beside(ax, (need, 0.62), "N − 1", (3, 0), xycoords=("data", "axes fraction"))
    note(ax, 0.06, 0.78, "k-gram by k", rotation=90, va="top", color=colour_of("k-gram"))
    note(ax, 0.99, 0.46, "transformer\nby width", ha="right", color=colour_of("transformer"))
    ax.set(xscale="log", yscale="log", ylim=(FLOOR / 10, 30))
    ax.set(xlim=(0.6 * x[0], 2.0 * max(need, data["width_parameters"].values.max())))
    ax.set(xlabel="parameters", ylabel=r"JSD($\pi^*$, solver's end)  [nats]")
    ax.set_title(f"b  N = {data.attrs['small_n']}: ends")


def _moved(ax: Axes, data: xr.Dataset) -> None:
    """Change of log-likelihood of chosen (filled) and rejected (open) draws at each policy's limit; dashed Λ'."""
    for role, height in (("chosen", 0.85), ("rejected", 0.6)):
        curve = data["curve"].isel(role=["chosen", "rejected"].index(role)).values
        ax.plot(data["fine"].values, curve, **PREDICTED)
        where = int(height * len(curve))
        text = r"$\Lambda'(a)$" if role == "chosen" else r"$\Lambda'(a-\beta)$"
        shift, side = ((-4, 6), "right") if role == "chosen" else ((6, -11), "left")
        beside(ax, (data["fine"].values[where], curve[where]), text, shift, ha=side)
    places = data["chosen_at"].values
    width = int(data["width"].values[0])
    for name, marker, size in (("prefix table", "o", 5), ("transformer", "x", 4.5), ("bigram", "s", 3.5)):
        for role in ("chosen", "rejected"):
            face = colour_of(name) if role == "chosen" else "none"
            y = data["change"].sel(policy=name, role=role).values
            text = f"transformer ({width})" if name == "transformer" else name
            ax.plot(
                places, y, marker, color=colour_of(name), markerfacecolor=face, markersize=size, linestyle="none",
                label=text if role == "chosen" else None,
            )  # fmt: skip
    ax.axhline(0.0, color=GREY, linewidth=0.6)
    ax.legend(loc="upper left", handletextpad=0.1, borderaxespad=0.1)
    low, high = ax.get_ylim()
    ax.set(ylim=(low, high + 0.45 * (high - low)))
    ax.set(xlabel=r"place $a$ of $\pi_w$", ylabel=r"change of $\log\,\pi$  [nats]")
    ax.set_title("c  filled: chosen, open: rejected")


def _ranks(ax: Axes, data: xr.Dataset) -> None:
    """Rank correlation of each score with the fall of the chosen response: mean and 95 % over initial weights."""
    names = {
        "slope": "slope at start",
        "tokens in common": "shared tokens",
        "ches": "CHES",
        "normalised ches": "CHES, normed",
        "ches, shuffled": "another's CHES",
    }
    for offset, (among, colour) in enumerate((("all", colour_of("all pairs")), ("equal lengths", colour_of("equal lengths")))):
        for row, score in enumerate(names):
            values = data["rank_correlation"].sel(among=among, score=score).values
            low, high = np.quantile(values, [0.025, 0.975])
            y = row + 0.16 * (2 * offset - 1)
            ax.plot([low, high], [y, y], color=colour, linewidth=3, alpha=0.3, solid_capstyle="butt")
            ax.plot(values.mean(), y, "o", color=colour)
        text = "all" if among == "all" else "equal\nlengths"
        note(ax, 0.02, 0.97 - 0.10 * offset, text, color=colour, va="top")
    note(ax, 0.99, 0.03, f"{data.sizes['init']} networks,\n95 %", ha="right")
    ax.axvline(0.0, **PREDICTED)
    ax.set_yticks(range(len(names)), list(names.values()))
    ax.invert_yaxis()
    ax.set(xlim=(-0.75, 1.05))
    ax.set(xlabel="rank correlation", title="d  foretelling a fall")


def _segments(ax: Axes, data: xr.Dataset) -> None:
    """Chance of the first token under DPO, and under a sum over tokens with either kind of labels; dashed at π*."""
    names = {"dpo": "DPO", "adpo, token labels": "ADPO, labels by token", "adpo, sequence labels": "ADPO, labels by sequence"}
    curves = data["first_zero"].transpose("segment_loss", "segment_step")
    steps = np.arange(1, curves.sizes["segment_step"])
    for name in names:
        ax.plot(steps, curves.sel(segment_loss=name).values[1:], color=colour_of(name), linewidth=2.6 if name == "dpo" else 1.4)
    ax.axhline(float(data["first_zero_target"]), **PREDICTED)
    ax.set(xscale="log", xlim=(steps[0], steps[-1]), ylim=(0.54, 0.82))
    ax.set(xlabel="step of gradient descent", ylabel=r"$\pi$(first token = 0)")
    ax.set_title("e  a logistic for each token: whose labels?")
    for (name, text), below in zip(names.items(), (-17, -8, -8), strict=True):
        end = float(curves.sel(segment_loss=name)[-1])
        beside(ax, (steps[-1], end), text, (0, below), ha="right", va="center", color=colour_of(name))
    note(ax, 0.02, 0.93, r"dashed: $\pi^*$", color=GREY, va="top")
