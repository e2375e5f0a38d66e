"""What does a person type?  `main` reads the words, finds the command and turns what goes wrong into a line and an exit code."""

import contextlib
import difflib
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Union

import tyro

from didsim.cli.command import Command
from didsim.cli.commands import COMMANDS
from didsim.numerics.compilation import use_compilation_cache
from didsim.numerics.errors import ArgumentError
from didsim.numerics.version import __version__

CONFIG = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
if TYPE_CHECKING:
    AnyCommand = Command
else:
    AnyCommand = Union[COMMANDS]  # noqa: UP007


@dataclass(frozen=True)
class Program:
    """The exact laboratory for preference-optimisation theory.

    Try `didsim list`, `didsim reproduce A5 --fast` or `didsim verify D7`.  Exit code 0: all is well, 1: a check failed,
    2: bad usage.
    """

    command: Annotated[AnyCommand, tyro.conf.arg(name="")] = field()


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 ok, 1 a check failed, 2 usage."""
    words = sys.argv[1:] if words is None else words
    if words and words[0] in ("--version", "-V"):
        return _version()
    _refuse_unknown(words)
    command = _parsed(words)
    try:
        command.check()
        if command.needs_jax:
            use_compilation_cache()
            _tell_the_compiler(quick=getattr(command, "fast", False))
            _set_precision(single=getattr(command, "single", False))
        return command.run()
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted{command.kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python must not say so again as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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


def _tell_the_compiler(*, quick: bool) -> None:
    """Options of XLA's CPU compiler, left alone where the user has set them.

    A training loop of up to 16 KiB becomes one function: a third less time a step for few responses.  Vectors as wide as
    the processor has them: a third to a half less time for sums over pairs.  Quick looks are compiled without
    optimisation: their time is compilation.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    wanted = {
        "xla_backend_extra_options": "xla_cpu_small_while_loop_byte_threshold=16384",
        "xla_cpu_prefer_vector_width": "512",
    }
    if quick:
        wanted["xla_backend_optimization_level"] = "0"
    os.environ["XLA_FLAGS"] = " ".join(
        [flags, *(f"--{name}={value}" for name, value in wanted.items() if name not in flags)]
    ).strip()


def _set_precision(*, single: bool) -> None:
    """For this process, whether it has imported JAX or not, and for those that it starts."""
    os.environ["JAX_ENABLE_X64"] = "0" if single else "1"
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", not single)


def _version() -> int:
    import jax

    devices = jax.devices()
    print(f"didsim {__version__} (jax {jax.__version__}, {len(devices)} × {devices[0].device_kind})")
    return 0
