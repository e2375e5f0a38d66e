"""How is it taught?  The exercises of the notebooks, each with an answer that the library computes and hints for slips, and a
page on which three responses can be played with."""

from typing import TYPE_CHECKING

from didsim.numerics.lazy import lazy

if TYPE_CHECKING:
    from didsim.teaching import playground
    from didsim.teaching.checking import EXERCISES, check, question
    from didsim.teaching.exercise import Exercise, Slip, Verdict

__all__ = ["EXERCISES", "Exercise", "Slip", "Verdict", "check", "playground", "question"]
_HOME = {name: f"checking:{name}" for name in ("EXERCISES", "check", "question")}
_HOME |= {name: f"exercise:{name}" for name in ("Exercise", "Slip", "Verdict")} | {"playground": "playground"}

__getattr__, __dir__ = lazy(__name__, _HOME)
