"""What does a person type?  `main` reads the words, finds the command and turns what goes wrong into a line and an exit code."""

import contextlib
import difflib
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Union

import tyro

from didsim.cli import consoles, starting
from didsim.cli.command import Command
from didsim.cli.commands import COMMANDS
from didsim.cli.failures import from_outside
from didsim.numerics import provenance
from didsim.numerics.errors import ArgumentError, printable
from didsim.numerics.version import __version__

CONFIG = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
UNFORESEEN = 70  # EX_SOFTWARE of sysexits.h
if TYPE_CHECKING:
    AnyCommand = Command
else:
    AnyCommand = Union[COMMANDS]  # noqa: UP007


@dataclass(frozen=True)
class Program:
    """The exact laboratory for preference-optimisation theory.

    Try `didsim list`, `didsim reproduce A5 --fast` or `didsim verify D7`.  Exit code 0: all is well, 1: a check failed or a
    fault was seen, 2: bad usage, or what lies outside fails, 130: interrupted, 70: a fault of this program.
    """

    command: Annotated[AnyCommand, tyro.conf.arg(name="")] = field()


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit code.

    0 all is well, 1 a check failed or a fault was seen, 2 bad usage or a failure outside the program, 130 interrupted, 70 an
    error that nobody foresaw, with its traceback.
    """
    with consoles.standard_streams():
        try:
            return consoles.ended(_answered(sys.argv[1:] if words is None else words))
        except SystemExit as stop:  # help, or words that are no command
            raise SystemExit(consoles.ended(int(stop.code or 0))) from None


def _answered(words: list[str]) -> int:
    kept = ""
    try:
        if words and words[0] in ("--version", "-V"):
            return _version()
        _refuse_unknown(words)
        command = _parsed(words)
        kept = command.kept
        command.check()
        provenance.finished()  # refuses a bad SOURCE_DATE_EPOCH before the work
        return _computed(command) if command.needs_jax else command.run()
    except ArgumentError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted{kept}", file=sys.stderr)
        return 130
    except Exception as error:
        told = from_outside(error)
        if told is not None:
            print(f"error: {printable(told)}", file=sys.stderr)
            return 2
        traceback.print_exc()
        print(f"error: This is a fault of didsim {__version__}. Please report it with the lines above.", file=sys.stderr)
        return UNFORESEEN


def _computed(command: Command) -> int:
    fast, single = getattr(command, "fast", False), getattr(command, "single", False)
    starting.start_jax(fast=fast, briefly=command.runs_briefly, single=single)
    if not command.joins_others:
        starting.find_devices()
    from didsim.numerics.promotion import usual_promotion

    with usual_promotion():
        return command.run()


def _parsed(words: list[str]) -> Command:
    """The command with its options.  Where the first word names it, its parser alone is built: that is half the time."""
    for kind in COMMANDS:
        if words[0] == kind.__name__.lower():
            return tyro.cli(kind, args=words[1:], prog=f"didsim {words[0]}", config=CONFIG)
    return tyro.cli(Program, args=words, prog="didsim", config=CONFIG).command


def _refuse_unknown(words: list[str]) -> None:
    """Help for no command at all; one line for one that there is not, with the nearest that there is."""
    if not words:
        with contextlib.suppress(SystemExit):
            tyro.cli(Program, args=["--help"], prog="didsim", config=CONFIG)
        sys.exit(2)
    known = [kind.__name__.lower() for kind in COMMANDS]
    if not words[0].startswith("-") and words[0] not in known:
        near = difflib.get_close_matches(words[0], known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        print(f"error: Argument `command` must be one of {', '.join(known)}, but is {words[0]!r}.{hint}", file=sys.stderr)
        sys.exit(2)


def _version() -> int:
    starting.start_jax()
    starting.find_devices()
    import jax

    devices = jax.devices()
    print(f"didsim {__version__} (jax {jax.__version__}, {len(devices)} × {devices[0].device_kind})")
    return 0
