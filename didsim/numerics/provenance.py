"""Where does a result come from?  The facts about program and machine that are kept beside everything written."""

import datetime
import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from didsim.numerics.version import __version__


def finished() -> str:
    """Time of writing, or ``SOURCE_DATE_EPOCH`` where that is set, in UTC."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="seconds")


def git_state() -> dict[str, Any]:
    """Commit and whether the tree is dirty, of the repository this package lies in; empty outside one."""

    def git(*words: str) -> str:
        where = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=where, capture_output=True, text=True, check=True, timeout=5).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def origin() -> dict[str, Any]:
    """Versions of didsim and JAX, git state and time: what any file of results should say."""
    return {"didsim": __version__, "git": git_state(), "jax": metadata.version("jax"), "finished": finished()}
