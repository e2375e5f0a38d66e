"""Picture of A4: what each rejected law teaches, response by response, and how far from the target that is."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, colour_of, new_figure, styled
from didsim.plotting.style import note

FLOOR = 1e-17


@styled
def draw(data: xr.Dataset) -> Figure:
    """Five panels of learned policies as bars with π* dashed over them, and one with all distances."""
    figure, axes = new_figure(4.2, [1.0, 1.0, 1.0], rows=2)
    one = data.isel(seed=0)
    order = np.argsort(one["reward"].values)
    top = 1.05 * float(np.exp(one[["log_policy", "log_target"]].to_array()).max())
    for which, (ax, name) in enumerate(zip(axes, data["rejected"].values, strict=False)):
        _bars(ax, one.sel(rejected=name).isel(response=order), str(name), "abcde"[which])
        ax.set_ylim(0, top)
    axes[0].set_ylabel("probability")
    axes[3].set_ylabel("probability")
    _distances(axes[-1], data)
    return figure


def _bars(ax: Axes, one: xr.Dataset, name: str, letter: str) -> None:
    place = np.arange(one.sizes["response"])
    ax.bar(place, np.exp(one["log_policy"]), width=0.8, color=colour_of(f"rejected: {name}"), alpha=0.75, linewidth=0)
    ax.plot(place, np.exp(one["log_rejected"]), color=GREY, marker="_", linestyle="none", markersize=5)
    for k, height in zip(place, np.exp(one["log_target"].values), strict=True):
        ax.plot([k - 0.46, k + 0.46], [height, height], color=BLACK, linestyle=(0, (0.6, 0.3)), linewidth=1.6)
    if letter == "a":
        note(ax, 0.04, 0.97, "dashes: π*\ngrey: π_l", va="top", color=GREY)
    ax.set(xticks=[], xlabel="responses by reward", title=f"{letter}  π_l {_spelled(one, name)}")


def _distances(ax: Axes, data: xr.Dataset) -> None:
    """Distance of every world's optimum from the target: marks measured, dashes the median predicted."""
    for k, name in enumerate(data["rejected"].values):
        values = np.maximum(data["jsd"].sel(rejected=name).values, FLOOR)
        shift = np.linspace(-0.28, 0.28, len(values))
        ax.plot(k + shift, values, ".", color=colour_of(f"rejected: {name}"), markersize=3)
        level = max(float(data["predicted_jsd"].sel(rejected=name).median()), FLOOR)
        ax.plot([k - 0.4, k + 0.4], [level, level], **PREDICTED)
    ax.set(yscale="log", ylim=(FLOOR / 5, 3), ylabel="JSD(π*, π_θ)  [nats]", title=f"f  all {data.sizes['seed']} worlds")
    ax.set_xticks(range(data.sizes["rejected"]), [str(n) for n in data["rejected"].values], rotation=38, ha="right", fontsize=6.5)
    ax.annotate("zero to rounding", (0.45, 1e-15), fontsize=7, color=colour_of("rejected: optimal"), va="center")


def _spelled(one: xr.Dataset, name: str) -> str:
    return {
        "optimal": "optimal: at π*",
        "uniform": "uniform",
        "π_ref": "= π_ref",
        "hard negatives": f"best of {one.attrs['best_of']}: hard",
        "worst of K": f"worst of {one.attrs['worst_of']}",
    }[name]
