"""Does what is asked fit into memory?  Asked before anything is computed, and answered with the number of bytes."""

import functools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from didsim.numerics.checks import SIZE_LIMIT
from didsim.numerics.errors import ArgumentError, shown

GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
UNKNOWN = 2**62  # where the system does not say, nothing is refused for its bytes


def memory() -> int:
    """Bytes of the memory that arrays lie in: of the accelerator, or of this machine as far as this process may use it."""
    held = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if held and jax.default_backend() != "cpu":
        return int(held)
    return _of_host()


def check_array(name: str, value: object, shape: Sequence[int], *, arrays: int = 1) -> None:
    """Nothing, if arrays that a number asks for fit into memory, of fewer than 2³¹ entries each.

    Args:
        name: the argument that decides how large they are.
        value: what it is.
        shape: of one array, in the precision of the day.
        arrays: how many such are held at once.

    Raises:
        ArgumentError: they do not.
    """
    entries = math.prod(shape)
    check_bytes(name, value, entries * jnp.zeros(()).dtype.itemsize * arrays, entries=entries)


def check_bytes(name: str, value: object, size: int, *, entries: int = 0) -> None:
    """Nothing, if so many bytes fit into memory, in arrays of at most so many entries; a text is what the message shows.

    Raises:
        ArgumentError: they do not.
    """
    if entries < SIZE_LIMIT and size <= memory():
        return
    allowed = f"fit into memory ({spelled_bytes(memory())})" if size > memory() else "make arrays of fewer than 2^31 entries"
    held = value if isinstance(value, str) else shown(value)
    raise ArgumentError(f"Argument `{name}` must {allowed}, but is {held}, which takes {spelled_bytes(size)}.")


def spelled_bytes(size: int) -> str:
    """A number of bytes for people: ``16.8 GB``."""
    for unit, power in (("EB", 18), ("PB", 15), ("TB", 12), ("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size // 10 ** (power - 1) / 10:,.1f} {unit}"
    return f"{size} bytes"


@functools.cache  # read once: it is asked before every sweep
def _of_host() -> int:
    return min(_of_machine(), *(_of_group(path) for path in GROUP_LIMITS))


def _of_machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no such question on this system
        return UNKNOWN


def _of_group(path: Path) -> int:
    try:
        text = path.read_text().strip()
    except OSError:
        return UNKNOWN
    return int(text) if text.isdigit() else UNKNOWN
