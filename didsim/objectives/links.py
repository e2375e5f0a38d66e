"""Which functions of a margin are losses made of, and which of them are sums of kernels?"""

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


@final
@pytree
class LinkSum:
    """A link as a sum of kernels, so that its mean over a product law costs O(N) (K1).

    Attributes:
        terms: the kernels; their sum is ``ℓ(m)``.
        odd_slope: κ if ``ℓ(m) - ℓ(-m) = -κ m`` for all m, which makes soft labels a term linear in the rewards; else None.
    """

    terms: tuple[Term, ...]
    odd_slope: float | Float[Array, "..."] | None = None


@jax.custom_jvp
def logistic(margin: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Logistic link ``-log σ(m)``; its derivative is ``-σ(-m)``, one exponential instead of three."""
    return jax.nn.softplus(-margin)


@logistic.defjvp
def _logistic_jvp(primals, tangents):
    (margin,), (tangent,) = primals, tangents
    return logistic(margin), -jax.nn.sigmoid(-margin) * tangent


def logistic_sum(
    scale: float | Float[Array, "..."] = 1.0, shift: float | Float[Array, "..."] = 0.0, *, odd: bool = True
) -> LinkSum:
    """``-scale · log σ(m + shift)`` as a kernel sum; its odd part is linear where the shift is zero (``odd``)."""
    return LinkSum((Term("log_sigmoid", -scale, 1, shift),), scale if odd else None)


def ramp(x: Float[Array, "*any"], width: float | Float[Array, ""]) -> Float[Array, "*any"]:
    """``max(0, x)``, rounded to ``w log(1 + e^{x/w})`` where ``width`` w is positive; both are convex and increasing."""
    scale = jnp.where(jnp.asarray(width) > 0, width, 1.0)
    return jnp.where(jnp.asarray(width) > 0, scale * jax.nn.softplus(x / scale), jnp.maximum(x, 0.0))


def hinge_sum(margin: float | Float[Array, "..."], width: float | Float[Array, "..."]) -> LinkSum | None:
    """``max(0, margin - m)`` as a kernel sum; a rounded kink has none."""
    sharp = isinstance(width, (int, float)) and width == 0
    return LinkSum((Term("hinge", 1.0, -1, margin),)) if sharp else None


def clip(x: Float[Array, "*any"], bound: float | Float[Array, ""], width: float | Float[Array, ""]) -> Float[Array, "*any"]:
    """``x`` kept within ``±bound``, as the difference of two ramps whose corners are rounded at the scale ``width``."""
    return ramp(x + bound, width) - ramp(x - bound, width) - bound
