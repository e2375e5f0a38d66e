"""What are the cells of a sweep called, and what is written beside them?"""

import platform
from typing import Any

import jax
import numpy as np

from didsim.dynamics import Run
from didsim.dynamics.labels import provenance
from didsim.numerics import checks
from didsim.numerics.provenance import finished, git_state


def coordinate(labels: tuple) -> np.ndarray:
    """Labels of an axis, or their numbers where they do not tell the values apart."""
    return np.asarray(labels if len(set(labels)) == len(labels) else range(len(labels)))


def moments(programs: list[Run]) -> np.ndarray:
    """Recorded steps, which all programs must share.

    Raises:
        ArgumentError: they do not.
    """
    found = {program.moments for program in programs}
    if len(found) > 1:
        raise checks.ArgumentError(
            "Argument `axes` must keep the recorded steps, but varies steps, records or the steps of a round."
        )
    return np.asarray(found.pop())


def full_provenance() -> dict[str, Any]:
    """`provenance` with the state of the source, the machine and the time, for what is written to disk."""
    git = {f"git_{name}": str(value) for name, value in git_state().items()}
    machine = {"python": platform.python_version(), "platform": platform.platform(), "devices": jax.device_count()}
    return {**provenance(), **machine, **git, "started": finished()}
