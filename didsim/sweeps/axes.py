"""Which runs does a sweep consist of?

A grid is one `Run` and axes over it.  An axis over numbers becomes a batch in one compiled program; an axis over choices
(objectives, samplers, sizes) becomes one program each.  Runs of a program are numbered row by row, seeds fastest, and a run is a
pure function of its number, so any block of runs can be computed anywhere, at any time, in any order.
"""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.dynamics import Run
from didsim.numerics import checks

# Path, or tuple of paths that move together, to values.  Mapping is invariant in its keys, hence the loose key type.
Axes = Mapping[Any, Any]
MOST_SEEDS = 10**7  # the list of them takes memory of its own, before any run


@dataclass(frozen=True)
class Axis:
    """One axis: the paths it sets together, its values (one tuple entry per path), and how results label them."""

    name: str
    paths: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    labels: tuple[Any, ...]
    is_choice: bool


@dataclass(frozen=True)
class Grid:
    """A run, its axes in the order given, and the seeds."""

    run: Run
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]

    @property
    def choices(self) -> tuple[Axis, ...]:
        """Axes that need a program for each value."""
        return tuple(axis for axis in self.axes if axis.is_choice)

    @property
    def numbers(self) -> tuple[Axis, ...]:
        """Axes over which one program is batched."""
        return tuple(axis for axis in self.axes if not axis.is_choice)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the number axes and of the seeds."""
        return (*(len(axis.values) for axis in self.numbers), len(self.seeds))

    @property
    def size(self) -> int:
        """Runs per program."""
        return math.prod(self.shape)

    @property
    def count(self) -> int:
        """Programs: combinations of choices."""
        return math.prod(len(axis.values) for axis in self.choices)

    def programs(self) -> list[Run]:
        """The run of every combination of choices, row by row."""
        combinations = itertools.product(*(axis.values for axis in self.choices))
        return [self._with_choices(values) for values in combinations]

    def run_values(self, runs: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Number-axis values by path, each stacked over the given runs, and the runs' seeds."""
        *places, seed_place = np.unravel_index(runs, self.shape)
        stacked = {}
        for axis, place in zip(self.numbers, places, strict=True):
            for which, path in enumerate(axis.paths):
                stacked[path] = np.stack([np.asarray(value[which]) for value in axis.values])[place]
        return stacked, np.asarray(self.seeds, np.uint32)[seed_place]

    def _with_choices(self, values: Iterable[tuple[Any, ...]]) -> Run:
        run = self.run
        for axis, value in zip(self.choices, values, strict=True):
            for path, entry in zip(axis.paths, value, strict=True):
                run = replace_path(run, path, entry)
        return run


def grid(run: Run, axes: Axes, seeds: int | Sequence[int] = 1) -> Grid:
    """Grid of a run, axes and seeds, with every value checked.

    Args:
        run: the run that the axes vary.
        axes: dotted path (``"objective.beta"``) or tuple of paths that move together, to the values: a sequence, or a
            mapping from label to value.  For a tuple of paths a value is one entry for all, or a tuple of entries.
        seeds: how many seeds (0, 1, …), or which.

    Returns:
        The `Grid`.

    Raises:
        ArgumentError: an unknown path, an empty axis, a bad seed, or a value that the run does not allow.
    """
    checks.part("run", run, Run, "didsim.Run(world, objective)")
    chosen = numbered(seeds)
    every = [path for key in axes for path in _paths(key)]
    for path in every:
        if every.count(path) > 1:
            raise checks.ArgumentError(f"Argument `axes` must name each path once, but names `{path}` {every.count(path)} times.")
    names = _axis_names([_paths(key) for key in axes])
    parsed = tuple(_axis(run, name, _paths(key), values) for name, (key, values) in zip(names, axes.items(), strict=True))
    cells = Grid(run, parsed, chosen)
    if cells.size * cells.count >= checks.SIZE_LIMIT:
        raise checks.ArgumentError(
            f"Argument `axes` must make fewer than 2^31 runs with its seeds, but makes {cells.size * cells.count:,}."
        )
    return cells


def replace_path(tree: Any, path: str, value: Any) -> Any:
    """The dataclass with the field at a dotted path replaced.

    Raises:
        ArgumentError: there is no such field; the message suggests the nearest.
    """
    head, _, rest = path.partition(".")
    if not dataclasses.is_dataclass(tree) or isinstance(tree, type):
        raise checks.ArgumentError(f"Argument `axes` names `{path}`, but {tree!r} has no fields.")
    checks.did_you_mean(f"axes ({type(tree).__name__} field)", head, [field.name for field in dataclasses.fields(tree)])
    return dataclasses.replace(tree, **{head: replace_path(getattr(tree, head), rest, value) if rest else value})


