"""Do chosen responses lose likelihood, since when, and which part of that do the logs explain?

For draws from any law p and ``c = log(π_θ/π_ref)`` the mean change is, exactly, ``E_p c = log A - J`` with ``A = E_p e^c`` and
``J = KL(p ‖ p·e^c/A) ≥ 0``: the level of the responses as a whole, and the unevenness among them (derived).  If p is π_ref
then A = 1 and the change is ``-KL(π_ref‖π_θ)``, never positive (D10); so ``A ≠ 1`` refutes that the responses are reference
draws, and for reference draws ``A < 1`` in the sample means that probability went to responses that it lacks.
"""

import math
from typing import Any

import numpy as np

from didsim.diagnose.answers import LOG_PAIRS, Answer, unanswered
from didsim.diagnose.intervals import Estimate, Normaliser, mean, normaliser, share
from didsim.diagnose.logs import PairLog
from didsim.diagnose.means import MeanLog

LEAST_FALL = 0.1  # nats of mean change; less is of no consequence even where many pairs make it significant
LAST_ROWS, FEWEST_ROWS = 0.25, 3  # share of the rows of batch means that are averaged for the end, and how many at least


def by_step(log: PairLog, change: np.ndarray, level: float) -> list[Estimate]:
    """Mean of a change at each logged step, with its interval over pairs."""
    return [mean(change[log.at(step)], level) for step in log.steps]


def falls(change: Estimate) -> bool:
    """Whether a mean change is below zero, surely and by more than a trifle."""
    return change.high < 0 and change.value <= -LEAST_FALL


def first_step(steps: np.ndarray, changes: list[Estimate]) -> float | None:
    """First step from which on every mean change lies surely below zero."""
    below = np.array([change.high < 0 for change in changes])
    if not below[-1]:
        return None
    return float(steps[len(below) - int(np.argmin(below[::-1]))]) if not below.all() else float(steps[0])


def displacement(log: PairLog, level: float) -> Answer:
    """Mean change of both likelihoods since the reference, over steps."""
    chosen, rejected = (by_step(log, change, level) for change in (log.change_chosen, log.change_rejected))
    since = first_step(log.steps, chosen)
    last = log.last
    numbers: dict[str, Any] = {
        "chosen change (nats)": chosen[-1],
        "rejected change (nats)": rejected[-1],
        "chosen falls from step": since,
        "share of chosen that fall": share(log.change_chosen[last] < 0, level),
        "share of rejected that fall": share(log.change_rejected[last] < 0, level),
        "share of pairs in which both fall": share((log.change_chosen[last] < 0) & (log.change_rejected[last] < 0), level),
    }
    if "chosen_length" in log.extra:
        tokens = float(log.extra["chosen_length"][last].mean())
        numbers["chosen change per token (nats)"] = chosen[-1].value / tokens
    if log.tracks is not None:
        here = log.chosen[log.tracks]
        numbers["chosen change since the first logged step (nats)"] = mean(here[-1] - here[0], level)
    return Answer(_answer(chosen[-1], rejected[-1], since), numbers, _advice(chosen[-1], rejected[-1]))


def _answer(chosen: Estimate, rejected: Estimate, since: float | None) -> str:
    lost = f"; rejected ones have lost {-rejected.value:.3g}" if falls(rejected) else ""
    if falls(chosen):
        return f"Yes: chosen responses have lost {-chosen.value:.3g} nats on average, surely so from step {since:g} on{lost}."
    if chosen.low > 0:
        return f"No: chosen responses have gained {chosen.value:.3g} nats on average{lost}."
    return f"Not surely: chosen responses have changed by {chosen.value:.3g} nats on average, within noise or a trifle{lost}."


def _advice(chosen: Estimate, rejected: Estimate) -> str:
    if not falls(chosen):
        return "" if not falls(rejected) or chosen.low > 0 else "Log more pairs if it matters."
    return (
        "The loss sees margins only. If chosen likelihood matters to you, add a term for it (DPOP, an NLL term), use a reference "
        "that has not been fine-tuned on the chosen responses, or pairs whose two sides differ more."
    )


def end(values: np.ndarray, level: float) -> Estimate:
    """Where batch means end: their mean over the last quarter of the rows, with the scatter among them as its interval."""
    tail = values[-max(FEWEST_ROWS, math.ceil(LAST_ROWS * len(values))) :]
    return mean(tail, level) if len(tail) >= FEWEST_ROWS else Estimate(float(tail.mean()))


def ends(log: MeanLog, side: str, level: float) -> Estimate:
    """Where the mean change of a side ends, in the log's unit; no number if it is not logged twice.

    Evaluations on pairs that stay the same need no averaging over rows, and steadily moving means no scatter.
    """
    values = log.change(side)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Estimate(math.nan)
    return Estimate(float(values[-1])) if log.evaluated else end(values, level)


def below(found: Estimate) -> bool:
    """Whether a number lies below zero, surely where it has an interval."""
    return found.value < 0 and not found.high >= 0


