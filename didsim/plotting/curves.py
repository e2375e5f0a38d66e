"""Curves over arrays that figures and notebooks share: by β against the step, along temperatures, intervals in rows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from didsim.plotting.colours import BLACK, MEANING, shades
from didsim.plotting.drawing import GUIDE, LETTERS, PREDICTED, band, end_labels


def curves_by_beta(
    ax: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    betas: Sequence[float] | np.ndarray,
    *,
    ylim: tuple[float, float] | None = None,
    ylabel: str = r"KL($\pi\,\|\,\pi_\mathrm{ref}$)  [nats]",
) -> Axes:
    """Positive values, of shape (betas, seeds, records), against the step, both logarithmic: one labelled colour per β.

    The median over seeds with the central 95 %; the record at step 0 is left out.
    """
    shown = steps >= 1
    ends = []
    for place, (beta, colour) in enumerate(zip(betas, shades(len(betas)), strict=True)):
        band(ax, steps[shown], values[place][:, shown], colour, linewidth=1.1)
        outer = place in (0, len(betas) - 1)
        ends.append((float(np.median(values[place][:, -1])), rf"$\beta$ = {beta:g}" if outer else f"{beta:g}", colour))
    ax.set(xscale="log", yscale="log", xlabel="step", ylabel=ylabel)
    ax.set_ylim(ylim or (max(values[..., 1].min() * 0.5, 1e-9), values.max() * 2.5))
    end_labels(ax, float(steps[-1]), ends)
    return ax


def temperature_path(
    ax: Axes, change: np.ndarray, entropy: np.ndarray, third: np.ndarray, *, colour: str = BLACK, label: str = ""
) -> Axes:
    """DID entropy less log N against the policy's change of entropy, along the temperatures of one reference.

    Exact (solid) and to third order (dashed); a label stands at the reinforcing end.
    """
    ax.plot(change, entropy, color=colour, linewidth=1.0)
    ax.plot(change, third, color=colour, linestyle="--", linewidth=0.9)
    ax.axvline(0, **GUIDE)
    place = int(np.argmin(change))
    end = {"xytext": (-4, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
    ax.annotate(label, (change[place], entropy[place]), fontsize=LETTERS, color=colour, **end)
    ax.set_xlabel(r"$H(\pi) - H(\pi_\mathrm{ref})$  [nats]")
    return ax


def intervals(ax: Axes, ends: np.ndarray, truth: float, *, colour: str = BLACK, missed: str = MEANING["missed"]) -> Axes:
    """One horizontal line per interval, ends of shape (count, 2), the truth dashed; those that miss it are marked."""
    for row, (low, high) in enumerate(ends):
        inside = low <= truth <= high
        ax.plot([low, high], [row, row], color=colour if inside else missed, linewidth=0.9 if inside else 1.6)
        if not inside:
            ax.plot(0.5 * (low + high), row, "x", color=missed, markersize=3.5)
    ax.axvline(truth, **PREDICTED)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    return ax
