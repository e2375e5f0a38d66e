"""How is a value of this library a pytree?

Every object that travels through compiled code is a frozen dataclass whose fields are leaves, except those marked static.
JAX compares the structures of classes registered by its own dataclass helper by their static fields alone, so that two
classes with equal fields can be taken for each other and a compiled program be reused for the wrong one; here the class
is part of the structure.
"""

import dataclasses
import operator
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(*, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field that is part of the structure, not a leaf."""
    return dataclasses.field(default=default, metadata={"static": True})


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple]:
    """Reads attributes as a tuple."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return (lambda value: (getattr(value, names[0]),)) if names else (lambda value: ())


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def record(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that is a pytree.

    Rebuilding from leaves bypasses ``__init__`` and its checks, because JAX also rebuilds around placeholders.
    """
    made = dataclasses.dataclass(frozen=True)(cls)
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
