"""Where does a result come from?  The facts about program and machine that are kept beside everything written."""

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from didsim.numerics.errors import ArgumentError
from didsim.numerics.version import __version__


def finished() -> str:
    """Time of writing, or ``SOURCE_DATE_EPOCH`` where that is set, in UTC.

    Raises:
        ArgumentError: ``SOURCE_DATE_EPOCH`` is no time.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        if not re.fullmatch("-?[0-9]{1,15}", epoch):  # `int` also takes 1_0 and other alphabets' digits
            raise ValueError(epoch)
        return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        wanted = "whole seconds since 1970, up to the year 9999"
        raise ArgumentError(f"Environment variable `SOURCE_DATE_EPOCH` must be {wanted}, but is {epoch!r}.") from None


def git_state() -> dict[str, Any]:
    """Commit and whether the tree is dirty, of the repository this package lies in; empty outside one."""

    def git(*words: str) -> str:
        where = Path(__file__).parent
        said = subprocess.run(["git", *words], cwd=where, capture_output=True, check=True, timeout=5).stdout
        return said.decode(errors="replace").strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def origin() -> dict[str, Any]:
    """Versions of didsim and JAX, git state, devices, the command and the time: what any file of results should say."""
    import jax  # slow to import, and what checks the time alone does not need it

    return {
        "didsim": __version__,
        "git": git_state(),
        "jax": jax.__version__,
        "devices": [device.device_kind for device in jax.devices()],
        "command": ["didsim", *sys.argv[1:]],
        "finished": finished(),
    }
