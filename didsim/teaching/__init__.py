"""Is my answer right?  The exercises of the notebooks, each with an answer that the library computes and hints for slips."""

from didsim.teaching.checking import EXERCISES, check, question
from didsim.teaching.exercise import Exercise, Slip, Verdict

__all__ = ["EXERCISES", "Exercise", "Slip", "Verdict", "check", "question"]
