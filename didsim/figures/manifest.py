"""Where does a result come from?  What is written beside every figure so that it can be made again."""

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from didsim.numerics.provenance import origin

LIBRARIES = ("jax", "jaxlib", "optax", "numpy", "scipy", "matplotlib", "xarray")


def manifest(config_text: str, seed: int, seconds: float, verdicts: list[dict]) -> dict[str, Any]:
    """Version, git state, config and its hash, seed, dtype, libraries, platform, command line and times."""
    return {
        **origin(),
        "config": config_text,
        "config_sha256": _hash(config_text),
        "seed": seed,
        "dtype": _precision(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "seconds": round(seconds, 3),
        "verdicts": verdicts,
    }


def repeats(path: Path, config_text: str) -> bool:
    """Whether a manifest is there and says that the same config was run in the precision that is now set."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        return (there["config_sha256"], there["dtype"]) == (_hash(config_text), _precision())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _hash(config_text: str) -> str:
    return hashlib.sha256(config_text.encode()).hexdigest()


def _precision() -> str:
    return "float64" if jax.config.read("jax_enable_x64") else "float32"
