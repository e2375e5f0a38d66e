"""What does a log of batch means say, once it has been checked?  One row of means a step, of training or of evaluations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from didsim.diagnose.columns import COLUMNS, Names, is_missing, means, missing, number, of_split
from didsim.diagnose.losses import Loss, loss_given, loss_seen
from didsim.diagnose.names import EVALUATION, TRAIN, meant
from didsim.diagnose.reading import LogError, Rows

SIDES = ("chosen", "rejected")
OWN = ("reward_chosen", "reward_rejected", "margin")
GRID_BITS = 16  # low bits of a single-precision number that bfloat16 drops


@dataclass(frozen=True)
class Divergence:
    """Where a run's numbers ended: after step ``after`` (None before the first row), at or before step ``at``."""

    after: float | None
    at: float
    rows: int


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
    names, evaluated, held_names = _which(rows, found)
    if not _telling(names) and "margin" not in names:
        raise missing(rows, names | held_names)
    kept = [at for at in range(len(rows)) if any(not is_missing(rows.columns[name][at]) for name in _speaking(names))]
    if not kept:
        raise missing(rows, {})
    notes: list[str] = []
    step, kept = _steps(rows, found, kept, notes)
    _left_out(rows, names, kept, notes)
    values, lost = {}, {}
    for meaning in COLUMNS:
        if meaning in names and meaning not in ("step", "example", "epoch"):
            values[meaning], lost[meaning] = means(rows, names[meaning], meaning, kept)
    _join_loss(rows, names, kept, values)
    if "margin" not in values:
        values["margin"] = values["reward_chosen"] - values["reward_rejected"] if {*OWN[:2]} <= set(values) else step * math.nan
    ended = _ended(values, lost, step)
    sound = slice(0, len(step) - (ended.rows if ended else 0))
    _gaps(values, lost, sound, notes)
    values = {meaning: column[sound] for meaning, column in values.items() if np.isfinite(column[sound]).any()}
    step = step[sound]
    if ended is None and len(step) < 2:
        only = f"only step {step[0]:g}" if len(step) else "none with numbers"
        raise LogError(f"{rows.path.name}: a log must have at least two steps, but has {only}.")
    grid = coarse(values)
    if grid:
        notes.append(f"Numbers are rounded to bfloat16, to {grid}: coarse.")
    beta, origin = (beta, "given") if beta is not None else _beta(values, bool(grid))
    seen = loss_given(objective) if objective else loss_seen(values, beta)
    held = {meaning: _last(rows, name) for meaning, name in held_names.items() if meaning in ("margin", "loss", "accuracy")}
    held = {meaning: value for meaning, value in held.items() if value is not None}
    return MeanLog(rows.path, step, values, beta, origin, evaluated, seen, tuple(notes), held, ended)


# Which rows?


def _telling(names: Mapping[str, str]) -> bool:
    return "reward_chosen" in names or {"chosen", "ref_chosen"} <= set(names)


def _speaking(names: Mapping[str, str]) -> list[str]:
    """Columns whose entries make a row one of means."""
    own = [names[meaning] for meaning in OWN if meaning in names]
    return own or [names[meaning] for meaning in ("chosen", "ref_chosen") if meaning in names]


def _which(rows: Rows, found: Names) -> tuple[dict[str, str], bool, dict[str, str]]:
    """Columns of the rows to judge, whether they are evaluations, and those of evaluations beside training rows."""
    training, held = of_split(found, "", TRAIN), of_split(found, EVALUATION)
    if _unmarked(rows, found):  # a notebook's table: one row an evaluation, whose loss alone says so
        return of_split(found, EVALUATION, ""), True, {}
    count = max((_count(rows, held[meaning]) for meaning in ("reward_chosen",) if meaning in held), default=0)
    trained = _telling(training) and any(_count(rows, name) for name in _speaking(training))
    if count >= 2 or (not trained and "margin" not in training and set(OWN) & set(held)):
        return held | {meaning: name for meaning, name in training.items() if meaning == "beta"}, True, {}
    return training, False, held


def _unmarked(rows: Rows, found: Names) -> bool:
    name, loss = found.get(("", "reward_chosen"), found.get(("", "margin"))), found.get((EVALUATION, "loss"))
    if name is None or loss is None or any(of and meaning in OWN for of, meaning in found):
        return False
    entries = [at for at, value in enumerate(rows.columns[name]) if not is_missing(value)]
    return len(entries) >= 2 and sum(not is_missing(rows.columns[loss][at]) for at in entries) >= 0.8 * len(entries)


def _count(rows: Rows, name: str) -> int:
    return sum(not is_missing(value) for value in rows.columns[name])


def _last(rows: Rows, name: str) -> float | None:
    entries = [found for value in rows.columns[name] if (found := number(value)) is not None and math.isfinite(found)]
    return entries[-1] if entries else None


