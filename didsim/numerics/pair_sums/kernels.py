"""Which functions of a difference are summed over pairs, and what is known about each?

Every population loss on pairs is E[K(u_a - v_b)] for some scalar kernel K of a reward difference d, its gradient is the same sum
with K', its curvature the sum with K''.  This table holds, for each kernel, its value, its derivative (another kernel of the
table, with a sign), and what it becomes far from d = 0; the fast sums need nothing else.  Three families, three algorithms:

=============  ======================================================  ==========================
family         kernels                                                 cost of a sum, see
=============  ======================================================  ==========================
"analytic"     log_sigmoid, sigmoid, co_sigmoid, slope, curvature, ... O(N), `nodes`, `panels`
"polynomial"   square, double, two                                     O(N), `piecewise` (moments)
"ramp"         hinge, step                                             O(N log N), `piecewise` (sort)
=============  ======================================================  ==========================
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A scalar function K(d) with its derivative and its behaviour far from d = 0.

    Attributes:
      name: key in `KERNELS`.
      formula: K(d) in words.
      family: "analytic", "polynomial" or "ramp".
      value: (d, xp) -> K(d), stable for every finite d, in the array module xp (default `jax.numpy`).
      derivative: name of the kernel that K' is, up to `sign`; "zero" where K' vanishes (almost everywhere).
      sign: +1 or -1.
      right: K(+inf); left: K(-inf), for "analytic" kernels, apart from `left_linear`.
      left_linear: True if K(d) - d -> 0 as d -> -inf.
    """

    name: str
    formula: str
    family: str
    value: Callable[..., Any]
    derivative: str
    sign: int = 1
    right: float = 0.0
    left: float = 0.0
    left_linear: bool = False


def _sigmoid(d, xp=jnp):
    e = xp.exp(-xp.abs(d))
    return xp.where(d >= 0, 1, e) / (1 + e)


def _co_sigmoid(d, xp=jnp):
    return _sigmoid(-d, xp)


def _slope(d, xp=jnp):
    e = xp.exp(-xp.abs(d))
    return e / xp.square(1 + e)


def _curvature(d, xp=jnp):
    return -_slope(d, xp) * xp.tanh(d / 2)


def _third(d, xp=jnp):
    s = _slope(d, xp)
    return s * (1 - 6 * s)


def _fourth(d, xp=jnp):
    return _curvature(d, xp) * (1 - 12 * _slope(d, xp))


def _log_sigmoid(d, xp=jnp):
    return xp.minimum(d, 0) - xp.log1p(xp.exp(-xp.abs(d)))


def _square(d, xp=jnp):
    return xp.square(d)


def _double(d, xp=jnp):
    return 2 * d


def _two(d, xp=jnp):
    return xp.full_like(d, 2)


def _hinge(d, xp=jnp):
    return xp.maximum(d, 0)


def _step(d, xp=jnp):
    return (xp.sign(d) + 1) / 2


_TABLE = (
    Kernel("log_sigmoid", "log s(d), s logistic", "analytic", _log_sigmoid, "co_sigmoid", left_linear=True),
    Kernel("sigmoid", "s(d) = 1/(1+exp(-d))", "analytic", _sigmoid, "slope", right=1.0),
    Kernel("co_sigmoid", "s(-d) = 1 - s(d)", "analytic", _co_sigmoid, "slope", sign=-1, left=1.0),
    Kernel("slope", "s' = s(d) s(-d)", "analytic", _slope, "curvature"),
    Kernel("curvature", "s'' = s' (1 - 2 s)", "analytic", _curvature, "third"),
    Kernel("third", "s''' = s' (1 - 6 s')", "analytic", _third, "fourth"),
    Kernel("fourth", "s'''' = s'' (1 - 12 s')", "analytic", _fourth, "end of chain"),
    Kernel("square", "d^2", "polynomial", _square, "double"),
    Kernel("double", "2 d", "polynomial", _double, "two"),
    Kernel("two", "2", "polynomial", _two, "zero"),
    Kernel("hinge", "max(0, d)", "ramp", _hinge, "step"),
    Kernel("step", "1 for d > 0, 0 for d < 0, 1/2 at the tie d = 0", "ramp", _step, "zero"),
)

KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in _TABLE}


def kernel_named(name: str) -> Kernel:
    """Look a kernel up by name.

    Raises:
      ValueError: the name is not in `KERNELS`.
    """
    if name not in KERNELS:
        raise ValueError(f"Argument `kernel` must be one of {sorted(KERNELS)}, but is {name!r}.")
    return KERNELS[name]


def kernel_derivative(name: str) -> tuple[int, str] | None:
    """Give (sign, other) with K' = sign * K_other; None for a kernel whose derivative is zero almost everywhere.

    The chain is log s -> s(-d) -> -s' -> -s'' -> ...; d^2 -> 2d -> 2 -> 0; max(0, d) -> step -> 0.

    Raises:
      NotImplementedError: the chain ends here (the fifth derivative of the logistic function).
    """
    kernel = kernel_named(name)
    if kernel.derivative == "end of chain":
        raise NotImplementedError(f"Kernel {name!r} is the last of its chain: its derivative is not provided.")
    return None if kernel.derivative == "zero" else (kernel.sign, kernel.derivative)
