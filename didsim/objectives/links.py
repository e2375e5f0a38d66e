"""Which functions of a margin are losses made of, and which of them are sums of kernels?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pytrees import pytree, static


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


@jax.custom_jvp
def logistic(margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Logistic link ``-log σ(m)``; its derivative is ``-σ(-m)``, one exponential instead of three."""
    return jax.nn.softplus(-margin)


@logistic.defjvp
def _logistic_jvp(primals, tangents):
    (margin,), (tangent,) = primals, tangents
    return logistic(margin), -jax.nn.sigmoid(-margin) * tangent


def logistic_link(shift: float | Float[Array, "..."] = 0.0, *, odd: bool = True) -> Link:
    """``-log σ(m + shift)``; its odd part is linear where the shift is zero (``odd``)."""
    function = logistic if odd else lambda margin: logistic(margin + shift)
    return Link(function, (Term("log_sigmoid", -1.0, 1, shift),), 1.0 if odd else None)


def squared_link(target: float | Float[Array, "..."]) -> Link:
    """``(m - target)²``."""
    return Link(lambda margin: jnp.square(margin - target), (Term("square", 1.0, 1, -target),), 4.0 * target)


def ramp(x: Float[Array, "*any"], width: float | Float[Array, ""]) -> Float[Array, "*any"]:
    """``max(0, x)``, rounded to ``w log(1 + e^{x/w})`` where ``width`` w is positive; both are convex and increasing."""
    scale = jnp.where(jnp.asarray(width) > 0, width, 1.0)
    return jnp.where(jnp.asarray(width) > 0, scale * jax.nn.softplus(x / scale), jnp.maximum(x, 0.0))


def hinge_link(margin: float | Float[Array, "..."], width: float | Float[Array, "..."]) -> Link:
    """``max(0, margin - m)``, its kink rounded at the scale ``width``; a rounded one is no sum of kernels."""
    sharp = isinstance(width, (int, float)) and width == 0
    return Link(lambda m: ramp(margin - m, width), (Term("hinge", 1.0, -1, margin),) if sharp else None)


def clip(x: Float[Array, "*any"], bound: float | Float[Array, ""], width: float | Float[Array, ""]) -> Float[Array, "*any"]:
    """``x`` kept within ``±bound``, as the difference of two ramps whose corners are rounded at the scale ``width``."""
    return ramp(x + bound, width) - ramp(x - bound, width) - bound
