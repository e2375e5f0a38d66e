"""Picture of A6: DID entropy against entropy change for three shapes of reference, the sign rule, and projected DPO."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, band, colour_of, new_figure, styled, temperature_path
from didsim.plotting.style import GUIDE, beside, note

WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
TITLES = {
    "right-skewed": "a  right-skewed log π_ref",
    "unskewed": "b  unskewed",
    "left-skewed": "c  left-skewed: reversed",
}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: updates of one reference of each shape; below: entropy's slope, the sign rule, and DPO with its projection."""
    figure, axes = new_figure(4.9, [1.0, 1.0, 1.0], rows=2)
    for ax, kind in zip(axes[:3], TITLES, strict=True):
        _updates(ax, data.sel(kind=kind).isel(seed=0))
        ax.set_title(TITLES[kind])
    low = min(ax.get_ylim()[0] for ax in axes[:3])
    for ax in axes[:3]:
        ax.set_ylim(low, -0.12 * low)
    text = "temperature path: line,\ndashed to third order;\nrandom updates: points"
    note(axes[1], 0.5, 0.2, text, fontsize=6.5, ha="center", color=GREY, bbox=WHITE)
    axes[0].set_ylabel("H(DID) − log N  [nats]")
    _slope(axes[3], data)
    _sign_rule(axes[4], data)
    _projection(axes[5], data)
    return figure


def _updates(ax: Axes, one: xr.Dataset) -> None:
    """Random updates of equal strength as points; the temperature path exact (solid) and to third order (dashed)."""
    change, entropy = one["entropy_change"].values, one["did_entropy"].values
    for name, chosen in (("reinforcing", change < 0), ("smoothing", change >= 0)):
        ax.plot(change[chosen], entropy[chosen], ".", color=colour_of(name), markersize=2.5, alpha=0.6, rasterized=True)
        ends = one["path_change"].values[[0, -1]]
        left = ends[np.argmin(ends)] if name == "reinforcing" else ends[np.argmax(ends)]
        align = "left" if name == "reinforcing" else "right"
        beside(ax, (left, 0.0), name, (0, 3), color=colour_of(name), ha=align)
    temperature_path(ax, one["path_change"].values, one["path_did"].values, one["path_third"].values)
    note(ax, 0.03, 0.04, f"rank correlation {float(one['rank_correlation']):+.2f}".replace("-", "−"), color=GREY, bbox=WHITE)


def _slope(ax: Axes, data: xr.Dataset) -> None:
    """Predicted against measured rate of entropy for every random update of every reference."""
    slope, measured = data["slope"].values.ravel(), data["measured_slope"].values.ravel()
    ends = np.array([slope.min(), slope.max()])
    ax.plot(slope, measured, ".", color=colour_of("gradient descent"), markersize=2, alpha=0.3, rasterized=True)
    ax.plot(ends, ends, **PREDICTED)
    ax.axhline(0, **GUIDE)
    ax.axvline(0, **GUIDE)
    note(ax, 0.05, 0.9, f"{slope.size:,} updates", color=GREY)
    ax.set(xlabel="−Cov(s, log π_ref)  [nats]", ylabel="measured dH(π_t)/dt", title="d  D11: which updates reinforce")


def _sign_rule(ax: Axes, data: xr.Dataset) -> None:
    """Gap of DID entropy between sharpening and flattening against the skewness of the reference."""
    skewed, gap = data["skewness"].values, data["sign_gap"].values
    ax.plot(skewed, gap, ".", color=colour_of("gradient descent"), markersize=2, alpha=0.4, rasterized=True)
    ends = np.array([skewed.min(), skewed.max()])
    ax.plot(ends, -2.0 / 3.0 * ends, **PREDICTED)
    ax.axhline(0, **GUIDE)
    ax.axvspan(-data.attrs["clear"], data.attrs["clear"], color=GREY, alpha=0.2, linewidth=0)
    clear = np.abs(skewed) > data.attrs["clear"]
    right = np.mean(np.sign(gap[clear]) == -np.sign(skewed[clear]))
    note(ax, 0.97, 0.9, f"sign right: {100 * right:.4g} %\nof {clear.sum():,}", ha="right", va="center")
    note(ax, 0.04, 0.1, "−⅔ skewness")
    ax.set(xlabel="skewness of log π_ref over Y", ylabel="[H(q₊) − H(q₋)] ÷ strength³", title="e  D12: sign of the gap")


def _projection(ax: Axes, data: xr.Dataset) -> None:
    """Final mean change of the chosen log-likelihood against where on the path chosen responses come from."""
    at = data["chosen_at"].values
    for rule, name in (("DPO", "dpo"), ("projected-gradient DPO", "projected-gradient DPO")):
        one = data.sel(rule=rule)
        band(ax, at, one["chosen_change"].transpose("seed", "chosen_at").values, colour_of(name))
    predicted = np.median(data["predicted_change"].transpose("seed", "chosen_at").values, axis=0)
    ax.plot(at, predicted, **PREDICTED)
    ax.axhline(0, **GUIDE)
    worst = data["jsd_target"].max(("seed", "chosen_at")).sel(rule="DPO")
    span = data["jsd_target"].sel(rule="projected-gradient DPO")
    text = f"projected gradient\nJSD to π*: {float(span.min()):.0e} … {float(span.max()):.0e}"
    note(ax, 0.04, 0.93, text, color=colour_of("projected-gradient DPO"), va="center")
    note(ax, 0.97, 0.10, f"DPO, JSD to π* < {10 ** np.ceil(np.log10(float(worst))):.0e}", color=colour_of("dpo"), ha="right")
    beside(ax, (at[1], predicted[1]), "Λ'(a)", (10, -12))
    note(ax, 0.97, 0.02, "bands: 95 % of worlds", fontsize=6, color=GREY, ha="right")
    ax.set(xlabel="a: chosen law on the path", ylabel="change of log π(chosen)  [nats]", title="f  D14: projection")
