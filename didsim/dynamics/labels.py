"""What are the results of runs called?  Dimensions, units and where the numbers come from."""

from typing import Any

import jax
import numpy as np

from didsim.dynamics.metrics import LONG_NAMES, UNITS
from didsim.numerics.version import __version__


def inner_dims(name: str, count: int) -> tuple[str, ...]:
    """Names of a variable's dimensions after those of axes and seeds."""
    if name == "log_policy":
        return ("prompt", "response")
    return ("record", *(f"{name}_{k}" for k in range(1, count)))[:count]


def variable_attrs(name: str) -> dict[str, str]:
    """Long name and units of a variable."""
    units = {**UNITS, "log_policy": "nats", "steps_taken": "steps", "gradient_norm": "nats"}
    return {"long_name": LONG_NAMES.get(name, name.replace("_", " ")), "units": units.get(name, "1")}


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
