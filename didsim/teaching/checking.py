"""Is this answer right, and if not, what should be looked at again?"""

from typing import Any

import numpy as np

from didsim.numerics import checks
from didsim.teaching import (
    beta_clock,
    conditioning,
    conjectures,
    coverage,
    did_entropy,
    displacement,
    log_ratio,
    quickstart,
    scale,
    which_loss,
)
from didsim.teaching.exercise import Answer, Exercise, Verdict

# One module for each notebook; add yours here.
MODULES = (quickstart, log_ratio, displacement, coverage, conditioning, beta_clock, did_entropy, conjectures, scale, which_loss)
EXERCISES: dict[str, Exercise] = {exercise.id: exercise for module in MODULES for exercise in module.EXERCISES}


def check(id: str, answer: Any = None) -> Verdict:
    """Verdict on the answer to an exercise: right, or what to look at again.

    The right answer is computed by the library when it is asked for.  Numbers count as right within the exercise's
    ``within``; an answer of another kind or shape is reported, in a sentence and not as an error.

    Args:
        id: the exercise, as ``"01.a"``.
        answer: a number, an array or a word, as the question asks; None shows the question.

    Returns:
        `Verdict`, true where the answer is right.

    Raises:
        ArgumentError: there is no such exercise.

    Example:
        >>> from didsim import exercises
        >>> exercises.check("01.a", [0.2, 0.3, 0.5])
        01.a: wrong. That is the target π* itself; the rejected law has to lead away from it.
        >>> exercises.check("01.a", 0.5)
        01.a: the answer is 3 numbers, but yours is one number.
    """
    exercise = _find(id)
    if answer is None or answer is ...:
        return Verdict(False, f"{id}: not answered yet. {exercise.question}")
    right = exercise.answer()
    complaint = _misfit(answer, right, exercise)
    if complaint:
        return Verdict(False, f"{id}: {complaint}")
    answer = answer if isinstance(right, str) else np.reshape(answer, np.shape(right))
    if _agrees(answer, right, exercise.within):
        return Verdict(True, f"{id}: right.")
    return Verdict(False, f"{id}: wrong. {_hint(answer, right, exercise)}")


def question(id: str) -> str:
    """The question of an exercise.

    Raises:
        ArgumentError: there is no such exercise.
    """
    return _find(id).question


def _find(id: str) -> Exercise:
    return EXERCISES[checks.did_you_mean("id", id, EXERCISES)]


def _hint(answer: Any, right: Answer, exercise: Exercise) -> str:
    """What the answer's own slip says, else what nearly every exercise's answers can suffer from, else the exercise's hint."""
    for slip in exercise.slips:
        wrong = slip.answer()
        # A slip as close to the right answer as the tolerance would accuse the innocent.
        if not _agrees(wrong, right, exercise.within) and _agrees(answer, wrong, exercise.within):
            return slip.hint
    return exercise.hint if isinstance(right, str) else _numeric_hint(answer, right, exercise)


def _numeric_hint(answer: Any, right: Answer, exercise: Exercise) -> str:
    given, wanted = np.asarray(answer, np.float64), np.asarray(right, np.float64)
    if _agrees(-given, wanted, exercise.within):
        return "Look at the sign."
    with np.errstate(all="ignore"):
        if _agrees(np.exp(given), wanted, exercise.within):
            return "You gave logarithms; the numbers themselves are asked for."
        total = given.sum()
        if wanted.ndim and np.isclose(wanted.sum(), 1.0) and _agrees(given / total, wanted, exercise.within):
            return f"The proportions are right; a law sums to one, yours to {total:.3g}."
    return exercise.hint


def _misfit(answer: Any, right: Answer, exercise: Exercise) -> str:
    """What is wrong with the kind or the shape of the answer; nothing if it fits."""
    if isinstance(right, str):
        fits = isinstance(answer, str) and _word(answer) in exercise.choices
        return "" if fits else f"the answer is one of the words {', '.join(exercise.choices)}, but yours is {answer!r}."
    wanted = np.shape(right)
    try:
        given = np.asarray(answer)
    except (TypeError, ValueError):  # rows of different lengths
        return f"the answer is {_counted(wanted)}, but yours is {answer!r}."
    if given.dtype.kind not in "iuf":
        return f"the answer is {_counted(wanted)}, but yours is {answer!r}."
    if given.shape[given.ndim - len(wanted) :] != wanted or given.size != np.prod(wanted):  # one prompt's axis is welcome
        return f"the answer is {_counted(wanted)}, but yours is {_counted(given.shape)}."
    return "" if np.isfinite(given).all() else "the answer is finite, but yours holds NaN or infinity."


def _agrees(answer: Any, right: Answer, within: float) -> bool:
    if isinstance(right, str):
        return _word(answer) == _word(right)
    gap = np.abs(np.asarray(answer, np.float64) - np.asarray(right, np.float64))
    return bool(np.all(gap <= within))


def _word(text: str) -> str:
    return text.strip().lower()


def _counted(shape: tuple[int, ...]) -> str:
    if not shape:
        return "one number"
    return f"{shape[0]} numbers" if len(shape) == 1 else f"an array of shape {shape}"
