"""How is a part known by name, and how is a name read that somebody typed?"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform, overload

from didsim.numerics.errors import ArgumentError, plain, spelled
from didsim.numerics.pytrees import at_least, between, checked, finite, one_of, positive, pytree, static, whole

Part = TypeVar("Part")
Given = TypeVar("Given")


class Registry(dict[str, Part]):
    """Parts of one kind by name; a name may be typed with ``-`` or ``_`` and in either case.

    Attributes:
        kind: what such a part is called in messages.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    @overload
    def register(self, name: str) -> Callable[[Given], Given]: ...

    @overload
    def register(self, name: Given) -> Given: ...

    @dataclass_transform(
        frozen_default=True,
        field_specifiers=(dataclasses.field, static, checked, positive, finite, at_least, between, whole, one_of),
    )
    def register(self, name: Any) -> Any:
        """Decorator: makes a part known by name to Python, TOML files, sweeps and the command line.

        A class becomes a `pytree`, if it is none yet, that carries its ``name``.

        Args:
            name: the name; or the class itself, if it has one.

        Raises:
            ArgumentError: another part of this kind has that name.
        """
        if not isinstance(name, str):
            return self.register(name.name)(name)
        if plain(name) in map(plain, self):
            raise ArgumentError(f"Argument `name` must be a name of its own, but {name!r} is taken.")

        def add(part: Any) -> Any:
            if isinstance(part, type):
                part = part if "__dataclass_fields__" in vars(part) else pytree(part)
                part.name = name
            self[name] = part
            return part

        return add

    def spelled(self, word: str, argument: str | None = None) -> str:
        """The name that a word means.

        Raises:
            ArgumentError: there is none; the message suggests the nearest one.
        """
        return spelled(argument or self.kind, word, self)
