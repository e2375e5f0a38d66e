"""Which known fault does a log of pairs look like?  Whether each is there, on what evidence, its likely cause."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from didsim.diagnose.intervals import correlation, mean
from didsim.diagnose.likelihood import LEAST_FALL, falls
from didsim.diagnose.logs import PairLog

EARLY = 0.05  # share of the training by which the policy should still be close to its start
NOISE, RELATIVE_NOISE = 0.1, 0.005  # nats, and share of a log-probability, by which two passes in half precision may differ
STILL = 0.02  # |β·margin| up to which the loss has hardly left ln 2
GRADIENT_GONE = 0.02  # share of the first step's gradient weight: σ(-β·margin) is ½ there
LENGTH = 0.5  # correlation of margin and length difference from which length explains a quarter of the margins
FAR, NEAR = 5.0, 2.5  # nats of log-margin that are much, and little


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


Look = Callable[[PairLog, float], Signature]


def signatures(log: PairLog, level: float) -> list[Signature]:
    """Every fault, gravest first: earlier ones explain later ones away."""
    return [look(log, level) for look in LOOKS]


def identical(log: PairLog, level: float) -> Signature:
    """Policy and reference give the same log-probabilities throughout."""
    largest = float(np.abs(np.concatenate([log.change_chosen, log.change_rejected])).max())
    return Signature(
        "identical",
        "policy and reference are the same at every step",
        largest <= 1e-6,
        f"largest |log π_θ/π_ref| {largest:.3g}",
        "The reference shares its weights with the policy, or the logged policy is not the one being trained.",
        "Copy the reference before training and freeze the copy.",
    )


def constant_reference(log: PairLog, level: float) -> Signature:
    """The reference gives different responses the same log-probability."""
    spreads = [float(np.ptp(values[log.last])) for values in (log.ref_chosen, log.ref_rejected)]
    return Signature(
        "constant reference",
        "reference log-probabilities are all the same",
        min(spreads) == 0.0,
        f"range over pairs {spreads[0]:.3g} (chosen), {spreads[1]:.3g} (rejected)",
        "A placeholder was logged, or the reference's log-probabilities were never computed.",
        "Compute the reference's log-probabilities per response (precompute_ref_log_probs in TRL).",
    )


def moving_reference(log: PairLog, level: float) -> Signature:
    """The reference gives the same response another log-probability later on."""
    title, cause = (
        "the reference changes during training",
        "The reference is not frozen, or is renewed on purpose (sync_ref_model in TRL).",
    )
    advice = "Freeze it; if renewed on purpose, diagnose each stretch between renewals by itself."
    if log.example is None or log.tracks is None:
        return Signature("moving reference", title, None, "pairs are not named across steps", cause, advice)
    table = np.concatenate([log.ref_chosen[log.tracks], log.ref_rejected[log.tracks]], axis=1)
    moved = float(np.abs(table - table[0]).max())
    tolerance = _tolerance(log)
    return Signature(
        "moving reference", title, moved > 4 * tolerance, f"largest change of log π_ref {moved:.3g} nats", cause, advice
    )


def wrong_reference(log: PairLog, level: float) -> Signature:
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
    return Signature(
        "wrong reference",
        "the policy does not start at the reference",
        found,
        evidence,
        "Reference log-probabilities come from another model than the one training started from: another checkpoint, another "
        "prompt template or tokeniser, dropout left on, or averages over tokens instead of sums.",
        "Compute reference log-probabilities with the very weights training starts from, and log the pairs once at step 0.",
    )


def swapped(log: PairLog, level: float) -> Signature:
    """Margins become negative as training goes on."""
    first, last = (mean(log.margin[log.at(step)], level) for step in (log.steps[0], log.steps[-1]))
    return Signature(
        "swapped",
        "margins turn against the chosen responses",
        last.high < min(0.0, first.low) and last.value <= -LEAST_FALL,
        f"mean log-margin {first.value:.3g} at first, {last} at last",
        "Chosen and rejected are swapped in the log or in the data, or these pairs' labels contradict those trained on.",
        "Look at a few pairs by eye; swap the columns (--chosen, --rejected) if only the log is wrong.",
    )


def stuck(log: PairLog, level: float) -> Signature:
    """The loss has not left ln 2."""
    loss, pull = _loss(log), _root_mean_square(log.margin[log.last])
    found = None if log.beta is None else bool(log.beta * pull < STILL)
    evidence = f"log-margins {pull:.3g} nats root mean square at the last step"
    if loss is not None:
        evidence = f"loss {loss.mean():.4f} against ln 2 = 0.6931; " + evidence
    return Signature(
        "stuck",
        "the loss stays at ln 2 = 0.693",
        found and pull < FAR,
        evidence,
        "The learning rate is zero or far too small, the trained weights are frozen or not those logged, or the pairs are alike.",
        "Check that gradients reach the weights; raise the learning rate tenfold on a few pairs until the loss moves.",
    )


def small_beta(log: PairLog, level: float) -> Signature:
    """Margins in nats are large while the reward still hardly sees them."""
    pull = _root_mean_square(log.margin[log.last])
    found = None if log.beta is None else bool(log.beta * pull < 0.1 and pull >= FAR)
    return Signature(
        "β too small",
        "the policy runs away from the reference before the loss notices",
        found,
        f"log-margins {pull:.3g} nats root mean square" + (f", times β {log.beta * pull:.3g}" if log.beta else ""),
        "β is so small that the target π_ref (π_w/π_l)^{1/β} lies very far from the reference.",
        "Raise β; 1/β is how many nats of log-margin a nat of log-odds costs.",
    )


def wrong_beta(log: PairLog, level: float) -> Signature:
    """Logged rewards are not β times the log-ratios."""
    title, cause = "logged rewards are not β·log(π_θ/π_ref)", "β differs from the run's, or the loss has another reward."
    if log.beta is None or "reward_chosen" not in log.extra:
        return Signature("wrong β", title, None, "no rewards logged" if log.beta else "β unknown", cause, "")
    changes = np.concatenate([log.change_chosen, log.change_rejected])
    rewards = np.concatenate([log.extra["reward_chosen"], log.extra["reward_rejected"]])
    off = float(np.linalg.norm(rewards - log.beta * changes) / max(np.linalg.norm(rewards), 1e-12))
    ratio = float(changes @ rewards / max(changes @ changes, 1e-300))
    evidence = f"rewards are {ratio:.4g} times the log-ratios, β = {log.beta:g}; off by {off:.1%}"
    return Signature("wrong β", title, off > 0.05, evidence, cause, "Give the run's own --beta, or leave it out.")


def displaced(log: PairLog, level: float) -> Signature:
    """Chosen responses lose likelihood."""
    chosen, rejected = (mean(change[log.last], level) for change in (log.change_chosen, log.change_rejected))
    both = falls(chosen) and falls(rejected)
    return Signature(
        "displaced",
        "chosen and rejected responses both lose likelihood" if both else "chosen responses lose likelihood",
        falls(chosen),
        f"chosen {chosen}, rejected {rejected} nats",
        "With chosen responses that are typical of the reference this is what any training does (-KL(π_ref‖π_θ)); otherwise the "
        "two sides of the pairs share features, and third responses take the probability.",
        "See the accounting; add a likelihood term, or drop pairs whose two sides are nearly alike.",
    )


def saturated(log: PairLog, level: float) -> Signature:
    """The sigmoid is flat: nothing is left to learn from these pairs."""
    pull = log.margin[log.last]
    title = "the sigmoid is saturated, the gradient gone"
    if log.beta is None:
        return Signature("saturated", title, None, "β unknown", "", "Give --beta.")
    weight = 2.0 * float(np.mean(np.exp(-np.logaddexp(0.0, log.beta * pull))))
    little = float(np.median(pull)) < NEAR
    return Signature(
        "saturated",
        title,
        weight < GRADIENT_GONE,
        f"gradient weight {weight:.2g} of that at the start; β·margin {log.beta * float(np.median(pull)):.3g} in the median",
        "β is so large that small changes of the policy already satisfy every pair."
        if little
        else "The pairs are too easy, or have been learned by heart.",
        "Lower β." if little else "Stop here; harder or fresh pairs, or a loss with a finite target (IPO), would teach more.",
    )


def length_driven(log: PairLog, level: float) -> Signature:
    """Margins follow the difference in length."""
    title = "margins follow the difference in length"
    cause = "Longer responses win more often in the data, and the policy has learned length; summed log-probabilities favour it."
    advice = "Balance lengths in the pairs, or compare with a length-normalised or length-regularised loss."
    if "chosen_length" not in log.extra:
        return Signature("length-driven", title, None, "no lengths logged", cause, advice)
    gap = (log.extra["chosen_length"] - log.extra["rejected_length"])[log.last]
    found = correlation(gap, log.margin[log.last], level)
    evidence = f"correlation {found}; chosen responses are {gap.mean():+.3g} tokens longer"
    if math.isnan(found.value):
        return Signature("length-driven", title, False, "all pairs have the same difference in length", cause, advice)
    return Signature("length-driven", title, bool(abs(found.value) > LENGTH and not found.holds(0.0)), evidence, cause, advice)


def extreme_accuracy(log: PairLog, level: float) -> Signature:
    """Every pair is won, or none."""
    right = float(np.mean(log.margin[log.last] > 0))
    return Signature(
        "accuracy 0 or 1",
        "accuracy is exactly 0 or 1",
        right in (0.0, 1.0),
        f"accuracy {right:.4g} over {int(log.last.sum())} pairs",
        "At 1: training pairs learned by heart, or a cue that gives the label away. At 0: swapped columns, or a policy that "
        "never moved.",
        "Evaluate on held-out pairs.",
        fault=False,
    )


LOOKS: tuple[Look, ...] = (
    identical, constant_reference, moving_reference, wrong_reference, swapped, wrong_beta, stuck, small_beta, displaced,
    saturated, length_driven, extreme_accuracy,
)  # fmt: skip


def _loss(log: PairLog) -> np.ndarray | None:
    return None if log.beta is None else np.logaddexp(0.0, -log.beta * log.margin[log.last])


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
