"""How does JAX start for a command?  With the command line's precision, compiler and cache, or with one line why not.

What goes wrong here is nearly always in the user's environment: a platform that is not there, no devices, a setting that is
none.
"""

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from didsim.numerics.compilation import LIGHTLY, QUICKLY, use_compilation_cache
from didsim.numerics.errors import ArgumentError

OPTIONS = (
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=16384",
    "--xla_cpu_prefer_vector_width=512",
)
OWN = re.compile("CACHE|ENABLE_X64")  # variables that this program sets
LONGEST = 300  # signs of what another library says that are passed on


def start_jax(*, fast: bool = False, briefly: bool = False, single: bool = False) -> None:
    """Imports JAX with the command line's settings; devices are not looked for yet.

    Args:
        fast: compile without optimisation, for quick looks.
        briefly: compile lightly what runs so briefly that compiling it takes most of the time.
        single: float32.

    Raises:
        ArgumentError: a variable of the environment holds what JAX or its compiler does not take.
    """
    fresh = "jax" not in sys.modules
    _set_precision(single=single)
    try:
        import jax  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ValueError as error:
        raise _no_start(str(error)) from None
    if fresh and os.environ.get("XLA_FLAGS"):
        _try_flags()
    from didsim.numerics.processes import collect_rarely

    collect_rarely()
    use_compilation_cache(traces=True)
    _tell_the_compiler(QUICKLY if fast else LIGHTLY if briefly else {})


def find_devices() -> None:
    """Nothing, if JAX has a device to compute on.

    Raises:
        ArgumentError: it has none.
    """
    import jax

    try:
        jax.devices()
    except (RuntimeError, ValueError, AssertionError) as error:  # JAX asserts that a platform was found
        raise _no_start(str(error) or "none of the platforms is there") from None


def _set_precision(*, single: bool) -> None:
    """For this process, whether it has imported JAX or not, and for those that it starts."""
    os.environ["JAX_ENABLE_X64"] = "0" if single else "1"
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", not single)


def _tell_the_compiler(options: Mapping[str, Any]) -> None:
    """Options of XLA's CPU compiler, the usual ones and more, left alone where the user has set them.

    A training loop of up to 16 KiB becomes one function: a third less time a step for few responses.  Vectors as wide as
    the processor has them: a third to a half less time for sums over pairs.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    wanted = (*OPTIONS, *_flags(options))
    os.environ["XLA_FLAGS"] = " ".join([flags, *(one for one in wanted if one.partition("=")[0] not in flags)]).strip()


def _flags(options: Mapping[str, Any]) -> list[str]:
    return [f"--{name}={str(value).lower()}" for name, value in options.items()]


def _try_flags() -> None:
    """Lets a child read the user's XLA_FLAGS first: the compiler ends a process that has one it does not know."""
    if not hasattr(os, "fork"):
        return
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no backend is there yet, and so none of the threads that JAX warns of
        child = os.fork()
    if not child:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        with contextlib.suppress(BaseException):  # the parent will meet it, and tell it
            sys.modules["jax"].devices()
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as told:
        lines = told.read().splitlines()
    if os.waitpid(child, 0)[1] != 0:
        reason = next((line for line in lines if "flag" in line.lower()), "the compiler ends the process")
        raise _no_start(reason.rpartition("] ")[2])


def _no_start(reason: str) -> ArgumentError:
    """What JAX complains of, and the user's settings, among which the fault most likely is."""
    given = {name: value for name, value in os.environ.items() if name.startswith("JAX_") and not OWN.search(name)}
    own = (*OPTIONS, *_flags(QUICKLY), *_flags(LIGHTLY))
    flags = [one for one in os.environ.get("XLA_FLAGS", "").split() if one not in own]
    given |= {"XLA_FLAGS": " ".join(flags)} if flags else {}
    settings = ", ".join(f"{name}={given[name]}" for name in sorted(given)) or "no settings of its own"
    short = " ".join(reason.split())[:LONGEST].rstrip(".")
    return ArgumentError(f"JAX must start in this environment ({settings}), but does not: {short}.")
