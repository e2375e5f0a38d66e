"""Which columns of a log mean what, and what may they hold?  One table: TRL's names and a few others, by meaning.

A column that should be understood is a row of ``COLUMNS``; a flag that maps another name to it is a field of
``cli/commands/diagnose.py``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from didsim.diagnose.reading import LogError, Rows
from didsim.numerics import checks

SLACK = 1e-6  # a log-probability of a certain response may come out of single precision a little above zero
Allowed = tuple[str, Callable[[np.ndarray], np.ndarray]]
FINITE: Allowed = ("a finite number", np.isfinite)
NOT_NEGATIVE: Allowed = ("at least 0", lambda values: values >= 0)
POSITIVE: Allowed = ("positive", lambda values: values > 0)
TOKENS: Allowed = ("at least 1", lambda values: values >= 1)
SHARE: Allowed = ("in [0, 1]", lambda values: (values >= 0) & (values <= 1))
LOG_PROBABILITY: Allowed = ("a log-probability, at most 0", lambda values: values <= SLACK)


@dataclass(frozen=True)
class Column:
    """A row of the table.

    Attributes:
        names: names in logs of single pairs, the one that counts first; those of TRL's DPOTrainer, its data sets and descendants.
        mean: name in logs of batch means, where trainers log one; evaluations have ``eval_`` before it.
        allowed: what its numbers must be, in words and as a test.
        needed: whether no log of single pairs can do without it.
        partner: meaning of the column without which this optional one is of no use.
    """

    names: tuple[str, ...] = ()
    mean: str = ""
    allowed: Allowed = FINITE
    needed: bool = False
    partner: str = ""


COLUMNS: dict[str, Column] = {
    "step": Column(("step", "global_step", "train_step"), allowed=NOT_NEGATIVE, needed=True),
    "example": Column(("example", "example_id", "pair", "pair_id", "index", "idx", "id")),
    "chosen": Column(
        ("chosen_logps", "policy_chosen_logps", "logps/chosen", "logps_chosen", "chosen_logp", "policy_chosen_logp"),
        "logps/chosen", LOG_PROBABILITY, needed=True,
    ),
    "rejected": Column(
        ("rejected_logps", "policy_rejected_logps", "logps/rejected", "logps_rejected", "rejected_logp", "policy_rejected_logp"),
        "logps/rejected", LOG_PROBABILITY, needed=True,
    ),
    "ref_chosen": Column(
        ("ref_chosen_logps", "reference_chosen_logps", "ref_logps/chosen", "logps/ref_chosen", "ref_chosen_logp",
         "reference_chosen_logp"),
        allowed=LOG_PROBABILITY, needed=True,
    ),
    "ref_rejected": Column(
        ("ref_rejected_logps", "reference_rejected_logps", "ref_logps/rejected", "logps/ref_rejected", "ref_rejected_logp",
         "reference_rejected_logp"),
        allowed=LOG_PROBABILITY, needed=True,
    ),
    "chosen_length": Column(
        ("chosen_length", "chosen_len", "chosen_tokens", "len_chosen", "length/chosen"),
        allowed=TOKENS, partner="rejected_length",
    ),
    "rejected_length": Column(
        ("rejected_length", "rejected_len", "rejected_tokens", "len_rejected", "length/rejected"),
        allowed=TOKENS, partner="chosen_length",
    ),
    "score_chosen": Column(("score_chosen", "chosen_score", "true_reward/chosen"), partner="score_rejected"),
    "score_rejected": Column(("score_rejected", "rejected_score", "true_reward/rejected"), partner="score_chosen"),
    "reward_chosen": Column(
        ("rewards/chosen", "chosen_reward", "chosen_rewards"), "rewards/chosen", partner="reward_rejected"
    ),
    "reward_rejected": Column(
        ("rewards/rejected", "rejected_reward", "rejected_rewards"), "rewards/rejected", partner="reward_chosen"
    ),
    "beta": Column(("beta",), allowed=POSITIVE),
    "margin": Column(mean="rewards/margins"),
    "accuracy": Column(mean="rewards/accuracies", allowed=SHARE),
    "loss": Column(mean="loss"),
}  # fmt: skip
NEEDED = tuple(meaning for meaning, column in COLUMNS.items() if column.needed)


def pair_columns(rows: Rows, given: Mapping[str, str | None]) -> dict[str, str]:
    """Name in the file of each meaning that a log of single pairs has; names given by hand come first.

    Raises:
        LogError: a name given by hand is not in the file.
    """
    found = {}
    for meaning, column in COLUMNS.items():
        name = given.get(meaning)
        if name is not None:
            found[meaning] = checks.did_you_mean(f"--{meaning.replace('_', '-')}", name, rows.columns)
        elif (first := next((name for name in column.names if name in rows.columns), None)) is not None:
            found[meaning] = first
    return found


def mean_columns(rows: Rows) -> dict[str, str]:
    """Name in the file of each logged batch mean; rows of evaluations, always on the same pairs, win where there are two."""
    for prefix in ("eval_", ""):
        logged = {meaning: prefix + column.mean for meaning, column in COLUMNS.items() if column.mean}
        names = {meaning: name for meaning, name in logged.items() if name in rows.columns}
        seen = sum(value is not None for value in rows.columns.get(names.get("reward_chosen", ""), []))
        if seen >= (2 if prefix else 1):
            return names
    return {}


def missing(rows: Rows, found: Mapping[str, str]) -> LogError:
    """The error that says which columns a log of single pairs lacks, and how to name them."""
    lacking = [meaning for meaning in NEEDED if meaning not in found]
    flags = ", ".join(f"--{meaning.replace('_', '-')} NAME" for meaning in lacking)
    return LogError(
        f"{rows.path.name}: a log must have a column for {', '.join(lacking)}, but has only {', '.join(rows.columns)}; "
        f"{flags} maps others."
    )


def numbers(rows: Rows, name: str, meaning: str, kept: Sequence[int]) -> np.ndarray:
    """A column of the file at some rows, as finite numbers that its meaning allows.

    Raises:
        LogError: an entry is missing, no number, or not allowed.
    """
    texts = rows.path.suffix.lower() == ".csv"
    values = np.empty(len(kept))
    for place, at in enumerate(kept):
        value = rows.columns[name][at]
        try:
            number = float(value) if texts or (isinstance(value, (int, float)) and not isinstance(value, bool)) else None
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or not math.isfinite(number):
            shown = "missing" if value is None else value if isinstance(value, float) else repr(value)
            raise LogError(f"{rows.where(at)}: column {name!r} must be {FINITE[0]}, but is {shown}.")
        values[place] = number
    words, good = COLUMNS[meaning].allowed
    return demanded(rows, name, values, good(values), words, kept)


def demanded(rows: Rows, name: str, values: np.ndarray, good: np.ndarray, allowed: str, kept: Sequence[int]) -> np.ndarray:
    """The values, if all are good.

    Raises:
        LogError: one is not; it names the first.
    """
    if not good.all():
        place = int(np.argmin(good))
        raise LogError(f"{rows.where(kept[place])}: column {name!r} must be {allowed}, but is {values[place]:g}.")
    return values
