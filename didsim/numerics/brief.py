"""How is a value shown in one line?  Arrays by shape and dtype, numbers as numbers, dataclasses by their fields.

Works on what a traced function sees too: the values of tracers are never looked at.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from didsim.numerics import checks

DIGITS = 6


def brief(value: Any) -> str:
    """One line for a value, ``Dpo(beta=0.1)`` or ``float64[2,5]``; as a class's own ``__repr__ = brief`` it describes its fields.

    A dataclass inside it is shown in full only if it holds no array, else as ``Name(…)``.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return called(type(value).__name__, **{field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    return _inside(value)


def called(kind: str, *words: str, **fields: Any) -> str:
    """``Kind(field=…, word)``: for a ``__repr__`` that shows less, or other things, than the fields."""
    return f"{kind}({', '.join([f'{name}={_inside(value)}' for name, value in fields.items()] + list(words))})"


def _inside(value: Any) -> str:
    """A value within another one."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}(…)" if _holds_array(value) else brief(value)
    if _is_array(value):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return _inside(value.item())
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_inside(held)}' for key, held in value.items())}}}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_inside, value))})"
    return getattr(value, "__qualname__", None) or repr(value)


def _is_array(value: Any) -> TypeGuard[jax.Array]:
    """Whether it is shown by shape: it has axes, or its number is not there to be looked at (tracers, random keys)."""
    if not isinstance(value, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        return False
    if isinstance(value, jax.ShapeDtypeStruct) or checks.is_traced(value):
        return True
    return bool(value.shape) or jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _holds_array(value: Any) -> bool:
    return any(_is_array(leaf) for leaf in jax.tree.leaves(value))
