"""What do the preference logs of a real DPO run say of it, in the terms of the theory?

A log becomes checked arrays; questions are answered from them with intervals, as far as the log determines the
answer; a table of known faults is gone through; and the whole gets one word for its state.

Where to look: the columns that are understood are ``COLUMNS`` in ``columns``, the kinds of file ``read_rows`` in
``reading``, where in a JSON file a history is says ``histories``. Whether rows are of one run says ``runs``, which of
them are its means and in which order ``mean_rows``; what a log is once checked, single pairs or batch means, ``logs`` and
``means``. The questions are ``QUESTIONS`` in ``findings``, answered in ``likelihood``, ``floors``, ``margins`` and
``entropy``; the faults of single pairs are in ``signatures``, those of batch means in ``mean_signatures``, the losses
that can be told in ``losses``. How sure a number is says ``intervals``, the word for the whole ``diagnosis``; ``page``
and ``pictures`` show it.
"""

from didsim.diagnose.diagnosis import Diagnosis, diagnose
from didsim.diagnose.findings import Finding
from didsim.diagnose.logs import PairLog, read, read_log
from didsim.diagnose.means import MeanLog
from didsim.diagnose.pair_logger import PairLogger
from didsim.diagnose.reading import LogError

__all__ = ["Diagnosis", "Finding", "LogError", "MeanLog", "PairLog", "PairLogger", "diagnose", "read", "read_log"]
