"""Which known fault does a log look like?  Whether each is there, on what evidence, its likely cause, and what to do.

The table is in this file's order, gravest first: earlier faults explain later ones away.  A further fault is a function from
a log and a level to what it saw, under a decorator with its row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from didsim.diagnose.columns import exactly
from didsim.diagnose.intervals import correlation, mean
from didsim.diagnose.likelihood import LEAST_FALL, falls
from didsim.diagnose.logs import PairLog
from didsim.diagnose.means import MeanLog

EARLY = 0.05  # share of the training by which the policy should still be close to its start
NOISE, RELATIVE_NOISE = 0.1, 0.005  # nats, and share of a log-probability, by which two passes in half precision may differ
STILL = 0.02  # |β·margin| up to which the loss has hardly left ln 2
GRADIENT_GONE = 0.02  # share of the first step's gradient weight: σ(-β·margin) is ½ there
LENGTH = 0.5  # correlation of margin and length difference from which length explains a quarter of the margins
FAR, NEAR = 5.0, 2.5  # nats of log-margin that are much, and little
DIVERGED = "diverged"
SHORTER = {"cause": "Shorter responses win more often in the data, and the policy has learned length."}
BOTH_LOSE = {"title": "chosen and rejected responses both lose likelihood"}


@dataclass(frozen=True)
class Signature:
    """A fault and whether a log shows it.

    Attributes:
        name: the state that the fault puts a run in.
        title: what is seen.
        found: True, False, or None where the log cannot tell.
        evidence: the numbers that decided.
        cause: what is likely behind it.
        advice: what to do.
        fault: whether it makes the run faulty, or is only worth knowing.
    """

    name: str
    title: str
    found: bool | None
    evidence: str
    cause: str
    advice: str
    fault: bool = True


# Whether the fault is there, on what evidence, and words of its row that the log changes.
Seen = tuple[bool | None, str] | tuple[bool | None, str, dict[str, str]]
Check = Callable[[Any, float], Seen]
FAULTS: dict[type, dict[str, tuple[dict[str, Any], Check]]] = {PairLog: {}, MeanLog: {}}


def fault(kind: type, name: str, **words: Any) -> Callable[[Check], Check]:
    """Decorator: a row of the table of faults that a kind of log shows; words left out are those of its row for single pairs."""

    def enter(check: Check) -> Check:
        known, _ = FAULTS[PairLog].get(name, ({}, None))
        FAULTS[kind][name] = known | words, check
        return check

    return enter


of_pairs, of_means = partial(fault, PairLog), partial(fault, MeanLog)


def signatures(log: PairLog | MeanLog, level: float) -> list[Signature]:
    """Every fault that such a log can show, gravest first."""
    return [_signature(name, words, _seen(log, name, check, level)) for name, (words, check) in FAULTS[type(log)].items()]


def _seen(log: PairLog | MeanLog, name: str, check: Check, level: float) -> Seen:
    if log.objective.withholds(name):
        return None, f"not a check of {log.objective.name}", {"cause": "", "advice": ""}
    if not len(log.step) and name != DIVERGED:
        return None, "no row comes before the divergence"
    return check(log, level)


def _signature(name: str, words: dict[str, Any], seen: Seen) -> Signature:
    found, evidence, changed = seen if len(seen) == 3 else (*seen, {})
    row: dict[str, Any] = words | changed
    return Signature(name, found=None if found is None else bool(found), evidence=evidence, **row)


@of_pairs(
    DIVERGED,
    title="numbers end: rewards, losses or gradients are no longer finite",
    cause="The weights have overflowed: a learning rate too high, half precision without loss scaling, or an empty response.",
    advice="Go back to the last checkpoint before; lower the learning rate, clip gradients, train in bfloat16 or float32.",
)
def _diverged(log: PairLog, level: float) -> Seen:
    return log.diverged is not None, numbers_end(log)


def numbers_end(log: PairLog | MeanLog) -> str:
    """Where numbers end, in words."""
    ended = log.diverged
    if ended is None:
        return "all rows at the end are finite"
    if ended.after is None:
        return f"numbers end at or before step {exactly(ended.at)}: no row is finite, all are NaN"
    return f"numbers end between steps {exactly(ended.after)} and {exactly(ended.at)}: the last {ended.rows} rows are NaN"


@of_pairs(
    "identical",
    title="policy and reference are the same at every step",
    cause="The reference shares its weights with the policy, or the logged policy is not the one being trained.",
    advice="Copy the reference before training and freeze the copy.",
)
def _identical(log: PairLog, level: float) -> Seen:
    largest = float(np.abs(np.concatenate([log.change_chosen, log.change_rejected])).max())
    return largest <= 1e-6, f"largest |log π_θ/π_ref| {largest:.3g}"


@of_pairs(
    "constant reference",
    title="reference log-probabilities are all the same",
    cause="A placeholder was logged, or the reference's log-probabilities were never computed.",
    advice="Compute the reference's log-probabilities per response (precompute_ref_log_probs in TRL).",
)
def _constant_reference(log: PairLog, level: float) -> Seen:
    spreads = [float(np.ptp(values[log.last])) for values in (log.ref_chosen, log.ref_rejected)]
    return min(spreads) == 0.0, f"range over pairs {spreads[0]:.3g} (chosen), {spreads[1]:.3g} (rejected)"


@of_pairs(
    "moving reference",
    title="the reference changes during training",
    cause="The reference is not frozen, or is renewed on purpose (sync_ref_model in TRL).",
    advice="Freeze it; if renewed on purpose, diagnose each stretch between renewals by itself.",
)
def _moving_reference(log: PairLog, level: float) -> Seen:
    if log.example is None or log.tracks is None:
        return None, "pairs are not named across steps"
    table = np.concatenate([log.ref_chosen[log.tracks], log.ref_rejected[log.tracks]], axis=1)
    moved = float(np.abs(table - table[0]).max())
    return moved > 4 * _tolerance(log), f"largest change of log π_ref {moved:.3g} nats"


@of_pairs(
    "wrong reference",
    title="the policy does not start at the reference",
    cause="Reference log-probabilities come from another model than the one training started from: another checkpoint, another "
    "prompt template or tokeniser, dropout left on, or averages over tokens instead of sums.",
    advice="Compute reference log-probabilities with the very weights training starts from, and log the pairs once at step 0.",
)
def _wrong_reference(log: PairLog, level: float) -> Seen:
    """At the start the policy is the reference, so that every log-ratio is zero; here it is not."""
    first = log.at(log.steps[0])
    start = _root_mean_square(log.change_chosen[first], log.change_rejected[first])
    tolerance = _tolerance(log)
    early = log.steps[0] <= EARLY * log.steps[-1]
    evidence = f"log π_θ/π_ref at step {log.steps[0]:g}: {start:.3g} nats root mean square, {tolerance:.2g} allowed"
    found: bool | None = start > tolerance
    if log.steps[0] > 0 and found:
        # Later than step 0 the policy may have moved by itself: by less than over all the training that followed.
        moved = _moved(log)
        found = start > moved if early and moved is not None else None
        evidence += "" if moved is None else f"; it moved by {moved:.3g} nats from there to the end"
    return found, evidence


@of_pairs(
    "swapped",
    title="margins turn against the chosen responses",
    cause="Chosen and rejected are swapped in the log or in the data, or these pairs' labels contradict those trained on.",
    advice="Look at a few pairs by eye; swap the columns (--chosen, --rejected) if only the log is wrong.",
)
def _swapped(log: PairLog, level: float) -> Seen:
    first, last = (mean(log.margin[log.at(step)], level) for step in (log.steps[0], log.steps[-1]))
    found = last.high < min(0.0, first.low) and last.value <= -LEAST_FALL
    return found, f"mean log-margin {first.value:.3g} at first, {last} at last"


@of_pairs(
    "wrong β",
    title="the log is of another β: rewards are not β·log(π_θ/π_ref)",
    cause="β differs from the run's, or the loss has another reward.",
    advice="Give the run's own --beta, or leave it out.",
)
def _wrong_beta(log: PairLog, level: float) -> Seen:
    if log.beta_shown.contradicts(log.beta):
        return True, other_beta(log)
    if log.beta_shown.beta and "reward_chosen" not in log.extra:
        return False, f"the log shows β = {log.beta_shown.beta:.4g}, but no rewards"
    if log.beta is None or "reward_chosen" not in log.extra:
        return None, "no rewards logged" if log.beta else "β unknown", {"advice": ""}
    changes = np.concatenate([log.change_chosen, log.change_rejected])
    rewards = np.concatenate([log.extra["reward_chosen"], log.extra["reward_rejected"]])
    off = float(np.linalg.norm(rewards - log.beta * changes) / max(np.linalg.norm(rewards), 1e-12))
    ratio = float(changes @ rewards / max(changes @ changes, 1e-300))
    return off > 0.05, f"rewards are {ratio:.4g} times the log-ratios, β = {log.beta:g}; off by {off:.1%}"


def other_beta(log: PairLog | MeanLog) -> str:
    """What the log shows for β, beside what was given, in words."""
    return f"the log shows β = {log.beta_shown.beta:.4g} ({log.beta_shown.origin}), not {log.beta:g}"


@of_pairs(
    "stuck",
    title="the loss stays at ln 2 = 0.693",
    cause="The learning rate is zero or far too small, the trained weights are frozen or not those logged, or the pairs are "
    "alike.",
    advice="Check that gradients reach the weights; raise the learning rate tenfold on a few pairs until the loss moves.",
)
def _stuck(log: PairLog, level: float) -> Seen:
    margin = log.margin[log.last]
    pull = _root_mean_square(margin)
    evidence = f"log-margins {pull:.3g} nats root mean square at the last step"
    if log.beta is None:
        return None, evidence
    loss = np.logaddexp(0.0, -log.beta * margin).mean()
    return log.beta * pull < STILL and pull < FAR, f"loss {loss:.4f} against ln 2 = 0.6931; {evidence}"


@of_pairs(
    "β too small",
    title="the policy runs away from the reference before the loss notices",
    cause="β is so small that the target π_ref (π_w/π_l)^{1/β} lies very far from the reference.",
    advice="Raise β; 1/β is how many nats of log-margin a nat of log-odds costs.",
)
def _small_beta(log: PairLog, level: float) -> Seen:
    pull = _root_mean_square(log.margin[log.last])
    evidence = f"log-margins {pull:.3g} nats root mean square"
    if log.beta is None:
        return None, evidence
    return log.beta * pull < 0.1 and pull >= FAR, f"{evidence}, times β {log.beta * pull:.3g}"


@of_pairs(
    "displaced",
    title="chosen responses lose likelihood",
    cause="With chosen responses that are typical of the reference this is what any training does (-KL(π_ref‖π_θ)); otherwise "
    "the two sides of the pairs share features, and third responses take the probability.",
    advice="See the accounting; add a likelihood term, or drop pairs whose two sides are nearly alike.",
)
def _displaced(log: PairLog, level: float) -> Seen:
    chosen, rejected = (mean(change[log.last], level) for change in (log.change_chosen, log.change_rejected))
    words = BOTH_LOSE if falls(chosen) and falls(rejected) else {}
    return falls(chosen), f"chosen {chosen}, rejected {rejected} nats", words


@of_pairs(
    "saturated",
    title="the sigmoid is saturated, the gradient gone",
    cause="The pairs are too easy, or have been learned by heart.",
    advice="Stop here; harder or fresh pairs, or a loss with a finite target (IPO), would teach more.",
)
def _saturated(log: PairLog, level: float) -> Seen:
    if log.beta is None:
        return None, "β unknown", {"cause": "", "advice": "Give --beta."}
    pull = log.margin[log.last]
    middle = float(np.median(pull))
    weight = 2.0 * float(np.mean(np.exp(-np.logaddexp(0.0, log.beta * pull))))
    large = {"cause": "β is so large that small changes of the policy already satisfy every pair.", "advice": "Lower β."}
    evidence = f"gradient weight {weight:.2g} of that at the start; β·margin {log.beta * middle:.3g} in the median"
    return weight < GRADIENT_GONE, evidence, large if middle < NEAR else {}


@of_pairs(
    "length-driven",
    title="margins follow the difference in length",
    cause="Longer responses win more often in the data, and the policy has learned length; summed log-probabilities favour it.",
    advice="Balance lengths in the pairs, or compare with a length-normalised or length-regularised loss.",
)
def _length_driven(log: PairLog, level: float) -> Seen:
    if "chosen_length" not in log.extra:
        return None, "no lengths logged"
    gap = (log.extra["chosen_length"] - log.extra["rejected_length"])[log.last]
    found = correlation(gap, log.margin[log.last], level)
    if math.isnan(found.value):
        return False, "all pairs have the same difference in length"
    evidence = f"correlation {found}; chosen responses are {gap.mean():+.3g} tokens longer"
    words = SHORTER if found.value < 0 else {}
    return abs(found.value) > LENGTH and not found.holds(0.0), evidence, words


@of_pairs(
    "accuracy 0 or 1",
    title="accuracy is exactly 0 or 1",
    cause="At 1: training pairs learned by heart, or a cue that gives the label away. At 0: swapped columns, or a policy that "
    "never moved.",
    advice="Evaluate on held-out pairs.",
    fault=False,
)
def _extreme_accuracy(log: PairLog, level: float) -> Seen:
    right = float(np.mean(log.margin[log.last] > 0))
    return right in (0.0, 1.0), f"accuracy {right:.4g} over {int(log.last.sum())} pairs"


def _root_mean_square(*values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.concatenate(values) ** 2)))


def _tolerance(log: PairLog) -> float:
    return NOISE + RELATIVE_NOISE * float(np.mean(np.abs(log.ref_chosen)))


def _moved(log: PairLog) -> float | None:
    """By how much the policy's own log-probabilities changed from the first logged step to the last, root mean square."""
    if log.tracks is None:
        return None
    ends = log.tracks[[0, -1]]
    return _root_mean_square(log.chosen[ends[1]] - log.chosen[ends[0]], log.rejected[ends[1]] - log.rejected[ends[0]])
