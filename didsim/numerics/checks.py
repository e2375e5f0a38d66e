"""Is this input allowed, and how do we say no?

Every check is eager: it looks at concrete values at the boundary of the library and raises `ArgumentError` with one
line that names the argument, shows the value and says what is allowed.  Inside a traced function values do not exist
yet, so the value checks step aside there and only shapes are looked at.  What a check is for, its first line says; all
raise `ArgumentError` where that does not hold.
"""

import math
from typing import TypeVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from didsim.numerics.errors import ArgumentError
from didsim.numerics.errors import did_you_mean as did_you_mean
from didsim.numerics.errors import shown as shown

SEED_LIMIT = 2**32
SIZE_LIMIT = 2**31  # what counts and places arrays in compiled code is a signed integer of 32 bits
T = TypeVar("T")


def is_traced(*values: object) -> bool:
    """Whether any leaf of the values is a JAX tracer, so that its numbers cannot be looked at."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def part(name: str, value: T, kind: type | tuple[type, ...], example: str) -> T:
    """The value, if it is an object of a kind: not its name, nor its class."""
    if not isinstance(value, kind):
        held = f"the class {value.__name__}" if isinstance(value, type) else shown(value)
        raise ArgumentError(f"Argument `{name}` must be an object such as {example}, but is {held}.")
    return value


def finite(name: str, value: T) -> T:
    """The value, if every entry is a finite number."""
    if not is_traced(value):
        array = _numbers(name, value)
        if not np.all(np.isfinite(array)):
            raise ArgumentError(f"Argument `{name}` must be finite, but {_first(array, ~np.isfinite(array))}.")
    return value


def positive(name: str, value: T) -> T:
    """The value, if every entry is finite and above zero."""
    return _within(name, value, lambda a: np.isfinite(a) & (a > 0), "positive and finite")


def between(name: str, value: T, low: float, high: float, *, open_high: bool = False) -> T:
    """The value, if every entry lies in ``[low, high]`` (``[low, high)`` with ``open_high``)."""
    edge = ")" if open_high else "]"
    return _within(name, value, lambda a: (a >= low) & ((a < high) if open_high else (a <= high)), f"in [{low:g}, {high:g}{edge}")


def at_least(name: str, value: T, low: float) -> T:
    """The value, if every entry is finite and not below ``low``."""
    return _within(name, value, lambda a: np.isfinite(a) & (a >= low), f"finite and at least {low:g}")


def whole(name: str, value: object, *, least: int = 0, below: int | None = None) -> int:
    """The value, if it is an integer with ``least <= value < below``; counts and sizes end at 2³¹ unless ``below`` says more."""
    allowed = f"an integer of at least {least}" + ("" if below is None else f" and below {below}")
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not least <= value < (below or math.inf):
        raise ArgumentError(f"Argument `{name}` must be {allowed}, but is {shown(value)}.")
    if below is None and value >= SIZE_LIMIT:
        raise ArgumentError(f"Argument `{name}` must be below 2^31 = {SIZE_LIMIT}, but is {shown(value)}.")
    return int(value)


def seed(value: object, name: str = "seed") -> int:
    """The seed, if ``0 <= seed < 2**32``: beyond that, 32-bit mode would wrap it silently."""
    return whole(name, value, least=0, below=SEED_LIMIT)


def log_law(name: str, value: ArrayLike, *, full_support: bool = False, least: int = 2) -> Float[Array, "*batch n"]:
    """The value as an array, if its last axis is a normalised log-law over at least ``least`` responses.

    The log of the total mass may differ from zero by the square root of the dtype's rounding unit.
    """
    array = _as_float(name, value)
    if array.ndim < 1 or array.shape[-1] < least or array.size == 0:
        raise ArgumentError(
            f"Argument `{name}` must hold at least {least} entries on its last axis, but has shape {array.shape}."
        )
    if is_traced(array):
        return array
    numbers = np.asarray(array)
    if np.any(np.isnan(numbers) | (numbers == np.inf)):
        raise ArgumentError(
            f"Argument `{name}` must hold log-probabilities (no NaN, no +inf), but "
            f"{_first(numbers, np.isnan(numbers) | (numbers == np.inf))}."
        )
    if full_support and np.any(np.isneginf(numbers)):
        raise ArgumentError(f"Argument `{name}` must give every response some mass, but {_first(numbers, np.isneginf(numbers))}.")
    _check_total(name, numbers)
    return array


def log_joint_law(name: str, value: Array) -> Array:
    """The value, if its last two axes, of equal length, are together a normalised log-law."""
    if value.ndim < 2 or value.shape[-1] != value.shape[-2]:
        raise ArgumentError(f"Argument `{name}` must be square on its last two axes, but has shape {value.shape}.")
    log_law(name, value.reshape(*value.shape[:-2], -1))
    return value


def absolutely_continuous(name: str, log_p: ArrayLike, ref_name: str, log_ref: ArrayLike) -> None:
    """Nothing, if ``p`` has no mass where the reference has none."""
    if is_traced(log_p, log_ref):
        return
    numerator, denominator = np.broadcast_arrays(np.asarray(log_p), np.asarray(log_ref))
    bad = np.isneginf(denominator) & ~np.isneginf(numerator)
    if bad.any():
        where = _position(bad)
        raise ArgumentError(
            f"Argument `{ref_name}` must have mass wherever `{name}` has, but is zero at {where} where `{name}` is "
            f"{np.exp(numerator[tuple(np.argwhere(bad)[0])]):.3g}."
        )


def is_number(value: object) -> bool:
    """Whether the value is a concrete number or array: JAX also builds dataclasses around placeholders and tracers."""
    return isinstance(value, (int, float, np.ndarray, np.generic, jax.Array)) and not is_traced(value)


def preference_matrix(name: str, value: object) -> None:
    """Nothing, if the value is a square table of probabilities with ``P + Pᵀ = 1`` (placeholders pass)."""
    if not is_number(value):
        return
    table = _numbers(name, value)
    if table.ndim < 2 or table.shape[-1] != table.shape[-2]:
        raise ArgumentError(f"Argument `{name}` must be square on its last two axes, but has shape {table.shape}.")
    between(name, table, 0.0, 1.0)
    gap = np.abs(table + np.swapaxes(table, -1, -2) - 1.0)
    if gap.max() > 1e-6:
        raise ArgumentError(
            f"Argument `{name}` must satisfy P[a,b] + P[b,a] = 1, but is off by {gap.max():.3g} at {_position(gap == gap.max())}."
        )


def some_support(name: str, value: object) -> None:
    """Nothing, if every prompt keeps at least one response (placeholders pass)."""
    if not isinstance(value, (np.ndarray, jax.Array, list, tuple)) or is_traced(value):
        return
    array = np.asarray(value)
    if array.dtype != np.bool_:
        raise ArgumentError(f"Argument `{name}` must be an array of booleans, but has dtype {array.dtype}.")
    if not array.any(-1).all():
        raise ArgumentError(f"Argument `{name}` must keep at least one response for every prompt, but is empty.")


def same_shape(first_name: str, first: Array, second_name: str, second: Array) -> None:
    """Nothing, if the two arrays agree in shape."""
    if first.shape != second.shape:
        raise ArgumentError(
            f"Argument `{second_name}` must have the shape of `{first_name}`, {first.shape}, but has {second.shape}."
        )


def spread(name: str, value: Array, shape: tuple[int, ...], *, own: int = 1) -> Array:
    """The value for every prompt: its last ``own`` axes are those of ``shape``, and it may lack the prompts before them.

    Args:
        name: of the argument.
        value: array of shape (…own,), (1, …own) or (prompts, …own).
        shape: (prompts, …own).
        own: how many axes the value has of its own.
    """
    held = jnp.shape(value)
    lead, axes = held[: len(held) - own], held[len(held) - own :]
    if len(held) < own or axes != tuple(shape[-own:]) or lead not in ((), (1,), tuple(shape[:-own])):
        allowed = " or ".join(dict.fromkeys((str(tuple(shape[-own:])), str(tuple(shape)))))
        raise ArgumentError(f"Argument `{name}` must have shape {allowed}, but has shape {held}.")
    return jnp.broadcast_to(value, shape)


def same_responses(**arrays: Array) -> None:
    """Nothing, if the arrays broadcast together and agree in the number of responses (last axis)."""
    (first_name, first), *rest = arrays.items()
    for name, array in rest:
        if array.shape[-1] != first.shape[-1]:
            raise ArgumentError(
                f"Argument `{name}` must have as many responses as `{first_name}`, {first.shape[-1]}, but has {array.shape[-1]}."
            )
        try:
            np.broadcast_shapes(array.shape, first.shape)
        except ValueError:
            raise ArgumentError(
                f"Argument `{name}` must have prompts that match `{first_name}` of shape {first.shape}, "
                f"but has shape {array.shape}."
            ) from None


def _within(name, value, test, allowed: str):
    if not is_traced(value):
        array = _numbers(name, value)
        with np.errstate(invalid="ignore"):
            good = test(array)
        if not np.all(good):
            raise ArgumentError(f"Argument `{name}` must be {allowed}, but {_first(array, ~np.asarray(good))}.")
    return value


def numbers(name: str, value: object, *, whole: bool = False, boolean: bool = False) -> np.ndarray | jax.Array:
    """The value as an array, if it is a number or an array of numbers: no boolean, list, text or date.

    Args:
        name: of the argument.
        value: a Python or NumPy number, or an array of NumPy or JAX.
        whole: whether only integers are allowed.
        boolean: whether it must be an array of booleans, and of nothing else.
    """
    wanted = (
        "an array of booleans"
        if boolean
        else "an integer or an array of integers"
        if whole
        else "a number or an array of numbers"
    )
    if isinstance(value, int) and not isinstance(value, bool):
        if whole and not -(2**63) <= value < 2**63:
            raise ArgumentError(f"Argument `{name}` must be below 2^63, but is {shown(value)}.")
        value = np.float64(_as_double(name, value)) if not -SIZE_LIMIT <= value < SIZE_LIMIT and not whole else np.asarray(value)
    if isinstance(value, (float, np.ndarray, np.generic, jax.Array)) and not isinstance(value, np.ma.MaskedArray):
        array = value if isinstance(value, jax.Array) else np.asarray(value)
        kind = np.bool_ if boolean else np.integer if whole else np.number
        if jnp.issubdtype(array.dtype, kind) and not jnp.issubdtype(array.dtype, np.complexfloating):
            return array
        held = shown(value) if array.ndim == 0 else f"an array of {array.dtype}"
        raise ArgumentError(f"Argument `{name}` must be {wanted}, but is {held}.")
    raise ArgumentError(f"Argument `{name}` must be {wanted}, but is {shown(value)}.")


def _as_double(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ArgumentError(f"Argument `{name}` must be below 1.8e308, but is {shown(value)}.") from None


def _numbers(name: str, value: object) -> np.ndarray:
    """The numbers themselves, in double precision; entries of a list as they are given to functions."""
    if isinstance(value, (list, tuple)):
        value = _listed(name, value)
    return np.asarray(numbers(name, value)).astype(np.float64)


def _listed(name: str, value: list | tuple) -> np.ndarray:
    """Array of nested lists of numbers."""
    flat = list(value)
    while any(isinstance(one, (list, tuple)) for one in flat):
        flat = [inner for one in flat for inner in (one if isinstance(one, (list, tuple)) else [one])]
    try:
        for one in flat:
            numbers(name, one)
        return np.asarray(jax.tree.map(np.asarray, value), np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"Argument `{name}` must be a number or an array of numbers, but is {shown(value)}.") from None


def _as_float(name: str, value: ArrayLike) -> Array:
    if not is_traced(value):
        _numbers(name, value)
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.zeros(()).dtype)


def _check_total(name: str, numbers: np.ndarray) -> None:
    top = numbers.max(-1, keepdims=True)
    if np.any(np.isneginf(top)):
        raise ArgumentError(f"Argument `{name}` must have mass somewhere, but a law in it has none.")
    wide = numbers.astype(np.float64)
    totals = top[..., 0] + np.log(np.exp(wide - top).sum(-1))
    slack = math.sqrt(float(jnp.finfo(numbers.dtype).eps))
    worst = totals.flat[np.argmax(np.abs(totals))]
    if abs(worst) > slack:
        raise ArgumentError(
            f"Argument `{name}` must be normalised (total probability 1), but a law in it sums to {np.exp(worst):.6g}; "
            "didsim.simplex.normalize does it."
        )


def _position(mask: np.ndarray) -> str:
    index = tuple(int(i) for i in np.argwhere(mask)[0])
    return f"index {index[0] if len(index) == 1 else index}"


def _first(array: np.ndarray, bad: np.ndarray | np.bool) -> str:
    if array.ndim == 0:
        return f"is {array[()]:g}"
    index = tuple(np.argwhere(bad)[0])
    return f"is {array[index]:g} at {_position(np.asarray(bad))}"
