"""What is an answer?  A question, the sentence that answers it, its numbers, what to do, and what the log cannot say."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from didsim.diagnose.intervals import Estimate

SHOWN = 12


@dataclass(frozen=True)
class Finding:
    """One question answered.

    Attributes:
        name: short name, for JSON and links.
        question: what is asked.
        answer: the answer in a sentence or two.
        numbers: what it rests on, by name with unit; estimates carry their interval.
        advice: what to do.
        open: what the log does not determine here.
        answered: whether the log allows an answer at all.
    """

    name: str
    question: str
    answer: str
    numbers: dict[str, Any] = field(default_factory=dict)
    advice: str = ""
    open: str = ""
    answered: bool = True

    @property
    def series(self) -> list[str]:
        """Names of the numbers that come one per step."""
        return [name for name, value in self.numbers.items() if isinstance(value, (list, np.ndarray))]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The series side by side, one row per step; of many steps some, first and last among them."""
        rows = list(zip(*(self.numbers[name] for name in self.series), strict=True))
        return [rows[at] for at in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SHOWN)).round().astype(int))]


def unanswered(name: str, question: str, why: str, advice: str) -> Finding:
    """A question that this log cannot answer, and what to log so that the next one can."""
    return Finding(name, question, f"Cannot be told from this log: {why}", advice=advice, answered=False)


def plain(value: Any) -> Any:
    """The value for JSON: estimates as three numbers, arrays as lists, what is no number as null."""
    if isinstance(value, Estimate):
        return value.dictionary
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(value: Any) -> str:
    """The value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    return "–" if value is None else str(value)
