"""How is a part known by name, and how is a name read that somebody typed?"""

from collections.abc import Callable
from typing import TypeVar

from didsim.numerics import checks

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

    def register(self, name: str) -> Callable[[Given], Given]:
        """Decorator: makes a part known by name to Python, TOML files, sweeps and the command line.

        Raises:
            ArgumentError: another part of this kind has that name.
        """
        if plain(name) in map(plain, self):
            raise checks.ArgumentError(f"Argument `name` must be a name of its own, but {name!r} is taken.")

        def add(part: Given) -> Given:
            self[name] = part  # type: ignore[assignment]
            return part

        return add

    def spelled(self, word: str, argument: str | None = None) -> str:
        """The name that a word means.

        Raises:
            ArgumentError: there is none; the message suggests the nearest one.
        """
        meant = {plain(name): name for name in self}
        return meant[plain(word)] if plain(word) in meant else checks.did_you_mean(argument or self.kind, word, self)


def plain(name: str) -> str:
    """A name without its spelling: lower case, with ``-`` for ``_``."""
    return name.lower().replace("_", "-")
