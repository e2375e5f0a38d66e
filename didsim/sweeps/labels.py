"""What are the results of a sweep called?  Dimensions, coordinates, units and where the numbers come from."""

import platform
from typing import Any

import jax
import numpy as np

from didsim.dynamics import Run
from didsim.dynamics.metrics import UNITS
from didsim.numerics import checks
from didsim.numerics.provenance import finished, git_state
from didsim.numerics.version import __version__

LEAD = ("program", "lane")


def inner_dims(name: str, count: int) -> tuple[str, ...]:
    """Names of a variable's dimensions after those of the axes and seeds."""
    if name == "log_policy":
        return ("prompt", "response")
    return ("record", *(f"{name}_{k}" for k in range(1, count)))[:count]


def coordinate(labels: tuple) -> np.ndarray:
    """Labels of an axis, or their numbers where they do not tell the values apart."""
    return np.asarray(labels if len(set(labels)) == len(labels) else range(len(labels)))


def variable_attrs(name: str) -> dict[str, str]:
    """Long name and units of a variable."""
    units = {**UNITS, "log_policy": "nats", "steps_taken": "steps", "gradient_norm": "nats"}
    return {"long_name": name.replace("_", " "), "units": units.get(name, "1")}


def moments(programs: list[Run]) -> np.ndarray:
    """Recorded steps, which all programs must share.

    Raises:
        ArgumentError: they do not.
    """
    if len({program.moments for program in programs}) > 1:
        raise checks.ArgumentError(
            "Argument `axes` must keep the recorded steps, but varies steps, records or the steps of a round."
        )
    return np.asarray(programs[0].moments)


def float_dtype() -> str:
    """Floating-point type that numbers have now: float64 where JAX has it switched on."""
    return str(np.dtype(jax.dtypes.canonicalize_dtype(np.float64)))


def provenance() -> dict[str, Any]:
    """Versions, device and precision."""
    return {
        "didsim": __version__,
        "jax": jax.__version__,
        "device": jax.local_devices()[0].device_kind,
        "dtype": float_dtype(),
    }


def full_provenance() -> dict[str, Any]:
    """`provenance` with the state of the source, the machine and the time, for what is written to disk."""
    git = {f"git_{name}": str(value) for name, value in git_state().items()}
    machine = {"python": platform.python_version(), "platform": platform.platform(), "devices": jax.device_count()}
    return {**provenance(), **machine, **git, "started": finished()}
