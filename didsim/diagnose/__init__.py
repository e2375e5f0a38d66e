"""What do the preference logs of a real DPO run say of it, in the terms of the theory?

A log becomes checked arrays; four questions are answered from them with intervals, as far as the log determines the
answer; a table of known faults is gone through; and the whole gets one word for its state.

| to change | look in |
|---|---|
| which columns are understood, and what they may hold | ``COLUMNS`` in `columns` |
| which files are read | ``read_rows`` in `reading` |
| what a log is once it has been checked: single pairs, or batch means | `logs` |
| which questions are asked | ``QUESTIONS`` in `findings`; answered in `likelihood`, `margins`, `entropy` |
| which faults are known | ``FAULTS`` in `signatures` |
| how sure a number is | `intervals` |
| the word for the whole | `diagnosis` |
| what is printed and drawn | `page` and `pictures` |
"""

from didsim.diagnose.diagnosis import Diagnosis, diagnose
from didsim.diagnose.findings import Finding
from didsim.diagnose.intervals import Estimate
from didsim.diagnose.logs import MeanLog, PairLog, read_log
from didsim.diagnose.reading import LogError
from didsim.diagnose.signatures import Signature

__all__ = ["Diagnosis", "Estimate", "Finding", "LogError", "MeanLog", "PairLog", "Signature", "diagnose", "read_log"]
