"""Picture of C6: where DPO ends for each policy on ties, and whether it orders responses as their points do."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, MEANING, PREDICTED, band, new_figure, styled
from didsim.plotting.drawing import beside, end_labels, note

FLOOR = 1e-18


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: how far DPO goes by ν, and half-way at ν = 1; below: log-ratios against Borda scores under both samplers."""
    figure, (share, half, product, none) = new_figure(5.0, [1.0, 1.0], rows=2)
    _shares(share, data)
    _half(half, data)
    _scores(product, data, "product", "c  independent pairs")
    _scores(none, data, "no product", "d  dependent pairs")
    return figure


def _shares(ax: Axes, data: xr.Dataset) -> None:
    ties, ends = data["tie"].values, []
    for name in data["policy"].values:
        error = data["error"].sel(policy=name).transpose("world", "tie").values
        colour = MEANING[f"ties: {name}"]
        wide = 3.5 if name == "dropped" else 1.4  # the model of ties lies upon it
        how = {"marker": "o", "markersize": 1.5 + wide, "linewidth": wide, "clip_on": False}
        band(ax, ties, np.maximum(error, FLOOR), colour, **how)
        ends.append((float(np.maximum(np.median(error[:, -1]), FLOOR)), str(name), colour))
    ax.set(xscale="log", yscale="log", xlabel=r"Davidson's $\nu$", ylabel=r"max $|\log\,\pi_\theta/\pi^*|$  [nats]")
    ax.set_xticks(ties, [f"{tie:g}" for tie in ties])
    ax.minorticks_off()
    ax.set(xlim=(ties[0], ties[-1]), title="a  what is done with ties")
    end_labels(ax, float(ties[-1]), ends, gap=0.1)


def _half(ax: Axes, data: xr.Dataset) -> None:
    ties = data["tie"].values
    way = data["stretch"].transpose("world", "tie").values
    band(ax, ties, way, MEANING["ties: split"], marker="o", markersize=2.5, clip_on=False)
    ax.axhline(0.5, **PREDICTED)
    ax.axvline(1.0, color=GREY, linewidth=0.4, zorder=0)
    beside(ax, (ties[0], 0.5), "half-way:\nβ doubled", (4, -20), color=BLACK)
    ax.set(xscale="log", xlim=(ties[0], ties[-1]), ylim=(0, 1), xlabel=r"Davidson's $\nu$", ylabel="share of the way to π*")
    ax.set_xticks(ties, [f"{tie:g}" for tie in ties])
    ax.minorticks_off()
    ax.set_title("b  ties split evenly")


def _scores(ax: Axes, data: xr.Dataset, sampler: str, title: str) -> None:
    """Scaled log-ratios of DPO and IPO against the Borda scores, all worlds; IPO's prediction is the diagonal."""
    one = data.sel(sampler=sampler)
    points = (one["borda"] - one["borda"].mean("response")).values.ravel()
    for name in ("dpo", "ipo"):
        ratio = one[f"{name}_ratio"]
        ratio = data.attrs["beta"] * (ratio - ratio.mean("response")).values.ravel()
        meaning = MEANING["dpo" if name == "dpo" else "ipo[sum]"]
        ax.plot(points, ratio, "o", color=meaning, markersize=2, markeredgewidth=0, alpha=0.5, label=name.upper())
    ends = np.array([points.min(), points.max()])
    ax.plot(ends, ends, **PREDICTED)
    wrong = float((one["wrong"] > 0).mean())
    line = "dashed: Borda" if sampler == "product" else "dashed: Borda, as in c"
    note(ax, 0.04, 0.96, f"{100 * wrong:.0f} % of worlds: DPO\norders a pair wrongly\n{line}", va="top")
    ax.set(xlabel="Borda score, centred", ylabel=r"$\beta\,\log(\pi_\theta/\pi_\mathrm{ref})$, centred", title=title)
    ax.legend(loc="lower right", handletextpad=0.1, markerscale=2.0)
