"""How do we say no?  One kind of error for everything that a user can get wrong; it costs nothing to import."""

import difflib
import math
import re
from collections.abc import Iterable

LISTED = 60  # more names than this would hide the hint


SHOWN = 60  # characters of a value; more would hide what is allowed


# What moves a terminal's cursor or colours, breaks a line, turns the direction of writing, or stands for a byte that is no text.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class ArgumentError(ValueError):
    """An argument is not allowed; the message names it, shows it and says what is allowed."""


def shown(value: object) -> str:
    """A value as a message shows it: its beginning where it is long, and the size of an integer that is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return f"an integer of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists in lists, somewhere inside
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def printable(text: str) -> str:
    """A text from outside as one line that does nothing to a terminal: control characters by their escapes."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def did_you_mean(name: str, word: str, allowed: Iterable[str]) -> str:
    """The allowed word itself, or an `ArgumentError` that suggests the nearest one."""
    choices = sorted(allowed, key=_numbered)
    if isinstance(word, str) and word in choices:
        return word
    if not choices:
        raise ArgumentError(f"Argument `{name}` must not be given, since there is none to choose from, but is {shown(word)}.")
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5) if isinstance(word, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(choices) if len(choices) <= LISTED else f"{len(choices)} names ({', '.join(choices[:4])}, …)"
    raise ArgumentError(f"Argument `{name}` must be one of {listed}, but is {shown(word)}.{hint}")


def spelled(name: str, word: str, allowed: Iterable[str]) -> str:
    """The allowed name that a word means, written with ``-`` or ``_`` and in either case; or as `did_you_mean` refuses it."""
    meant = {plain(one): one for one in allowed}
    return meant[plain(word)] if plain(word) in meant else did_you_mean(name, word, meant.values())


def _numbered(name: str) -> list[str | int]:
    """What sorts a name with its numbers as numbers: C2 before C10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def plain(name: str) -> str:
    """A name without its spelling: lower case, with ``-`` for ``_``."""
    return name.lower().replace("_", "-")
