"""Picture of B2: arrows of one step, one step in parts, predicted against realised change, band of pulls, flipped labels."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from didsim.plotting import BLACK, GREY, band, colour_of, name_of, styled
from didsim.plotting.drawing import GUIDE, LETTERS, WIDTH, beside, note

ROLES = ("chosen", "rejected", "best third")


LOSSES = ("dpo", "ipo[sum]", "simpo γ=0")


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: a simplex for each loss and sampler; below: one pair's step in parts, all cases, the band, flipped labels."""
    figure = Figure(figsize=(WIDTH, 6.3), layout="constrained")
    arrows, below = np.ravel(np.asarray(figure.subfigures(2, 1, height_ratios=[0.62, 1.38])))
    simplices = arrows.subplots(1, data.sizes["sampler"])
    (parts, cases), (pulls, flips) = below.subplots(2, 2)
    figure.get_layout_engine().set(h_pad=0.02)  # type: ignore[union-attr]
    for ax, letter, sampler in zip(simplices, "abc", data["sampler"].values, strict=True):
        _simplex(ax, data, str(sampler), words=letter == "a")
        ax.set_title(f"{letter}  {sampler} pairs")
    _parts(parts, data)
    _cases(cases, data)
    _band(pulls, data)
    _flips(flips, data)
    return figure


def _flat(law: np.ndarray) -> np.ndarray:
    """Corners of the simplex: the worst response left, the middle one right, the best on top."""
    return law @ np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])


def _simplex(ax: Axes, data: xr.Dataset, sampler: str, *, words: bool) -> None:
    """First steps of all losses from the same policies, the first loss widest; lengths as their square root."""
    corners = _flat(np.eye(3))
    ax.plot(*corners[[0, 1, 2, 0]].T, color=GREY, linewidth=0.6)
    where = _flat(data["point_law"].values)
    for row, loss in enumerate(LOSSES):
        arrow = _flat(data["arrow"].sel(sampler=sampler, objective=loss).values)
        length = np.linalg.norm(arrow, axis=1, keepdims=True)
        arrow = 0.12 * arrow / length * np.sqrt(length / length.max())
        ax.quiver(*where.T, *arrow.T, color=colour_of(loss), angles="xy", scale_units="xy", scale=1.0, width=0.021 - 0.007 * row)
        if words:
            name = name_of(loss.partition(" ")[0])
            note(ax, -0.1, 0.99 - 0.115 * row, name, va="top", color=colour_of(loss))
    for law, mark, text in (
        (data["ref_law"], "s", r"$\pi_\mathrm{ref}$"),
        (data["target_law"], "*", r"$\pi^*$"),
        (data["did_law"], "D", "$q$"),
    ):
        x, y = _flat(law.values)
        ax.plot(
            x, y, mark, color=BLACK, markersize=8 if mark == "*" else 4, markeredgecolor="white", markeredgewidth=0.5, zorder=5
        )
        if words:
            beside(ax, (x, y), text, (5, 2), zorder=6)
    for (x, y), text, side in zip(corners, ("worst", "middle", "best"), ("top", "top", "bottom"), strict=True):
        if words:
            beside(ax, (x, y), text, (0, -2 if side == "top" else 2), ha="center", va=side, color=GREY)
    # Axes that are off hide their label, which still says to a program what they show.
    ax.set(xlim=(-0.06, 1.06), ylim=(-0.09, 0.97), aspect="equal", ylabel=f"{sampler} pairs")
    ax.set_axis_off()


def _parts(ax: Axes, data: xr.Dataset) -> None:
    """The case whose chosen response falls most, in a table and with its features; per unit of the pair's pull."""
    one = data[["example_split", "example_rate", "example_realised"]]
    left = 0.0
    ticks = []
    for policy in ("table", "shared features"):
        scale = float(abs(one["example_rate"].sel(policy=policy)).max())
        for role in ROLES:
            _stack(ax, left, one.sel(policy=policy, role=role), scale)
            ticks.append((left, role))
            left += 1.0
        left += 0.7
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    ax.set_xticks([x for x, _ in ticks], ["third" if name == "best third" else str(name) for _, name in ticks], rotation=90)
    low, high = ax.get_ylim()
    ax.set(ylim=(low, high + 0.62 * (high - low)), ylabel="change ÷ largest", title="d  one step of one pair")
    for x, text in ((1.0, "table"), (4.7, "shared features")):
        ax.annotate(text, (x, low + 1.0 * (high - low)), ha="center", fontsize=LETTERS)
    handles = [
        Line2D([], [], color=colour_of(f"part: {name}"), linewidth=5, label=name)
        for name in ("own", "partner", "cross", "normaliser")
    ]
    handles.append(Line2D([], [], color=BLACK, marker="o", linestyle="none", markersize=3.5, label="realised"))
    handles.append(Line2D([], [], color=BLACK, linestyle="--", label="predicted"))
    ax.legend(
        handles=handles, ncols=2, loc="upper center", columnspacing=1.0, borderaxespad=0.1, handlelength=1.2, labelspacing=0.3
    )


