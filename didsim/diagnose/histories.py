"""Where in a JSON file is the history of the run?  Among all arrays of rows and objects of columns in it."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from didsim.diagnose.names import TELLING, Meant, meant

NESTED = 8  # levels of objects within a row that are spread over its columns


@dataclass(frozen=True)
class Found:
    """Rows somewhere in a JSON file, the names that lead to them, how many they are, and what their columns mean."""

    at: tuple[str, ...]
    rows: list[Any]
    size: int
    meanings: frozenset[Meant]

    @property
    def telling(self) -> frozenset[str]:
        """The meanings that make rows a run's own."""
        return frozenset(one.meaning for one in self.meanings if one.meaning in TELLING)

    @property
    def rank(self) -> tuple[int, int]:
        """How many meanings, then how many rows."""
        return len(self.meanings), self.size


def history(whole: Any, named: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """The rows in a JSON value, and the paths of two histories of which neither is a part of the other, if there are such."""
    found = list(_candidates(whole, named))
    best = max(found, key=lambda one: one.rank, default=None)  # the first of equals
    if best is None or best.rank[0] < 2:
        return whole.get("log_history", [whole]) if isinstance(whole, dict) else whole, []
    alike = [one for one in found if one.size > 1 and best.telling & one.telling and one.rows is not best.rows]
    known = _told(best.rows, named) if alike else set()
    # What holds nothing else is the history's own series again.
    rival = next((one for one in alike if not _told(one.rows, named) <= known), None)
    two = [] if rival is None else sorted((best, rival), key=lambda one: one.at)
    return best.rows, ["/".join(one.at) or "its top level" for one in two]


def _candidates(whole: Any, named: Mapping[str, str]) -> Iterator[Found]:
    """All arrays of rows in a JSON value, and objects of columns, those near its root first."""
    queue: deque[tuple[tuple[str, ...], Any]] = deque([((), whole)])
    while queue:
        at, inside = queue.popleft()
        if isinstance(inside, dict):
            lists = {name: value for name, value in inside.items() if isinstance(value, list)}
            known = {name: value for name, value in lists.items() if meaning_of(name, named) and value and not _rows_in(value)}
            if known:
                size = len(next(iter(known.values())))
                others = {name: value for name, value in lists.items() if len(value) == size and plain_list(value)}
                yield Found(at, [others | known], size, _meanings([known], named))
            queue.extend(((*at, name), value) for name, value in inside.items() if isinstance(value, (dict, list)))
        elif _rows_in(inside):
            found = Found(at, inside, len(inside), _meanings(inside, named))
            yield found
            if not found.telling:  # else the lists in its rows are batches, not histories
                queue.extend(((*at, str(place)), value) for place, value in enumerate(inside))


def _rows_in(value: Any) -> bool:
    return bool(value) and isinstance(value, list) and all(isinstance(row, dict) for row in value)


def meaning_of(name: str, named: Mapping[str, str]) -> Meant | None:
    """What a column's name means: what somebody says, before what it says itself."""
    return Meant(named[name], "") if name in named else meant(name)


def _meanings(rows: list[Any], named: Mapping[str, str]) -> frozenset[Meant]:
    names = dict.fromkeys(name for row in rows for name, _ in _leaves(row))
    return frozenset(meaning for name in names if (meaning := meaning_of(name, named)))


def _told(rows: list[Any], named: Mapping[str, str]) -> set[tuple[Meant, str]]:
    """Entries of rows, or of their lists, that make them a run's own."""
    entries = [(known, value) for row in rows for name, value in _leaves(row) if (known := meaning_of(name, named))]
    return {
        (known, str(one))
        for known, value in entries
        if known.meaning in TELLING
        for one in (value if isinstance(value, list) else [value])
    }


def _leaves(row: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """A row's entries, those of objects within it under joined names."""
    for name, value in row.items():
        if isinstance(value, dict) and depth < NESTED:
            yield from ((f"{name}/{inner}", entry) for inner, entry in _leaves(value, depth + 1))
        else:
            yield str(name), value


def plain_list(values: list[Any]) -> bool:
    """Whether a list holds single values only."""
    return not any(isinstance(value, (list, dict)) for value in values)
