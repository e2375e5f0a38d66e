"""Which pictures show what the papers claim, and do their numbers hold?

A figure is two files side by side and one entry in `FIGURES`.  ``a4_best_rejected.py`` has a frozen ``Config``, a ``run``
from it to a labelled dataset, and ``verdicts`` from the dataset to numbers with bounds; ``a4_best_rejected_picture.py`` has
a ``draw`` from the same dataset to a picture, which computes nothing.  `didsim.triangle` sees a loss whole, on three
responses.
"""

from typing import TYPE_CHECKING

from didsim.numerics.lazy import lazy

if TYPE_CHECKING:
    from didsim.figures.catalogue import FIGURES, register
    from didsim.figures.settings import config
    from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break

_HOME = {
    "FIGURES": "catalogue:FIGURES",
    "Verdict": "verdicts:Verdict",
    "above": "verdicts:above",
    "below": "verdicts:below",
    "by_dtype": "verdicts:by_dtype",
    "config": "settings:config",
    "must_break": "verdicts:must_break",
    "register": "catalogue:register",
}
__all__ = ["FIGURES", "Verdict", "above", "below", "by_dtype", "config", "must_break", "register"]

__getattr__, __dir__ = lazy(__name__, _HOME)