def _stack(ax: Axes, x: float, one: xr.Dataset, scale: float) -> None:
    """Positive parts stacked upwards and negative ones downwards; dashed their sum, dot what the step did."""
    up = down = 0.0
    for name, value in zip(one["part"].values, one["example_split"].values / scale, strict=True):
        ax.bar(x, value, bottom=up if value > 0 else down, width=0.62, color=colour_of(f"part: {name}"), linewidth=0)
        up, down = (up + value, down) if value > 0 else (up, down + value)
    total = float(one["example_rate"]) / scale
    ax.plot([x - 0.42, x + 0.42], [total, total], color=BLACK, linestyle="--", linewidth=1.0)
    ax.plot(x, float(one["example_realised"]) / scale, "o", color=BLACK, markersize=3.5)


def _cases(ax: Axes, data: xr.Dataset) -> None:
    """Predicted against realised change of the chosen response, every case."""
    shown = slice(None, None, max(1, data.sizes["case"] // 4000))
    for policy in ("shared features", "table"):
        one = data.sel(policy=policy).isel(case=shown)
        colour = colour_of(policy)
        ax.plot(one["rate"], one["realised"], ".", color=colour, markersize=1.6, rasterized=True, alpha=0.6)
    rate = data["rate"]
    low, high = float(rate.min()), float(rate.max())
    ax.plot([low, high], [low, high], color=BLACK, linestyle="--", linewidth=0.8)
    ax.axhline(0, **GUIDE)
    ax.axvline(0, **GUIDE)
    for axis in (ax.set_xscale, ax.set_yscale):
        axis("symlog", linthresh=0.05, linscale=0.6)
    ticks = [-10, -1, 0, 1, 10]
    ax.set_xticks(ticks, [f"{t:g}".replace("-", "−") for t in ticks])
    ax.set_yticks(ticks, [f"{t:g}".replace("-", "−") for t in ticks])
    falls = float((data["realised"].sel(policy="shared features") < 0).mean())
    note(ax, 0.04, 0.93, "table: always up", color=colour_of("table"))
    note(ax, 0.97, 0.08, f"shared features:\nfalls in {100 * falls:.0f} %", ha="right", color=colour_of("shared features"))
    ax.set(
        xlabel=r"predicted: $\langle\varphi_w - E_\pi\varphi,\ \varphi_w - \varphi_l\rangle$",
        ylabel=r"change of $\log\,\pi$(chosen)  [nats]",
    )
    ax.set_title(f"e  {data.sizes['case']:,} single pairs")


def _band(ax: Axes, data: xr.Dataset) -> None:
    """Realised outcome of every first step on the map of cosine and ratio of pulls; dashed the band's edges."""
    cosine, t = data["band_cosine"].values, data["band_t"].values
    place = data["band_ratio"].values / t
    fallen, risen = data["band_chosen"].values < 0, data["band_rejected"].values > 0
    across = np.broadcast_to(cosine, place.shape)
    for name, here in (("apart", ~fallen & ~risen), ("chosen falls", fallen), ("rejected rises", risen)):
        ax.plot(across[here], place[here], ".", color=colour_of(name), markersize=1.8, rasterized=True, alpha=0.6)
    edge = np.geomspace(0.01, 1.0, 100)
    for height in (edge, 1.0 / edge):
        ax.plot(edge, height, color=BLACK, linestyle="--", linewidth=0.9)
    ax.set(xlim=(-1, 1), ylim=(0.03, 30), yscale="log", title=f"f  {place.size:,} steps, four losses")
    ax.set(xlabel=r"$\rho$, cosine of the two scores", ylabel=r"ratio of the pulls $d_w\,/\,(d_l\,t)$")
    for x, y, text in (
        (0.97, 0.90, "rejected rises"),
        (0.03, 0.47, "neither"),
        (0.97, 0.05, "chosen falls"),
    ):
        side = "left" if x < 0.5 else "right"
        note(ax, x, y, text, ha=side)


def _flips(ax: Axes, data: xr.Dataset) -> None:
    """How far the vector that a flipped label adds is from being the same everywhere."""
    moved = data["flip_moved"].values
    least = np.finfo(data["flip_error"].dtype).eps / 16
    for policy in data["flip_policy"].values:
        error = data["flip_error"].sel(flip_policy=policy).transpose("flip_draw", "flip_moved").values
        band(ax, moved, np.maximum(error, least), colour_of(policy), marker="o")
    ax.set(xscale="log", yscale="log", ylim=(least / 10, 30), title="g  flipping one label")
    ax.set(xlabel="distance from the start", ylabel="relative change of its pull")
    note(ax, 0.04, 0.55, "transformer", color=colour_of("transformer"))
    note(ax, 0.04, 0.25, "log-linear", color=colour_of("log-linear"))
