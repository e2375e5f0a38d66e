"""Which sweep is this?

A sweep is described in lines of text, one per field of the run, axis and seed list; the hash of the lines is the same in
every process and on every machine, and where two descriptions differ, the line says where.
"""

import dataclasses
import functools
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from didsim.numerics.version import __version__
from didsim.sweeps.axes import Grid

SHORT = 16  # arrays up to this size are written out, longer ones hashed
VERSIONED = ("didsim", "optax", "jax")  # functions of these are named, not read: a new release does not undo a store


class Default(str):
    """A line that gives a field its default; a release that had no such field meant that value."""

    __slots__ = ()


def describe(cells: Grid) -> list[str]:
    """Lines ``name = value`` that together decide every number of a sweep but its precision and block width."""
    lines = [f"didsim = {__version__.split('.')[0]}", *_lines("run", cells.run, ())]
    for axis in cells.axes:
        lines.append(f"axes.{axis.name} = {', '.join(axis.paths)}")
        lines += _lines(f"axes.{axis.name}.labels", ", ".join(map(str, axis.labels)), ())
        columns = zip(*axis.values, strict=True)
        for path, column in zip(axis.paths, columns, strict=True):
            lines += _lines(f"axes.{axis.name}.{path}", column if axis.is_choice else np.stack([*map(np.asarray, column)]), ())
    return [*lines, f"seeds = {_seeds(cells.seeds)}"]


def config_hash(lines: list[str]) -> str:
    """Sixteen hexadecimal digits that change with any line."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def same_sweep(mine: list[str], theirs: list[str]) -> bool:
    """Whether two descriptions are of one sweep; one that says a thing twice is of none."""
    once = all(len(_named(lines)) == len(lines) for lines in (mine, theirs))
    return once and not first_difference(mine, theirs)


def first_difference(mine: list[str], theirs: list[str]) -> str:
    """What differs first between two descriptions, in words; empty if nothing does."""
    here, there = _named(mine), _named(theirs)
    for name in dict.fromkeys((*here, *there)):
        if not _says_the_same(here.get(name), there.get(name)):
            values = [line.partition(" = ")[2] if line else "absent" for line in (here.get(name), there.get(name))]
            return f"`{name}` is {values[0]} here and {values[1]} there"
    return ""


def _says_the_same(here: str | None, there: str | None) -> bool:
    """Whether a line means what the same line of a store means, of an older one too.

    Older ones lack fields that came later, which have their default here then, and say in which module of the package a
    function lies.  A number of a function's closure may be whole in one and floating in the other: optax's schedules turn it
    when first used.
    """
    if here is None or there is None:
        return there is None and isinstance(here, Default)
    return here == there or _without_module(here, there) or _same_number(here, there)


def _without_module(here: str, there: str) -> bool:
    """Whether the second line names the same function as the first, with a module before it."""
    name, _, function = here.partition(" = ")
    package, _, qualified = function.partition(".")
    return package in VERSIONED and there.startswith(f"{name} = {package}.") and there.endswith(f".{qualified}")


def _same_number(here: str, there: str) -> bool:
    """Whether two lines give one name the same number, 10 and 10.0."""
    (name, _, one), (other_name, _, other) = here.partition(" = "), there.partition(" = ")
    try:
        return name == other_name and float(one) == float(other)
    except ValueError:
        return False


def _named(lines: list[str]) -> dict[str, str]:
    """Lines by their name."""
    return {line.partition(" = ")[0]: line for line in lines}


def _lines(name: str, value: Any, seen: tuple[int, ...]) -> Iterator[str]:
    if id(value) in seen:
        return
    seen = (*seen, id(value))
    inner: list[tuple[str, Any]] = []
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        yield f"{name} = {value!r}"
    elif isinstance(value, (np.ndarray, np.generic, jax.Array)):
        yield f"{name} = {_array(np.asarray(value))}"
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield f"{name} = {_type(value)}"
        for field in dataclasses.fields(value):
            part = _lines(f"{name}.{field.name}", getattr(value, field.name), seen)
            yield from map(Default, part) if _is_default(field, value) else part
    elif isinstance(value, Mapping):
        yield f"{name} = {_type(value)}"
        inner = [(str(key), value[key]) for key in sorted(value, key=str)]
    elif isinstance(value, (tuple, list, set, frozenset)):
        yield f"{name} = {_type(value)} of {len(value)}"
        value = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        inner = [(str(place), entry) for place, entry in enumerate(value)]
    elif isinstance(value, functools.partial):
        yield f"{name} = partial"
        inner = [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    elif isinstance(value, type) or inspect.isroutine(value):
        yield f"{name} = {_function(value)}"
        inner = _captured(value)
    else:
        yield f"{name} = {_type(value)} {re.sub(r' at 0x[0-9a-f]+', '', repr(value))}"
        inner = sorted(getattr(value, "__dict__", {}).items())
    for part, entry in inner:
        yield from _lines(f"{name}.{part}", entry, seen)


def _is_default(field: dataclasses.Field, value: Any) -> bool:
    given = getattr(value, field.name)
    return isinstance(given, (bool, int, float, str)) and type(given) is type(field.default) and given == field.default


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__.split(".")[0] in VERSIONED else f"{kind.__module__}.{kind.__qualname__}"


def _array(value: np.ndarray) -> str:
    shown = value.tolist() if value.size <= SHORT else hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
    return f"{value.dtype.name}{list(value.shape)} {shown}"


def _seeds(seeds: tuple[int, ...]) -> str:
    if seeds == tuple(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return _array(np.asarray(seeds))


def _function(value: Any) -> str:
    """Name of a function or class, with a hash of its text where no package release stands for it."""
    module, name = getattr(value, "__module__", None) or "", getattr(value, "__qualname__", repr(value))
    if module.split(".")[0] in VERSIONED:
        return f"{module.split('.')[0]}.{name}"  # where in the package it lies may change from release to release
    try:
        text = inspect.getsource(value).encode()
    except (OSError, TypeError):
        text = getattr(getattr(value, "__code__", None), "co_code", b"")
    return f"{module}.{name} {hashlib.sha256(text).hexdigest()[:16]}"


def _captured(value: Any) -> list[tuple[str, Any]]:
    """Values a function carries with it: defaults and closure."""
    value = inspect.unwrap(value)
    code, cells = getattr(value, "__code__", None), getattr(value, "__closure__", None) or ()
    names = code.co_freevars if code else ()
    held = [(name, cell.cell_contents) for name, cell in zip(names, cells, strict=True) if not _is_empty(cell)]
    bound = [("self", value.__self__)] if inspect.ismethod(value) else []
    return [*held, *bound, *[(f"default{place}", one) for place, one in enumerate(getattr(value, "__defaults__", None) or ())]]


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
