"""Picture of A5: one curve that all changes of likelihood lie on, and the map of who falls and who rises."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, PREDICTED, colour_of, displacement_key, displacement_map, styled
from didsim.plotting.drawing import GUIDE, WIDTH, beside, end_labels, note


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: Λ' with every trained run on it, and changes while training; below: the map over place and β."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    panels = figure.subplot_mosaic([["curve", "curve", "time", "time"], ["map", "map", "map", "key"]], height_ratios=[1.0, 1.5])
    one = data.isel(seed=0)
    _curve(panels["curve"], one)
    _time(panels["time"], one)
    shown = one.isel(record=-1).sel(point=one["kind"] == 0)
    place, beta, chosen, rejected = (shown[name].values for name in ("chosen_at", "beta", "chosen", "rejected"))
    ax = displacement_map(place, beta, chosen, rejected, float(one["critical_beta"]), panels["map"])
    ax.set_title("c  who falls, who rises", pad=17)
    displacement_key(panels["key"])
    return figure


def _curve(ax: Axes, one: xr.Dataset) -> None:
    """Λ' dashed with the trained changes of chosen and rejected responses at their places."""
    shown = one.isel(record=-1).sel(point=one["kind"] == 0)
    along, slope = one["along"].values, one["slope"].values
    ax.axhline(0, **GUIDE)
    ax.plot(shown["chosen_at"] - shown["beta"], shown["rejected"], ".", color=colour_of("rejected"), markersize=2.4, alpha=0.7)
    ax.plot(shown["chosen_at"], shown["chosen"], ".", color=colour_of("chosen"), markersize=4.0)
    ax.plot(along, slope, **PREDICTED)
    root = float(one["critical_beta"])
    ax.plot([root], [0.0], "o", color=BLACK, markerfacecolor="white", markersize=4.5)
    beside(ax, (root, 0.0), rf"$\beta_c$ = {root:.2f}", (6, -10))
    top = float(slope.max())
    beside(ax, (along[-1], top), "chosen: at $a$", (-24, -4), ha="right", color=colour_of("chosen"))
    beside(ax, (along[0], slope[0]), r"rejected: at $a - \beta$", (24, -2), color=colour_of("rejected"))
    ax.set(xlabel=r"place: $\pi_\mathrm{ref}$ at 0, $\pi^*$ at 1", ylabel=r"change of $\log\,\pi$  [nats]")
    ax.set_title(r"a  every run on one curve, $\Lambda'$")


def _time(ax: Axes, one: xr.Dataset) -> None:
    """Changes while training with chosen responses from the reference, each β; dashed the exact -KL(π_ref‖π_θ)."""
    runs = one.sel(point=one["kind"] == 1)
    runs = runs.isel(point=np.unique(np.linspace(0, runs.sizes["point"] - 1, 5).astype(int)))
    steps = np.maximum(runs["step"].values, 0.7)
    for name in ("chosen", "rejected"):
        ax.plot(steps, runs[name].transpose("record", "point"), color=colour_of(name), linewidth=0.8)
    ax.plot(steps, runs["lost_to_ref"].transpose("record", "point"), color=BLACK, linestyle="--", linewidth=0.8)
    ax.axhline(0, **GUIDE)
    ax.set(xscale="log", ylim=(None, -0.14 * ax.get_ylim()[0]))
    ax.set(xlabel="step", ylabel=r"change of $\log\,\pi$  [nats]", title=r"b  $\pi_\mathrm{ref} = \pi_w$: both always fall")
    last = runs.isel(record=-1)
    ends = [
        (float(y), rf"$\beta$ = {beta:.2g}", colour_of("rejected"))
        for y, beta in zip(last["rejected"], last["beta"], strict=True)
    ]
    end_labels(ax, steps[-1], [*ends, (float(last["chosen"].max()), r"all $\beta$", colour_of("chosen"))])
    text = r"chosen; dashed: $-$KL($\pi_\mathrm{ref}\|\pi_\theta$)"
    note(ax, 1.0, 0.99, text, ha="right", va="top", color=colour_of("chosen"))
    note(ax, 0.03, 0.05, "rejected", color=colour_of("rejected"))
