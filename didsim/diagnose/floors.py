"""How far is the loss above the least that it can be, and does the policy itself rank its pairs as the labels do?

On any law of pairs min DPO loss ≥ ln 2 - JSD(ν‖νᵀ) (derived), which a log of pairs does not hold; but any policy's loss on
given pairs can be compared with that of its own margins rescaled, and a mean loss with softplus of minus the mean margin,
below which Jensen's inequality forbids it.  Reward accuracy says that margins have grown the right way, ranking accuracy that
chosen responses are likelier than rejected ones: π* itself may rank a pair the other way (arXiv 2405.19534).
"""

import math
from typing import Any

import numpy as np

from didsim.diagnose.answers import Answer, unanswered
from didsim.diagnose.intervals import logistic_slope, share
from didsim.diagnose.likelihood import end
from didsim.diagnose.logs import PairLog
from didsim.diagnose.losses import LN2, smoothed_floor, softplus
from didsim.diagnose.means import MeanLog

TRIFLE = 2e-3  # by which rounding may put a loss below its bound
NORMS = "Log the gradient norms of log π(chosen) and log π(rejected) and their cosine (grad_norm_chosen, …, grad_cosine)."


def loss_of_pairs(log: PairLog, level: float) -> Answer:
    """Loss of the last step's pairs against that of the same margins at the best scale, a floor for all runs along their line."""
    if log.beta is None:
        return unanswered("it does not say β.", "Give --beta.")
    if not log.objective.logistic:
        return unanswered(f"{log.objective.name} has another floor.", "")
    margin = log.margin[log.last]
    loss = float(softplus(-log.beta * margin).mean())
    slope = logistic_slope(margin, level).value
    floor = 0.0 if slope == math.inf else LN2 if not slope > 0 else float(softplus(-slope * margin).mean())
    numbers: dict[str, Any] = {"loss (nats)": loss, "least loss of these margins, rescaled (nats)": floor, "ln 2": LN2}
    answer = f"The loss is {loss:.4g}; the same margins at the best scale would have {floor:.4g}, no preference at all 0.6931."
    note = "A fitted floor says nothing of pairs that were not logged; on pairs trained on it is overfitting made visible."
    return Answer(answer, numbers, "", note)


def loss_of_means(log: MeanLog, level: float) -> Answer:
    """Which loss it is, and how far above its bound the last row lies."""
    trained, numbers = log.objective, {"objective": log.objective.name, "told by": log.objective.why}
    if trained.key == "orpo":
        return _log_odds(log, numbers)
    last = _last_row(log)
    if last is None:
        return Answer(f"Loss: {trained.name} ({trained.why}).", numbers)
    margin, loss = last
    bound = _bound(log, margin)
    if bound is None:
        return Answer(f"Loss: {trained.name} ({trained.why}), {loss:.4g} at last.", numbers | {"loss, last row": loss})
    numbers |= {"loss, last row": loss, "margin, last row": margin, "bound by Jensen": bound}
    if trained.key == "cdpo" and (smoothing := trained.parameters.get("smoothing")):
        numbers["least loss, H(ε)"] = smoothed_floor(smoothing)
    numbers |= {
        f"{name}, end": end(values[np.isfinite(values)], level)
        for name, values in (("margin", log.gap), ("loss", log.loss))
        if values is not None
    }
    answer = f"Loss: {trained.name} ({trained.why}), {loss:.4g} at last;"
    if loss < bound - TRIFLE:
        answer += f" its margin of {margin:.4g} forbids less than {bound:.4g}, so the two are means over different batches."
    else:
        answer += f" at its margin of {margin:.4g} at least {bound:.4g} in any run."
    return Answer(answer, numbers, "", "The bound is Jensen's; what lies above it is scatter among pairs.")


def _last_row(log: MeanLog) -> tuple[float, float] | None:
    loss = log.loss
    if loss is None:
        return None
    both = np.flatnonzero(np.isfinite(loss) & np.isfinite(log.gap))
    return (float(log.gap[both[-1]]), float(loss[both[-1]])) if len(both) else None


def _bound(log: MeanLog, margin: float) -> float | None:
    if log.objective.logistic:
        return float(softplus(np.array(-margin)))
    if log.objective.key == "ipo" and log.beta:
        return ((margin - 0.5) / log.beta) ** 2
    if log.objective.key == "cdpo" and (smoothing := log.objective.parameters.get("smoothing")):
        return float(softplus(-margin)) + smoothing * margin
    return None


def _log_odds(log: MeanLog, numbers: dict[str, Any]) -> Answer:
    """ORPO's own measure, log p/(1-p) of chosen less rejected, from first to last."""
    odds = log.means.get("log_odds", np.zeros(0))
    odds = odds[np.isfinite(odds)]
    if len(odds) < 2:
        return Answer(f"Loss: ORPO ({log.objective.why}).", numbers)
    numbers |= {"log-odds, first": float(odds[0]), "log-odds, last": float(odds[-1])}
    way = "rising" if odds[-1] > odds[0] else "falling"
    side = "less" if odds[-1] < 0 else "more"
    answer = f"Loss: ORPO ({log.objective.why}): log-odds {odds[0]:.4g} → {odds[-1]:.4g}, {way};"
    return Answer(f"{answer} chosen responses are {side} likely per token than rejected ones.", numbers)


def ranking(log: PairLog, level: float) -> Answer:
    """Share of pairs whose chosen response is the likelier one, under the policy and the reference, beside reward accuracy."""
    last = log.last
    policy, reference = (share((chosen > rejected)[last], level) for chosen, rejected in (
        (log.chosen, log.rejected), (log.ref_chosen, log.ref_rejected)))  # fmt: skip
    reward = share(log.margin[last] > 0, level)
    numbers = {
        "reward accuracy": reward,
        "ranking accuracy of the policy": policy,
        "ranking accuracy of the reference": reference,
    }
    answer = (
        f"{policy.value:.0%} of chosen responses are likelier than their rejected ones ({reference.value:.0%} under the "
        f"reference), while {reward.value:.0%} of margins have grown the right way."
    )
    return Answer(answer, numbers, "", "Sums favour short responses; π* itself may rank a pair against its label.")


def band(log: PairLog, level: float) -> Answer:
    """Does a step of a margin loss lift chosen and lower rejected?  ρt ≤ 1 ≤ t/ρ, t = ‖s_l‖/‖s_w‖ (arXiv 2604.18239).

    That is s_w·s_l ≤ ‖s_w‖² and s_w·s_l ≤ ‖s_l‖², which holds for a vanishing gradient too.
    """
    if not {"norm_chosen", "norm_rejected", "cosine"} <= set(log.extra):
        return unanswered("no gradient norms are logged.", NORMS)
    last = log.last
    won, lost = (log.extra[f"norm_{side}"][last] for side in ("chosen", "rejected"))
    inner = log.extra["cosine"][last] * won * lost
    falls, rises = inner > won**2, inner > lost**2
    inside = share(~(falls | rises), level)
    numbers = {"inside the band": inside, "chosen falls": share(falls, level), "rejected rises": share(rises, level)}
    answer = f"In {inside.value:.0%} of pairs a step lifts the chosen and lowers the rejected response; in {falls.mean():.0%} the"
    answer += f" chosen one falls, in {rises.mean():.0%} the rejected one rises."
    return Answer(answer, numbers, "" if inside.value > 0.5 else "Reweight the two sides' gradients, d_w/d_l between ρt and t/ρ.")
