"""Which known faults do batch means show?  The table of faults of a ``MeanLog``, gravest first."""

import math

import numpy as np

from didsim.diagnose.answers import LOG_PAIRS
from didsim.diagnose.intervals import Estimate
from didsim.diagnose.likelihood import LEAST_FALL, below, end, ends
from didsim.diagnose.losses import LN2, smoothed_floor, softplus
from didsim.diagnose.means import SIDES, MeanLog
from didsim.diagnose.signatures import (
    BOTH_LOSE,
    DIVERGED,
    GRADIENT_GONE,
    NOISE,
    RELATIVE_NOISE,
    STILL,
    Seen,
    numbers_end,
    of_means,
    other_beta,
)

HARDLY = 0.05  # |mean margin| up to which the loss is within 4 % of ln 2
EARLY, LATE = 0.05, 0.1  # share of the learning done by the first row: what is there by then is no work of it, may be
AT_ONCE = 0.5  # share of the final level that makes such a level one of the start
SCATTERS = 3.3  # standard errors that two stretches of a log may differ by where nothing moves
ALL_BUT_GONE = 4.0  # |reward| from which σ is flat


@of_means(DIVERGED)
def _diverged(log: MeanLog, level: float) -> Seen:
    norm = log.means.get("grad_norm", np.zeros(0))
    norm = norm[np.isfinite(norm)]
    gradient = f"; gradient norm {norm[-1]:.3g} just before, {norm[:-1].max():.3g} at most until then" if len(norm) > 1 else ""
    found = log.diverged is not None
    return found, f"{numbers_end(log)}{gradient if found else ''}"


@of_means(
    "stuck",
    cause="The learning rate is zero or far too small, the trained weights are frozen, or policy and reference are one object.",
    advice="Check that gradients reach the weights; raise the learning rate tenfold on a few pairs until the loss moves.",
)
def _stuck(log: MeanLog, level: float) -> Seen:
    if log.objective.key == "kto":
        last = [ends(log, side, level).value for side in SIDES]
        return all(abs(value) < STILL for value in last), f"mean rewards end at {last[0]:.3g} and {last[1]:.3g}"
    gap = _margin_end(log, level)
    if math.isnan(gap.value):
        return None, "no margins"
    least = 0.05 * 0.5 if log.objective.key == "ipo" else HARDLY  # IPO asks for a margin of ½ in reward
    evidence = f"mean margin at the end {gap}, largest {float(np.nanmax(np.abs(log.gap))):.3g}"
    if log.objective.scale > 1:
        evidence += f"; the loss of such a margin is {float(softplus(-np.array(gap.value))):.3g}"
    if (log.objective.logistic or log.objective.key == "cdpo") and log.loss is not None:
        evidence = f"loss {_last(log.loss):.4g} against ln 2 = 0.6931; {evidence}"
    return abs(gap.value) < least and abs(float(np.nanmean(log.gap))) < least, evidence


@of_means(
    "wrong reference",
    cause="Reference log-probabilities come from another model than the one training started from: a base below an adapter, "
    "another checkpoint, template or tokeniser.",
    advice="Compute reference log-probabilities with the very weights training starts from; the first row must be near zero.",
)
def _wrong_reference(log: MeanLog, level: float) -> Seen:
    found = {side: _off_at_start(log, side) or _at_once(log, side) for side in SIDES}
    done = _done(log)
    first = {side: _first(log, side) for side in SIDES}
    shown = ", ".join(f"{side} {value:.3g}" for side, value in first.items() if not math.isnan(value))
    if not len(log.step) or not shown:
        return None, "no first row to judge by"
    evidence = f"at step {log.step[0]:g}, {done:.1%} of the learning done: {shown}"
    if any(found.values()):
        last = ", ".join(f"{side} {ends(log, side, level).value:.3g}" for side in SIDES)
        return True, f"{evidence}; at the end {last}"
    return (None if done > LATE else False), evidence


@of_means(
    "swapped",
    cause="Chosen and rejected are swapped in the data or the log, or these labels contradict those trained on.",
    advice="Look at a few pairs by eye.",
)
def _swapped(log: MeanLog, level: float) -> Seen:
    gap = _margin_end(log, level)
    if math.isnan(gap.value):
        return None, "no margins"
    return below(gap) and gap.value < -HARDLY, f"mean margin at the end {gap}"


