"""Where does a result come from?  What is written beside every figure so that it can be made again."""

import hashlib
import platform
import sys
from importlib import metadata
from typing import Any

import jax

from didsim import __version__
from didsim.provenance import finished, git_state

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
