"""Picture of A1: JSD to the target against step, by reward form; fit and direction at the end; one end at many speeds."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, band, colour_of, name_of, styled
from didsim.plotting.drawing import WIDTH, beside, break_marks, end_labels, note

FLOOR = 1e-17
CLOSE = 1e-10  # below it a distance is zero to rounding
SPLIT = (1.5e-3, 4.0)  # upper part of the broken axis
# Where a name stands beside its point in c, in printer's points.
PLACES = {
    "dpo": (7, 5), "rlhf": (7, 16), "exo_pair": (7, 0), "cdpo": (7, -2), "hinge": (-6, -3), "slic": (-5, 5), "cpo": (2, -10),
    "kto": (-6, 0), "dpop": (-6, 5), "ipo[sum]": (6, 5), "orpo": (3, -10), "sft": (6, 3), "simpo γ>0": (-6, 6),
}  # fmt: skip

ALONG = {  # the same in d
    "dpo": (7, 5), "rlhf": (7, 16), "sft": (-6, 4), "exo_pair": (7, 0), "cdpo": (-6, 2), "dpop": (-6, 3), "cpo": (-6, -4),
    "kto": (-4, 10), "slic": (-6, 3), "hinge": (8, -9), "simpo γ=0": (4, 9), "simpo γ>0": (6, -1),
    "orpo": (-6, 2), "ipo[sum]": (6, 0),
}  # fmt: skip
SPEEDS = {"bpo[logistic]": "logistic: DPO", "bpo[kliep]": "KLIEP", "bpo[basu]": "Basu", "bpo[lsif]": "LSIF"}
ENDS_WITH_DPO = "rlhf"  # drawn wide or as a ring, so that DPO is seen on it
BANDED = ("simpo γ=0", "sft")  # of those without a reference, whose bands would cover each other
SMALLEST = 1e-7  # below it e shows rounding


@styled
def draw(data: xr.Dataset) -> Figure:
    """Rewards with a reference on a broken axis, without one; misfit of preferences; misfit of the update, and speeds."""
    figure = Figure(figsize=(WIDTH, 6.9), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=[1.15, 1.0, 1.0])
    broken = grid[0, 0].subgridspec(2, 1, height_ratios=[1.9, 1.0], hspace=0.06)
    upper, lower = (figure.add_subplot(one) for one in broken)
    middle, fit = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, :])
    figure.get_layout_engine().set(h_pad=0.025, hspace=0.0)  # type: ignore[union-attr]
    free = data["reference_free"].values.astype(bool)
    names = [str(name) for name in data["objective"].values]
    given = dict(zip(names, free.tolist(), strict=True))
    _with_reference(upper, lower, data, [name for name in names if not given[name]])
    _curves(middle, data, [name for name in names if given[name]], (0.02, 0.4), banded=BANDED)
    _at_did(middle, data)
    middle.set(title="b  reward without one", yticks=[0.03, 0.1, 0.3], yticklabels=["0.03", "0.1", "0.3"])
    _fit(fit, data, given)
    _direction(figure.add_subplot(grid[2, 0]), data, given)
    _speeds(figure.add_subplot(grid[2, 1]), data)
    return figure


def _with_reference(upper: Axes, lower: Axes, data: xr.Dataset, names: list[str]) -> None:
    """One plot in two parts: most objectives stay far from the target, two end on it to rounding."""
    near = [name for name in names if _end(data, "jsd_target", name) < CLOSE]
    _curves(upper, data, names, SPLIT, labelled=[name for name in names if name not in near], banded=names)
    _curves(lower, data, near, (FLOOR / 3, SPLIT[0]), banded=near)
    upper.set(xticklabels=[], xlabel="", title="a  reward with a reference", ylabel=r"JSD($\pi^*, \pi_\theta$)  [nats]")
    lower.set(yticks=[1e-4, 1e-10, 1e-16])
    lower.minorticks_off()
    break_marks(upper, lower)
    note(upper, 0.03, 0.97, "circles: exact limits\nbands: 95 % of worlds", va="top", color=GREY)


def _curves(
    ax: Axes, data: xr.Dataset, names: list[str], ylim: tuple, *, labelled: list[str] | None = None, banded: Sequence[str] = ()
) -> None:
    """Median of every objective and the band of some, a circle at the solver's limit, the name at the end."""
    steps = np.maximum(data["step"].values, 0.7)
    ax.set(xscale="log", yscale="log", xlim=(steps[0], steps[-1]), ylim=ylim, xlabel="step of Adam")
    ax.set_xticks([x for x in (1, 100, 10_000) if x <= steps[-1]])
    ax.minorticks_off()
    for name in names:
        one = data.sel(objective=name)
        curves = np.maximum(one["jsd_target"].transpose("seed", "record").values, FLOOR)
        if name in banded:
            wide = {"linewidth": 3.5, "alpha": 0.45, "zorder": 1.5} if name == ENDS_WITH_DPO else {}
            band(ax, steps, curves, colour_of(name), **wide)
        else:
            ax.plot(steps, np.median(curves, axis=0), color=colour_of(name))
        limit = max(float(np.median(one["limit_jsd_target"])), FLOOR)
        if ylim[0] <= limit <= ylim[1]:
            ax.plot(steps[-1], limit, "o", color=colour_of(name), markerfacecolor="white", clip_on=False, zorder=5)
    shown = names if labelled is None else labelled
    ends = [(max(_end(data, "jsd_target", name), FLOOR), name_of(name), colour_of(name)) for name in shown]
    end_labels(ax, steps[-1], ends)


