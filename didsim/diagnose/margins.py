"""Do log-margins grow along one line, and is their size what β asks for?

Along the geodesic from π_ref to π* every pair's gain in log-margin is the same multiple of its final one, so that the
vectors of gains at all checkpoints are collinear (D8, D9).  At DPO's optimum their size is set by β as well: the log-odds
that a pair's chosen response wins rise by β per nat of log-margin (D4, D5).
"""

import math
from typing import Any

import numpy as np

from didsim.diagnose.answers import Answer, unanswered
from didsim.diagnose.intervals import Estimate, logistic_slope, slope
from didsim.diagnose.logs import PairLog

STRAIGHT = 0.9  # share of the squares of the increments that lie on one line
TRACK = "Evaluate one fixed set of pairs at every checkpoint, and log a column that names the pair (--example)."


def collinearity(log: PairLog, level: float) -> Answer:
    """How far the increments of the pairs' log-margins between checkpoints lie on one line."""
    if log.tracks is None:
        return unanswered("it does not follow the same pairs through all steps.", TRACK)
    gains = log.margin[log.tracks]
    increments = np.diff(gains, axis=0)
    total = float(np.sum(increments**2))
    if total == 0.0 or not gains[-1].any():
        return unanswered("the margins never move.", "See the signatures below.")
    straight = float(np.linalg.svd(increments, compute_uv=False)[0] ** 2) / total
    slopes = [slope(gains[-1], gain, level) for gain in gains]
    residual = [_angle(gains[-1], gain) for gain in gains]
    numbers: dict[str, Any] = {
        "share of the increments' squares on one line": straight,
        "checkpoints": len(gains),
        "pairs": gains.shape[1],
        "step": log.steps,
        "fraction of the final margins reached": slopes,
        "angle to the final margins (degrees)": residual,
    }
    if len(increments) < 2:
        return unanswered("two checkpoints have but one increment.", "Log the same pairs at more steps.")
    word = "Yes, nearly" if straight >= STRAIGHT else "Not quite" if straight >= 0.5 else "No"
    noise = f"where noise rules it is about {1 / len(increments):.0%}"
    answer = f"{word}: {straight:.0%} of the squares of the increments lie on one line; {noise}."
    advice = "" if straight >= STRAIGHT else "Training turned on the way: the order of pairs by margin changed, see the figure."
    return Answer(answer, numbers, advice, "Collinear margins do not say that the line leads to the target.")


def size(log: PairLog, level: float) -> Answer:
    """Log-margin per nat of log-odds, from who won and from true scores where they are logged, against 1/β."""
    here = log.margin[log.last]
    found = [logistic_slope(log.margin[log.at(step)], level) for step in log.steps]
    numbers: dict[str, Any] = {
        "log-odds of winning per nat of log-margin, b": found[-1],
        "1/b (nats)": _inverse(found[-1]),
        "1/β (nats)": 1.0 / log.beta if log.beta else None,
        "step": log.steps,
        "b by step": found,
        "accuracy": float(np.mean(here > 0)),
    }
    if "score_chosen" in log.extra:
        gap = (log.extra["score_chosen"] - log.extra["score_rejected"])[log.last]
        numbers["log-margin per unit of true score gap (1/β if scores are rewards)"] = slope(gap, here, level)
        angle = _angle(gap, here)
        numbers["angle between margins and score gaps (degrees)"] = angle
        # The power-law misfit of given pairs (F2): what no multiple of the preference direction explains.
        numbers["share of the squared margins that no multiple of the score gaps explains"] = math.sin(math.radians(angle)) ** 2
    if log.beta is None:
        return Answer("Cannot be told: the log does not say β.", numbers, "Give --beta.", answered=False)
    answer, advice = _judge(found[-1], log.beta)
    note = "On the pairs trained on, margins grow past the optimum as labels are learned by heart: judge this on held-out pairs."
    return Answer(answer, numbers, advice, note)


def _judge(found: Estimate, beta: float) -> tuple[str, str]:
    if found.value == math.inf:
        answer = "Beyond measure: every pair is already won, so that larger margins would always fit better."
        return (
            answer,
            "Judge on held-out pairs; on training pairs stop early or use a loss with a finite target (IPO, soft labels).",
        )
    if not math.isfinite(found.value) or found.high <= 0:
        return "No: margins do not speak for the chosen responses.", "See the signatures below."
    if found.holds(beta):
        return f"Yes: b = {found} agrees with β = {beta:g}, as at DPO's optimum.", ""
    if found.value > beta:
        return (
            f"They are too small: b = {found} against β = {beta:g}; margins {found.value / beta:.3g} times as large fit better.",
            "Train on, or with a larger learning rate; if training has ended, β in the log may not be β in the run.",
        )
    return (
        f"They are too large: b = {found} against β = {beta:g}; the policy is surer of its pairs than the labels allow.",
        "Stop earlier, soften the labels, or raise β.",
    )


def _inverse(found: Estimate) -> Estimate:
    with np.errstate(divide="ignore"):
        ends = [float(np.reciprocal(number)) if number else math.inf for number in (found.value, found.high, found.low)]
    return Estimate(*ends) if found.low > 0 else Estimate(ends[0])


def _angle(x: np.ndarray, y: np.ndarray) -> float:
    """Angle between two vectors in degrees, NaN for a zero one."""
    sizes = float(np.linalg.norm(x) * np.linalg.norm(y))
    return math.degrees(math.acos(min(1.0, abs(float(x @ y)) / sizes))) if sizes else math.nan
