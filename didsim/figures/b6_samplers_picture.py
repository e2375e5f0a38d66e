"""Picture of B6: errors against steps at the published and at each sampler's best step, orders, and the sampled plateau."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, band, colour_of, name_of, new_figure, styled
from didsim.plotting.drawing import beside, end_labels, note, predicted_and_measured

FLOOR = 1e-16
EXACT = ("uniform", "mix-R", "mix-P")


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: exact gradients at one step for all and at a step for each; below: order of convergence, sampled pairs."""
    figure, (published, best, order, sampled) = new_figure(4.8, [1.0, 1.0], rows=2)
    _descent(published, data, "published", 60)
    published.set_title(rf"a  exact, $\eta$ = {data.attrs['rate']:g}: linear")
    predicted_and_measured(
        published, loc="lower right", bbox_to_anchor=(1.0, 0.1), predicted="predicted rate", measured="95 % of worlds"
    )
    _descent(best, data, "best", 14)
    late = data["error"].sel(sampler="mix-R", rule="best").isel(step=min(14, data.sizes["step"] - 1)) > 1e-3
    note(best, 0.98, 0.87, f"{int(late.sum())} of {late.size} worlds:\nMix-R not yet near", ha="right", color=colour_of("mix-R"))
    best.set_title(r"b  exact, own best $\eta$")
    _order(order, data)
    _sampled(sampled, data)
    return figure


def _descent(ax: Axes, data: xr.Dataset, rule: str, last: int) -> None:
    last = min(last, data.sizes["step"] - 1)
    steps = data["step"].values[: last + 1]
    ends = []
    for name in EXACT:
        one = data.sel(sampler=name, rule=rule).transpose("seed", "step", ...)
        curve = np.maximum(one["error"].values[:, : last + 1], FLOOR)
        band(ax, steps, curve, colour_of(name))
        if rule == "published":
            predicted = one["predicted_error"].values[:, : last + 1]
            known = np.isfinite(predicted).mean(0) > 0.9
            middle = np.nanmedian(np.where(np.isfinite(predicted), predicted, np.nan)[:, known], axis=0)
            ax.plot(steps[known], np.maximum(middle, FLOOR), **PREDICTED, zorder=3)
        ends.append((float(np.median(curve[:, -1])), name_of(name), colour_of(name)))
    ax.set(yscale="log", ylim=(FLOOR, 10), xlim=(0, last), xlabel="step", ylabel=r"mean $|\Delta(r - \beta\,\log\,\pi)|$")
    end_labels(ax, float(last), ends)


def _order(ax: Axes, data: xr.Dataset) -> None:
    """Next error against error at each sampler's own step: slope 1 is linear, slope 2 quadratic convergence."""
    for name in (*EXACT, "mix-R, reward × 2"):
        size = data["size"].sel(sampler=name, rule="best").transpose("seed", "step").values
        before, after = size[:, :-1].ravel(), size[:, 1:].ravel()
        seen = (before < 3) & (after > 1e-14) & (before > 1e-8)
        ax.plot(before[seen], after[seen], ".", color=colour_of(name), markersize=1.8, alpha=0.6, rasterized=True)
        fitted = float(data["order"].sel(sampler=name, rule="best"))
        place = [*EXACT, "mix-R, reward × 2"].index(name)
        note(ax, 0.99, 0.32 - 0.095 * place, f"{name_of(name)}: {fitted:.2f}", color=colour_of(name), ha="right")
    for slope, start in ((1, 0.35), (2, 0.25)):
        reach = np.geomspace(1e-6, 0.3, 20)
        ax.plot(reach, start * reach**slope, **PREDICTED)
        beside(ax, (2e-6, start * 2e-6**slope), f"slope {slope}", (2, -10))
    ax.set(xscale="log", yscale="log", xlim=(1e-6, 4), ylim=(1e-14, 40))
    ax.set(xlabel="error of the logits  [nats]", ylabel="error after one more step")
    ax.set_title("c  order, fitted slopes")


def _sampled(ax: Axes, data: xr.Dataset) -> None:
    moments = np.maximum(data["moment"].values, 0.7)
    ends = []
    for name in data["published"].values:
        curve = data["sampled_error"].sel(published=name).transpose("trained", "moment").values
        band(ax, moments, curve, colour_of(name), linewidth=1.0)
        ends.append((float(np.median(curve[:, -1])), name_of(name), colour_of(name)))
    plateau = float(data["plateau_predicted"])
    ax.axhline(plateau, **PREDICTED)
    beside(ax, (1.0, plateau), "predicted, all alike", (0, -10))
    ax.set(xscale="log", yscale="log", xlim=(moments[0], moments[-1]))
    ax.set(xlabel="step", ylabel=r"mean $|\Delta(r - \beta\,\log\,\pi)|$")
    ax.set_title(rf"d  {data.attrs['pairs']:,} pairs, $\eta$ = {data.attrs['sampled_rate']:g}")
    end_labels(ax, float(moments[-1]), ends)
    ax.grid(axis="y", color=GREY, linewidth=0.2, alpha=0.5)
