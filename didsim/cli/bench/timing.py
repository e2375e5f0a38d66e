"""How is a time taken on a machine that others use too?

Ours and its rivals take turns within one run, each several times in a row per turn, and the least time counts: whatever
else the machine does only adds.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

IN_A_ROW = 8  # a rival's threads may still spin when our turn begins: only later calls of a turn are undisturbed
FEWEST = 3


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what was measured.
        ours_s: seconds didsim takes.
        rival_s: seconds the rival takes; None without one.
        note: sizes, precision, what is scaled, or why there is no rival.
    """

    name: str
    ours_s: float
    rival_s: float | None
    note: str

    @property
    def ratio(self) -> float | None:
        """How many times longer the rival takes."""
        return None if self.rival_s is None else self.rival_s / self.ours_s

    def to_json(self) -> dict:
        """``{"name", "ours_s", "rival_s", "ratio", "note"}``."""
        row = asdict(self)
        return {**{key: row[key] for key in ("name", "ours_s", "rival_s")}, "ratio": self.ratio, "note": self.note}


def fastest(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Least seconds of each call, after one to warm up; ``seconds`` are spent on each, but at least three calls."""
    best, spent, count = {}, dict.fromkeys(calls, 0.0), dict.fromkeys(calls, 0)
    for name, call in calls.items():
        call()
        best[name] = float("inf")
    while waiting := [
        name for name in calls if spent[name] < seconds or (count[name] < FEWEST and spent[name] < 20 * seconds + 1)
    ]:
        for name in waiting:
            turn = time.perf_counter()
            for _ in range(IN_A_ROW):
                began = time.perf_counter()
                calls[name]()
                best[name] = min(best[name], time.perf_counter() - began)
                count[name] += 1
                if time.perf_counter() - turn > max(seconds / 4, 0.01):
                    break
            spent[name] += time.perf_counter() - turn
    return best
