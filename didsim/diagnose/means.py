"""What can batch means answer?  Trainers log averages only; this says what they show, and names what they cannot."""

import math
from typing import Any

import numpy as np

from didsim.diagnose import entropy, likelihood, margins
from didsim.diagnose.findings import Finding, unanswered
from didsim.diagnose.intervals import Estimate, mean
from didsim.diagnose.logs import MeanLog
from didsim.diagnose.signatures import GRADIENT_GONE, STILL, Signature

WINDOW, FEWEST = 0.25, 3
LOG_PAIRS = (
    "Log single pairs at a few steps: step, example, chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, "
    "and lengths."
)
SCATTER = "The interval is the scatter of logged rows, not of pairs."


def answers(log: MeanLog, level: float) -> list[Finding]:
    """The four questions, as far as means go."""
    return [
        _displacement(log, level),
        unanswered("accounting", likelihood.ACCOUNTING, "means do not hold e^c, nor how uneven the pairs are.", LOG_PAIRS),
        unanswered("collinear", margins.LINE, "means do not hold the margins of single pairs.", LOG_PAIRS),
        unanswered("size", margins.SIZE, "means do not hold the margins of single pairs.", LOG_PAIRS),
        unanswered("entropy", entropy.QUESTION, "means do not hold importance weights.", LOG_PAIRS),
    ]


def signatures(log: MeanLog, level: float) -> list[Signature]:
    """The faults that means can show."""
    return [look(log, level) for look in (_stuck, _swapped, _displaced, _saturated, _accuracy)] + [
        Signature(name, title, None, "needs single pairs", "", LOG_PAIRS)
        for name, title in (
            ("wrong reference", "the policy does not start at the reference"),
            ("length-driven", "margins follow the difference in length"),
        )
    ]


def end(values: np.ndarray, level: float) -> Estimate:
    """Mean over the last quarter of the rows, and the scatter among them as an interval."""
    tail = values[-max(FEWEST, math.ceil(WINDOW * len(values))) :]
    return mean(tail, level) if len(tail) >= FEWEST else Estimate(float(tail.mean()), math.nan, math.nan)


def _last(log: MeanLog, name: str, level: float) -> Estimate:
    """Pairs that stay the same need no averaging over rows, and steadily moving means no scatter."""
    values = log.means[name]
    return Estimate(float(values[-1]), math.nan, math.nan) if log.evaluated else end(values, level)


def _displacement(log: MeanLog, level: float) -> Finding:
    chosen, rejected = (_last(log, f"reward_{side}", level) for side in ("chosen", "rejected"))
    numbers: dict[str, Any] = {"mean reward of chosen, end": chosen, "mean reward of rejected, end": rejected}
    if log.beta:
        numbers["chosen change (nats)"] = _scaled(chosen, 1 / log.beta)
        numbers["rejected change (nats)"] = _scaled(rejected, 1 / log.beta)
    else:
        numbers["chosen change (nats)"] = "divide by the run's β, which is not in the log (--beta)"
    falling = _below(chosen)
    answer = (
        f"Yes: the mean reward of chosen responses ends at {chosen.value:.3g}, so π_θ gives them less than π_ref does"
        if falling
        else f"No: the mean reward of chosen responses ends at {chosen.value:.3g}"
    )
    return Finding(
        "displacement",
        likelihood.QUESTION,
        answer + ("; that of rejected ones falls too." if _below(rejected) else "."),
        numbers,
        "See the signatures below." if falling else "",
        SCATTER if not log.evaluated else "One row per evaluation: no interval over pairs.",
    )


def _scaled(found: Estimate, by: float) -> Estimate:
    return Estimate(found.value * by, found.low * by, found.high * by)


def _below(found: Estimate) -> bool:
    return found.value < 0 and not found.high >= 0


def _stuck(log: MeanLog, level: float) -> Signature:
    gap = log.means["margin"] if "margin" in log.means else log.means["reward_chosen"] - log.means["reward_rejected"]
    largest = float(np.abs(gap).max())
    loss = f"loss {float(log.means['loss'][-1]):.4f} against ln 2 = 0.6931; " if "loss" in log.means else ""
    return Signature(
        "stuck",
        "the loss stays at ln 2 = 0.693",
        largest < STILL,
        f"{loss}largest mean β·margin {largest:.3g}",
        "The learning rate is zero or far too small, the trained weights are frozen, or policy and reference are one object.",
        "Check that gradients reach the weights; raise the learning rate tenfold on a few pairs until the loss moves.",
    )


def _swapped(log: MeanLog, level: float) -> Signature:
    gap = end(log.means["reward_chosen"] - log.means["reward_rejected"], level)
    return Signature(
        "swapped",
        "margins turn against the chosen responses",
        _below(gap) and gap.value < -STILL,
        f"mean β·margin at the end {gap}",
        "Chosen and rejected are swapped in the data or the log, or these labels contradict those trained on.",
        "Look at a few pairs by eye.",
    )


def _displaced(log: MeanLog, level: float) -> Signature:
    chosen, rejected = (_last(log, f"reward_{side}", level) for side in ("chosen", "rejected"))
    return Signature(
        "displaced",
        "chosen and rejected responses both lose likelihood" if _below(rejected) else "chosen responses lose likelihood",
        _below(chosen) and chosen.value < -STILL,
        f"mean reward at the end: chosen {chosen}, rejected {rejected}",
        "Chosen responses typical of the reference, or two sides that share features; third responses take the probability.",
        LOG_PAIRS,
    )


def _saturated(log: MeanLog, level: float) -> Signature:
    gap = end(log.means["reward_chosen"] - log.means["reward_rejected"], level)
    if "loss" in log.means:
        loss = end(log.means["loss"], level)
        # For every pair σ(-m) = 1 - e^{-loss} <= loss, so the mean loss bounds the mean weight of the gradient.
        found, evidence = 2 * loss.value < GRADIENT_GONE, f"loss at the end {loss}; the gradient's weight is below twice it"
    else:
        found, evidence = None, f"mean β·margin at the end {gap}, no loss logged"
    return Signature(
        "saturated",
        "the sigmoid is saturated, the gradient gone",
        found,
        evidence,
        "The pairs are too easy or learned by heart, or β is too large.",
        "Stop here; harder or fresh pairs, or a loss with a finite target (IPO), would teach more.",
    )


def _accuracy(log: MeanLog, level: float) -> Signature:
    title, cause = (
        "accuracy is exactly 0 or 1",
        "At 1: pairs learned by heart. At 0: swapped columns, or a policy that never moved.",
    )
    if "accuracy" not in log.means:
        return Signature("accuracy 0 or 1", title, None, "no accuracies logged", cause, "", fault=False)
    last = float(log.means["accuracy"][-1])
    return Signature(
        "accuracy 0 or 1", title, last in (0.0, 1.0), f"accuracy {last:.4g}", cause, "Evaluate on held-out pairs.", fault=False
    )
