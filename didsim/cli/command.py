"""How is a command declared?  As a frozen dataclass: its fields are words and options, ``run`` answers the exit code.

What a command needs that is slow to import, above all JAX, is imported where it runs: parsing and help do not wait for it.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar, dataclass_transform

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from didsim.numerics.errors import ArgumentError
from didsim.numerics.texts import read_value

T = TypeVar("T")
WORDS = {Path | None: "PATH", int | None: "INT", float | None: "FLOAT", str | None: "STR"}
# Options that several commands have, each with what its help says.
Single = Annotated[bool, tyro.conf.arg(name="no-x64", help="Single precision; double is the default.", help_behavior_hint="")]
Overwrite = Annotated[bool, tyro.conf.arg(help="Replace what is there already.", help_behavior_hint="")]


def _number(kind: type[int] | type[float], metavar: str) -> PrimitiveConstructorSpec:
    """How a number is typed: in plain digits, where Python's own readers take ``1_0`` and digits of other scripts too."""

    def read(typed: list[str]) -> Any:
        value: Any = typed[0]
        with contextlib.suppress(ArgumentError):
            value = read_value(value, between="\0")
        if isinstance(value, str) or (kind is int and not isinstance(value, int)):
            raise ValueError(f"{typed[0]!r} is no {'integer' if kind is int else 'number'}")
        return kind(value)

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


Whole = Annotated[int, _number(int, "INT")]
Number = Annotated[float, _number(float, "FLOAT")]
PLAIN: dict[Any, Any] = {int: Whole, float: Number, int | None: Optional[Whole], float | None: Optional[Number]}  # noqa: UP045


class Command:
    """What every command is.

    Class attributes:
        needs_jax: off for those that answer from files alone.
        runs_briefly: on where there are many programs and each runs so briefly that compiling it takes most of the time.
        joins_others: on where other processes may be joined, which must come before devices are looked for.

    Attributes:
        kept: what an interruption says of the work that is done.
    """

    needs_jax = True
    runs_briefly = False
    joins_others = False

    @property
    def kept(self) -> str:
        """Nothing is kept, unless a command says so."""
        return ""

    def check(self) -> None:
        """Refuses what can be refused before JAX is imported: nobody waits for a mistyped name.

        Raises:
            ArgumentError: a name or a path is not allowed.
        """

    def run(self) -> int:
        """Does it: 0 all is well, 1 a check failed or a fault was seen."""
        raise NotImplementedError


@dataclass_transform(frozen_default=True)
def command(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass whose help shows no default where that is nothing, on or off."""
    kinds = cls.__annotations__
    for name, kind in kinds.items():
        default: Any = getattr(cls, name, 0)
        if (default is None or isinstance(default, bool)) and not hasattr(kind, "__metadata__"):
            kinds[name] = Annotated[PLAIN.get(kind, kind), tyro.conf.arg(metavar=WORDS.get(kind), help_behavior_hint="")]
        elif kind in PLAIN:
            kinds[name] = PLAIN[kind]
    return dataclass(frozen=True)(cls)


def words(metavar: str) -> Any:
    """How a list of words is shown in help, without its default."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")
