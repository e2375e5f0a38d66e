"""Picture of B2: arrows of one step on the simplex, one step in parts, and predicted against realised change."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from didsim.plotting import BLACK, GREY, colour_of, styled
from didsim.plotting.style import GUIDE, WIDTH, beside, note

ROLES = ("chosen", "rejected", "best third")


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: one simplex a sampler; below: the step of one pair in parts for both policies, and all cases."""
    figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
    panels = figure.subplot_mosaic([list("AABBCC"), list("DDDEEE")], height_ratios=[1.0, 1.05])
    for letter, panel, sampler in zip("abc", "ABC", data["sampler"].values, strict=True):
        _simplex(panels[panel], data, str(sampler), letter)
    _parts(panels["D"], data)
    _cases(panels["E"], data)
    return figure


def _flat(law: np.ndarray) -> np.ndarray:
    """Corners of the simplex: the worst response left, the middle one right, the best on top."""
    return law @ np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])


def _simplex(ax: Axes, data: xr.Dataset, sampler: str, letter: str) -> None:
    corners = _flat(np.eye(3))
    ax.plot(*corners[[0, 1, 2, 0]].T, color=GREY, linewidth=0.6)
    where = _flat(data["point_law"].values)
    for name, tail in (("simpo γ=0", 2), ("ipo[sum]", 1), ("dpo", 3)):
        arrow = _flat(data["arrow"].sel(sampler=sampler, objective=name).values)
        length = np.linalg.norm(arrow, axis=1, keepdims=True)
        arrow = 0.095 * arrow / length * np.sqrt(length / length.max())
        ax.quiver(*where.T, *arrow.T, color=colour_of(name), angles="xy", scale_units="xy", scale=1.0, width=0.0085, zorder=tail)
    for law, mark, text in ((data["ref_law"], "s", "π_ref"), (data["target_law"], "*", "π*"), (data["did_law"], "D", "q")):
        x, y = _flat(law.values)
        ax.plot(
            x, y, mark, color=BLACK, markersize=8 if mark == "*" else 4, markeredgecolor="white", markeredgewidth=0.5, zorder=5
        )
        beside(ax, (x, y), text, (5, 2), zorder=6, bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.4})
    for (x, y), text, side in zip(corners, ("worst", "middle", "best"), ("top", "top", "bottom"), strict=True):
        beside(ax, (x, y), text, (0, -3 if side == "top" else 3), ha="center", va=side, fontsize=6.5, color=GREY)
    ax.set(xlim=(-0.06, 1.06), ylim=(-0.09, 0.97), aspect="equal", title=f"{letter}  {sampler} pairs")
    ax.set_axis_off()
    if letter == "a":
        names = (("dpo", "DPO"), ("ipo[sum]", "IPO"), ("simpo γ=0", "SimPO"))
        handles = [Line2D([], [], color=colour_of(name), label=label, linewidth=2) for name, label in names]
        ax.legend(handles=handles, loc="upper left", borderaxespad=0.0, handlelength=1.0, labelspacing=0.2).set_in_layout(False)


def _parts(ax: Axes, data: xr.Dataset) -> None:
    """The case whose chosen response falls most, in a table and with its features; per unit of the pair's pull."""
    one = data.isel(case=int(data["example"]))
    left = 0.0
    ticks = []
    for policy in ("table", "shared features"):
        scale = float(abs(one["rate"].sel(policy=policy)).max())
        for role in ROLES:
            _stack(ax, left, one.sel(policy=policy, role=role), scale)
            ticks.append((left, role))
            left += 1.0
        left += 0.7
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    ax.set_xticks([x for x, _ in ticks], [name.replace(" ", "\n") for _, name in ticks], fontsize=6.5)
    low, high = ax.get_ylim()
    ax.set(ylim=(low, high + 0.32 * (high - low)), ylabel="change ÷ largest change", title="d  one step of one pair, in parts")
    for x, text in ((1.0, "table"), (4.7, "shared features")):
        ax.annotate(text, (x, low + 1.0 * (high - low)), ha="center", fontsize=7.5)
    handles = [
        Line2D([], [], color=colour_of(f"part: {name}"), linewidth=5, label=name)
        for name in ("own", "partner", "cross", "normaliser")
    ]
    handles.append(Line2D([], [], color=BLACK, marker="o", linestyle="none", markersize=3.5, label="realised"))
    handles.append(Line2D([], [], color=BLACK, linestyle="--", label="predicted sum"))
    ax.legend(handles=handles, ncols=3, loc="upper center", columnspacing=1.0, handlelength=1.2, labelspacing=0.3)


def _stack(ax: Axes, x: float, one: xr.Dataset, scale: float) -> None:
    """Positive parts stacked upwards and negative ones downwards; dashed their sum, dot what the step did."""
    up = down = 0.0
    for name, value in zip(one["part"].values, one["split"].values / scale, strict=True):
        ax.bar(x, value, bottom=up if value > 0 else down, width=0.62, color=colour_of(f"part: {name}"), linewidth=0)
        up, down = (up + value, down) if value > 0 else (up, down + value)
    total = float(one["rate"]) / scale
    ax.plot([x - 0.42, x + 0.42], [total, total], color=BLACK, linestyle="--", linewidth=1.0)
    ax.plot(x, float(one["realised"]) / scale, "o", color=BLACK, markersize=3.5)


def _cases(ax: Axes, data: xr.Dataset) -> None:
    """Predicted against realised change of the chosen response, every case."""
    shown = slice(None, None, max(1, data.sizes["case"] // 4000))
    for policy in ("shared features", "table"):
        one = data.sel(policy=policy, role="chosen").isel(case=shown)
        colour = colour_of(policy)
        ax.plot(one["rate"], one["realised"], ".", color=colour, markersize=1.6, rasterized=True, alpha=0.6)
    rate = data["rate"].sel(role="chosen")
    low, high = float(rate.min()), float(rate.max())
    ax.plot([low, high], [low, high], color=BLACK, linestyle="--", linewidth=0.8)
    ax.axhline(0, **GUIDE)
    ax.axvline(0, **GUIDE)
    for axis in (ax.set_xscale, ax.set_yscale):
        axis("symlog", linthresh=0.05, linscale=0.6)
    ticks = [-10, -1, -0.1, 0, 0.1, 1, 10]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    falls = float((data["realised"].sel(policy="shared features", role="chosen") < 0).mean())
    note(ax, 0.04, 0.93, "table: always up", color=colour_of("table"))
    note(ax, 0.97, 0.08, f"shared features: chosen falls in {100 * falls:.0f} %", ha="right", color=colour_of("shared features"))
    ax.set(xlabel="predicted: ⟨φ_w − E_πφ, φ_w − φ_l⟩", ylabel="realised change of log π(chosen)")
    ax.set_title(f"e  {data.sizes['case']:,} single pairs, per unit pull")
