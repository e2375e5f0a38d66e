"""Which parts and claims are there?  A file that is read without JAX, so that a mistyped name is told at once.

The registries say it; ``known.json`` is what they said when it was written (``make known``), and a test holds both equal.
Where JAX is loaded already nobody waits, and the registries themselves decide: they know what a user registered.
"""

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from didsim.numerics.errors import ArgumentError, did_you_mean, plain, shown, spelled

FILE = Path(__file__).with_name("known.json")


def check_parts(option: str, kind: str, words: tuple[str, ...]) -> None:
    """Nothing, if each word is the name of a part, with or without numbers as in ``best_of_base:k=8``.

    Args:
        option: which option holds them, for the message.
        kind: ``objectives``, ``samplers`` or ``departures``.
        words: what was typed.

    Raises:
        ArgumentError: one of them is no such name.
    """
    if "jax" not in sys.modules:
        for word in words:
            name = word.partition(":")[0]
            if kind == "objectives":
                objective(option, name)
            else:
                spelled(option, name, names(kind))


def check_claims(words: tuple[str, ...]) -> None:
    """Nothing, if each word is the id of a claim, or the number or letter of several.

    Raises:
        ArgumentError: one of them is not.
    """
    if "jax" not in sys.modules:
        allowed = names("claims")
        for word in words:
            if word.lower() not in map(str.lower, allowed):
                did_you_mean("CLAIM", word, allowed)


def names(kind: str) -> list[str]:
    """Names of the parts of a kind, in their registry's order."""
    return list(_known()[kind])


def objective(option: str, word: str) -> str:
    """The name of an objective, which is also suggested by what trainers call it.

    Raises:
        ArgumentError: it is no such name; the message says whose it is, if a trainer has it.

    Example:
        >>> objective("NAME", "SimPO")
        'simpo'
    """
    theirs = re.compile(rf"=\s*{re.escape(word)}\b")
    called = [
        f"{trainer}'s {said} is {name!r}"
        for name, fact in _known()["dialects"].items()
        for trainer, said in fact["names"].items()
        if theirs.search(said)
    ]
    if plain(word) in map(plain, names("objectives")) or not called:
        return spelled(option, word, names("objectives"))
    raise ArgumentError(f"Argument `{option}` must be an objective, but is {shown(word)}. {called[0]}.")


def objectives() -> list[dict[str, Any]]:
    """What the registry says of each objective: a row per objective, as ``didsim objectives`` shows it."""
    return list(_known()["objectives"].values())


def dialect(name: str) -> dict[str, Any]:
    """What else the project knows of an objective: its ``formula``, ``names`` by trainer and version, ``kindred`` ones."""
    return dict(_known()["dialects"][name])


def collect() -> dict[str, Any]:
    """What the registries hold now, for the file; this needs JAX."""
    from didsim.claims.groups import every_name
    from didsim.claims.ledger import LEDGER
    from didsim.landscape.atlas import DEPARTURES
    from didsim.objectives import OBJECTIVES
    from didsim.objectives.names import facts
    from didsim.samplers import SAMPLERS

    rows = {name: _row(kind) for name, kind in OBJECTIVES.items()}
    dialects = {name: facts(name) for name in OBJECTIVES}
    lists = {"samplers": list(SAMPLERS), "claims": every_name(LEDGER), "departures": list(DEPARTURES)}
    return {"objectives": rows, "dialects": dialects, **lists}


def write() -> None:
    """Renews the file."""
    FILE.write_text(text(), encoding="utf-8")


def text() -> str:
    """The file's text, one entry a line."""
    return json.dumps(collect(), indent=1, ensure_ascii=False) + "\n"


@cache
def _known() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def _row(kind: Any) -> dict[str, str | bool]:
    card = kind.card
    return {
        "name": kind.name,
        "reward": card.reward,
        "link": card.link,
        "reference_free": kind.reference_free,
        "convex": kind.convex,
        "minimiser": card.limit.value,
        "where": card.where,
        "source": card.source,
    }