@of_means("wrong β")
def _wrong_beta(log: MeanLog, level: float) -> Seen:
    if log.beta_shown.beta is None:
        return None, "the log shows no β", {"advice": ""}
    found = log.beta_shown.contradicts(log.beta)
    return found, other_beta(log) if found else f"the log shows β = {log.beta_shown.beta:.4g}"


@of_means(
    "displaced",
    cause="Chosen responses typical of the reference, or two sides that share features; third responses take the probability.",
    advice=f"Add a term for chosen likelihood (DPOP, NLL) if it matters. {LOG_PAIRS}",
)
def _displaced(log: MeanLog, level: float) -> Seen:
    chosen, rejected = (ends(log, side, level) for side in SIDES)
    if math.isnan(chosen.value):
        return None, "what chosen responses gained is not logged"
    what = "change in nats" if log.unit == "nats" else "reward"
    logged = {side: at for side, at in (("chosen", chosen), ("rejected", rejected)) if not math.isnan(at.value)}
    evidence = f"mean {what} at the end: {', '.join(f'{side} {at}' for side, at in logged.items())}"
    last = [_last(log.change(side)) for side in logged]
    evidence += "" if log.evaluated else f"; last row {_listed(last)}"
    if log.unit == "reward" and log.beta:
        evidence += f"{',' if log.evaluated else ' ='} {_listed([one / log.beta for one in last])} nats"
    found = below(chosen) and chosen.value < -_trifle(log)
    if found and _at_once(log, "chosen"):
        return False, f"{evidence}; it was there from the first row"
    return found, evidence, BOTH_LOSE if below(rejected) else {}


@of_means(
    "saturated",
    cause="The pairs are too easy or learned by heart, or β is too large.",
    advice="Stop here; harder or fresh pairs, or a loss with a finite target (IPO), would teach more.",
)
def _saturated(log: MeanLog, level: float) -> Seen:
    norm = log.means.get("grad_norm", np.zeros(0))
    norm = norm[np.isfinite(norm)]
    large = max((abs(_last(log.change(side))) for side in SIDES), default=math.nan)
    if len(norm) >= 2 and not norm[-2:].any() and large > ALL_BUT_GONE and log.unit == "reward":
        return True, f"gradient norm 0 in the last rows at mean rewards of {large:.4g} in size"
    gap = _last(log.gap)
    if not log.objective.logistic or log.loss is None:
        margin = f"mean margin of the last row {gap:.3g}" if math.isfinite(gap) else "no margins"
        return None, f"{margin}, no loss of DPO to bound the gradient"
    loss = _last(log.loss)
    # For every pair σ(-m) = 1 - e^{-loss} <= loss, so the mean loss bounds the mean weight of the gradient.
    found = 2 * loss < GRADIENT_GONE and not gap < ALL_BUT_GONE
    weight = f", σ(-margin) {1 / (1 + math.exp(min(gap, 700.0))):.2g}" if math.isfinite(gap) else ""
    return found, f"last row: loss {loss:.3g}, so at most {2 * loss:.2g} of the first gradient; margin {gap:.4g}{weight}"


@of_means(
    "scaled loss",
    title="the logged loss is a sum over batches",
    cause="The trainer sums the loss over accumulated batches and logs it without dividing by their number.",
    advice="Divide the loss by the number of accumulated batches; see whether gradients, and so the learning rate, are too.",
)
def _scaled(log: MeanLog, level: float) -> Seen:
    scale = log.objective.scale
    if "loss" not in log.means:
        return None, "no loss"
    return scale > 1, f"the loss is {scale} times ln 2 where margins are zero" if scale > 1 else "the loss starts where it should"


@of_means("accuracy 0 or 1", cause="At 1: pairs learned by heart. At 0: swapped columns, or a policy that never moved.")
def _accuracy(log: MeanLog, level: float) -> Seen:
    if "accuracy" not in log.means:
        return None, "no accuracies logged", {"advice": ""}
    last = _last(log.means["accuracy"])
    words = {"cause": "All evaluated pairs are ranked alike.", "advice": ""} if log.evaluated or log.held else {}
    return last in (0.0, 1.0), f"accuracy {last:.4g}", words


