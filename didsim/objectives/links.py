"""Which functions of a margin are losses made of, and which of them are sums of kernels?"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pytrees import pytree, static

FLAT = 1000.0  # a corner rounded at scale w is flat to every digit from 1000 w on


@final
@pytree
class Term:
    """One kernel of a link: ``scale · K(sign · m + shift)`` with K a name in ``didsim.numerics.pair_sums.KERNELS``."""

    kernel: str = static()
    scale: float | Float[Array, "..."] = 1.0
    sign: int = static(default=1)
    shift: float | Float[Array, "..."] = 0.0


@dataclass(frozen=True)
class Link:
    """A loss of the margin: a function, and the sum of kernels that it is, if it is one; that mean then costs O(N) (K1).

    Attributes:
        function: ``ℓ(m)``, elementwise.
        terms: kernels whose sum is ``ℓ(m)``; None if it is no such sum.
        odd_slope: κ if ``ℓ(m) - ℓ(-m) = -κ m`` for all m, which makes soft labels a term linear in the rewards; else None.
    """

    function: Callable[[Float[Array, "*any"]], Float[Array, "*any"]]
    terms: tuple[Term, ...] | None = None
    odd_slope: float | Float[Array, "..."] | None = None

    def __call__(self, margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
        return self.function(margin)

    @property
    def log_sigmoids(self) -> tuple[Term, ...] | None:
        """The terms, if all of them are log-sigmoids."""
        return self.terms if self.terms is not None and all(term.kernel == "log_sigmoid" for term in self.terms) else None


def _with_slope(rule: Callable) -> Callable:
    """Decorator: a function whose derivative a rule says, compiled by itself: JAX traces it once, not wherever it is used."""

    def made(function):
        whole = jax.custom_jvp(function)
        whole.defjvp(rule)
        return jax.jit(whole)

    return made


def _logistic_jvp(primals, tangents):
    (margin,), (tangent,) = primals, tangents
    return logistic(margin), -jax.nn.sigmoid(-margin) * tangent


@_with_slope(_logistic_jvp)
def logistic(margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Logistic link ``-log σ(m)``; its derivative is ``-σ(-m)``, one exponential instead of three."""
    return jax.nn.softplus(-margin)


def _sigmoid_jvp(primals, tangents):
    (x,), (tangent,) = primals, tangents
    return sigmoid(x), sigmoid(x) * sigmoid(-x) * tangent