def _at_did(ax: Axes, data: xr.Dataset) -> None:
    """Where a reward without reference must end that fits every preference."""
    level = float(np.median(data["limit_jsd_target"].sel(objective="simpo γ=0")))
    ax.axhline(level, **PREDICTED)
    note(ax, 0.03, 0.03, "dashed: JSD($\\pi^*, q$)\nbands: SFT, SimPO $\\gamma = 0$", color=GREY)


def _end(data: xr.Dataset, name: str, objective: str) -> float:
    return float(np.median(data[name].sel(objective=objective).isel(record=-1)))


def _fit(ax: Axes, data: xr.Dataset, given: dict[str, bool]) -> None:
    """Every objective at its end: circles with a reference, squares without; what is zero to rounding stands on the axes."""
    least = 1e-4
    for name, is_free in given.items():
        x, y = (max(_end(data, which, name), least) for which in ("preference_misfit", "jsd_target"))
        _mark(ax, (x, y), name, PLACES, is_free=is_free)
    ax.set(xscale="log", yscale="log", xlim=(least, 3), ylim=(least, 0.5))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([least, 1e-3, 1e-2, 1e-1], ["0", "0.001", "0.01", "0.1"])
    ax.minorticks_off()
    ax.set(xlabel="misfit of the preferences  [nats]; 0: to rounding", ylabel=r"JSD($\pi^*, \pi_\theta$)  [nats]")
    ax.set_title("c  at the end: circles with, squares without a reference")


def _mark(ax: Axes, at: tuple[float, float], name: str, places: dict[str, tuple[int, int]], *, is_free: bool) -> None:
    """An objective's mark, with its name beside it."""
    is_ring = name == ENDS_WITH_DPO
    ax.plot(*at, "s" if is_free else "o", color=colour_of(name), clip_on=False, zorder=4,
            markersize=9 if is_ring else 5, markerfacecolor="none" if is_ring else colour_of(name))  # fmt: skip
    shift = places.get(name, (7, 0))
    side = "left" if shift[0] > 0 else "right"
    beside(ax, at, name_of(name), shift, ha=side, va="center", color=colour_of(name), zorder=5)


def _direction(ax: Axes, data: xr.Dataset, given: dict[str, bool]) -> None:
    """How far along the preference direction every update has gone, and what of it lies off that direction."""
    least = 1e-4
    for name, is_free in given.items():
        strength, misfit = (float(np.median(data[which].sel(objective=name))) for which in ("end_strength", "end_misfit"))
        _mark(ax, (strength, max(misfit, least)), name, ALONG, is_free=is_free)
    ax.axvline(1.0, **PREDICTED)
    ax.set(yscale="log", xlim=(-1.7, 4.2), ylim=(least, 3), xticks=[0, 1, 2, 3, 4])
    ax.yaxis.set_ticks([least, 1e-3, 1e-2, 1e-1, 1.0], ["0", "0.001", "0.01", "0.1", "1"])
    ax.minorticks_off()
    ax.set(xlabel=r"$\beta$ × strength along $\log(\pi_w/\pi_l)$", ylabel=r"$J$, off that way  [nats]")
    ax.set_title("d  which way at the end")


def _speeds(ax: Axes, data: xr.Dataset) -> None:
    """Error of BPO's four losses at one rate; dashed as the Hessian at π* has it."""
    steps = data["bpo_step"].values
    for row, name in enumerate(SPEEDS):
        one = data.sel(generator=name)
        size, colour = one["bpo_error"].values, colour_of(name)
        shown = slice(0, (int(np.argmax(size < SMALLEST)) or len(size)) + 1)
        ax.plot(steps[shown], size[shown], color=colour)
        ax.plot(steps[shown], one["bpo_predicted"].values[shown], **PREDICTED)
        note(ax, 0.99, 0.98 - 0.105 * row, SPEEDS[name], ha="right", va="top", color=colour)
    note(ax, 0.37, 0.04, "dashed:\nHessian", color=GREY)
    ax.set(yscale="log", ylim=(SMALLEST, 3), xlim=(0, None), yticks=[1e-6, 1e-4, 1e-2, 1.0])
    ax.minorticks_off()
    ax.set(xlabel="step of gradient descent", ylabel=r"error of $\beta\,\log\,\pi$  [nats]")
    ax.set_title("e  four losses, one end")
