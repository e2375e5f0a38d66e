"""What does a log of batch means say, once it has been checked?  One row of means a step, of training or of evaluations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from didsim.diagnose.columns import COLUMNS, Names, exactly, is_finite, is_missing, means, number
from didsim.diagnose.losses import Loss, loss_given, loss_seen
from didsim.diagnose.mean_rows import OWN, judged_columns, speaking_rows, steps_of, without_rewards
from didsim.diagnose.reading import LogError, Rows

SIDES = ("chosen", "rejected")
CLOSE, LOOSE = 1e-2, 0.35  # share of rewards that may be off a multiple of the log-ratios; of differences of coarse numbers
NO_MULTIPLE = "they are no multiple of it"
Means = dict[str, np.ndarray]
GRID_BITS = 16  # low bits of a single-precision number that bfloat16 drops


@dataclass(frozen=True)
class Divergence:
    """Where a run's numbers ended: after step ``after`` (None before the first row), at or before step ``at``."""

    after: float | None
    at: float
    rows: int


class Shown(NamedTuple):
    """The β that a log shows, None if it shows none, how, and by how much another one must differ to contradict it."""

    beta: float | None
    origin: str
    apart: float = 0.01

    def contradicts(self, beta: float | None) -> bool:
        """Whether that cannot be the run's β."""
        return bool(beta and self.beta) and abs(beta / self.beta - 1) > self.apart  # type: ignore


NOT_SHOWN = Shown(None, "unknown")
FITTED = 0.05  # relative error of a β that is fitted, to numbers that may be rounded


@dataclass(frozen=True)
class MeanLog:
    """Batch means by step, as trainers log them; what follows a divergence is left out.

    Attributes:
        path: the file.
        step: training step of each row, ascending.
        means: logged means by meaning, shape (rows,), NaN where a row has none.
        beta: inverse temperature, None if unknown.
        beta_from: where ``beta`` comes from, in words.
        evaluated: whether the rows are evaluations, always on the same pairs.
        objective: the loss that was trained, as far as it can be told.
        notes: what was found odd in the file and how it was read, a sentence each.
        held: last margin, loss and accuracy of evaluations, where the rows are of training.
        diverged: where numbers ended, None if they did not.
        beta_shown: the inverse temperature that the log itself shows, whatever ``beta`` was given.
    """

    path: Path
    step: np.ndarray
    means: Mapping[str, np.ndarray]
    beta: float | None
    beta_from: str
    evaluated: bool
    objective: Loss
    notes: tuple[str, ...]
    held: Mapping[str, float]
    diverged: Divergence | None = None
    beta_shown: Shown = NOT_SHOWN

    @property
    def gap(self) -> np.ndarray:
        """Mean margin: as logged, else the difference of mean rewards."""
        return self.means.get("margin", np.full(len(self.step), math.nan))

    @property
    def unit(self) -> str:
        """Unit of `change`: "reward", β times nats, or "nats" where rewards are not logged but a reference is."""
        rewards = self.means.get("reward_chosen")
        return "nats" if rewards is None and {"chosen", "ref_chosen"} <= set(self.means) else "reward"

    def change(self, side: str) -> np.ndarray:
        """Mean change of one side since the reference, in ``unit``; NaN where it is not logged."""
        if self.unit == "nats":
            return (
                self.means[side] - self.means[f"ref_{side}"] if f"ref_{side}" in self.means else np.full(len(self.step), math.nan)
            )
        return self.means.get(f"reward_{side}", np.full(len(self.step), math.nan))

    @property
    def loss(self) -> np.ndarray | None:
        """The loss that belongs to the margins, without an added NLL; None where what is logged is not that."""
        if "loss" not in self.means or self.objective.scale > 1:
            return None
        if self.objective.key == "rpo":
            weight = self.objective.parameters.get("weight")
            return self.means["loss"] - weight * self.means["nll"] if weight and "nll" in self.means else None
        return self.means["loss"]


