"""Which columns of a log are of use, and what may they hold?  One table by meaning; how they are spelled says ``names``.

A column that should be understood is a row of ``COLUMNS`` and a row of ``names.MEANINGS``; a flag that maps another name to it
is a field of ``cli/commands/diagnose.py``.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from didsim.diagnose.names import EVALUATION, TRAIN, meant, words_of
from didsim.diagnose.reading import LogError, Rows
from didsim.numerics import checks

SLACK = 1e-6  # a log-probability of a certain response may come out of single precision a little above zero
HUGE = 1e15  # sums of squares of larger numbers leave the range of floating point sooner or later
Allowed = tuple[str, Callable[[np.ndarray], np.ndarray]]
FINITE: Allowed = ("a finite number", lambda values: np.abs(values) < HUGE)
NOT_NEGATIVE: Allowed = ("at least 0", lambda values: (values >= 0) & (values < HUGE))
POSITIVE: Allowed = ("positive", lambda values: (values > 0) & (values < HUGE))
TOKENS: Allowed = ("at least 1", lambda values: (values >= 1) & (values < HUGE))
SHARE: Allowed = ("in [0, 1]", lambda values: (values >= 0) & (values <= 1))
COSINE: Allowed = ("in [-1, 1]", lambda values: np.abs(values) <= 1)
LOG_PROBABILITY: Allowed = ("a log-probability, at most 0", lambda values: (values <= SLACK) & (values > -HUGE))
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
OF = re.compile(r"([0-9]+)\s*/\s*[0-9]+", re.ASCII)  # "5/60": step 5 of 60
MISSING = {"", "-", "–", "na", "n/a", "none", "null", "no log"}
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf, "infinity": math.inf, "-infinity": -math.inf}


@dataclass(frozen=True)
class Column:
    """A row of the table.

    Attributes:
        allowed: what its numbers must be, in words and as a test.
        needed: whether no log of single pairs can do without it.
        partner: meaning of the column without which this optional one is of no use; an optional column of single pairs that
            has none is not read with the others.
        mean: whether it says of a row that it holds means over a batch, not a single pair.
    """

    allowed: Allowed = FINITE
    needed: bool = False
    partner: str = ""
    mean: bool = False


COLUMNS: dict[str, Column] = {
    "step": Column(NOT_NEGATIVE, needed=True),
    "epoch": Column(NOT_NEGATIVE, mean=True),
    "example": Column(),
    "chosen": Column(LOG_PROBABILITY, needed=True),
    "rejected": Column(LOG_PROBABILITY, needed=True),
    "ref_chosen": Column(LOG_PROBABILITY, needed=True),
    "ref_rejected": Column(LOG_PROBABILITY, needed=True),
    "chosen_length": Column(TOKENS, partner="rejected_length"),
    "rejected_length": Column(TOKENS, partner="chosen_length"),
    "score_chosen": Column(partner="score_rejected"),
    "score_rejected": Column(partner="score_chosen"),
    "reward_chosen": Column(partner="reward_rejected"),
    "reward_rejected": Column(partner="reward_chosen"),
    "norm_chosen": Column(NOT_NEGATIVE, partner="norm_rejected"),
    "norm_rejected": Column(NOT_NEGATIVE, partner="norm_chosen"),
    "cosine": Column(COSINE, partner="norm_chosen"),
    "beta": Column(POSITIVE),
    "margin": Column(mean=True),
    "accuracy": Column(SHARE, mean=True),
    "loss": Column(mean=True),
    "nll": Column(mean=True),
    "log_odds": Column(mean=True),
    "log_odds_ratio": Column(mean=True),
    "kl": Column(mean=True),
    "grad_norm": Column(mean=True),
    "rate": Column(mean=True),
}
NEEDED = tuple(meaning for meaning, column in COLUMNS.items() if column.needed)
Names = dict[tuple[str, str], str]


def columns_found(rows: Rows, given: Mapping[str, str | None]) -> Names:
    """Name in the file of each split and meaning; names given by hand come first and belong to any split.

    Of several columns that mean the same the one with most entries is taken, then the one with the fewest words.

    Raises:
        LogError: a name given by hand is not in the file.
    """
    found: dict[tuple[str, str], tuple[tuple[int, int], str]] = {}
    for name, values in rows.columns.items():
        if (known := meant(name)) is not None:
            rank = sum(not is_missing(value) for value in values), -len(words_of(name))
            key = (known.split, known.meaning)
            if key not in found or rank > found[key][0]:
                found[key] = rank, name
    names = {key: name for key, (_, name) in found.items()}
    for meaning, name in given.items():
        if name is not None:
            taken = checks.did_you_mean(f"--{meaning.replace('_', '-')}", name, rows.columns)
            names = {key: other for key, other in names.items() if key[1] != meaning} | {("", meaning): taken}
    return names


def of_split(found: Names, *splits: str) -> dict[str, str]:
    """Name of each meaning, from the first of some splits that has it."""
    return {meaning: name for split in reversed(splits) for (of, meaning), name in found.items() if of == split}


def pair_columns(found: Names) -> dict[str, str]:
    """Name of each meaning in a log of single pairs: evaluations are as good as training rows."""
    return of_split(found, "", TRAIN, EVALUATION)


def missing(rows: Rows, found: Mapping[str, str]) -> LogError:
    """The error that says what a log lacks, and which name is nearest or how to name it."""
    name, listed = rows.path.name, ", ".join(rows.columns) or "none"
    listed = listed if len(listed) <= 160 else f"{listed[:160].rsplit(', ', 1)[0]}, …"
    tables = [column for column in rows.columns if words_of(column)[-1:] in (["min"], ["max"])]
    if len(tables) >= 2:
        return LogError(
            f"{name}: a log must be of one run, with its rewards or log-probabilities, but {tables[0]!r} is of a group of runs; "
            "export one run's own history."
        )
    telling = any({"logp", "reward", "margin"} & {*words_of(column)} for column in rows.columns)
    if not telling and {"loss", "accuracy"} & set(found):
        return LogError(
            f"{name}: a log must hold rewards or log-probabilities, but holds only {listed}; "
            "the run's trainer_state.json has them."
        )
    lacking = [meaning for meaning in NEEDED if meaning not in found]
    flags = ", ".join(f"--{meaning.replace('_', '-')} NAME" for meaning in lacking)
    other = {" ".join(words_of(column)): column for column in rows.columns if meant(column) is None}
    near = next((other[hit] for meaning in lacking for hit in difflib.get_close_matches(
        meaning.replace("_", " ") + " logp", other, n=1, cutoff=0.6)), None)  # fmt: skip
    hint = f" Is {near!r} one?" if near else ""
    return LogError(
        f"{name}: a log must have a column for {', '.join(lacking)}, but has only {listed}; {flags} maps others.{hint}"
    )


def is_missing(value: Any) -> bool:
    """Whether an entry says that there is no number."""
    return value is None or (isinstance(value, str) and value.strip().lower() in MISSING)


def number(value: Any) -> float | None:
    """An entry as a number, NaN or infinite where it says so; None where it is none."""
    if isinstance(value, str):
        text = value.strip()
        step = OF.fullmatch(text)
        if text.lower() in NOT_FINITE:
            return NOT_FINITE[text.lower()]
        return float(step[1]) if step else float(text) if NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def numbers(rows: Rows, name: str, meaning: str, kept: Sequence[int]) -> np.ndarray:
    """A column of the file at some rows, as finite numbers that its meaning allows.

    Raises:
        LogError: an entry is missing, no number, or not allowed.
    """
    values = np.empty(len(kept))
    for place, at in enumerate(kept):
        value = rows.columns[name][at]
        found = number(value)
        if found is None or not math.isfinite(found):
            shown = "missing" if is_missing(value) else value if isinstance(value, float) else _brief(value)
            raise LogError(f"{rows.where(at)}: column {name!r} must be {FINITE[0]}, but is {shown}.")
        values[place] = found
    words, good = COLUMNS[meaning].allowed
    return demanded(rows, name, values, good(values), words, kept)


def means(rows: Rows, name: str, meaning: str, kept: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """A column of batch means at some rows, NaN where it has no finite number, and where it says that it has none.

    Raises:
        LogError: an entry is neither missing nor a number, or is a finite number that is not allowed.
    """
    values, lost = np.full(len(kept), math.nan), np.zeros(len(kept), bool)
    words, good = COLUMNS[meaning].allowed
    for place, at in enumerate(kept):
        value = rows.columns[name][at]
        if is_missing(value):
            continue
        found = number(value)
        if found is None:
            raise LogError(f"{rows.where(at)}: column {name!r} must be {FINITE[0]}, but is {_brief(value)}.")
        lost[place] = not math.isfinite(found)
        if math.isfinite(found) and not good(np.array([found]))[0]:
            raise LogError(f"{rows.where(at)}: column {name!r} must be {words}, but is {found:g}.")
        values[place] = found if math.isfinite(found) else math.nan
    return values, lost


def demanded(rows: Rows, name: str, values: np.ndarray, good: np.ndarray, allowed: str, kept: Sequence[int]) -> np.ndarray:
    """The values, if all are good.

    Raises:
        LogError: one is not; it names the first.
    """
    if not good.all():
        place = int(np.argmin(good))
        raise LogError(f"{rows.where(kept[place])}: column {name!r} must be {allowed}, but is {values[place]:g}.")
    return values


def _brief(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}…"
