"""Which loss was trained?  Told from columns and from the values that only one loss takes; or given by name.

Means over batches obey what holds for every pair.  With m the mean margin β(h_w - h_l) of a batch, Jensen's inequality gives
mean DPO loss ≥ softplus(-m), mean cDPO loss ≥ softplus(-m) + εm, mean IPO loss ≥ ((m - ½)/β)²; at m = 0 the three start at
ln 2, ln 2 and (1/2β)², KTO's at ½, hinge's at 1 (derived from the losses' formulas).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from didsim.diagnose.columns import number
from didsim.numerics import checks
from didsim.numerics.errors import ArgumentError

NEAR = 0.1  # |mean margin| at which a loss is still so near its start that scatter among pairs adds less than 1 %
CLOSE = 0.02  # relative distance at which a loss counts as the value that a formula gives
LN2 = math.log(2.0)
# Name as people write it, and the parameters that may be given with it.
KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "dpo": ("DPO", ()),
    "cdpo": ("cDPO", ("smoothing",)),
    "rpo": ("DPO with an NLL term", ("weight",)),
    "dpop": ("DPOP", ("weight",)),
    "ipo": ("IPO", ()),
    "hinge": ("the hinge loss", ()),
    "kto": ("KTO", ()),
    "orpo": ("ORPO", ()),
    "simpo": ("a loss without reference (SimPO, CPO)", ()),
    "unknown": ("another loss than DPO's", ()),
}
WITHOUT_REFERENCE = ("orpo", "simpo")
# Checks that a loss does not share with DPO.
WITHHELD: dict[str, tuple[str, ...]] = {
    "cdpo": ("saturated",),
    "ipo": ("saturated", "scaled loss"),
    "hinge": ("saturated", "scaled loss"),
    "kto": ("swapped", "scaled loss"),
    "orpo": ("stuck", "wrong reference", "swapped", "displaced", "saturated", "scaled loss", "accuracy 0 or 1"),
    "simpo": ("stuck", "wrong reference", "displaced", "saturated", "scaled loss"),
    "unknown": ("scaled loss",),
}


@dataclass(frozen=True)
class Loss:
    """The loss that a run minimises.

    Attributes:
        key: a name in ``KNOWN``.
        why: what says so.
        parameters: ``smoothing`` ε of cDPO, ``weight`` of an added term, where known.
        scale: number of batches over which the logged loss is summed where it should be their mean, 1 otherwise.
    """

    key: str = "dpo"
    why: str = "assumed"
    parameters: Mapping[str, float] = field(default_factory=dict)
    scale: int = 1

    @property
    def name(self) -> str:
        """As people write it, with its parameters."""
        return ", ".join([KNOWN[self.key][0], *(f"{name} {value:.3g}" for name, value in self.parameters.items())])

    @property
    def logistic(self) -> bool:
        """Whether the loss of a pair is softplus(-margin), up to terms whose parameters are known."""
        return self.key in ("dpo", "rpo", "dpop")

    @property
    def referenced(self) -> bool:
        """Whether rewards are relative to a reference."""
        return self.key not in WITHOUT_REFERENCE

    def withholds(self, check: str) -> bool:
        """Whether a check belongs to DPO and not to this loss."""
        return check in WITHHELD.get(self.key, ())


def loss_given(text: str) -> Loss:
    """The loss that somebody names: ``ipo`` or ``cdpo:smoothing=.1``.

    Raises:
        ArgumentError: there is none of that name, it has no such parameter or not of that value, or it comes twice.
    """
    word, colon, rest = text.partition(":")
    key = checks.did_you_mean("--objective", word.strip().lower().replace("-", "").replace("_", ""), KNOWN)
    parameters: dict[str, float] = {}
    for part in rest.split(",") if colon else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ArgumentError(f"Argument `--objective` must be name or name:parameter=number, but is {text!r}.")
        if name in parameters:
            raise ArgumentError(f"Argument `--objective` must name each parameter once, but is {text!r}.")
        found = number(value)
        if name not in KNOWN[key][1]:
            allowed = ", ".join(KNOWN[key][1]) or "no parameter"
            raise ArgumentError(f"Argument `--objective` must give {key} {allowed}, but gives {name!r}.")
        if found is None or not (0 < found < (0.5 if name == "smoothing" else math.inf)):
            limit = "in (0, 0.5)" if name == "smoothing" else "positive and finite"
            raise ArgumentError(f"Argument `--objective` must have {name} {limit}, but has {value!r}.")
        parameters[name] = found
    return Loss(key, "given", parameters)


def softplus(x: np.ndarray | float) -> Any:
    """``log(1 + e^x)``."""
    return np.logaddexp(0.0, x)


def smoothed_floor(smoothing: float) -> float:
    """H(ε), the least value of cDPO's loss, taken at the margin logit(1 - ε)."""
    return -smoothing * math.log(smoothing) - (1 - smoothing) * math.log1p(-smoothing)


def loss_seen(means: Mapping[str, np.ndarray], beta: float | None) -> Loss:
    """The loss that batch means show.

    Args:
        means: batch means by meaning, each of shape (rows,), NaN where there is none.
        beta: inverse temperature if known.
    """
    if _any(means, "log_odds") or _any(means, "log_odds_ratio"):
        return Loss("orpo", "log-odds are logged", {})
    margin, loss = means.get("margin"), means.get("loss")
    nothing = np.zeros(0)
    margin, loss = (margin, loss) if margin is not None and loss is not None else (nothing, nothing)
    both = np.isfinite(margin) & np.isfinite(loss)
    near = both & (np.abs(margin) <= NEAR) if both.any() else both
    starts_at_ln2 = bool(near.any()) and abs(loss[near][0] - softplus(-margin[near][0])) <= CLOSE
    if _any(means, "kl") and not starts_at_ln2:
        return Loss("kto", "a KL is logged")
    if (found := _reference_free(means)) is not None:
        return found
    if not both.any():
        return Loss("dpo", "assumed, no loss is logged")
    return _by_value(means, margin, loss, both, near, beta)


