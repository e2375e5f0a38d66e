"""From a text file to a run: which names and numbers may a TOML config hold?

A config has one table per part of a `Run` (world, objective, sampler, labels, policy, optimiser, rule, rounds), each with the
fields of that class and, where there are several, its ``name``, and the run's own numbers at the top.  Unknown names and
fields are refused with the nearest allowed one; nothing is silently ignored.
"""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from didsim import samplers, worlds
from didsim.dynamics import Rounds, Run
from didsim.dynamics.optimisers import OPTIMISERS
from didsim.dynamics.references import REFERENCES, Reference
from didsim.dynamics.rules import RULES
from didsim.numerics import checks
from didsim.numerics.arrays import read_npy
from didsim.numerics.registry import Registry
from didsim.numerics.sequences import SequenceSpace
from didsim.numerics.texts import read_value
from didsim.objectives import OBJECTIVES
from didsim.policies.policy import POLICIES
from didsim.samplers.data import Data
from didsim.samplers.source import BEHAVIOURS
from didsim.sweeps.axes import Axes, numbered
from didsim.worlds import preferences
from didsim.worlds.problems import WORLDS

ROUNDS: Registry[type[Rounds]] = Registry("rounds")
ROUNDS["rounds"] = Rounds
PARTS: Mapping[str, Registry[Any]] = {
    "world": WORLDS,
    "objective": OBJECTIVES,
    "sampler": samplers.SAMPLERS,
    "labels": preferences.LABELS,
    "policy": POLICIES,
    "optimiser": OPTIMISERS,
    "rule": RULES,
    "rounds": ROUNDS,
}
NUMBERS = ("steps", "pairs", "records", "stop_below")
INSIDE: Mapping[str, Registry[Any]] = {"behaviour": BEHAVIOURS, "reference": REFERENCES}
MAKERS: Mapping[str, Registry[Any]] = {**PARTS, **INSIDE}
KINDS = {
    "sampler": samplers.Sampler,
    "behaviour": samplers.Behaviour,
    "labels": preferences.Labels,
    "reference": Reference,
}


def run_from(table: Mapping[str, Any], folder: Path = Path(".")) -> Run:
    """The run that a config table describes.

    Args:
        table: parts and numbers; ``world`` and ``objective`` are required.
        folder: where paths of array files in the table are relative to.

    Returns:
        The `Run`.

    Raises:
        ArgumentError: an unknown name or field, a missing part, or a value that is not allowed.
    """
    allowed = (*PARTS, *NUMBERS)
    for name in table:
        checks.did_you_mean("config field", name, allowed)
    for required in ("world", "objective"):
        if required not in table:
            raise checks.ArgumentError(f"Argument `{required}` must be given in the config, but is missing.")
    values: dict[str, Any] = {part: build(part, table[part], folder) for part in PARTS if part in table}
    if isinstance(values["world"], worlds.Problem):
        values["world"] = worlds.Given(values["world"])
    Data.given(values.get("sampler"), values.get("labels"))  # both or neither
    return Run(**values, **{name: table[name] for name in NUMBERS if name in table})


def sweep_from(table: Mapping[str, Any], folder: Path = Path(".")) -> tuple[Run, Axes, tuple[int, ...]]:
    """The run, axes and seeds that a config table describes: a run's table with ``axes`` and ``seeds`` beside.

    Args:
        table: as for `run_from`, with ``axes`` (dotted path to list of values, ``"a+b"`` for paths that move together)
            and ``seeds`` (how many, or a list).
        folder: where paths of array files in the table are relative to.

    Returns:
        Run, axes and seeds for `didsim.sweep`.

    Raises:
        ArgumentError: as `run_from`, `axes_from`, and `didsim.sweeps.axes.numbered` for the seeds.
    """
    for name in table:
        checks.did_you_mean("config field", name, (*PARTS, *NUMBERS, "axes", "seeds"))
    run = run_from({name: value for name, value in table.items() if name not in ("axes", "seeds")}, folder)
    axes, seeds = table.get("axes", {}), table.get("seeds", 1)
    if not isinstance(axes, Mapping):
        raise checks.ArgumentError(f"Argument `axes` must be a table of lists, but is {checks.shown(axes)}.")
    return run, axes_from(axes, folder), numbered(seeds)