def _left_out(rows: Rows, names: Mapping[str, str], kept: Sequence[int], notes: list[str]) -> None:
    if "reward_chosen" in names:
        without = sum(is_missing(rows.columns[names["reward_chosen"]][at]) for at in kept)
        if without:
            notes.append(f"{without} of {len(kept)} rows have no rewards of either side; their margins are used.")


# Which steps?


def _steps(rows: Rows, found: Names, kept: list[int], notes: list[str]) -> tuple[np.ndarray, list[int]]:
    """Step of each row that counts: after a resume the later of two rows, and rows numbered where there is no step."""
    name = of_split(found, "", TRAIN, EVALUATION).get("step")
    entries = [None if name is None else number(rows.columns[name][at]) for at in kept]
    by_epoch = name is not None and (known := meant(name)) is not None and known.meaning == "epoch"
    if name is None or any(is_missing(rows.columns[name][at]) for at in kept) or (by_epoch and len(set(entries)) < len(kept)):
        notes.append(
            "No column of steps: rows are numbered." if name is None else f"{name!r} does not number the rows: they are."
        )
        return np.arange(1.0, len(kept) + 1), kept
    given, lost = means(rows, name, "step", kept)
    if lost.any():
        raise LogError(f"{rows.where(kept[int(np.argmax(lost))])}: column {name!r} must be a finite number, but is not.")
    step, out, again = [], [], []
    for value, at in zip(given, kept, strict=True):
        if step and value < step[-1] and value <= step[0]:
            raise LogError(
                f"{rows.where(at)}: column {name!r} must not decrease from row to row, but {value:g} follows {step[-1]:g}; is "
                "this one run, in order?"
            )
        again += [value] if step and value <= step[-1] else []
        while step and value <= step[-1]:
            step.pop()
            out.pop()
        step.append(value)
        out.append(at)
    if again:
        many = "" if len(again) == 1 else f" and {len(again) - 1} more"
        notes.append(f"Step {again[0]:g}{many} comes twice, as after a resume; the later row counts.")
    return np.array(step), out


def _join_loss(rows: Rows, names: Mapping[str, str], kept: Sequence[int], values: dict[str, np.ndarray]) -> None:
    """Takes the loss from the row that follows, where losses have rows of their own."""
    own = set(kept)
    for meaning in ("loss", "rate", "grad_norm"):
        if meaning in values:
            for place, at in enumerate(kept):
                after = at + 1
                if math.isnan(values[meaning][place]) and after < len(rows) and after not in own:
                    entry = number(rows.columns[names[meaning]][after])
                    if is_missing(rows.columns[names[meaning]][at]) and entry is not None and math.isfinite(entry):
                        values[meaning][place] = entry


# Which numbers?


def _ended(values: Mapping[str, np.ndarray], lost: Mapping[str, np.ndarray], step: np.ndarray) -> Divergence | None:
    """The rows at the end that have no finite rewards and no finite gradient.

    A mean over no example, as KTO logs where a batch has one class only, is NaN too, but leaves the gradient finite.
    """
    own = [meaning for meaning in OWN if meaning in lost] or [meaning for meaning in SIDES if meaning in lost]
    gone = np.any([lost[meaning] for meaning in own], axis=0) & ~np.any([np.isfinite(values[meaning]) for meaning in own], axis=0)
    gradient = "grad_norm" in values and np.isfinite(values["grad_norm"]).any()
    if gradient or "grad_norm" in lost:
        gone = (gone | lost["grad_norm"]) & ~np.isfinite(values["grad_norm"])
    rows = len(gone) if gone.all() else int(np.argmin(gone[::-1]))
    if rows == 0 or (rows < 3 and "kl" in values and "grad_norm" not in values):
        return None
    before = len(step) - rows
    return Divergence(float(step[before - 1]) if before else None, float(step[before]), rows)


def _gaps(values: Mapping[str, np.ndarray], lost: Mapping[str, np.ndarray], sound: slice, notes: list[str]) -> None:
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


def _beta(values: Mapping[str, np.ndarray], rounded: bool) -> tuple[float | None, str]:
    """β from its own column, or fitted where rewards and log-probabilities of the same rows are in proportion."""
    if "beta" in values:
        column = values["beta"][np.isfinite(values["beta"])]
        return (float(column[0]), "from the log") if np.ptp(column) == 0 else (None, "unknown: it changes in the log")
    for kind in ("referenced", "same pairs", "no reference"):
        found = _fit(values, kind, rounded)
        if found:
            return found, "fitted to rewards and log-probabilities"
    return None, "unknown"


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
    return proportion(np.concatenate(xs), np.concatenate(ys), 0.35 if loose else 1e-2) if xs else None


def proportion(x: np.ndarray, y: np.ndarray, allowed: float = 1e-2) -> float | None:
    """``b`` of ``y = bx`` if that holds to a share of y and is positive."""
    if not np.any(x):
        return None
    slope = float(x @ y / (x @ x))
    return slope if slope > 0 and np.linalg.norm(y - slope * x) <= allowed * np.linalg.norm(y) else None