def _any(means: Mapping[str, np.ndarray], name: str) -> bool:
    return name in means and bool(np.isfinite(means[name]).any())


def _reference_free(means: Mapping[str, np.ndarray]) -> Loss | None:
    """Rewards that are one multiple of log-probabilities themselves hold no reference."""
    ratios = []
    for side in ("chosen", "rejected"):
        if side in means and f"reward_{side}" in means:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = means[f"reward_{side}"] / means[side]
            ratios.append(ratio[np.isfinite(ratio)])
    if len(ratios) < 2 or min(map(len, ratios)) < 3:
        return None
    every = np.concatenate(ratios)
    middle = float(np.median(every))
    if middle <= 0 or np.abs(every - middle).max() > 1e-2 * middle:
        return None
    return Loss("simpo", f"rewards are {middle:.3g} times the log-probabilities, so there is no reference in them")


def _by_value(means, margin, loss, both, near, beta: float | None) -> Loss:
    """The loss by the values that it takes, first where margins are near zero."""
    nll = means.get("nll")
    if near.any() and nll is not None and np.nanmax(np.abs(nll), initial=0.0) > 1e-6:
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = float(np.nanmedian(((loss - softplus(-margin)) / nll)[near]))
        if weight > CLOSE:
            weight = round(weight, 2) if abs(weight - round(weight, 2)) < 5e-3 else weight
            return Loss("rpo", "an NLL is logged, without which the loss starts at ln 2", {"weight": weight})
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = loss / softplus(-margin)
    if near.any():
        start = float(loss[near][0])
        scale = round(float(np.median(ratio[near])))
        if _is_ipo(margin[both], loss[both], margin[near][0], start, beta):
            return Loss("ipo", "the loss starts at (1/2β)² and falls as (margin/β - 1/2β)²")
        # A sum of DPO's losses is at no margin below the sum at the mean margin (Jensen).
        if scale >= 2 and _constant(ratio, margin, near, scale) and np.median(ratio[both]) >= scale * (1 - CLOSE):
            return Loss("dpo", f"the loss starts at {scale}·ln 2", {}, scale)
        if abs(start - 1.0) <= CLOSE + abs(float(margin[near][0])):
            return Loss("hinge", "the loss starts at 1")
        if abs(start - 0.5) <= CLOSE:
            return Loss("kto", "the loss starts at ½")
        if abs(start - float(softplus(-margin[near][0]))) > 0.05:
            return Loss("unknown", f"the loss starts at {start:.3g}, not at ln 2")
    if float(np.median(loss[both] - softplus(-margin[both]))) < -CLOSE:
        return Loss("unknown", "the loss lies below softplus(-margin), which DPO's never does")
    if (smoothing := _smoothing(means, margin[both], loss[both])) is not None:
        return Loss("cdpo", "the loss stays above softplus(-margin) by ε·margin at all margins", {"smoothing": smoothing})
    return Loss("dpo", "the loss starts at ln 2" if near.any() else "assumed, the loss allows it")


def _constant(ratio, margin, near, scale: int) -> bool:
    """Whether the loss is `scale` times DPO's in most rows, those that have moved among them."""
    moved = near & (np.abs(margin) > 0.02)
    return all(abs(float(np.median(ratio[rows])) / scale - 1) <= CLOSE for rows in (near, moved) if rows.any())


def _is_ipo(margin, loss, first: float, start: float, beta: float | None) -> bool:
    if start <= 0:
        return False
    implied = (0.5 - first) / math.sqrt(start)
    if beta is not None and abs(implied / beta - 1) > 0.1:
        return False
    bound = ((0.5 - margin) / (beta or implied)) ** 2
    above = bool(np.median(loss / np.maximum(bound, 1e-12)) >= 1 - CLOSE)
    return above and _falls_as_square(margin, loss, first, start, still=beta is not None)


def _falls_as_square(margin, loss, first: float, start: float, *, still: bool) -> bool:
    """Whether the loss follows the margin as IPO's does, nearer than as DPO's does; ``still`` where no margin has moved."""
    moved = margin > first + 0.05
    if not moved.any():
        return still
    square = ((0.5 - margin[moved]) / (0.5 - first)) ** 2
    logistic = softplus(-margin[moved]) / softplus(np.array(-first))
    fall = loss[moved] / start
    return bool(np.median(np.abs(fall - square) - np.abs(fall - logistic)) < 0)


def _smoothing(means: Mapping[str, np.ndarray], margin: np.ndarray, loss: np.ndarray) -> float | None:
    """ε of cDPO where nearly every pair is won and the excess over softplus(-margin) is the same multiple of the margin."""
    moved = margin > NEAR
    accuracy = means.get("accuracy")
    if moved.sum() < 3 or accuracy is None or not np.nanmedian(accuracy[-3:]) >= 0.95:
        return None
    shares = (loss - softplus(-margin))[moved] / margin[moved]
    middle = float(np.median(shares))
    if not 5e-3 < middle < 0.45 or float(np.std(shares)) > 0.15 * middle:
        return None
    spread = float(margin[moved].max() / margin[moved].min())
    at_optimum = abs(float(loss[-1]) / smoothed_floor(middle) - 1) <= 2 * CLOSE
    return round(middle, 2) if spread >= 1.5 or at_optimum else None