def build(part: str, entry: Any, folder: Path = Path(".")) -> Any:
    """One part from its name, or from a table with a ``name``, which a part that comes in one kind needs not, and fields.

    Raises:
        ArgumentError: an unknown name or field, a missing field, or a value that is not allowed.
    """
    fields = {"name": entry} if isinstance(entry, str) else dict(entry) if isinstance(entry, Mapping) else {}
    makers = MAKERS[part]
    if len(makers) == 1 and isinstance(entry, Mapping):
        fields.setdefault("name", next(iter(makers)))
    if not isinstance(fields.get("name"), str):
        raise checks.ArgumentError(f"Argument `{part}` must be a name or a table with a `name`, but is {checks.shown(entry)}.")
    maker = _maker(part, fields.pop("name"))
    known = _parameters(maker)
    for name in fields:
        checks.did_you_mean(f"{part} field", name, known)
    missing = [name for name, required in known.items() if required and name not in fields]
    if missing:
        raise checks.ArgumentError(f"Argument `{part}.{missing[0]}` must be given for this {part}, but is missing.")
    nested, words = _nested(maker), _words(maker)

    def read(name: str, value: Any) -> Any:
        if name in words and isinstance(value, str):
            return value
        return build(nested[name], value, folder) if name in nested else _value(part, name, value, folder)

    return maker(**{name: read(name, value) for name, value in fields.items()})


def build_named(part: str, text: str, option: str, **defaults: float) -> Any:
    """One part from ``name`` or ``name:field=number,field=number``; ``0/0/1`` is a list of numbers.

    Args:
        part: kind of part.
        text: what a person typed.
        option: where, for the message.
        defaults: values of fields that the text does not give, for those parts that have them.

    Raises:
        ArgumentError: the text has another form, or as `build`.
    """
    name, colon, rest = text.partition(":")
    known = _parameters(_maker(part, name))
    fields: dict[str, Any] = {field: value for field, value in defaults.items() if field in known}
    given: dict[str, Any] = {}
    for word in rest.split(",") if colon else ():
        field, _, value = word.partition("=")
        given[field] = read_value(value, between="/", name=option)
        entries = given[field] if isinstance(given[field], list) else [given[field]]
        if any(isinstance(one, str) for one in entries):
            raise checks.ArgumentError(f"Argument `{option}` must be name or name:field=number, but is {checks.shown(text)}.")
    if colon and len(given) < rest.count(",") + 1:
        raise checks.ArgumentError(f"Argument `{option}` must name each field once, but is {checks.shown(text)}.")
    fields |= given
    return build(part, {**fields, "name": name})


def axes_from(table: Mapping[str, Any], folder: Path = Path(".")) -> Axes:
    """Sweep axes from a config's ``axes`` table: a list of numbers for a dotted path, a list of parts for a part.

    Raises:
        ArgumentError: an entry that is not a list, or a part that cannot be built.
    """
    axes: dict[str | tuple[str, ...], Any] = {}
    rows = _flatten(table)
    for path, values in rows:
        if [path for path, _ in rows].count(path) > 1:
            raise checks.ArgumentError(f"Argument `axes` must name each path once, but names `{path}` more than once.")
        if not isinstance(values, list):
            raise checks.ArgumentError(f"Argument `axes.{path}` must be a list of values, but is {checks.shown(values)}.")
        part = path if path in PARTS else path.rpartition(".")[2]
        if part in MAKERS:
            built = [build(part, value, folder) for value in values]
            axes[path] = {
                _part_label(value, place, values): one for place, (value, one) in enumerate(zip(values, built, strict=True))
            }
        else:
            paths = tuple(path.split("+"))
            together = len(paths) > 1
            for value in values if together else ():
                if isinstance(value, list) and len(value) != len(paths):
                    raise checks.ArgumentError(
                        f"Argument `axes.{path}` must give {len(paths)} entries each time, but gives {checks.shown(value)}."
                    )
            axes[paths if together else path] = [_axis_value(path, value, together=together) for value in values]
    return axes