def nats(log: MeanLog, found: Estimate) -> Estimate | None:
    """A change in nats; None where rewards are logged and β is not known."""
    return found if log.unit == "nats" else found.times(1 / log.beta) if log.beta else None


def mean_displacement(log: MeanLog, level: float) -> Answer:
    """Mean rewards at the end, which are β times the mean changes."""
    if not log.objective.referenced:
        return unanswered(f"rewards of {log.objective.name} are not relative to a reference.", "")
    chosen, rejected = (ends(log, side, level) for side in ("chosen", "rejected"))
    if math.isnan(chosen.value):
        return unanswered("it holds margins, but not what chosen responses gained.", LOG_PAIRS)
    numbers: dict[str, Any] = {}
    if log.unit == "reward":
        numbers |= {"mean reward of chosen, end": chosen, "mean reward of rejected, end": rejected}
    for side, found in (("chosen", chosen), ("rejected", rejected)):
        numbers[f"{side} change (nats)"] = nats(log, found) or "divide by the run's β, which is not in the log (--beta)"
    what = "mean reward" if log.unit == "reward" else "mean change in nats"
    answer = f"the {what} of chosen responses ends at {chosen.value:.3g}"
    answer = f"Yes: {answer}, so π_θ gives them less than π_ref does" if below(chosen) else f"No: {answer}"
    return Answer(
        answer + ("; that of rejected ones falls too." if below(rejected) else "."),
        numbers,
        "",
        "One row per evaluation: no interval over pairs."
        if log.evaluated
        else "The interval is the scatter of logged rows, not of pairs.",
    )


def normalisers(log: PairLog, level: float) -> dict[str, Normaliser]:
    """Mean of ``π_θ/π_ref`` at the last step over chosen, rejected and both; pairs are the independent draws."""
    chosen, rejected = log.change_chosen[log.last], log.change_rejected[log.last]
    both = np.logaddexp(chosen, rejected) - np.log(2.0)
    return {name: normaliser(c, level) for name, c in (("chosen", chosen), ("rejected", rejected), ("both", both))}


def accounting(log: PairLog, level: float) -> Answer:
    """Splits the mean changes at the last step into level and unevenness, and judges what they can mean."""
    found = normalisers(log, level)
    numbers: dict[str, Any] = {}
    for side, change in (("chosen", log.change_chosen), ("rejected", log.change_rejected)):
        middle, level_part = float(change[log.last].mean()), found[side].log_mean.value
        numbers[f"{side}: change = log A - J (nats)"] = middle
        numbers[f"{side}: log A, level (nats)"] = found[side].log_mean
        numbers[f"{side}: J, unevenness (nats)"] = level_part - middle
        numbers[f"{side}: tail shape k̂ (limit {found[side].limit:.2f})"] = found[side].shape
        numbers[f"{side}: effective draws"] = found[side].effective
    numbers["both: log A (nats)"] = found["both"].log_mean
    numbers["both: k̂"] = found["both"].shape
    return Answer(
        _account(found, mean(log.change_chosen[log.last], level), mean(log.change_rejected[log.last], level)),
        numbers,
        "Log a few responses drawn from the reference itself, with both log-probabilities: their mean change is -KL(π_ref‖π_θ).",
        "Logs of pairs determine the mean changes, A and J on the laws the pairs come from. They do not say which laws those "
        "are, nor where lost probability went: responses that were not logged take it.",
    )


def _account(found: dict[str, Normaliser], change: Estimate, change_rejected: Estimate) -> str:
    chosen, rejected, both = (found[side] for side in ("chosen", "rejected", "both"))
    if chosen.verdict == "one" and change.value > 0:
        answer = "There is no fall to account for."
    elif chosen.verdict == "one":
        answer = (
            f"It may be: A over chosen responses is 1 as far as can be seen, as it is for draws from π_ref; if they are that, "
            f"KL(π_ref‖π_θ) = {-change.value:.3g} nats and the fall is the price of any change at all."
        )
    elif chosen.verdict == "unknown":
        answer = "Cannot be told: a few chosen responses carry nearly all of A, so that it is not known whether it is 1."
    else:
        side = "less" if chosen.verdict == "below" else "more"
        answer = (
            f"No: A over chosen responses is {np.exp(chosen.log_mean.value):.3g}, surely {side} than 1, so they are not draws "
            f"from π_ref (or it is the wrong one), and their change is a slope Λ'(a) of either sign, not -KL."
        )
    if rejected.verdict == "one" and falls(change_rejected):
        answer += (
            f" Over rejected responses A is 1 as far as can be seen; if they are reference draws, their fall is "
            f"KL(π_ref‖π_θ) = {-change_rejected.value:.3g} nats."
        )
    if both.verdict == "below":
        kept = float(np.exp(both.log_mean.value))
        answer += (
            f" Over both sides together A is {kept:.3g}, surely less than 1: either the pairs are not two reference draws each, "
            f"or {1 - kept:.0%} of the policy went to third responses, too rare under π_ref to be among these."
        )
    return answer
