"""In which numbers is a formula evaluated?

Hypotheses and exact residuals are written once against a tiny interface: array arithmetic, ``exp``, ``log`` and a few
comparisons.  The same text then runs on traced JAX arrays, on NumPy floats, and on arrays of balls, real intervals with
rigorous rounding at any precision.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from didsim.numerics import checks

Number = Any  # a JAX array, a float array, or an object array of balls


@dataclass(frozen=True)
class Arithmetic:
    """Elementary functions on arrays of one kind of number; everything else is built from them.

    Attributes:
        exp: exponential, elementwise.
        log: logarithm, elementwise.
        where: choice by a condition, elementwise.
        number: a fraction, integer or float as a number of this kind, without rounding where the kind allows.
    """

    exp: Callable[[Number], Number]
    log: Callable[[Number], Number]
    where: Callable[[Number, Number, Number], Number]
    number: Callable[[Any], Number]

    def law(self, logits: Number) -> Number:
        """Probabilities ``e^x / Σ e^x`` over the last axis."""
        mass = self.exp(logits)
        return mass / mass.sum(-1, keepdims=True)

    def log_law(self, logits: Number) -> Number:
        """Log-probabilities ``x - log Σ e^x`` over the last axis."""
        return logits - self.log(self.exp(logits).sum(-1, keepdims=True))

    def sigmoid(self, x: Number) -> Number:
        """``1 / (1 + e^{-x})``."""
        return 1 / (1 + self.exp(-x))

    def tanh(self, x: Number) -> Number:
        """``(1 - e^{-2x}) / (1 + e^{-2x})``."""
        fall = self.exp(-2 * x)
        return (1 - fall) / (1 + fall)

    def kl(self, p_logits: Number, q_logits: Number) -> Number:
        """``Σ p (log p - log q)`` of two laws given by logits."""
        return (self.law(p_logits) * (self.log_law(p_logits) - self.log_law(q_logits))).sum(-1)

    def entropy(self, logits: Number) -> Number:
        """``-Σ p log p``."""
        return -(self.law(logits) * self.log_law(logits)).sum(-1)

    def mean(self, logits: Number, values: Number) -> Number:
        """``Σ p f``."""
        return (self.law(logits) * values).sum(-1)

    def smaller(self, a: Number, b: Number) -> Number:
        """Elementwise minimum."""
        return self.where(a < b, a, b)

    def larger(self, a: Number, b: Number) -> Number:
        """Elementwise maximum."""
        return self.where(a > b, a, b)

    def size(self, x: Number) -> Number:
        """Absolute value, elementwise."""
        return self.where(x < 0, -x, x)


def gaps(values: Number) -> Number:
    """``v_a - v_b`` for all pairs."""
    return values[..., :, None] - values[..., None, :]


def turned(table: Number) -> Number:
    """Transpose over the last two axes."""
    return table.swapaxes(-1, -2)


def _float(value: Any) -> Any:
    return np.asarray(value, dtype=np.float64) if not isinstance(value, Fraction) else np.float64(value)


TRACED = Arithmetic(jnp.exp, jnp.log, jnp.where, lambda value: jnp.asarray(float(value)))
FLOATS = Arithmetic(np.exp, np.log, np.where, _float)


@contextlib.contextmanager
def balls(bits: int) -> Iterator[Arithmetic]:
    """Ball arithmetic at a precision of ``bits``, as an `Arithmetic` on object arrays of balls.

    Raises:
        ArgumentError: python-flint is not installed.
    """
    try:
        import flint
    except ImportError:
        raise checks.ArgumentError(
            "Argument `certify` must be off where python-flint is not installed, but is on; `pip install python-flint` brings it."
        ) from None

    def ball(value: Any) -> Any:
        if isinstance(value, Fraction):
            return flint.arb(value.numerator) / flint.arb(value.denominator)
        if isinstance(value, (np.ndarray, jax.Array)):
            return np.frompyfunc(lambda x: flint.arb(float(x)), 1, 1)(np.asarray(value))
        return flint.arb(value)

    def choose(condition: Any, one: Any, other: Any) -> Any:
        return np.where(np.asarray(condition, dtype=bool), one, other)[()]

    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        exp, log = (np.frompyfunc(lambda x, name=name: getattr(x, name)(), 1, 1) for name in ("exp", "log"))
        yield Arithmetic(exp, log, choose, ball)
    finally:
        flint.ctx.prec = before
