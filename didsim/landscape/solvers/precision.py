"""In which precision is a ground truth worked out?  Always double, whatever the precision of the question."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def in_double(solver: Callable[..., Any], everything: tuple) -> Any:
    """What the solver makes of the arguments in float64, cast back to the precision of the first one's ``log_ref``."""
    dtype = everything[0].log_ref.dtype
    with jax.enable_x64(True):
        end = solver(*jax.tree.map(lambda leaf: _cast(leaf, np.float64), everything))
        return jax.tree.map(lambda leaf: _cast(leaf, dtype), end)


def _cast(leaf: Any, dtype: Any) -> Any:
    """Floating arrays in another precision, 64-bit integers in 32 bits when that is narrow; all else as it is."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf.astype(dtype)
    if isinstance(leaf, jax.Array) and leaf.dtype == jnp.int64 and dtype == jnp.float32:
        return leaf.astype(jnp.int32)
    return leaf
