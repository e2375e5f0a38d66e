"""How is a value of this library a pytree, and which numbers may its fields hold?

Every object that travels through compiled code is a frozen dataclass whose fields are leaves, except those marked static.
JAX compares the structures of classes registered by its own dataclass helper by their static fields alone, so that two
classes with equal fields can be taken for each other and a compiled program be reused for the wrong one; here the class
is part of the structure.

A field says what it may hold where it is declared, ``beta: Scalar = positive(0.1)``: its annotation the kind and the rank,
the call the range.  It is checked when the object is made; a class's own ``__post_init__`` is left for what concerns
several fields.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, dataclass_transform

import jax

from didsim.numerics import checks
from didsim.numerics.kinds import Gate, gate

T = TypeVar("T")
Check = Callable[[str, Any], object]
NO_DEFAULT = dataclasses.MISSING


def static(*, default: Any = NO_DEFAULT) -> Any:
    """A dataclass field that is part of the structure, not a leaf."""
    return dataclasses.field(default=default, metadata={"static": True})


def checked(check: Check, default: Any = NO_DEFAULT) -> Any:
    """A leaf for which ``check(name, value)`` raises where its value is not allowed."""
    return dataclasses.field(default=default, metadata={"check": check})


def positive(default: Any = NO_DEFAULT) -> Any:
    """A leaf above zero and finite."""
    return checked(checks.positive, default)


def finite(default: Any = NO_DEFAULT) -> Any:
    """A leaf of finite numbers."""
    return checked(checks.finite, default)


def at_least(low: float, default: Any = NO_DEFAULT) -> Any:
    """A leaf that is finite and not below ``low``."""
    return checked(functools.partial(checks.at_least, low=low), default)


def between(low: float, high: float, default: Any = NO_DEFAULT, *, open_high: bool = False) -> Any:
    """A leaf in ``[low, high]``, or in ``[low, high)`` with ``open_high``."""
    return checked(functools.partial(checks.between, low=low, high=high, open_high=open_high), default)


def whole(least: int, default: Any = NO_DEFAULT, *, below: int | None = None) -> Any:
    """A static field that is an integer in ``[least, below)``, or None if its annotation says so."""
    check = functools.partial(checks.whole, least=least, below=below)
    return dataclasses.field(default=default, metadata={"static": True, "check": check})


def one_of(names: Iterable[str], default: Any = NO_DEFAULT) -> Any:
    """A static field that is one of some words."""
    allowed = tuple(names)
    check = functools.partial(checks.did_you_mean, allowed=allowed)
    return dataclasses.field(default=default, metadata={"static": True, "check": check})


def _check_fields(value: Any) -> None:
    """Checks every field: of the kind and rank its annotation says, then by its own check.

    JAX also builds objects around placeholders and tracers, which pass.
    """
    for name, what, check, optional, leaf in _checked_fields(type(value)):
        held = getattr(value, name)
        if what is not None:
            what.check(name, held)
        elif not (checks.is_number(held) or isinstance(held, str)):
            continue
        if check is not None and not (held is None and optional) and not _is_placeholder(held):
            check(name, held)
        if leaf and type(held) is int and not -checks.SIZE_LIMIT <= held < checks.SIZE_LIMIT:
            object.__setattr__(value, name, float(held))  # compiled code takes no such integer, and the number is meant


def _is_placeholder(value: Any) -> bool:
    return type(value) is object or checks.is_traced(value)


@functools.cache
def _checked_fields(kind: type) -> tuple[tuple[str, Gate | None, Check | None, bool, bool], ...]:
    """Name, gate, check, whether None is allowed, and whether it is a leaf, of every field of which something is asked."""
    rows = []
    for field in dataclasses.fields(kind):
        what = gate(field.type)
        if what is not None and what.holds_numbers and "check" not in field.metadata:
            what = None  # numbers of which nothing is said, as those of results, are taken as they are
        optional, leaf = what is not None and what.optional, not field.metadata.get("static", False)
        rows.append((field.name, what, field.metadata.get("check"), optional, leaf))
    return tuple(row for row in rows if row[1] is not None or row[2] is not None)


def _with_checks(cls: type[T]) -> type[T]:
    """The class with its fields checked before its own ``__post_init__``, if it has one."""
    own = getattr(cls, "__post_init__", None)
    own = getattr(own, "own", own)  # what a base's looks at beyond its fields, which are among those of the class

    def __post_init__(self: Any) -> None:
        _check_fields(self)
        if own is not None:
            own(self)

    __post_init__.own = own  # type: ignore[attr-defined]
    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return cls


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple]:
    """Reads attributes as a tuple."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return (lambda value: (getattr(value, names[0]),)) if names else (lambda value: ())


@dataclass_transform(
    frozen_default=True, field_specifiers=(dataclasses.field, static, checked, positive, finite, at_least, between, whole, one_of)
)
def pytree(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that is a pytree, its fields checked when it is made.

    Rebuilding from leaves bypasses ``__init__`` and its checks, because JAX also rebuilds around placeholders.
    """
    made = dataclasses.dataclass(frozen=True)(_with_checks(cls))
    fields = dataclasses.fields(made)  # type: ignore[arg-type]
    fixed = tuple(field.name for field in fields if field.metadata.get("static", False))
    leaves = tuple(field.name for field in fields if field.name not in fixed)
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in leaves)

    # A call of compiled code flattens its arguments anew, so these are as quick as Python allows.
    children_of, fixed_of = _getter(leaves), _getter(fixed)

    def flatten(value: Any):
        return children_of(value), (made, *fixed_of(value))

    def flatten_with_keys(value: Any):
        children, structure = flatten(value)
        return tuple(zip(keys, children, strict=True)), structure

    def unflatten(structure: tuple, children: Any) -> Any:
        value = object.__new__(made)
        value.__dict__.update(zip(leaves, children, strict=True), **dict(zip(fixed, structure[1:], strict=True)))
        return value

    jax.tree_util.register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)
    return made
