"""Pictures of a preference log: likelihoods, margins and rewards by step.  Small ones, so that a page can stack them."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting.style import BLACK, BLUE, GREY, MEANING, STYLE, end_labels, styled

Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # value, low, high
SIZE = (4.4, 2.9)


@styled
def likelihoods(step: np.ndarray, chosen: Band, rejected: Band, unit: str, sure: str) -> Figure:
    """Mean change of both likelihoods since the reference, with intervals."""
    figure, ax = _panel()
    ends = []
    for (value, low, high), side in ((chosen, "chosen"), (rejected, "rejected")):
        ax.fill_between(step, low, high, color=MEANING[side], alpha=0.18, linewidth=0)
        ax.plot(step, value, color=MEANING[side], marker="o" if len(step) <= 30 else None)
        ends.append((float(value[-1]), side, MEANING[side]))
    ax.axhline(0.0, color=BLACK, linewidth=0.9, linestyle="--")
    _bottom(ax, step, f"solid: measured{sure}; dashed: the reference")
    ax.set_ylabel(unit)
    end_labels(ax, float(step[-1]), ends)
    return figure


@styled
def growth(before: np.ndarray, after: np.ndarray, slope: float, names: Sequence[str]) -> Figure:
    """Log-margins of all pairs at one checkpoint against those at the last, and the line they would share."""
    figure, ax = _panel()
    ax.scatter(after, before, s=9, color=BLUE, alpha=0.45, linewidths=0)
    reach = np.array([after.min(), after.max()])
    ax.plot(reach, slope * reach, color=BLACK, linestyle="--", linewidth=1.0)
    ax.set_xlabel(f"gain in log-margin by {names[1]} (nats)\ndots: pairs; dashed: one line for all, slope {slope:.2f}")
    ax.set_ylabel(f"gain by {names[0]} (nats)")
    return figure


@styled
def reliability(size: np.ndarray, won: Band, beta: float) -> Figure:
    """How often the side that the policy favours was the chosen one, against its margin; dashed what β says."""
    figure, ax = _panel()
    value, low, high = won
    ax.errorbar(size, value, yerr=[value - low, high - value], color=BLUE, marker="o", linewidth=1.2, elinewidth=0.8, capsize=2)
    fine = np.linspace(0.0, float(size.max()) * 1.05, 200)
    ax.plot(fine, 1.0 / (1.0 + np.exp(-beta * fine)), color=BLACK, linestyle="--", linewidth=1.0)
    ax.set_ylim(min(0.4, float(low.min())) - 0.02, 1.02)
    ax.set_xlabel(f"size of the log-margin (nats)\nsolid: measured, equally many pairs each; dashed: σ(β·margin), β = {beta:.3g}")
    ax.set_ylabel("share won by the favoured side")
    return figure


@styled
def learning(step: np.ndarray, loss: np.ndarray) -> Figure:
    """The loss by step against ln 2, where it starts."""
    figure, ax = _panel()
    ax.plot(step, loss, color=BLUE, marker="o" if len(step) <= 30 else None)
    ax.axhline(np.log(2.0), color=BLACK, linestyle="--", linewidth=0.9)
    ax.set_ylim(0.0, 1.1 * max(float(loss.max()), float(np.log(2.0))))
    _bottom(ax, step, "solid: measured; dashed: ln 2 = 0.693, knowing nothing")
    ax.set_ylabel("DPO loss of these pairs (nats)")
    return figure


def _panel() -> tuple[Figure, Axes]:
    with matplotlib.rc_context(fname=STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        return figure, figure.subplots()


def _bottom(ax: Axes, step: np.ndarray, note: str) -> None:
    ax.set_xlabel(f"training step\n{note}")
    ax.margins(x=0.03)
    if len(step) <= 8:
        ax.set_xticks(step, [f"{number:g}" for number in step])
    ax.axhline(0.0, color=GREY, linewidth=0.0)
