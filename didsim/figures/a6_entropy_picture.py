"""Picture of A6: DID entropy against entropy change for three shapes of reference, the sign rule, and projected DPO."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import GREY, PREDICTED, band, colour_of, new_figure, styled, temperature_path
from didsim.plotting.drawing import GUIDE, beside, note

TITLES = {
    "right-skewed": r"a  right-skewed $\log\,\pi_\mathrm{ref}$",
    "unskewed": "b  unskewed",
    "left-skewed": "c  left-skewed: reversed",
}
LETTER = {"did": r"$H(\mathrm{DID}) - \log N$  [nats]", "ref": r"$\log\,\pi_\mathrm{ref}$"}


@styled
def draw(data: xr.Dataset) -> Figure:
    """Updates of one reference of each shape; entropy's slope, the sign rule, and DPO with its projection."""
    figure, axes = new_figure(5.9, [1.0, 1.0], rows=3)
    for ax, kind in zip(axes[:3], TITLES, strict=True):
        _updates(ax, data.sel(kind=kind).isel(seed=0))
        ax.set_title(TITLES[kind])
    low = min(ax.get_ylim()[0] for ax in axes[:3])
    for ax in axes[:3]:
        ax.set_ylim(1.25 * low, -0.2 * low)
    for ax in (axes[0], axes[2]):
        ax.set_ylabel(LETTER["did"])
    note(axes[1], 0.5, 0.17, "line: temperature; dashed: third\norder; points: random updates", ha="center", color=GREY)
    _slope(axes[3], data)
    _sign_rule(axes[4], data)
    _projection(axes[5], data)
    return figure


def _updates(ax: Axes, one: xr.Dataset) -> None:
    """Random updates of equal strength as points; the temperature path exact (solid) and to third order (dashed)."""
    change, entropy = one["entropy_change"].values, one["did_entropy"].values
    for name, chosen in (("reinforcing", change < 0), ("smoothing", change >= 0)):
        ax.plot(change[chosen], entropy[chosen], ".", color=colour_of(name), markersize=2.5, alpha=0.6, rasterized=True)
        align = "left" if name == "reinforcing" else "right"
        note(ax, 0.02 if align == "left" else 0.98, 0.92, name, color=colour_of(name), ha=align)
    temperature_path(ax, one["path_change"].values, one["path_did"].values, one["path_third"].values)
    note(ax, 0.03, 0.04, f"rank correlation {float(one['rank_correlation']):+.2f}".replace("-", "−"), color=GREY)


def _slope(ax: Axes, data: xr.Dataset) -> None:
    """Predicted against measured rate of entropy for every random update of every reference."""
    slope, measured = data["slope"].values.ravel(), data["measured_slope"].values.ravel()
    ends = np.array([slope.min(), slope.max()])
    for name, here in (("reinforcing", slope <= 0), ("smoothing", slope > 0)):
        ax.plot(slope[here], measured[here], ".", color=colour_of(name), markersize=2, alpha=0.3, rasterized=True)
    ax.plot(ends, ends, **PREDICTED)
    ax.axhline(0, **GUIDE)
    ax.axvline(0, **GUIDE)
    note(ax, 0.03, 0.92, f"{slope.size:,} updates", color=GREY)
    ax.set(
        xlabel=r"$-$Cov($s, \log\,\pi_\mathrm{ref}$)  [nats]",
        ylabel=r"measured $\mathrm{d}H/\mathrm{d}t$  [nats]",
        title="d  which updates reinforce",
    )


def _sign_rule(ax: Axes, data: xr.Dataset) -> None:
    """Gap of DID entropy between sharpening and flattening against the skewness of the reference."""
    skewed, gap = data["skewness"].values, data["sign_gap"].values
    ax.plot(skewed, gap, ".", color=GREY, markersize=2, alpha=0.4, rasterized=True)
    ends = np.array([skewed.min(), skewed.max()])
    ax.plot(ends, -2.0 / 3.0 * ends, **PREDICTED)
    ax.axhline(0, **GUIDE)
    ax.axvspan(-data.attrs["clear"], data.attrs["clear"], color=GREY, alpha=0.2, linewidth=0)
    clear = np.abs(skewed) > data.attrs["clear"]
    right = np.mean(np.sign(gap[clear]) == -np.sign(skewed[clear]))
    note(ax, 0.99, 0.87, f"sign right: {100 * right:.4g} %\nof {clear.sum():,} clear of grey", ha="right", va="center")
    note(ax, 0.04, 0.07, r"dashed: $-\frac{2}{3}$ skewness")
    ax.set(xlabel=r"skewness of $\log\,\pi_\mathrm{ref}$", ylabel=r"$(H(q_+) - H(q_-))/t^3$", title="e  sign of the gap")


def _projection(ax: Axes, data: xr.Dataset) -> None:
    """Final mean change of the chosen log-likelihood against where on the path chosen responses come from."""
    at = data["chosen_at"].values
    for rule, name in (("DPO", "dpo"), ("projected-gradient DPO", "projected-gradient DPO")):
        one = data.sel(rule=rule)
        band(ax, at, one["chosen_change"].transpose("seed", "chosen_at").values, colour_of(name))
    predicted = np.median(data["predicted_change"].transpose("seed", "chosen_at").values, axis=0)
    ax.plot(at, predicted, **PREDICTED)
    ax.axhline(0, **GUIDE)
    worst = float(data["jsd_target"].max(("seed", "chosen_at")).sel(rule="DPO"))
    span = data["jsd_target"].sel(rule="projected-gradient DPO")
    low, high = (round(float(np.log10(value))) for value in (span.min(), span.max()))
    note(ax, 0.02, 0.97, "projected", color=colour_of("projected-gradient DPO"), va="top")
    note(ax, 0.02, 0.87, "DPO", color=colour_of("dpo"), va="top")
    top = int(np.ceil(np.log10(worst)))
    text = f"JSD at the end:\n$10^{{{low}}}$ to $10^{{{high}}}$,\nDPO: below $10^{{{top}}}$"
    note(ax, 0.98, 0.03, text, color=GREY, ha="right")
    middle = len(at) // 3
    beside(ax, (at[middle], predicted[middle]), r"$\Lambda'(a)$", (2, -12))
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.1 * (high - low), high + 0.45 * (high - low))
    ax.set(xlabel="$a$: chosen law on the path", ylabel=r"change of $\log\,\pi$  [nats]", title="f  chosen responses")
