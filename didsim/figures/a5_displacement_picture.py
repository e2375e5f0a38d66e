"""Picture of A5: one curve that all changes of likelihood lie on, and the map of who falls and who rises."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from didsim.plotting import BLACK, GREY, PREDICTED, colour_of, styled
from didsim.plotting.style import GUIDE, LETTERS, WIDTH, beside, end_labels, note

FALLEN, RISEN = (np.array(to_rgb(colour_of(name))) for name in ("falls", "rises"))


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: Λ' with every trained run on it, and changes while training; below: the map over place and β."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    panels = figure.subplot_mosaic([["curve", "curve", "time", "time"], ["map", "map", "map", "key"]], height_ratios=[1.0, 1.5])
    one = data.isel(seed=0)
    _curve(panels["curve"], one)
    _time(panels["time"], one)
    _map(panels["map"], one)
    _key(panels["key"])
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
    size = 128.0 / rows
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
    ax.set(xlabel=r"$a$: place of the chosen law", ylabel=r"$\beta$: the rejected law is at $a - \beta$")
    for x, text in (
        (0.0, r"$\pi_\mathrm{ref} = \pi_w$"), (root, r"$\beta_c$"), (min(high, right), r"$\pi_\mathrm{ref} = \pi_l$"),
    ):  # fmt: skip
        beside(ax, (x, high), text, (0, 3), ha="center")
    ax.set_title(r"c  who falls, who rises", pad=17)


def _key(ax: Axes) -> None:
    """What discs, tints and lines of the map say."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    rows = (
        (0.93, FALLEN, FALLEN, "left half:\nchosen,\nright half:\nrejected"),
        (0.69, FALLEN, FALLEN, "red: falls"),
        (0.61, RISEN, RISEN, "blue: rises"),
    )
    for height, left, right, text in rows:
        half = {"markerfacecolor": left, "markerfacecoloralt": right} if height < 0.9 else {"markerfacecolor": GREY}
        ax.plot(0.06, height, "o", markersize=9, fillstyle="left", markeredgewidth=0.6, markeredgecolor=GREY, clip_on=False,
                **{"markerfacecoloralt": "white", **half})  # fmt: skip
        ax.text(0.22, height + (0.02 if height > 0.9 else 0), text, va="top" if height > 0.9 else "center", fontsize=LETTERS)
    for height, tint, text in ((0.45, FALLEN, "both fall:\n$\\Lambda'(a) < 0$"), (0.29, None, "chosen rises,\nrejected falls"),
                               (0.13, RISEN, "both rise:\n$\\Lambda'(a-\\beta) > 0$")):  # fmt: skip
        face, alpha = ("white", None) if tint is None else (tint, 0.16)
        ax.add_patch(Rectangle((0.0, height - 0.035), 0.13, 0.07, linewidth=0, clip_on=False, facecolor=face, alpha=alpha))
        ax.add_patch(Rectangle((0.0, height - 0.035), 0.13, 0.07, linewidth=0.5, edgecolor=GREY, fill=False, clip_on=False))
        ax.text(0.22, height, text, va="center", fontsize=LETTERS)
    ax.plot([-0.04, 0.17], [0.0, 0.0], color=BLACK, linestyle="--", linewidth=1.3, clip_on=False)
    ax.text(0.22, 0.0, "predicted", va="center", fontsize=LETTERS)


def _colour(change: float) -> np.ndarray:
    """White where nothing changes, towards red for a fall and blue for a rise."""
    share = 0.25 + 0.75 * abs(np.tanh(change))
    return 1.0 - share * (1.0 - (FALLEN if change < 0 else RISEN))


def _regions(ax: Axes, root: float, box: tuple[float, float, float, float]) -> None:
    """The regions between the zero contours, tinted."""
    left, right, low, high = box
    ax.fill_betweenx([low, high], [left, left], [root, root], color=FALLEN, alpha=0.16, linewidth=0)
    ax.fill_betweenx([low, high], [root + low, root + high], [right, right], color=RISEN, alpha=0.16, linewidth=0,
                     where=[True, True])  # fmt: skip
