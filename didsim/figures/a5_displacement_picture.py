"""Picture of A5: one curve that all changes of likelihood lie on, and the map of who falls and who rises."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from didsim.plotting import BLACK, BLUE, PREDICTED, RED, colour_of, styled
from didsim.plotting.style import GUIDE, WIDTH, beside, end_labels, note

FALLEN, RISEN = np.array(to_rgb(RED)), np.array(to_rgb(BLUE))


@styled
def draw(data: xr.Dataset) -> Figure:
    """Left: Λ and Λ' with every trained run on it, and changes while training; right: the map over place and β."""
    figure = Figure(figsize=(WIDTH, 4.9), layout="constrained")
    panels = figure.subplot_mosaic([["curve", "map"], ["time", "map"]], width_ratios=[1.0, 1.55])
    one = data.isel(seed=0)
    _curve(panels["curve"], one)
    _time(panels["time"], one)
    _map(panels["map"], one)
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
    beside(ax, (root, 0.0), f"β_c = {root:.2f}", (5, -10))
    top = float(slope.max())
    beside(ax, (along[-1], top), "chosen, at a", (-18, -4), ha="right", color=colour_of("chosen"))
    beside(ax, (along[0], slope[0]), "rejected, at a − β", (22, -2), color=colour_of("rejected"))
    ax.set(xlabel="place on the path: π_ref at 0, π* at 1", ylabel="change of log π  [nats]")
    ax.set_title("a  every run on one curve, Λ' (dashed)")


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
    ax.set(xlabel="step", ylabel="change of log π  [nats]", title="c  π_ref = π_w: both fall at every step")
    last = runs.isel(record=-1)
    ends = [(float(y), f"β = {beta:.2g}", colour_of("rejected")) for y, beta in zip(last["rejected"], last["beta"], strict=True)]
    end_labels(ax, steps[-1], [*ends, (float(last["chosen"].max()), "all β", colour_of("chosen"))])
    note(ax, 1.0, 1.0, "chosen; dashed: −KL(π_ref‖π_θ)", ha="right", va="top", color=colour_of("chosen"))
    note(ax, 0.03, 0.12, "rejected", color=colour_of("rejected"))


def _map(ax: Axes, one: xr.Dataset) -> None:
    """Regions in closed form; every trained run a disc, left half its chosen and right half its rejected change."""
    shown = one.isel(record=-1).sel(point=one["kind"] == 0)
    place, beta = shown["chosen_at"].values, shown["beta"].values
    rows = max(2, round(np.sqrt(len(place))))
    pad = 0.5 * np.ptp(place) / rows, 0.5 * np.ptp(beta) / rows
    left, right, low, high = place.min() - pad[0], place.max() + pad[0], beta.min() - pad[1], beta.max() + pad[1]
    root = float(one["critical_beta"])
    _regions(ax, root, (left, right, low, high))
    reach = float(np.quantile(np.abs(np.concatenate([shown["chosen"], shown["rejected"]])), 0.6))
    size = 165.0 / rows
    for x, y, chosen, rejected in zip(place, beta, shown["chosen"].values, shown["rejected"].values, strict=True):
        ax.plot(
            x, y, "o", markersize=size, fillstyle="left", markeredgewidth=0.3, markeredgecolor="white",
            markerfacecolor=_colour(chosen / reach), markerfacecoloralt=_colour(rejected / reach),
        )  # fmt: skip
    ax.plot([0, 0], [low, high], color=BLACK, linewidth=0.9)
    ax.plot([low, high], [low, high], color=BLACK, linewidth=0.9)
    ax.plot([root, root], [low, high], color=BLACK, linestyle="--", linewidth=1.3)
    ax.plot([root + low, root + high], [low, high], color=BLACK, linestyle="--", linewidth=1.3)
    ax.plot([root], [root], "o", color=BLACK, markerfacecolor="white", markersize=5, zorder=5)
    ax.set(xlim=(left, right), ylim=(low, high))
    ax.set(xlabel="a: place of the chosen law on the path (π_ref at 0, π* at 1)", ylabel="β: the rejected law is at a − β")
    for x, text in ((0.0, "π_ref = π_w"), (root, "β_c"), (min(high, right), "π_ref = π_l")):
        beside(ax, (x, high), text, (0, 3), ha="center")
    ax.set_title("b  left half: chosen, right half: rejected", pad=16)


def _colour(change: float) -> np.ndarray:
    """White where nothing changes, towards red for a fall and blue for a rise."""
    share = 0.25 + 0.75 * abs(np.tanh(change))
    return 1.0 - share * (1.0 - (FALLEN if change < 0 else RISEN))


def _regions(ax: Axes, root: float, box: tuple[float, float, float, float]) -> None:
    """The three regions between the zero contours, tinted and named."""
    left, right, low, high = box
    ax.fill_betweenx([low, high], [left, left], [root, root], color=RED, alpha=0.16, linewidth=0)
    ax.fill_betweenx([low, high], [root + low, root + high], [right, right], color=BLUE, alpha=0.16, linewidth=0,
                     where=[True, True])  # fmt: skip
    words = {"fontsize": 7.5, "ha": "center", "va": "center", "zorder": 6,
             "bbox": {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1.5}}  # fmt: skip
    ax.text(0.5 * (left + min(root, 0.0)) + 0.02, 0.5 * (low + high), "both fall\nΛ'(a) < 0", color=RED, **words)
    ax.text(
        0.5 * (root + min(right, root + high)), low + 0.8 * (high - low), "chosen rises\nrejected falls", color=BLACK, **words
    )
    ax.text(right - 0.18 * (right - left), low + 0.13 * (high - low), "both rise\nΛ'(a − β) > 0", color=BLUE, **words)
