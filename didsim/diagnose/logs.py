"""What does a preference log say, once it has been checked?  Pairs by step, or batch means by step, as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from didsim.diagnose.columns import COLUMNS, NEEDED, demanded, mean_columns, missing, numbers, pair_columns
from didsim.diagnose.reading import LogError, Rows, read_rows
from didsim.numerics import checks

DRAWN = ("unknown", "chosen", "rejected", "both")
LEAST_PAIRS = 5
WINDOWS = 12


@dataclass(frozen=True)
class PairLog:
    """Log-probabilities of single pairs, rows in the file's order.

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


@dataclass(frozen=True)
class MeanLog:
    """Batch means by step, as trainers log them.

    Attributes:
        path: the file.
        step: training step of each row, ascending.
        means: logged means by meaning: rewards, margin, accuracy, log-probabilities, loss.
        beta: inverse temperature, None if unknown.
        beta_from: where ``beta`` comes from, in words.
        evaluated: whether the rows are evaluations, always on the same pairs.
    """

    path: Path
    step: np.ndarray
    means: Mapping[str, np.ndarray]
    beta: float | None
    beta_from: str
    evaluated: bool

    @property
    def gap(self) -> np.ndarray:
        """Mean reward of chosen less that of rejected responses: β times the mean log-margin gained."""
        return self.means["reward_chosen"] - self.means["reward_rejected"]


def read_log(
    path: Path, *, beta: float | None = None, names: Mapping[str, str | None] | None = None, drawn: str = "unknown"
) -> PairLog | MeanLog:
    """The checked log in a file; with reference log-probabilities of single pairs a `PairLog`, else a `MeanLog`.

    Args:
        path: file that ``read_rows`` understands.
        beta: inverse temperature of the run, > 0; from the log if missing, where it says.
        names: column names by meaning (``chosen``, ``ref_chosen``, …) where they are not TRL's.
        drawn: which responses are known to be draws from the reference: ``chosen``, ``rejected``, ``both`` or ``unknown``.

    Raises:
        LogError: the file cannot be read, a column is missing, or a value is not allowed.
        ArgumentError: ``beta`` is not positive, or ``drawn`` or a given name is not one there is.
    """
    checks.did_you_mean("--drawn", drawn, DRAWN)
    if beta is not None:
        checks.positive("--beta", beta)
    rows = read_rows(path)
    found = pair_columns(rows, names or {})
    referenced = {"ref_chosen", "ref_rejected"} & set(found)
    means = mean_columns(rows)
    given_by_hand = any((names or {}).values())
    if not referenced and not given_by_hand and {"reward_chosen", "reward_rejected"} <= set(means) and "step" in found:
        return _mean_log(rows, means, found, beta)
    if set(NEEDED) - set(found):
        raise missing(rows, found)
    log = pooled(_pair_log(rows, found, beta, drawn))
    if np.unique(log.step, return_counts=True)[1].min() < LEAST_PAIRS:
        step = next(step for step in log.steps if log.at(step).sum() < LEAST_PAIRS)
        row = int(np.flatnonzero(log.at(step))[0])
        raise LogError(
            f"{rows.where(row)}: every step must have at least {LEAST_PAIRS} pairs, one a row, but step {step:g} has "
            f"{log.at(step).sum()}."
        )
    return log


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
    values = {name: np.minimum(read.pop(name), 0.0) for name in NEEDED if name != "step"}
    example = _examples(rows, found["example"], step) if "example" in found else None
    _two_steps(rows, step)
    beta, origin = (beta, "given") if beta is not None else _beta(rows, found, values, read)
    return PairLog(rows.path, step, example, extra=read, beta=beta, beta_from=origin, drawn=drawn, pooled=0, **values)


def _mean_log(rows: Rows, means: Mapping[str, str], found: Mapping[str, str], beta: float | None) -> MeanLog:
    # Trainers write other rows in between: summaries, and evaluations under names of their own.
    kept = [at for at, value in enumerate(rows.columns[means["reward_chosen"]]) if value is not None]
    step = _ascending(rows, found["step"], numbers(rows, found["step"], "step", kept), kept)
    again = np.flatnonzero(np.diff(step) == 0)
    if len(again):
        raise LogError(
            f"{rows.where(kept[again[0] + 1])}: a step must have one row of means, but step {step[again[0]]:g} comes twice; logs "
            "of single pairs need reference log-probabilities (ref_chosen_logps, ref_rejected_logps)."
        )
    _two_steps(rows, step)
    values = {meaning: numbers(rows, name, meaning, kept) for meaning, name in means.items()}
    fitted = _fit_mean_beta(values) if beta is None else None
    origin = "given" if beta is not None else "fitted to rewards and log-probabilities" if fitted else "unknown"
    return MeanLog(rows.path, step, values, beta or fitted, origin, means["reward_chosen"].startswith("eval_"))


def _ascending(rows: Rows, name: str, step: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    back = np.flatnonzero(np.diff(step) < 0)
    if len(back):
        at = back[0] + 1
        raise LogError(
            f"{rows.where(kept[at])}: column {name!r} must not decrease from row to row, but {step[at]:g} follows "
            f"{step[at - 1]:g}; is this one run, in order?"
        )
    return step


def _two_steps(rows: Rows, step: np.ndarray) -> None:
    if step[0] == step[-1]:
        raise LogError(f"{rows.path.name}: a log must have at least two steps, but has only step {step[0]:g}.")


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
            raise LogError(f"{rows.where(at)}: a pair must come once a step, but {value!r} comes again at step {step[at]:g}.")
        seen.add((step[at], out[at]))
    return out


def _beta(rows: Rows, found: Mapping[str, str], values: Mapping[str, np.ndarray], extra: Mapping[str, np.ndarray]):
    """β from its own column, or as the ratio of logged rewards to log-ratios; None where neither says."""
    if "beta" in found:
        column = numbers(rows, found["beta"], "beta", everywhere := range(len(rows)))
        demanded(rows, found["beta"], column, column == column[0], f"the same in every row, {column[0]:g}", everywhere)
        return float(column[0]), "from the log"
    if "reward_chosen" in extra:
        change = np.concatenate([values["chosen"] - values["ref_chosen"], values["rejected"] - values["ref_rejected"]])
        fitted = _proportion(change, np.concatenate([extra["reward_chosen"], extra["reward_rejected"]]))
        return fitted, "fitted to the logged rewards" if fitted else "unknown"
    return None, "unknown"


def _fit_mean_beta(means: Mapping[str, np.ndarray]) -> float | None:
    """β where rewards are an exact line in log-probabilities, as on pairs that stay the same."""
    sides = [
        (means[n] - means[n].mean(), means[f"reward_{n}"] - means[f"reward_{n}"].mean())
        for n in ("chosen", "rejected")
        if n in means
    ]
    return _proportion(*(np.concatenate(part) for part in zip(*sides, strict=True))) if sides and len(sides[0][0]) > 2 else None


def _proportion(x: np.ndarray, y: np.ndarray) -> float | None:
    """``b`` of ``y = bx`` if that holds to a hundredth of y and is positive."""
    if not np.any(x):
        return None
    slope = float(x @ y / (x @ x))
    return slope if slope > 0 and np.linalg.norm(y - slope * x) <= 1e-2 * np.linalg.norm(y) else None
