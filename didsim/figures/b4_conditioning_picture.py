"""Picture of B4: λ₂ and κ against the reference's quality by sampler, and measured against predicted speed."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, band, colour_of, new_figure, styled
from didsim.plotting.drawing import end_labels, note, predicted_and_measured

SHORT = {"reference pairs": "reference", "best of 4 / reference": "best of 4", "mix-R": "Mix-R"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: smallest eigenvalue and condition number; below: errors of one world, and steps per e-fold of all."""
    figure, (smallest, condition, descent, speed) = new_figure(4.8, [1.0, 1.0], rows=2)
    _against_quality(smallest, data, "lambda_2", r"$\lambda_2$ of the Hessian")
    smallest.set_title("a  slowest direction")
    _against_quality(condition, data, "kappa", r"$\kappa = \lambda_\mathrm{max}/\lambda_2$")
    condition.set_title("b  condition number")
    _descent(descent, data)
    _speed(speed, data)
    return figure


def _against_quality(ax: Axes, data: xr.Dataset, name: str, label: str) -> None:
    skill, ends = data["skill"].values, []
    for sampler in data["sampler"].values:
        values = data[name].sel(sampler=sampler).transpose("seed", "skill").values
        band(ax, skill, values, colour_of(sampler), marker="o", markersize=2.5)
        ends.append((float(np.median(values[:, -1])), SHORT.get(str(sampler), str(sampler)), colour_of(sampler)))
    ax.set(yscale="log", xlim=(skill[0], skill[-1]))
    ax.set(xlabel=r"skill of $\pi_\mathrm{ref}$", ylabel=label)
    if name == "kappa":
        end_labels(ax, float(skill[-1]), ends)


def _descent(ax: Axes, data: xr.Dataset) -> None:
    """First world at the middle quality: error at every recorded step, and the predicted slope from where it is local."""
    one = data.isel(skill=data.sizes["skill"] // 2, seed=0)
    steps = data["step"].values
    for sampler in data["sampler"].values:
        size = one["size"].sel(sampler=sampler).values
        seen = size > 1e-13
        ax.plot(np.maximum(steps[seen], 0.7), size[seen], color=colour_of(sampler))
        rate = float(one["predicted_rate"].sel(sampler=sampler))
        start = int(np.argmax(size < 0.3 * size[0]))
        ahead = size[start] * rate ** (steps[start:] - steps[start])
        shown = ahead > 1e-13
        ax.plot(steps[start:][shown], ahead[shown], **PREDICTED, zorder=3)
    ax.set(xscale="log", yscale="log", xlim=(0.7, steps[-1]), ylim=(1e-13, None))
    ax.set(xlabel="step", ylabel="error of the logits  [nats]", title="c  one world")
    ax.set_ylim(1e-13, 1e3)
    predicted_and_measured(ax, loc="upper right", predicted="predicted rate")
    note(ax, 0.02, 0.24, "quadratic", color=colour_of("mix-R"))


def _speed(ax: Axes, data: xr.Dataset) -> None:
    reach = []
    for sampler in data["sampler"].values:
        one = data.sel(sampler=sampler)
        x = -1.0 / np.log(one["predicted_rate"].values.ravel())
        y = -1.0 / np.log(one["measured_rate"].values.ravel())
        clear = one["separated"].values.ravel().astype(bool)
        colour = colour_of(sampler)
        known = np.isfinite(y) & (y > 0)
        ax.plot(
            x[known & ~clear], y[known & ~clear], "o", color=GREY, markersize=2.5, markerfacecolor="none", alpha=0.5, zorder=1
        )
        ax.plot(x[known & clear], y[known & clear], "o", color=colour, markersize=2.8, markeredgewidth=0)
        reach += list(x[known]) + list(y[known])
    span = np.array([min(reach) * 0.8, max(reach) * 1.25])
    ax.plot(span, span, **PREDICTED, zorder=0)
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel=r"predicted: $1/\log\,\frac{\kappa+1}{\kappa-1}$", ylabel="measured steps per e-fold")
    ax.set_title("d  speed, all runs")
    ax.set_xlim(*span)
    ax.set_ylim(*span)
    note(ax, 0.97, 0.05, "○ not yet in the\nslowest mode", ha="right", color=GREY)
