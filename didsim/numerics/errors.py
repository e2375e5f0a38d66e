"""How do we say no?  One kind of error for everything that a user can get wrong; it costs nothing to import."""

import difflib
from collections.abc import Iterable

LISTED = 60  # more names than this would hide the hint


class ArgumentError(ValueError):
    """An argument is not allowed; the message names it, shows it and says what is allowed."""


def did_you_mean(name: str, word: str, allowed: Iterable[str]) -> str:
    """The allowed word itself, or an `ArgumentError` that suggests the nearest one."""
    choices = sorted(allowed)
    if word in choices:
        return word
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(choices) if len(choices) <= LISTED else f"{len(choices)} names ({', '.join(choices[:4])}, …)"
    raise ArgumentError(f"Argument `{name}` must be one of {listed}, but is {word!r}.{hint}")


def spelled(name: str, word: str, allowed: Iterable[str]) -> str:
    """The allowed name that a word means, written with ``-`` or ``_`` and in either case; or as `did_you_mean` refuses it."""
    meant = {plain(one): one for one in allowed}
    return meant[plain(word)] if plain(word) in meant else did_you_mean(name, word, meant.values())


def plain(name: str) -> str:
    """A name without its spelling: lower case, with ``-`` for ``_``."""
    return name.lower().replace("_", "-")
