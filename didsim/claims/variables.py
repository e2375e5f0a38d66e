"""What may an instance of a claim be made of, and how is one drawn?

A claim names its variables: laws, rewards, tables, scalars.  Random instances mix scales from nearly flat to nearly
deterministic, skews of both signs and ties, and one in a few is a degenerate corner.  Laws are held as free logits, so
that every array is an instance and gradients can move it; round values are whole weights, which a reader can check by
hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from didsim.claims.arithmetic import Arithmetic, Number

Instance = dict[str, Array]
Size = int | str
FARTHEST = 8.0
ROUND_SCALARS = [Fraction(a, b) for b in (1, 2, 3, 4) for a in range(-12, 13) if b == 1 or a % b]


@dataclass(frozen=True)
class Variable:
    """One ingredient of an instance.

    Attributes:
        kind: "law" (free logits), "real" (free numbers), "between" (in an interval) or "whole" (integers in one).
        shape: sizes; "n" stands for the number of responses.
        low: lower end of the interval.
        high: upper end.
    """

    kind: str
    shape: tuple[Size, ...] = ()
    low: float = -FARTHEST
    high: float = FARTHEST

    def sizes(self, n: int) -> tuple[int, ...]:
        """The shape with ``n`` responses."""
        return tuple(n if size == "n" else int(size) for size in self.shape)


def law(*shape: Size) -> Variable:
    """A law over responses (or over the entries of a table), as logits up to a constant; ``("n",)`` if no shape is given."""
    return Variable("law", shape or ("n",))


def real(*shape: Size) -> Variable:
    """Free real numbers such as rewards or features; one per response if no shape is given."""
    return Variable("real", shape or ("n",))


def between(low: float, high: float, *shape: Size) -> Variable:
    """Numbers in ``[low, high]``, a scalar if no shape is given; spread evenly in the logarithm where the ends are far apart."""
    return Variable("between", shape, float(low), float(high))


def whole(low: int, high: int, *shape: Size) -> Variable:
    """Integers in ``[low, high]``, held as floats; a scalar if no shape is given."""
    return Variable("whole", shape, float(low), float(high))


def draw(key: Key[Array, ""], variable: Variable, n: int) -> Float[Array, "..."]:
    """Random values of one variable, a pure function of the key; the same numbers in either precision."""
    shape, dtype = variable.sizes(n), jnp.zeros(()).dtype
    if variable.kind in ("law", "real"):
        return _free(key, shape).astype(dtype)
    u = jax.random.uniform(key, shape, dtype=jnp.float32).astype(dtype)
    if variable.kind == "whole":
        return jnp.minimum(jnp.floor(variable.low + u * (variable.high - variable.low + 1)), variable.high)
    if variable.low > 0 and variable.high > 10 * variable.low:
        return variable.low * (variable.high / variable.low) ** u
    return variable.low + u * (variable.high - variable.low)


def _free(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Normal numbers of a random scale; every fourth time a corner: nearly flat, nearly deterministic, tied or skewed."""
    noise_key, scale_key, corner_key = jax.random.split(key, 3)
    z = jax.random.normal(noise_key, shape, dtype=jnp.float32)
    scale = 10.0 ** jax.random.uniform(scale_key, (), jnp.float32, -1.0, 0.5)
    corner = jax.random.randint(corner_key, (), 0, 20, jnp.int32)
    skewed = jnp.exp(z) - 1.6
    cases = [1e-3 * z, 4.0 * z, jnp.round(z), skewed, -skewed]
    made = jnp.select([corner == k for k in range(len(cases))], cases, scale * z)
    return jnp.clip(made, -FARTHEST, FARTHEST)


def limit(variables: Mapping[str, Variable], instance: Instance) -> Instance:
    """The nearest instance within the variables' intervals."""
    return {name: jnp.clip(instance[name], variable.low, variable.high) for name, variable in variables.items()}


def round_values(variable: Variable, rng: np.random.Generator, n: int, level: int) -> np.ndarray:
    """Simple values as fractions, the simpler the lower the level: whole weights for laws, small integers for reals."""
    shape = variable.sizes(n)
    if variable.kind == "law":
        return _fractions(rng.integers(1, level + 2, shape))
    if variable.kind == "real":
        return _fractions(rng.integers(-level, level + 1, shape))
    if variable.kind == "whole":
        return _fractions(rng.integers(int(variable.low), int(variable.high) + 1, shape))
    simple = [value for value in ROUND_SCALARS if variable.low <= value <= variable.high and complexity(value) <= level + 2]
    middle = Fraction((variable.low + variable.high) / 2).limit_denominator(8)
    choices = np.array([*simple, *([middle] if not simple else [])], dtype=object)
    return np.asarray(choices[rng.integers(0, len(choices), shape)], dtype=object)


def complexity(value: Fraction) -> int:
    """How far a fraction is from round: the sum of numerator's size and denominator, less one."""
    return abs(value.numerator) + value.denominator - 1


def from_round(m: Arithmetic, variable: Variable, values: np.ndarray) -> Number:
    """Round values as numbers of one kind: the logarithms of weights for a law, themselves otherwise."""
    numbers = np.frompyfunc(m.number, 1, 1)(np.asarray(values, dtype=object))
    numbers = m.log(numbers) if variable.kind == "law" and numbers.size and not _is_float(numbers) else numbers
    if _is_float(numbers):
        floats = np.asarray(numbers, dtype=np.float64)
        return np.log(floats) if variable.kind == "law" else floats
    return numbers


def _is_float(numbers: Number) -> bool:
    return isinstance(np.ravel(np.asarray(numbers, dtype=object))[0], float)


def _fractions(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.frompyfunc(lambda x: Fraction(int(x)), 1, 1)(values), dtype=object)
