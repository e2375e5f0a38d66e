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
    """Whether two descriptions are of one sweep; older ones also say in which module of the package a function lies.

    A number of a function's closure may be whole in one and floating in the other: optax's schedules turn it when first used.
    """
    pairs = zip(mine, theirs, strict=False)
    return len(mine) == len(theirs) and all(
        here == there or _without_module(here, there) or _same_number(here, there) for here, there in pairs
    )


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


def first_difference(mine: list[str], theirs: list[str]) -> str:
    """What differs first between two descriptions, in words; empty if nothing does."""
    here, there = _named(mine), _named(theirs)
    for name in (*here, *there):
        if here.get(name) != there.get(name):
            return f"`{name}` is {here.get(name, 'absent')} here and {there.get(name, 'absent')} there"
    return ""


def _named(lines: list[str]) -> dict[str, str]:
    parts = [line.partition(" = ") for line in lines]
    return {name: value for name, _, value in parts}


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
        inner = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
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