def mean_log(rows: Rows, found: Names, beta: float | None, objective: str | None = None) -> MeanLog:
    """The checked log of batch means.

    Raises:
        LogError: there are no rewards, margins or referenced log-probabilities, a value is not allowed, or rows are too few.
    """
    names, evaluated, held_names = judged_columns(rows, found)
    notes: list[str] = []
    rows, kept = speaking_rows(rows, found, names, notes)
    step, kept = steps_of(rows, found, kept, notes)
    without_rewards(rows, names, kept, notes)
    values, lost = {}, {}
    for meaning in COLUMNS:
        if meaning in names and meaning not in ("step", "example", "epoch"):
            values[meaning], lost[meaning] = means(rows, names[meaning], meaning, kept)
    _join_loss(rows, names, kept, values, lost)
    if "margin" not in values:
        values["margin"] = values["reward_chosen"] - values["reward_rejected"] if {*OWN[:2]} <= set(values) else step * math.nan
    ended = _ended(values, lost, step)
    sound = slice(0, len(step) - (ended.rows if ended else 0))
    _gaps(values, lost, sound, notes)
    values = {meaning: column[sound] for meaning, column in values.items() if np.isfinite(column[sound]).any()}
    step = step[sound]
    if ended is None and len(step) < 2:
        only = f"only step {exactly(step[0])}" if len(step) else "none with numbers"
        raise LogError(f"{rows.path.name}: a log must have at least two steps, but has {only}.")
    grid = coarse(values)
    if grid:
        notes.append(f"Numbers are rounded to bfloat16, to {grid}: coarse.")
    shown = _beta(values, bool(grid))
    beta, origin = (beta, "given") if beta is not None else shown[:2]
    notes += _odd(values, bool(grid))
    seen = loss_seen(values, beta) if objective is None else loss_given(objective)
    held = {meaning: _last(rows, name) for meaning, name in held_names.items() if meaning in ("margin", "loss", "accuracy")}
    held = {meaning: value for meaning, value in held.items() if value is not None}
    return MeanLog(rows.path, step, values, beta, origin, evaluated, seen, tuple(notes), held, ended, shown)


# Which numbers?


def _last(rows: Rows, name: str) -> float | None:
    entries = [found for value in rows.columns[name] if (found := number(value)) is not None and math.isfinite(found)]
    return entries[-1] if entries else None


def _join_loss(rows: Rows, names: Mapping[str, str], kept: Sequence[int], values: Means, lost: Means) -> None:
    """Takes the loss from the row that follows, where losses have rows of their own."""
    own = set(kept)
    for meaning in ("loss", "rate", "grad_norm"):
        if meaning not in values:
            continue
        column = rows.columns[names[meaning]]
        apart = not np.isfinite(values[meaning]).any() and any(is_finite(column[at]) for at in range(len(rows)) if at not in own)
        for place, at in enumerate(kept):
            after = at + 1
            follows = after < len(rows) and after not in own and is_finite(column[after])
            if math.isnan(values[meaning][place]) and follows and (apart or is_missing(column[at])):
                values[meaning][place] = number(column[after])
        if apart:  # what a frame holds as NaN, since it stands in another row
            lost[meaning] = np.zeros(len(kept), bool)


def _ended(values: Means, lost: Means, step: np.ndarray) -> Divergence | None:
    """The rows at the end that have no finite rewards or loss, and no finite gradient.

    A mean over no example, as KTO logs where a batch has one class only, is NaN too, but leaves the gradient finite.
    """
    own = [meaning for meaning in OWN if meaning in lost] or [meaning for meaning in SIDES if meaning in lost]
    sound = np.any([np.isfinite(values[meaning]) for meaning in own], axis=0)
    gone = np.any([lost[meaning] for meaning in own], axis=0) & ~sound
    # A loss or gradient that is nowhere a number beside rewards that are is no datum of the log.
    other = np.any([lost[name] & np.isfinite(values[name]).any() for name in ("loss", "grad_norm") if name in lost], axis=0)
    gone, hole = gone | (other & ~sound), other & sound
    # A loss or gradient that is not finite and comes back has ended nothing: a skipped step, or how a frame writes a gap.
    recovered = _longest(hole & _followed(~(gone | hole)))
    end = slice(len(step) - _at_end(gone | hole), None)
    gone = gone | hole if gone[end].any() or _at_end(gone | hole) > recovered else gone
    if "grad_norm" in lost:
        gone &= ~np.isfinite(values["grad_norm"])
    rows = _at_end(gone)
    if rows == 0 or (rows < 3 and "kl" in values and "grad_norm" not in values):
        return None
    before = len(step) - rows
    return Divergence(float(step[before - 1]) if before else None, float(step[before]), rows)


def _at_end(hit: np.ndarray) -> int:
    """How many entries at the end are hit, one after another."""
    return len(hit) if hit.all() else int(np.argmin(hit[::-1]))


def _longest(hit: np.ndarray) -> int:
    """The most entries that are hit one after another."""
    return max((len(run) for run in np.split(hit, np.flatnonzero(np.diff(hit)) + 1) if run.any()), default=0)


def _followed(hit: np.ndarray) -> np.ndarray:
    """Which entries have a later one that is hit."""
    return np.logical_or.accumulate(hit[::-1])[::-1]


