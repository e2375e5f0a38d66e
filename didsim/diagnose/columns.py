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

from didsim.diagnose.names import EVALUATION, TELLING, TRAIN, meant, origin, words_of
from didsim.diagnose.reading import LogError, Rows
from didsim.numerics import checks

SLACK = 1e-6  # a log-probability of a certain response may come out of single precision a little above zero
HUGE = 1e15  # sums of squares of larger numbers leave the range of floating point sooner or later
Allowed = tuple[str, Callable[[np.ndarray], np.ndarray]]
FINITE: Allowed = ("a finite number", np.isfinite)
NOT_NEGATIVE: Allowed = ("at least 0", lambda values: values >= 0)
POSITIVE: Allowed = ("positive", lambda values: values > 0)
TOKENS: Allowed = ("at least 1", lambda values: values >= 1)
SHARE: Allowed = ("in [0, 1]", lambda values: (values >= 0) & (values <= 1))
COSINE: Allowed = ("in [-1, 1]", lambda values: np.abs(values) <= 1)
LOG_PROBABILITY: Allowed = ("a log-probability, at most 0", lambda values: values <= SLACK)
NOT_HUGE: Allowed = (f"less than {HUGE:g} in size", lambda values: np.abs(values) < HUGE)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
OF = re.compile(r"([0-9]+)\s*/\s*[0-9]+", re.ASCII)  # "5/60": step 5 of 60
MISSING = {"", "-", "–", "na", "n/a", "<na>", "#n/a", "nat", "none", "null", "no log"}
MISSING_KINDS = ("NAType", "NaTType")  # what pandas holds for a missing entry beside None and NaN; it need not be installed
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

    Of several columns that mean the same the one with most entries is taken, then the one with the fewest words; before that, of
    those that name the pair, one that names it again, and of rewards and the like, one that says of no part that it is its.

    Raises:
        LogError: a name given by hand is not in the file.
    """
    found: dict[tuple[str, str], tuple[Any, str]] = {}
    for name, values in rows.columns.items():
        if (known := meant(name)) is not None:
            entries = sum(map(says, values))
            again = known.meaning == "example" and recurs(values)
            bare = known.meaning in TELLING and not origin(name) and entries > 0
            rank = (again or bare, entries), -len(words_of(name))
            key = (known.split, known.meaning)
            if key not in found or rank > found[key][0]:
                found[key] = rank, name
    names = {key: name for key, (_, name) in found.items()}
    for meaning, name in given.items():
        if name is not None:
            taken = checks.did_you_mean(f"--{meaning.replace('_', '-')}", name, rows.columns)
            names = {key: other for key, other in names.items() if key[1] != meaning} | {("", meaning): taken}
    return names


def recurs(values: Sequence[Any]) -> bool:
    """Whether an entry that says something comes again."""
    names = [str(value) for value in values if says(value)]
    return len(set(names)) < len(names)


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
    if isinstance(value, str):
        return value.strip().lower() in MISSING
    return value is None or type(value).__name__ in MISSING_KINDS


def says(value: Any) -> bool:
    """Whether an entry says something: it is neither missing nor NaN, which data frames hold for what is missing, nor a list."""
    if isinstance(value, str):
        return not is_missing(value) and value.strip().lower() != "nan"
    not_a_number = isinstance(value, (float, np.floating)) and math.isnan(value)
    return not (is_missing(value) or isinstance(value, (list, dict)) or not_a_number)


def is_finite(value: Any) -> bool:
    """Whether an entry is a finite number."""
    return (found := number(value)) is not None and math.isfinite(found)


def step_number(value: Any) -> float | None:
    """An entry of a column of steps as a number: ``"5/60"`` is step 5 of 60."""
    of = OF.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(of[1]) if of else number(value)


def number(value: Any) -> float | None:
    """An entry as a number, NaN or infinite where it says so; None where it is none."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in NOT_FINITE:
            return NOT_FINITE[text.lower()]
        return float(text) if NUMBER.fullmatch(text) else None
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
    read = step_number if meaning == "step" else number
    for place, at in enumerate(kept):
        value = rows.columns[name][at]
        found = read(value)
        if found is None or not math.isfinite(found):
            shown = "missing" if is_missing(value) else value if isinstance(value, float) else _brief(value)
            raise LogError(f"{rows.where(at)}: column {name!r} must be {FINITE[0]}, but is {shown}.")
        values[place] = found
    for words, good in (COLUMNS[meaning].allowed, NOT_HUGE):
        demanded(rows, name, values, good(values), words, kept)
    return values


def means(rows: Rows, name: str, meaning: str, kept: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """A column of batch means at some rows, NaN where it has no finite number, and where it says that it has none.

    Raises:
        LogError: an entry is neither missing nor a number, or is a finite number that is not allowed.
    """
    values, lost = np.full(len(kept), math.nan), np.zeros(len(kept), bool)
    read = step_number if meaning == "step" else number
    for place, at in enumerate(kept):
        value = rows.columns[name][at]
        if is_missing(value):
            continue
        found = read(value)
        if found is None:
            raise LogError(f"{rows.where(at)}: column {name!r} must be {FINITE[0]}, but is {_brief(value)}.")
        lost[place] = not math.isfinite(found)
        values[place] = found if math.isfinite(found) else math.nan
    sound = np.flatnonzero(np.isfinite(values))
    for words, good in (COLUMNS[meaning].allowed, NOT_HUGE):
        demanded(rows, name, values[sound], good(values[sound]), words, [kept[int(place)] for place in sound])
    return values, lost


def demanded(rows: Rows, name: str, values: np.ndarray, good: np.ndarray, allowed: str, kept: Sequence[int]) -> np.ndarray:
    """The values, if all are good.

    Raises:
        LogError: one is not; it names the first.
    """
    if not good.all():
        place = int(np.argmin(good))
        raise LogError(f"{rows.where(kept[place])}: column {name!r} must be {allowed}, but is {exactly(values[place])}.")
    return values


def exactly(value: Any) -> str:
    """A number as messages show it: short, unless that were another number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def _brief(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}…"
