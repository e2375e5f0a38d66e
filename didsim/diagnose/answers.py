"""What is an answer?  The sentence itself, the numbers it rests on, what to do, and what the log cannot say."""

import math
from typing import Any, NamedTuple

import numpy as np

from didsim.diagnose.intervals import Estimate

LOG_PAIRS = (
    "Log single pairs at a few steps: step, example, chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, "
    "and lengths."
)


class Answer(NamedTuple):
    """What a log says to a question.

    Attributes:
        answer: the answer in a sentence or two.
        numbers: what it rests on, by name with unit; estimates carry their interval.
        advice: what to do.
        open: what the log does not determine here.
        answered: whether the log allows an answer at all.
    """

    answer: str
    numbers: dict[str, Any]
    advice: str = ""
    open: str = ""
    answered: bool = True


UNTOLD = "Cannot be told from this log: "


def unanswered(why: str, advice: str) -> Answer:
    """No answer from this log, and what to log so that the next one gives one."""
    return Answer(f"{UNTOLD}{why}", {}, advice, answered=False)


def plain(value: Any) -> Any:
    """The value for JSON: estimates as three numbers, arrays as lists, what is no number as null."""
    if isinstance(value, Estimate):
        return plain(vars(value))
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
