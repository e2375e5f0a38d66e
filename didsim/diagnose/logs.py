"""What does a preference log say, once it has been checked?  Pairs by step, or batch means by step, as arrays."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from didsim.diagnose.columns import (
    COLUMNS,
    NEEDED,
    columns_found,
    demanded,
    exactly,
    is_finite,
    missing,
    number,
    numbers,
    pair_columns,
    recurs,
    step_number,
)
from didsim.diagnose.losses import Loss, loss_given
from didsim.diagnose.mean_rows import OWN
from didsim.diagnose.means import (
    CLOSE,
    FITTED,
    LOOSE,
    NOT_SHOWN,
    SIDES,
    Divergence,
    MeanLog,
    Shown,
    coarse,
    mean_log,
    odd_rewards,
    proportion,
)
from didsim.diagnose.reading import LogError, Rows, read_rows, rows_given
from didsim.diagnose.runs import one_origin, one_run
from didsim.numerics import checks

DRAWN = ("unknown", "chosen", "rejected", "both")
LEAST_PAIRS = 5
WINDOWS = 12
RANGE_OF_LENGTHS, LEAST_GROWTH = 3.0, 0.5  # sums of log-probabilities grow about in proportion to length, means do not at all


@dataclass(frozen=True)
class PairLog:
    """Log-probabilities of single pairs, rows in the file's order; what follows a divergence is left out.

    Attributes:
        path: the file.
        step: training step of each row, never decreasing.
        example: number of the pair of each row, None if the file does not name pairs.
        chosen: log π_θ of the chosen response, summed over its tokens, nats; likewise ``rejected``.
        ref_chosen: log π_ref of the chosen response; likewise ``ref_rejected``.
        extra: optional columns by meaning: lengths in tokens, true scores, logged rewards.
        beta: inverse temperature, None if unknown.
        beta_from: where ``beta`` comes from, in words.
        drawn: which responses are known to be draws from the reference: ``chosen``, ``rejected``, ``both`` or ``unknown``.
        pooled: number of steps in the file, where adjacent ones have been taken together, else 0.
        objective: the loss that was trained; DPO unless somebody says otherwise.
        notes: what was found odd in the file and how it was read, a sentence each.
        diverged: where numbers ended, None if they did not; without two steps before, there are no rows.
        beta_shown: the inverse temperature that the log itself shows, whatever ``beta`` was given.
    """

    path: Path
    step: np.ndarray
    example: np.ndarray | None
    chosen: np.ndarray
    rejected: np.ndarray
    ref_chosen: np.ndarray
    ref_rejected: np.ndarray
    extra: Mapping[str, np.ndarray]
    beta: float | None
    beta_from: str
    drawn: str = "unknown"
    pooled: int = 0
    objective: Loss = Loss()
    notes: tuple[str, ...] = ()
    diverged: Divergence | None = None
    beta_shown: Shown = NOT_SHOWN

    @cached_property
    def steps(self) -> np.ndarray:
        """The steps that were logged, ascending."""
        return np.unique(self.step)

    @cached_property
    def change_chosen(self) -> np.ndarray:
        """``log π_θ/π_ref`` of each chosen response."""
        return self.chosen - self.ref_chosen

    @cached_property
    def change_rejected(self) -> np.ndarray:
        """``log π_θ/π_ref`` of each rejected response."""
        return self.rejected - self.ref_rejected

    @cached_property
    def margin(self) -> np.ndarray:
        """Log-margin gained since the reference, ``M_θ - M_ref``, of each pair."""
        return self.change_chosen - self.change_rejected

    def at(self, step: float) -> np.ndarray:
        """Which rows belong to a step."""
        return self.step == step

    @property
    def last(self) -> np.ndarray:
        """Which rows belong to the last step."""
        return self.at(self.steps[-1])

    @cached_property
    def tracks(self) -> np.ndarray | None:
        """Row of each pair at each step, shape (steps, pairs), for pairs logged at all steps; None if they are not known.

        Without names, rows in the same place are the same pair when the reference gives them the same log-probabilities.
        """
        rows = [np.flatnonzero(self.at(step)) for step in self.steps]
        if self.example is not None:
            by_name = [dict(zip(self.example[at], at, strict=True)) for at in rows]
            everywhere = sorted(set.intersection(*(set(names) for names in by_name)))
            enough = len(everywhere) >= LEAST_PAIRS
            return np.array([[names[name] for name in everywhere] for names in by_name]) if enough else None
        if len({len(at) for at in rows}) > 1:
            return None
        table = np.stack(rows)
        same = (self.ref_chosen[table] == self.ref_chosen[table[0]]) & (self.ref_rejected[table] == self.ref_rejected[table[0]])
        return table if same.all() else None


def read(
    log: Any,
    *,
    beta: float | None = None,
    names: Mapping[str, str | None] | None = None,
    drawn: str = "unknown",
    objective: str | None = None,
) -> PairLog | MeanLog:
    """The checked log in a file, a data frame or a list of rows: single pairs become a `PairLog`, means a `MeanLog`.

    Args:
        log: path of a file that ``read_rows`` understands, or what ``rows_given`` does: a pandas frame, a list of dicts.
        beta: inverse temperature of the run, > 0; from the log if missing, where it says.
        names: column names by meaning (``chosen``, ``ref_chosen``, …) where they are not understood.
        drawn: which responses are known to be draws from the reference: ``chosen``, ``rejected``, ``both`` or ``unknown``.
        objective: the loss that was trained, as ``ipo`` or ``cdpo:smoothing=0.1``, where the log does not show it.

    Raises:
        LogError: the log cannot be read, a column is missing, or a value is not allowed.
        ArgumentError: ``beta`` is not positive, or ``drawn``, ``objective`` or a given name is not one there is.

    Example:
        >>> from didsim.diagnose import read
        >>> rows = [{"step": at, "rewards/chosen": 0.01 * at, "rewards/rejected": -0.02 * at} for at in (0, 10, 20)]
        >>> read(rows).gap.tolist()
        [0.0, 0.30000000000000004, 0.6000000000000001]
    """
    checks.did_you_mean("--drawn", drawn, DRAWN)
    if beta is not None:
        checks.positive("--beta", beta)
    trained = Loss() if objective is None else loss_given(objective)
    given = {meaning: name for meaning, name in (names or {}).items() if name is not None}
    named = {name: meaning for meaning, name in given.items()}
    rows = read_rows(Path(log), named) if isinstance(log, (str, Path)) else rows_given(log, named)
    every = columns_found(rows, given)
    one_origin(rows, given)
    found = pair_columns(every)
    if not set(NEEDED) - {"step"} <= set(found) or _holds_means(rows, found):
        return _means_or_missing(rows, every, found, beta, objective)
    if "step" not in found:
        raise missing(rows, found)
    one_run(rows, found["step"], range(len(rows)))
    rows, ended = _before_divergence(rows, found)
    log_ = replace(pooled(_pair_log(rows, found, beta, drawn)), objective=trained, diverged=ended)
    if np.unique(log_.step, return_counts=True)[1].min(initial=LEAST_PAIRS) < LEAST_PAIRS:
        step = next(step for step in log_.steps if log_.at(step).sum() < LEAST_PAIRS)
        row = int(np.flatnonzero(log_.at(step))[0])
        raise LogError(
            f"{rows.where(row)}: every step must have at least {LEAST_PAIRS} pairs, one a row, but step {exactly(step)} has "
            f"{log_.at(step).sum()}."
        )
    return log_


read_log = read


def _means_or_missing(rows: Rows, every: Any, found: Mapping[str, str], beta: float | None, objective: str | None) -> MeanLog:
    """A log of means; or the error of one of single pairs that lacks a column, where it has more than one row a step."""
    lacking = set(NEEDED) - {"step"} - set(found)
    if not set(OWN) & set(found) and lacking:
        raise missing(rows, found)
    return mean_log(rows, every, beta, objective)


def _holds_means(rows: Rows, found: Mapping[str, str]) -> bool:
    """Whether rows are batch means: one a step as good as everywhere, beside columns that only means have."""
    signs = [name for meaning, name in found.items() if COLUMNS[meaning].mean]
    if not signs or "step" not in found:
        return bool(signs) and "example" not in found
    if "example" in found and recurs(rows.columns[found["example"]]):
        return False  # a name that comes again is a pair's, others only number the rows, as a frame's index does
    entries = rows.columns[found["step"]]
    return len({str(entry) for entry in entries}) > 0.5 * len(entries)


def _before_divergence(rows: Rows, found: Mapping[str, str]) -> tuple[Rows, Divergence | None]:
    """The rows before the steps at the end in which no response has a finite log-probability, and where those begin."""

    def lost(at: int) -> bool:
        policy = [number(rows.columns[found[side]][at]) for side in SIDES]
        gone = all(value is not None and not math.isfinite(value) for value in policy)
        # Where the frozen reference has no number either, nothing diverged: the row is of something else.
        return gone and all(is_finite(rows.columns[found[f"ref_{side}"]][at]) for side in SIDES)

    finite = [not lost(at) for at in range(len(rows))]
    steps = [step_number(entry) for entry in rows.columns[found["step"]]]
    last = max((at for at, fine in enumerate(finite) if fine), default=-1)
    kept = next((at for at in range(last + 1, len(rows)) if last < 0 or steps[at] != steps[last]), len(rows))
    if kept == len(rows) or (first := steps[kept]) is None or None in steps[:kept] or steps[:kept] != sorted(steps[:kept]):  # type: ignore
        return rows, None
    ended = Divergence(steps[last] if last >= 0 else None, first, len(rows) - kept)
    sound = kept if len({*steps[:kept]}) > 1 else 0
    columns = {name: entries[:sound] for name, entries in rows.columns.items()}
    return replace(rows, columns=columns, places=rows.places[:sound]), ended


def pooled(log: PairLog) -> PairLog:
    """The log with adjacent steps taken together where each has other pairs and there are many: batches are small.

    Windows are called by their last step, and the first step stays by itself if it has pairs enough: it shows whether
    training starts at the reference.
    """
    if len(log.steps) <= WINDOWS or log.tracks is not None:
        return log
    first = log.at(log.steps[0])
    alone = int(first.sum()) if first.sum() >= LEAST_PAIRS else 0
    window = np.arange(len(log.step) - alone) * WINDOWS // (len(log.step) - alone)
    # A step lies in the window in which it ends, so that none is split.
    ends = dict(zip(log.step[alone:], window, strict=True))
    last = {number: step for step, number in ends.items()}
    name = np.array([last[ends[step]] for step in log.step[alone:]])
    return replace(log, step=np.concatenate([log.step[:alone], name]), example=None, pooled=len(log.steps))


def _pair_log(rows: Rows, found: Mapping[str, str], beta: float | None, drawn: str) -> PairLog:
    everywhere = range(len(rows))
    both = [name for name in found if COLUMNS[name].partner in found]
    read = {name: numbers(rows, found[name], name, everywhere) for name in (*NEEDED, *both)}
    step = _ascending(rows, found["step"], read.pop("step"), everywhere)
    values: dict[str, Any] = {name: np.minimum(read.pop(name), 0.0) for name in NEEDED if name != "step"}
    named = "example" in found and recurs(rows.columns[found["example"]])  # an index that only numbers rows names no pair
    example = _examples(rows, found["example"], step) if named else None
    _two_steps(rows, step)
    notes = _summed(values, read)
    shown = _beta(rows, found, values, read)
    beta, origin = (beta, "given") if beta is not None else shown[:2]
    grid = coarse(values)
    notes += [f"Log-probabilities are rounded to bfloat16, to {grid}: coarse."] if grid else []
    if "reward_chosen" in read and len(step):
        changes = [values[side] - values[f"ref_{side}"] for side in SIDES]
        notes += odd_rewards(changes, [read[f"reward_{side}"] for side in SIDES], LOOSE if grid else CLOSE)
    more = {"beta": beta, "beta_from": origin, "beta_shown": shown, "drawn": drawn, "notes": tuple(notes)}
    return PairLog(rows.path, step, example, extra=read, **more, **values)


def _summed(values: dict[str, np.ndarray], extra: Mapping[str, np.ndarray]) -> list[str]:
    """Turns log-probabilities that are means over tokens into sums, in place, and says so.

    The slope of log(-log π_ref) on the logarithm of the length is about 1 for sums and about 0 for means.
    """
    if "chosen_length" not in extra:
        return []
    tokens = np.concatenate([extra["chosen_length"], extra["rejected_length"]])
    nats = -np.concatenate([values["ref_chosen"], values["ref_rejected"]])
    kept = nats > 0
    if kept.sum() < 2 * LEAST_PAIRS or tokens[kept].max() < RANGE_OF_LENGTHS * tokens[kept].min():
        return []
    x, y = np.log(tokens[kept]), np.log(nats[kept])
    growth = float(np.cov(x, y)[0, 1] / x.var(ddof=1))
    error = float(np.std(y - growth * x) / (x.std() * np.sqrt(kept.sum())))
    if growth + 2 * error >= LEAST_GROWTH or float(np.median(nats[kept])) > 20:
        return []
    for name in ("chosen", "rejected"):
        values[name] = values[name] * extra[f"{name}_length"]
        values[f"ref_{name}"] = values[f"ref_{name}"] * extra[f"{name}_length"]
    return [f"Log-probabilities are means over tokens (slope on length {growth:.2f}, 1 for sums): taken times the lengths."]


def _ascending(rows: Rows, name: str, step: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    back = np.flatnonzero(np.diff(step) < 0)
    if len(back):
        at = back[0] + 1
        raise LogError(
            f"{rows.where(kept[at])}: column {name!r} must not decrease from row to row, but {exactly(step[at])} follows "
            f"{exactly(step[at - 1])}; is this one run, in order?"
        )
    return step


def _two_steps(rows: Rows, step: np.ndarray) -> None:
    if len(step) and step[0] == step[-1]:
        raise LogError(f"{rows.path.name}: a log must have at least two steps, but has only step {exactly(step[0])}.")


def _examples(rows: Rows, name: str, step: np.ndarray) -> np.ndarray:
    """Numbers for the pairs' names, each at most once a step."""
    number: dict[Any, int] = {}
    seen: set[tuple[float, int]] = set()
    out = np.empty(len(rows), int)
    for at, value in enumerate(rows.columns[name]):
        if not isinstance(value, (str, int, float)):
            raise LogError(f"{rows.where(at)}: column {name!r} must name the pair by a number or text, but is {value!r}.")
        out[at] = number.setdefault(value, len(number))
        if (step[at], out[at]) in seen:
            raise LogError(
                f"{rows.where(at)}: a pair must come once a step, but {value!r} comes again at step {exactly(step[at])}."
            )
        seen.add((step[at], out[at]))
    return out


def _beta(rows: Rows, found: Mapping[str, str], values: Mapping[str, np.ndarray], extra: Mapping[str, np.ndarray]) -> Shown:
    """β from its own column, or as the ratio of logged rewards to log-ratios; None where neither says."""
    if "beta" in found:
        column = numbers(rows, found["beta"], "beta", everywhere := range(len(rows)))
        if not len(column):
            return NOT_SHOWN
        demanded(rows, found["beta"], column, column == column[0], f"the same in every row, {column[0]:g}", everywhere)
        return Shown(float(column[0]), "from the log")
    if "reward_chosen" in extra:
        change = np.concatenate([values["chosen"] - values["ref_chosen"], values["rejected"] - values["ref_rejected"]])
        fitted = proportion(change, np.concatenate([extra["reward_chosen"], extra["reward_rejected"]]))
        return Shown(fitted, "fitted to the logged rewards", FITTED) if fitted else NOT_SHOWN
    return NOT_SHOWN
