"""Where does a result come from?  What is written beside every figure so that it can be made again."""

import datetime
import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from didsim import __version__

LIBRARIES = ("jax", "jaxlib", "optax", "numpy", "scipy", "matplotlib", "xarray")


def manifest(config_text: str, seed: int, seconds: float, verdicts: list[dict]) -> dict[str, Any]:
    """Version, git state, config and its hash, seed, dtype, libraries, platform, command line and times."""
    return {
        "didsim": __version__,
        "git": git_state(),
        "config": config_text,
        "config_sha256": hashlib.sha256(config_text.encode()).hexdigest(),
        "seed": seed,
        "dtype": "float64" if jax.config.read("jax_enable_x64") else "float32",
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": [device.device_kind for device in jax.devices()],
        "command": ["didsim", *sys.argv[1:]],
        "finished": finished(),
        "seconds": round(seconds, 3),
        "verdicts": verdicts,
    }


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
