"""Which questions are put to a log?  One table of them, each with the function that answers it.

A further question is a row of ``QUESTIONS`` and a function from a log and a level to an ``Answer``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from didsim.diagnose import entropy, floors, likelihood, margins
from didsim.diagnose.answers import LOG_PAIRS, UNTOLD, Answer, unanswered
from didsim.diagnose.logs import PairLog
from didsim.diagnose.means import MeanLog

SHOWN = 12


@dataclass(frozen=True)
class Question:
    """A row of the table.

    Attributes:
        name: short name, for JSON and links.
        question: what is asked.
        of_pairs: its answer from single pairs, at a level.
        of_means: its answer from batch means, or why they do not hold it.
    """

    name: str
    question: str
    of_pairs: Callable[[PairLog, float], Answer]
    of_means: Callable[[MeanLog, float], Answer] | str


QUESTIONS = (
    Question(
        "displacement",
        "Does the likelihood of chosen responses fall, by how much, from which step?",
        likelihood.displacement,
        likelihood.mean_displacement,
    ),
    Question(
        "loss",
        "Which loss is it, and how far is it above the least that it can be?",
        floors.loss_of_pairs,
        floors.loss_of_means,
    ),
    Question(
        "ranking",
        "Are chosen responses likelier than rejected ones, and not only likelier than they were?",
        floors.ranking,
        "means do not hold which of two responses is likelier.",
    ),
    Question(
        "band",
        "Does a step lift chosen and lower rejected responses?",
        floors.band,
        "means do not hold the gradients of single pairs.",
    ),
    Question(
        "accounting",
        "Is the fall what -KL(π_ref‖π_θ) accounts for?",
        likelihood.accounting,
        "means do not hold e^c, nor how uneven the pairs are.",
    ),
    Question(
        "collinear",
        "Do log-margins of all pairs grow in proportion, along one line?",
        margins.collinearity,
        "means do not hold the margins of single pairs.",
    ),
    Question(
        "size",
        "Is the size of the log-margins what β asks for?",
        margins.size,
        "means do not hold the margins of single pairs.",
    ),
    Question(
        "entropy",
        "What is the entropy of the differential information q ∝ π_θ/π_ref?",
        entropy.did_entropy,
        "means do not hold importance weights.",
    ),
)


@dataclass(frozen=True)
class Finding:
    """One question answered: its row's name and question, and the fields of its ``Answer``."""

    name: str
    question: str
    answer: str
    numbers: dict[str, Any] = field(default_factory=dict)
    advice: str = ""
    open: str = ""
    answered: bool = True

    @property
    def why(self) -> str:
        """The answer, or of a question without one the reason alone."""
        return self.answer.removeprefix(UNTOLD)

    @property
    def series(self) -> list[str]:
        """Names of the numbers that come one per step."""
        return [name for name, value in self.numbers.items() if isinstance(value, (list, np.ndarray))]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The series side by side, one row per step; of many steps some, first and last among them."""
        rows = list(zip(*(self.numbers[name] for name in self.series), strict=True))
        return [rows[at] for at in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SHOWN)).round().astype(int))]


def found_in(log: PairLog | MeanLog, level: float) -> list[Finding]:
    """Every question, answered as far as the log goes."""
    return [Finding(asked.name, asked.question, *_answer(asked, log, level)) for asked in QUESTIONS]


def _answer(asked: Question, log: PairLog | MeanLog, level: float) -> Answer:
    if not len(log.step):
        return unanswered("no row comes before the divergence.", "")
    if isinstance(log, PairLog):
        return asked.of_pairs(log, level)
    return unanswered(asked.of_means, LOG_PAIRS) if isinstance(asked.of_means, str) else asked.of_means(log, level)
