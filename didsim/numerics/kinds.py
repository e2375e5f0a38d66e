"""What does a field's annotation say that it may hold: which kind of value, of what rank?

The annotation that tests check at run time is also what a part is checked by when a user makes it: `Gate` is read off it
once per class.  Whatever JAX builds an object around (tracers, placeholders in place of leaves) passes.
"""

import types
import typing
from dataclasses import dataclass
from typing import Any

from didsim.numerics import checks

WORDS = {bool: "True or False", str: "a text", tuple: "a tuple"}


@dataclass(frozen=True)
class Gate:
    """What a field may hold.

    Attributes:
        is_number: whether a plain Python number is allowed, and so every value is one number without axes.
        is_whole: whether numbers must be integers.
        axes: how many axes an array has at least, and whether it may have more before them; None where it holds none.
        kinds: classes of which a value may be: parts, texts, switches.
        optional: whether None is allowed.
        entries: what each entry of a tuple may be.
    """

    is_number: bool
    is_whole: bool
    axes: tuple[int, bool] | None
    kinds: tuple[type, ...]
    optional: bool
    entries: "Gate | None" = None

    def check(self, name: str, value: Any) -> None:
        """Nothing, if the field may hold the value.

        Raises:
            ArgumentError: it is of another kind, or has other axes.
        """
        if (value is None and self.optional) or type(value) is object or checks.is_traced(value):
            return
        if self.entries is not None and isinstance(value, tuple):
            for entry in value:
                self.entries.check(name, entry)
        if self.axes is None and not self.is_number:
            if self.kinds and not isinstance(value, self.kinds):
                _refuse_kind(name, value, self.kinds)
            return
        array = checks.numbers(name, value, whole=self.is_whole, boolean=self._is_boolean)
        if self.is_number and array.ndim:
            raise checks.ArgumentError(f"Argument `{name}` must be one number, but has shape {array.shape}.")
        least, more = self.axes or (0, False)
        if not self.is_number and (array.ndim < least or (array.ndim > least and not more)):
            wanted = f"{'at least ' if more else ''}{least} {'axis' if least == 1 else 'axes'}"
            raise checks.ArgumentError(f"Argument `{name}` must be an array of {wanted}, but has shape {array.shape}.")
        if not self.is_number and array.size == 0:
            raise checks.ArgumentError(f"Argument `{name}` must have no empty axis, but has shape {array.shape}.")

    @property
    def holds_numbers(self) -> bool:
        """Whether the field is for a number or an array."""
        return self.is_number or self.axes is not None

    @property
    def _is_boolean(self) -> bool:
        return bool in self.kinds and self.axes is not None


def gate(annotation: Any) -> Gate | None:
    """What an annotation says; None where it says nothing that can be checked."""
    allowed = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    if typing.get_origin(annotation) is tuple:
        first, *rest = typing.get_args(annotation)
        return Gate(False, False, None, (tuple,), False, gate(first) if rest == [...] else None)
    arrays = [one for one in allowed if hasattr(one, "dim_str")]
    rest = tuple(one for one in allowed if one not in arrays and one is not type(None))
    numbers = tuple(one for one in rest if one in (int, float))
    kinds = tuple(one for one in rest if isinstance(one, type) and one is not Any and one not in numbers)
    if Any in rest or len(numbers) + len(kinds) < len(rest) or not (arrays or numbers or kinds) or any(map(_is_general, arrays)):
        return None
    if arrays and "bool" in arrays[0].dtypes:
        kinds = (bool, *kinds)
    whole = float not in numbers and all("int32" in one.dtypes for one in arrays) and not (bool in kinds and arrays)
    axes = _axes(arrays[0].dim_str) if arrays else None
    return Gate(bool(numbers), whole and bool(numbers or arrays), axes, kinds, type(None) in allowed)


def _is_general(array: Any) -> bool:
    """Whether it allows for other things than numbers, such as random keys."""
    return not any(dtype in ("float32", "int32", "bool") for dtype in array.dtypes)


def _is_union(annotation: Any) -> bool:
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def _axes(dims: str) -> tuple[int, bool]:
    words = dims.split()
    more = [word for word in words if word.startswith(("...", "*"))]
    return len(words) - len(more), bool(more)


def _refuse_kind(name: str, value: Any, kinds: tuple[type, ...]) -> None:
    if kinds[0] in WORDS:
        raise checks.ArgumentError(f"Argument `{name}` must be {WORDS[kinds[0]]}, but is {checks.shown(value)}.")
    checks.part(name, value, kinds, getattr(kinds[0], "example", kinds[0].__name__))