@_with_slope(_sigmoid_jvp)
def sigmoid(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``σ(x)`` with the slope ``σ(x) σ(-x)``, which is right in both tails; ``σ (1 - σ)`` rounds to 0 in one of them."""
    return jax.nn.sigmoid(x)


def _margin_jvp(primals, tangents):
    return margin(*primals), tangents[0] - tangents[1]


@_with_slope(_margin_jvp)
def margin(chosen_reward: Float[Array, "*any"], rejected_reward: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``g_w - g_l``, ±∞ by which is greater if one of them has overflown (see `scaled_expm1`), 0 if they are one number."""
    gap = jnp.where(chosen_reward == rejected_reward, 0.0, chosen_reward - rejected_reward)
    overflown = jnp.maximum(jnp.abs(chosen_reward), jnp.abs(rejected_reward)) >= jnp.finfo(gap.dtype).max / 8
    return jnp.where(overflown & (gap != 0), jnp.where(gap > 0, jnp.inf, -jnp.inf), gap)


def logistic_link(shift: float | Float[Array, "..."] = 0.0, *, odd: bool = True) -> Link:
    """``-log σ(m + shift)``; its odd part is linear where the shift is zero (``odd``)."""
    function = logistic if odd else lambda margin: logistic(margin + shift)
    return Link(function, (Term("log_sigmoid", -1.0, 1, shift),), 1.0 if odd else None)


def smoothed_link(smoothing: float | Float[Array, "..."], shift: float | Float[Array, "..."] = 0.0, *, odd: bool = True) -> Link:
    """``-(1-ε) log σ(m + shift) - ε log σ(-(m + shift))``: the logistic link on labels of which a share ε is flipped."""
    if isinstance(smoothing, (int, float)) and smoothing == 0:
        return logistic_link(shift, odd=odd)

    def function(margin):
        return (1.0 - smoothing) * logistic(margin + shift) + smoothing * logistic(-margin - shift)

    keep, flip = Term("log_sigmoid", smoothing - 1.0, 1, shift), Term("log_sigmoid", -smoothing, -1, -shift)
    return Link(function, (keep, flip), 1.0 - 2.0 * smoothing if odd else None)


def squared_link(target: float | Float[Array, "..."]) -> Link:
    """``(m - target)²``."""
    return Link(lambda margin: jnp.square(margin - target), (Term("square", 1.0, 1, -target),), 4.0 * target)


def finite(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``x`` with ±∞ taken for the largest numbers, so that a factor of 0 makes it 0."""
    top = jnp.finfo(x.dtype).max
    return jnp.clip(x, -top, top)


def _bounded_jvp(primals, tangents):
    return bounded(*primals), tangents[0]


@_with_slope(_bounded_jvp)
def bounded(margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``m`` with ±∞ taken for a quarter of the largest number, where ``m²`` has a finite slope; its own slope is 1 there too."""
    quarter = jnp.finfo(margin.dtype).max / 4
    return jnp.clip(margin, -quarter, quarter)


@jax.jit
def ramp(x: Float[Array, "*any"], width: float | Float[Array, ""]) -> Float[Array, "*any"]:
    """``max(0, x)``, rounded to ``w log(1 + e^{x/w})`` where ``width`` w is positive; both are convex and increasing."""
    scale = jnp.where(jnp.asarray(width) > 0, width, 1.0)
    return jnp.where(jnp.asarray(width) > 0, scale * jax.nn.softplus(x / scale), jnp.maximum(x, 0.0))


def hinge_link(margin: float | Float[Array, "..."], width: float | Float[Array, "..."]) -> Link:
    """``max(0, margin - m)``, its kink rounded at the scale ``width``; a rounded one is no sum of kernels."""
    sharp = isinstance(width, (int, float)) and width == 0
    return Link(lambda m: ramp(margin - m, width), (Term("hinge", 1.0, -1, margin),) if sharp else None)


@jax.jit
def clip(x: Float[Array, "*any"], bound: float | Float[Array, ""], width: float | Float[Array, ""]) -> Float[Array, "*any"]:
    """``x`` kept within ``±bound``, as the difference of two ramps whose corners are rounded at the scale ``width``.

    Far beyond the corners it is flat to every digit, and ``x`` is first brought back there: of numbers much larger than the
    bound the two ramps would keep no digit of it, and of ∞ none at all.
    """
    far = 2.0 * bound + FLAT * width
    x = jnp.clip(x, -far, far)
    return ramp(x + bound, width) - ramp(x - bound, width) - bound


def _expm1_jvp(primals, tangents):
    slope = jnp.exp(primals[0])
    # Two factors, each finite: with a tangent of 0 the product is 0, and with one of ordinary size it overflows to ∞.
    again = jnp.where(jnp.isinf(slope), jnp.finfo(slope.dtype).max / 8, 1.0)
    return expm1(primals[0]), finite(slope) * tangents[0] * again


@_with_slope(_expm1_jvp)
def expm1(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """``e^x - 1``, whose slope times 0 is 0 where it overflows: a pair that cannot be has none (derived)."""
    return jnp.expm1(x)


def _scaled_expm1_jvp(primals, tangents):
    (x, scale), (x_dot, scale_dot) = primals, tangents
    inside, beyond, _ = _within_range(x, scale)
    # Two factors, each finite: with a tangent of 0 the product is 0, and with one of ordinary size it overflows to ∞.
    again = jnp.where(beyond, jnp.finfo(inside.dtype).max / 8, 1.0)
    by_x = jnp.where(beyond, again, scale * jnp.exp(inside))
    return scaled_expm1(x, scale), (by_x * x_dot + finite(jnp.expm1(inside)) * scale_dot) * again


@_with_slope(_scaled_expm1_jvp)
def scaled_expm1(x: Float[Array, "*any"], scale: float | Float[Array, "..."]) -> Float[Array, "*any"]:
    """``scale · (e^x - 1)`` for a positive scale; where that overflows, a number that still rises with ``x``.

    Beyond an eighth of the largest number it goes on from there to a quarter, so that the difference of two overflown values
    keeps its sign, where ∞ - ∞ would be NaN (derived).  Its slope there is ∞, but 0 times its slope is 0.
    """
    inside, beyond, top = _within_range(x, scale)
    risen = jnp.finfo(inside.dtype).max / 8 * (2.0 - top / jnp.maximum(x, top))
    return jnp.where(beyond, risen, scale * finite(jnp.expm1(inside)))


def _within_range(x, scale):
    """``x`` up to where ``scale · e^x`` is an eighth of the largest number, whether it is beyond, and where that is."""
    top = math.log(float(jnp.finfo(x.dtype).max) / 8) - jnp.log(jnp.asarray(scale, x.dtype))
    return jnp.minimum(x, top), x > top, top