def _axis_value(path: str, value: Any, *, together: bool) -> Any:
    """One value of an axis: of paths that move together a tuple, else a number, a word or an array."""
    if not isinstance(value, list):
        return value
    if together:
        return tuple(_axis_value(path, one, together=False) for one in value)
    return np.asarray(_array(f"axes.{path}", value))


def _maker(part: str, word: str) -> Any:
    """The class or function that a name means, in either case and with ``-`` or ``_``."""
    return MAKERS[part][MAKERS[part].spelled(word, part)]


def _part_label(value: Any, place: int, values: list) -> str:
    names = [entry if isinstance(entry, str) else entry.get("name", "") or _spelled(entry) for entry in values]
    return names[place] if names.count(names[place]) == 1 else f"{names[place]} {place}"


def _spelled(entry: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in entry.items())


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows = []
    for name, value in table.items():
        rows += _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return rows


def _nested(maker: Any) -> dict[str, str]:
    """Fields that hold another part, and of which kind."""
    if not dataclasses.is_dataclass(maker):
        return {}
    typed = {field.name: field.type for field in dataclasses.fields(maker) if isinstance(field.type, type)}
    return {name: kind for name, type_ in typed.items() for kind, base in KINDS.items() if issubclass(type_, base)}


def _words(maker: Any) -> set[str]:
    """Fields that hold a word, which the part itself checks."""
    return {field.name for field in dataclasses.fields(maker) if field.type is str} if dataclasses.is_dataclass(maker) else set()


def _parameters(maker: Any) -> dict[str, bool]:
    """Parameter names and whether each is required."""
    if dataclasses.is_dataclass(maker):
        return {field.name: field.default is dataclasses.MISSING for field in dataclasses.fields(maker)}
    parameters = inspect.signature(maker).parameters.values()
    return {one.name: one.default is inspect.Parameter.empty for one in parameters}


def _value(part: str, name: str, value: Any, folder: Path) -> Any:
    if name == "space":
        return _space(part, value)
    if isinstance(value, str) and value.endswith(".npy"):
        return jnp.asarray(read_npy(f"{part}.{name}", folder / value))
    if isinstance(value, str):
        raise checks.ArgumentError(
            f"Argument `{part}.{name}` must be a number or an array of numbers, but is {checks.shown(value)}."
        )
    return _array(f"{part}.{name}", value) if isinstance(value, list) else value


def _array(name: str, value: list) -> jnp.ndarray:
    """Array of lists of numbers, or of nothing but booleans."""
    flat = list(_entries(value))
    for one in flat if not all(isinstance(one, bool) for one in flat) else ():
        checks.numbers(name, one)
    try:
        return jnp.asarray(np.asarray(value, None if flat and all(isinstance(one, (bool, int)) for one in flat) else float))
    except (TypeError, ValueError, OverflowError):
        raise checks.ArgumentError(f"Argument `{name}` must be a rectangular array, but is {checks.shown(value)}.") from None


def _entries(value: list) -> Iterator[Any]:
    for one in value:
        yield from _entries(one) if isinstance(one, list) else (one,)


def _space(part: str, value: Any) -> SequenceSpace:
    known = _parameters(SequenceSpace)
    if not isinstance(value, Mapping) or not all(name in value for name, required in known.items() if required):
        raise checks.ArgumentError(
            f"Argument `{part}.space` must be a table with vocabulary and length, but is {checks.shown(value)}."
        )
    for name in value:
        checks.did_you_mean(f"{part}.space field", name, known)
    return SequenceSpace(**value)