def optimum(log: MeanLog) -> str:
    """Where a smoothed run stands against its optimum, for people; nothing for other losses."""
    smoothing = log.objective.parameters.get("smoothing")
    if log.objective.key != "cdpo" or not smoothing:
        return ""
    best, floor = math.log(1 / smoothing - 1), smoothed_floor(smoothing)
    margin, loss = _last(log.gap), _last(log.means.get("loss", np.zeros(0)))
    where = "at the smoothed optimum" if abs(loss / floor - 1) < 0.05 else "above the smoothed optimum"
    return f"It is {where}: margin {margin:.4g} against {best:.4g}, loss {loss:.4g} against H(ε) = {floor:.4g}."


def _margin_end(log: MeanLog, level: float) -> Estimate:
    gap = log.gap[np.isfinite(log.gap)]
    if not len(gap):
        return Estimate(math.nan)
    return Estimate(float(gap[-1])) if log.evaluated else end(gap, level)


def _listed(values: list[float]) -> str:
    return ", ".join(f"{one:.4g}" for one in values)


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else math.nan


def _first(log: MeanLog, side: str) -> float:
    return _first_of(log.change(side)) if len(log.step) else math.nan


def _first_of(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[0]) if len(finite) else math.nan


def _trifle(log: MeanLog) -> float:
    """The change that is of no consequence, in the log's unit."""
    return LEAST_FALL if log.unit == "nats" else min(STILL, 5 * LEAST_FALL * log.beta) if log.beta else STILL


def _done(log: MeanLog) -> float:
    """Share of the learning that the first row may have seen: of the summed learning rate where it is logged, else of steps."""
    if len(log.step) < 2:
        return math.nan
    rate = log.means.get("rate")
    if rate is None or not np.isfinite(rate).all() or not rate.any():
        return float(log.step[0] / log.step[-1])
    steps, rates = np.concatenate([[0.0], log.step]), np.concatenate([[0.0], rate])
    # Up to the first row the rate rises from 0 if it is still rising there, else it may have been as high from the start.
    rates[0] = 0.0 if rates[1] < 0.9 * rate.max() else rates[1]
    areas = np.diff(steps) * (rates[1:] + rates[:-1]) / 2
    return float(areas[0] / areas.sum()) if areas.sum() > 0 else float(log.step[0] / log.step[-1])


def _off_at_start(log: MeanLog, side: str) -> bool:
    """Whether a side is off zero before anything was learned, as an evaluation at step 0 may show: there the policy is π_ref."""
    first = _first(log, side)
    if math.isnan(first) or _done(log) != 0.0:
        return False
    logp = _first_of(log.means.get(side, np.zeros(0)))
    noise = NOISE + RELATIVE_NOISE * (0.0 if math.isnan(logp) else abs(logp))
    return abs(first) > max(2 * STILL, 2 * _trifle(log), noise * (1.0 if log.unit == "nats" else log.beta or 0.0))


def _at_once(log: MeanLog, side: str) -> bool:
    """Whether a side's level is there from the first row: no work of training, so the reference is off by it.

    Either nothing moves while margins stay at zero, or half the final level is there before a twentieth of the learning is done.
    A mean loss over the first k steps holds the first step's ln 2, so that it is at least ln 2/k in a run that starts at its
    reference (derived); a lower one settles it up to a tenth of the learning.
    """
    values = log.change(side)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return False
    scatter = float(np.std(np.diff(values)) / math.sqrt(2))
    middle = float(values.mean())
    gap = log.gap[np.isfinite(log.gap)]
    if len(values) >= 8 and len(gap) and abs(float(gap.mean())) < HARDLY and abs(middle) > _trifle(log):
        half = len(values) // 2
        error = scatter / math.sqrt(half)
        moved = abs(float(values[half:].mean() - values[:half].mean()))
        near = abs(float(values[0]) - middle) <= SCATTERS * scatter
        still = moved <= SCATTERS * error * math.sqrt(2) and moved < AT_ONCE * abs(middle)
        if near and still and abs(middle) > SCATTERS * error / math.sqrt(2):
            return True
    first, last, done = float(values[0]), float(values[-3:].mean()), _done(log)
    if abs(first) < max(5 * scatter, 2 * STILL, 2 * _trifle(log)) or first * last < 0:
        return False
    loss = log.loss
    too_low = loss is not None and log.step[0] >= 1 and log.objective.logistic and float(loss[0]) * log.step[0] < LN2
    return abs(first) >= AT_ONCE * abs(last) and (done <= EARLY or (done <= LATE and too_low))
