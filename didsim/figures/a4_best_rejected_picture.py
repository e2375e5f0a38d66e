"""Picture of A4: what each rejected law teaches, response by response, and how far from the target that is."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, PREDICTED, colour_of, new_figure, styled
from didsim.plotting.drawing import beside, note

FLOOR = 1e-17


@styled
def draw(data: xr.Dataset) -> Figure:
    """Five panels of learned policies as bars with π* dashed over them, and one with all distances."""
    figure, axes = new_figure(5.2, [1.0, 1.0], rows=3)
    one = data.isel(seed=0)
    order = np.argsort(one["reward"].values)
    top = 1.05 * float(np.exp(one[["log_policy", "log_target"]].to_array()).max())
    for which, (ax, name) in enumerate(zip(axes, data["rejected"].values, strict=False)):
        _bars(ax, one.sel(rejected=name).isel(response=order), str(name), "abcde"[which])
        ax.set_ylim(0, top)
    for ax in axes[:5:2]:
        ax.set_ylabel("probability")
    key = ((0.92, r"bars: learned $\pi_\theta$", BLACK), (0.76, r"black: $\pi^*$", BLACK))
    for height, text, colour in (*key, (0.60, r"wine red: $\pi_l$, the rejected law", colour_of("rejected law"))):
        note(axes[0], 0.04, height, text, va="center", color=colour)
    _distances(axes[-1], data)
    return figure


def _bars(ax: Axes, one: xr.Dataset, name: str, letter: str) -> None:
    place = np.arange(one.sizes["response"])
    ax.bar(place, np.exp(one["log_policy"]), width=0.8, color=colour_of(f"rejected: {name}"), alpha=0.75, linewidth=0)
    ax.plot(place, np.exp(one["log_rejected"]), color=colour_of("rejected law"), marker="_", linestyle="none", markersize=5)
    for k, height in zip(place, np.exp(one["log_target"].values), strict=True):
        ax.plot([k - 0.46, k + 0.46], [height, height], color=BLACK, linestyle=(0, (0.6, 0.3)), linewidth=1.6)
    ax.set(xticks=[], xlabel="responses, worst to best", title=rf"{letter}  $\pi_l$ {_spelled(one, name)}")


def _distances(ax: Axes, data: xr.Dataset) -> None:
    """Distance of every world's optimum from the target: marks measured, dashes the median predicted."""
    for k, name in enumerate(data["rejected"].values):
        values = np.maximum(data["jsd"].sel(rejected=name).values, FLOOR)
        ax.plot(values, k + np.linspace(-0.28, 0.28, len(values)), ".", color=colour_of(f"rejected: {name}"), markersize=3)
        level = max(float(data["predicted_jsd"].sel(rejected=name).median()), FLOOR)
        ax.plot([level, level], [k - 0.4, k + 0.4], **PREDICTED)
        far = float(np.median(values)) > 1e-9
        words = _spelled(data, str(name)).partition(":")[0].removeprefix("= ")
        text = words if far else f"{words}: 0 to rounding"
        place = (float(values.min()) if far else float(values.max()), k)
        beside(ax, place, text, (-6, 0) if far else (6, 0), ha="right" if far else "left", va="center")
    ax.set(xscale="log", xlim=(FLOOR / 5, 3), yticks=[], title=f"f  all {data.sizes['seed']} worlds")
    note(ax, 0.03, 0.05, "dashed: predicted", color=GREY)
    ax.set_xlabel(r"JSD($\pi^*, \pi_\theta$)  [nats]")
    ax.set_xticks([1e-16, 1e-12, 1e-8, 1e-4, 1.0])
    ax.minorticks_off()
    ax.invert_yaxis()


def _spelled(data: xr.Dataset, name: str) -> str:
    return {
        "optimal": r"optimal: at $\pi^*$",
        "uniform": "uniform",
        "π_ref": r"= $\pi_\mathrm{ref}$",
        "hard negatives": f"best of {data.attrs['best_of']}: hard negatives",
        "worst of K": f"worst of {data.attrs['worst_of']}",
    }[name]