def _gaps(values: Means, lost: Means, sound: slice, notes: list[str]) -> None:
    own = [lost[meaning][sound] for meaning in OWN if meaning in lost]
    rows = int(np.any(own, axis=0).sum()) if own else 0
    if rows:
        notes.append(f"{rows} rows have no finite reward on one side or both: missing data, left out.")


def coarse(values: Mapping[str, np.ndarray]) -> str:
    """The step of the grid in words where log-probabilities lie on bfloat16's, else nothing."""
    columns = [values[name] for name in ("chosen", "rejected", "ref_chosen", "ref_rejected") if name in values]
    for column in columns:
        finite = column[np.isfinite(column) & (column != 0)]
        with np.errstate(over="ignore"):
            bits = np.asarray(finite, np.float32)
        on = (bits.astype(float) == finite) & (bits.view(np.uint32) & ((1 << GRID_BITS) - 1) == 0)
        if len(np.unique(finite)) >= 4 and on.all():
            low, high = (2.0 ** (math.floor(math.log2(abs(end))) - 7) for end in (np.abs(finite).min(), np.abs(finite).max()))
            return f"steps of {low:g} nat{'' if low == 1 else 's'}" if low == high else f"steps of {low:g} to {high:g} nats"
    return ""


def _beta(values: Mapping[str, np.ndarray], rounded: bool) -> Shown:
    """β from its own column, or fitted where rewards and log-probabilities of the same rows are in proportion."""
    if "beta" in values:
        column = values["beta"][np.isfinite(values["beta"])]
        same = np.ptp(column) == 0
        return Shown(float(column[0]), "from the log") if same else Shown(None, "unknown: it changes in the log")
    for kind in ("referenced", "same pairs", "no reference"):
        found = _fit(values, kind, rounded)
        if found:
            return Shown(found, "fitted to rewards and log-probabilities", 2 * FITTED if rounded else FITTED)
    return NOT_SHOWN


def _odd(values: Mapping[str, np.ndarray], rounded: bool) -> list[str]:
    """What is clearly odd of mean rewards; means over other batches than the log-probabilities' are no multiple of these."""
    if not {*OWN[:2], *SIDES, *(f"ref_{side}" for side in SIDES)} <= set(values):
        return []
    columns = [values[side] - values[f"ref_{side}"] for side in SIDES], [values[f"reward_{side}"] for side in SIDES]
    both = np.all(np.isfinite(np.stack(columns[0] + columns[1])), axis=0)
    changes, rewards = ([column[both] for column in part] for part in columns)
    found = odd_rewards(changes, rewards, LOOSE if rounded else CLOSE) if both.sum() >= 3 else []
    return [note for note in found if NO_MULTIPLE not in note]


def odd_rewards(changes: Sequence[np.ndarray], rewards: Sequence[np.ndarray], allowed: float) -> list[str]:
    """In words why logged rewards are no positive multiple of the log-ratios, chosen and rejected; nothing where they are."""
    x, y = np.concatenate(changes), np.concatenate(rewards)
    if proportion(x, y, allowed) or not (np.any(x) or np.any(y)):
        return []
    if np.ptp(y) == 0:
        why = f"all are {y[0]:.3g}"
    elif proportion(x, -y, allowed):
        why = "they have the opposite sign"
    elif proportion(x, np.concatenate(rewards[::-1]), allowed):
        why = "those of chosen and rejected responses are swapped"
    else:
        why = NO_MULTIPLE
    return [f"Logged rewards are not β·log(π_θ/π_ref): {why}."]


def _fit(values: Mapping[str, np.ndarray], kind: str, rounded: bool) -> float | None:
    xs, ys = [], []
    for side in SIDES:
        if not {side, f"reward_{side}"} <= set(values) or (kind == "referenced" and f"ref_{side}" not in values):
            continue
        x, y = values[side] - (values[f"ref_{side}"] if kind == "referenced" else 0.0), values[f"reward_{side}"]
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() < 3:
            continue
        x, y = x[both], y[both]
        # On pairs that stay the same the reference is a constant, which centring removes.
        xs.append(x - x.mean() if kind == "same pairs" else x)
        ys.append(y - y.mean() if kind == "same pairs" else y)
    loose = rounded and kind == "referenced"
    return proportion(np.concatenate(xs), np.concatenate(ys), LOOSE if loose else CLOSE) if xs else None


def proportion(x: np.ndarray, y: np.ndarray, allowed: float = CLOSE) -> float | None:
    """``b`` of ``y = bx`` if that holds to a share of y and is positive."""
    if not np.any(x):
        return None
    slope = float(x @ y / (x @ x))
    return slope if slope > 0 and np.linalg.norm(y - slope * x) <= allowed * np.linalg.norm(y) else None
