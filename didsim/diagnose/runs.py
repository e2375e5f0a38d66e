"""Are these rows of one run?  Tables of several have a run's name before each column's, or in a column of its own."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from didsim.diagnose.columns import says, step_number
from didsim.diagnose.names import TELLING, meant, origin, words_of
from didsim.diagnose.reading import LogError, Rows

RUN = {"run", "runs", "trial", "experiment"}  # words of a column that names the run


def one_origin(rows: Rows, given: Collection[str]) -> None:
    """Nothing, if no two columns of one meaning, nor those of the two sides, have names of two runs before them.

    Raises:
        LogError: two have; columns of meanings that are ``given`` by hand do not count.
    """
    seen: dict[tuple[str, str], tuple[frozenset[str], str]] = {}
    for name, values in rows.columns.items():
        known = meant(name)
        if known is None or known.meaning not in TELLING or known.meaning in given:
            continue
        if not origin(name) or not any(map(says, values)):
            continue
        for what in (known.meaning, known.meaning.replace("chosen", "").replace("rejected", "")):
            whose, first = seen.setdefault((known.split, what), (origin(name), name))
            if whose != origin(name):
                raise LogError(
                    f"{rows.path.name}: a log must be of one run, but {first!r} and {name!r} are of two; export one run's own "
                    "history."
                )


def one_run(rows: Rows, step: str | None, kept: Sequence[int]) -> None:
    """Nothing, if no column tells apart rows of several runs, or of several kinds, at the same steps.

    Raises:
        LogError: one does.
    """
    if step is None:
        return
    steps = {at: value for at in kept if (value := step_number(rows.columns[step][at])) is not None}
    for name, values in rows.columns.items():
        labels = [(values[at], value) for at, value in steps.items() if _is_label(values[at])]
        if meant(name) is None and _tells(set(words_of(name)), labels):
            first = labels[0][0]
            other = next(label for label, _ in labels if label != first)
            raise LogError(
                f"{rows.path.name}: a log must be of one run, but column {name!r} has {first!r} and {other!r} at the same steps; "
                "give the rows of one."
            )


def _is_label(value: Any) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and value.is_integer()) if says(value) else False


def _tells(words: set[str], labels: list[tuple[Any, float]]) -> bool:
    """Whether labels are those of several runs: by a name that says so, or as interleaved texts that part what comes twice."""
    groups: dict[Any, list[float]] = {}
    for label, step in labels:
        groups.setdefault(label, []).append(step)
    if len(groups) < 2 or min(map(len, groups.values())) < 2:
        return False
    if words & RUN:
        return _overlap(groups)
    text = all(isinstance(label, str) and step_number(label) is None for label in groups)
    changes = sum(one[0] != other[0] for one, other in itertools.pairwise(labels))
    distinct = {step for _, step in labels}
    # A machine that changes with a resume is a text too, but its rows come one after another.
    parted = (text or "seed" in words) and all(len(set(steps)) == len(steps) for steps in groups.values())
    return parted and changes >= len(groups) and len(labels) - len(distinct) >= 2


def _overlap(groups: Mapping[Any, list[float]]) -> bool:
    ends = sorted((min(steps), max(steps)) for steps in groups.values())
    return any(low < high for (_, high), (low, _) in itertools.pairwise(ends))
