"""What is an exercise?  A question, the computation of its answer, and what to say to typical wrong answers."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from jax.typing import ArrayLike

WIDTH = 100
Answer = ArrayLike | tuple[float, ...] | str


@dataclass(frozen=True)
class Slip:
    """A typical wrong answer and what to look at again.

    Attributes:
        answer: computes the wrong answer.
        hint: what to say to it; never the right answer.
    """

    answer: Callable[[], Answer]
    hint: str


@dataclass(frozen=True)
class Exercise:
    """One question with a checkable answer.

    Attributes:
        id: number of the notebook and a letter, as ``01.a``.
        question: the question, complete in itself.
        answer: computes the right answer, numbers of any shape or one word of ``choices``.
        hint: what to say to a wrong answer that no slip explains.
        slips: typical wrong answers, looked at in order.
        within: how far a number may be off, in its own unit.
        choices: words that may be answered, if the answer is a word.
    """

    id: str
    question: str
    answer: Callable[[], Answer]
    hint: str
    slips: tuple[Slip, ...] = ()
    within: float = 5e-3
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and what to say; it is true where the answer is right, and shows as its message."""

    ok: bool
    message: str

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return textwrap.fill(self.message, WIDTH)