def numbered(seeds: Any) -> tuple[int, ...]:
    """The seeds that a number, how many, or a list of them asks for.

    Raises:
        ArgumentError: neither of both, too many, none, one twice, or one outside ``0 <= seed < 2**32``.
    """
    if isinstance(seeds, (int, np.integer)):
        many = checks.whole("seeds", seeds, least=1)
        if many > MOST_SEEDS:
            raise checks.ArgumentError(f"Argument `seeds` must be at most {MOST_SEEDS:,}, but is {many}.")
        return tuple(range(many))
    if isinstance(seeds, (str, bytes, Mapping)) or not isinstance(seeds, Iterable):
        raise checks.ArgumentError(f"Argument `seeds` must be a number or a list of numbers, but is {checks.shown(seeds)}.")
    chosen = tuple(checks.seed(seed, "seeds") for seed in (seeds.tolist() if isinstance(seeds, np.ndarray) else seeds))
    if not chosen:
        raise checks.ArgumentError("Argument `seeds` must name at least one seed, but is empty.")
    twice = [seed for seed, count in Counter(chosen).items() if count > 1]
    if twice:
        raise checks.ArgumentError(f"Argument `seeds` must name each seed once, but names {twice[0]} more than once.")
    return chosen


def _paths(key: str | tuple[str, ...]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


def _axis_names(paths: list[tuple[str, ...]]) -> list[str]:
    """Last part of the first path where that is unique among the axes, the whole path otherwise."""
    short = [first[0].rpartition(".")[2] for first in paths]
    return [
        name if short.count(name) == 1 and name != "seed" else first[0].replace(".", "_")
        for name, first in zip(short, paths, strict=True)
    ]


def _axis(run: Run, name: str, paths: tuple[str, ...], values: Any) -> Axis:
    labels, entries = (tuple(values), tuple(values.values())) if isinstance(values, Mapping) else (None, tuple(values))
    if not entries:
        raise checks.ArgumentError(f"Argument `axes` must give `{paths[0]}` at least one value, but gives none.")
    rows = tuple(_row(paths, jnp.asarray(entry) if isinstance(entry, np.ndarray) else entry) for entry in entries)
    for row in rows:
        for path, value in zip(paths, row, strict=True):
            replace_path(run, path, value)
    is_choice = any(_is_choice(run, path, row[place]) for row in rows for place, path in enumerate(paths))
    if not is_choice:
        _check_alike(paths, rows)
    if labels is None:
        labels = tuple(map(_label, range(len(rows)), (row[0] for row in rows)))
        _check_apart(paths[0], labels, rows)
    return Axis(name, paths, rows, labels, is_choice)


def _check_apart(path: str, labels: tuple[Any, ...], rows: tuple[tuple[Any, ...], ...]) -> None:
    """Refuses a value that comes twice: its results could not be told apart, nor any axis be named by its values."""
    known: dict[Any, list[tuple[Any, ...]]] = {}
    for label, row in zip(labels, rows, strict=True):
        others = known.setdefault(label, [])
        if any(_same(row, other) for other in others):
            raise checks.ArgumentError(f"Argument `axes` must give `{path}` each value once, but gives {label} more than once.")
        others.append(row)


def _same(one: Any, other: Any) -> bool:
    leaves, kinds = zip(*(jax.tree.flatten(tree) for tree in (one, other)), strict=True)
    return kinds[0] == kinds[1] and all(map(np.array_equal, *leaves))


def _check_alike(paths: tuple[str, ...], rows: tuple[tuple[Any, ...], ...]) -> None:
    """Refuses arrays of several shapes along one axis: they cannot be stacked."""
    for path, values in zip(paths, zip(*rows, strict=True), strict=True):
        shapes = {np.shape(value) for value in values if isinstance(value, (np.ndarray, jax.Array, np.generic, int, float))}
        if len(shapes) > 1:
            listed = " and ".join(map(str, sorted(shapes, key=len)[:2]))
            raise checks.ArgumentError(f"Argument `axes` must give `{path}` values of one shape, but gives shapes {listed}.")


def _row(paths: tuple[str, ...], entry: Any) -> tuple[Any, ...]:
    if len(paths) == 1 or not isinstance(entry, tuple):
        return (entry,) * len(paths)
    if len(entry) != len(paths):
        raise checks.ArgumentError(
            f"Argument `axes` must give {len(paths)} entries for {', '.join(paths)}, but gives {checks.shown(entry)}."
        )
    return tuple(jnp.asarray(part) if isinstance(part, np.ndarray) else part for part in entry)


def _is_choice(run: Run, path: str, value: Any) -> bool:
    """Whether a value changes the program: it is not a number or array, or the field is static."""
    parent: Any = run
    *heads, last = path.split(".")
    for head in heads:
        parent = getattr(parent, head)
    static = next(f.metadata.get("static", False) for f in dataclasses.fields(parent) if f.name == last)
    return static or not isinstance(value, (int, float, np.ndarray, np.generic, jax.Array)) or isinstance(value, bool)


def _label(place: int, value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, np.generic)):
        return value
    if isinstance(value, (np.ndarray, jax.Array)):
        return float(value) if value.ndim == 0 else place
    return getattr(value, "name", None) or type(value).__name__
