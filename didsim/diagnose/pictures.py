"""What is drawn of a log?  Likelihoods, margins and loss by step, each with a text for those who do not see it."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.diagnose.diagnosis import Diagnosis
from didsim.diagnose.intervals import Estimate, share, slope
from didsim.diagnose.likelihood import by_step
from didsim.diagnose.logs import PairLog
from didsim.diagnose.means import MeanLog
from didsim.plotting.colours import BLACK, BLUE, colour_of
from didsim.plotting.drawing import end_labels, styled

BINS = 6
SIZE = (4.4, 2.9)  # inches: small, so that a page can stack them
MANY = 30  # steps from which markers would touch
Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # value, low, high


@dataclass(frozen=True)
class Picture:
    """A picture for a page: its title, what a screen reader says, and the SVG file as base64 text."""

    title: str
    alt: str
    svg: str


@styled
def pictures(found: Diagnosis) -> list[Picture]:
    """The pictures that the log allows."""
    log = found.log
    if not len(log.step):
        return []
    return _of_means(log) if isinstance(log, MeanLog) else _of_pairs(log, found.level)


def _of_pairs(log: PairLog, level: float) -> list[Picture]:
    chosen, rejected = (by_step(log, change, level) for change in (log.change_chosen, log.change_rejected))
    alt = f"Mean change at the last step: chosen {chosen[-1]}, rejected {rejected[-1]} nats."
    unit, sure = "change since the reference (nats)", f", {level:.0%} intervals"
    figure = likelihoods(log.steps, _band(chosen), _band(rejected), unit, sure)
    made = [_picture("Likelihood of chosen and rejected responses", alt, figure)]
    if log.tracks is not None and len(log.steps) > 2 and log.margin[log.tracks[-1]].any():
        middle = len(log.steps) // 2
        before, after = log.margin[log.tracks[middle]], log.margin[log.tracks[-1]]
        fitted = slope(after, before, level)
        names = (f"step {log.steps[middle]:g}", f"step {log.steps[-1]:g}")
        alt = f"Gains in log-margin by {names[0]} are {fitted} times those by {names[1]}."
        made.append(_picture("Do margins grow along one line?", alt, growth(before, after, fitted.value, names)))
    if log.beta:
        loss = [np.logaddexp(0.0, -log.beta * log.margin[log.at(step)]).mean() for step in log.steps]
        made.append(_loss(log.steps, np.array(loss)))
        made += _reliability(log, log.beta, level)
    return made


def _reliability(log: PairLog, beta: float, level: float) -> list[Picture]:
    margin = log.margin[log.last]
    margin = margin[margin != 0]
    if len(margin) < 4 * BINS:
        return []
    groups = np.array_split(margin[np.argsort(np.abs(margin))], BINS)
    won = [share(group > 0, level) for group in groups]
    size = np.array([np.abs(group).mean() for group in groups])
    alt = "; ".join(f"margin {at:.3g}: won {hits}" for at, hits in zip(size, won, strict=True))
    return [_picture("Is the policy as sure as it should be?", alt, reliability(size, _band(won), beta))]


def _of_means(log: MeanLog) -> list[Picture]:
    chosen, rejected = log.change("chosen"), log.change("rejected")
    both = np.isfinite(chosen) & np.isfinite(rejected)
    made = []
    if both.sum() >= 2:
        step, chosen, rejected = log.step[both], chosen[both], rejected[both]
        alt = f"Mean {log.unit} ends at {chosen[-1]:.3g} for chosen and {rejected[-1]:.3g} for rejected responses."
        unit = "mean change (nats)" if log.unit == "nats" else "mean reward, β·log(π_θ/π_ref)"
        figure = likelihoods(step, (chosen, chosen, chosen), (rejected, rejected, rejected), unit, "")
        made.append(_picture("Rewards of chosen and rejected responses", alt, figure))
    loss = log.means.get("loss", np.zeros(0))
    finite = np.isfinite(loss)
    return [*made, _loss(log.step[finite], loss[finite], log.objective.name)] if finite.sum() >= 2 else made


def _loss(step: np.ndarray, loss: np.ndarray, name: str = "DPO") -> Picture:
    return _picture("Loss", f"The loss goes from {loss[0]:.3f} to {loss[-1]:.3f}; ln 2 is 0.693.", learning(step, loss, name))


def _picture(title: str, alt: str, figure: Figure) -> Picture:
    out = io.BytesIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Picture(title, f"{title}. {alt}", base64.b64encode(out.getvalue()).decode())


def _band(found: list[Estimate]) -> Band:
    value, low, high = (np.array([getattr(one, name) for one in found]) for name in ("value", "low", "high"))
    return value, np.where(np.isfinite(low), low, value), np.where(np.isfinite(high), high, value)


def likelihoods(step: np.ndarray, chosen: Band, rejected: Band, unit: str, sure: str) -> Figure:
    """Mean change of both likelihoods since the reference, with intervals."""
    figure, ax = _panel()
    ends = []
    for (value, low, high), side in ((chosen, "chosen"), (rejected, "rejected")):
        ax.fill_between(step, low, high, color=colour_of(side), alpha=0.18, linewidth=0)
        ax.plot(step, value, color=colour_of(side), marker="o" if len(step) <= MANY else None)
        ends.append((float(value[-1]), side, colour_of(side)))
    ax.axhline(0.0, color=BLACK, linewidth=0.9, linestyle="--")
    _bottom(ax, step, f"solid: measured{sure}; dashed: the reference")
    ax.set_ylabel(unit)
    end_labels(ax, float(step[-1]), ends)
    return figure


def growth(before: np.ndarray, after: np.ndarray, slope: float, names: tuple[str, str]) -> Figure:
    """Log-margins of all pairs at one checkpoint against those at the last, and the line they would share."""
    figure, ax = _panel()
    ax.scatter(after, before, s=9, color=BLUE, alpha=0.45, linewidths=0)
    reach = np.array([after.min(), after.max()])
    ax.plot(reach, slope * reach, color=BLACK, linestyle="--", linewidth=1.0)
    ax.set_xlabel(f"gain in log-margin by {names[1]} (nats)\ndots: pairs; dashed: one line for all, slope {slope:.2f}")
    ax.set_ylabel(f"gain by {names[0]} (nats)")
    return figure


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


def learning(step: np.ndarray, loss: np.ndarray, name: str) -> Figure:
    """The loss by step against ln 2, where it starts."""
    figure, ax = _panel()
    ax.plot(step, loss, color=BLUE, marker="o" if len(step) <= MANY else None)
    ax.axhline(np.log(2.0), color=BLACK, linestyle="--", linewidth=0.9)
    ax.set_ylim(0.0, 1.1 * max(float(loss.max()), float(np.log(2.0))))
    _bottom(ax, step, "solid: measured; dashed: ln 2 = 0.693, knowing nothing")
    ax.set_ylabel(f"loss of these pairs, {name}")
    return figure


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.subplots()


def _bottom(ax: Axes, step: np.ndarray, note: str) -> None:
    ax.set_xlabel(f"training step\n{note}")
    ax.margins(x=0.03)
    if len(step) <= 8:
        ax.set_xticks(step, [f"{number:g}" for number in step])
