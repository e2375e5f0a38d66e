"""Objectives that are told which pairs are tied, and give a tie a probability of its own (2409.17431, F12).

With ``m = β(h_w - h_l)`` a pair costs ``-log Pr(win | m)`` if it was decided and ``-log Pr(tie | m)`` if it was not.  The
labels must tell ties apart, as ``ties``, ``davidson`` and ``threshold`` do; on others every pair counts as decided.
"""

import abc
import math
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pytrees import positive
from didsim.objectives.links import logistic
from didsim.objectives.parts import Card, Limit, OfLaws, register

Scalar = float | Float[Array, "..."]


class _Tied(OfLaws):
    """What the two models of ties share: DPO's margin, and a cost for either outcome."""

    beta: Scalar

    @abc.abstractmethod
    def costs(self, margin: Float[Array, "*any"]) -> tuple[Float[Array, "*any"], Float[Array, "*any"]]:
        """``-log Pr(chosen wins)`` and ``-log Pr(tie)`` at a margin."""

    def batch_term(self, seen, comparisons):
        weight, (margin,) = comparisons.margins(self.beta * seen.log_ratio)
        tied = comparisons.tied_weights(weight)
        decided, undecided = self.costs(margin)
        return jnp.sum((weight - tied) * decided + tied * undecided, -1)


@register("dpo-rk")
@final
class DpoRk(_Tied):
    """``-log σ(m - δ)`` of a win, ``-log[σ(m + δ) - σ(m - δ)]`` of a tie: Rao and Kupper's model (2409.17431).

    It ends at π* where ties are Rao and Kupper's with the same δ, ``margin``.
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "-log σ(m - δ); ties apart", Limit.OWN, "π* on Rao and Kupper's ties", "2409.17431"
    )
    beta: Scalar = positive(default=0.1)
    margin: Scalar = positive(default=0.5)

    def costs(self, margin):
        # σ(m + δ) - σ(m - δ) = σ(δ + m) σ(δ - m) (1 - e^{-2δ}): no difference of near numbers.
        either = jnp.log(-jnp.expm1(-2.0 * jnp.asarray(self.margin, margin.dtype)))
        return logistic(margin - self.margin), logistic(self.margin + margin) + logistic(self.margin - margin) - either


@register("dpo-d")
@final
class DpoD(_Tied):
    """``-log 1/Z`` of a win, ``-log 2ν e^{-m/2}/Z`` of a tie, ``Z = 1 + e^{-m} + 2ν e^{-m/2}``: Davidson's model (2409.17431).

    It ends at π* where ties are Davidson's with the same ν, ``tie``.
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "log(1 + e^-m + 2νe^{-m/2}); ties apart", Limit.OWN, "π* on Davidson's ties", "2409.17431"
    )
    beta: Scalar = positive(default=0.1)
    tie: Scalar = positive(default=1.0)

    def costs(self, margin):
        half = 0.5 * margin
        middle = jnp.broadcast_to(jnp.log(jnp.asarray(self.tie, margin.dtype)) + math.log(2.0), margin.shape)
        total = jax.nn.logsumexp(jnp.stack([half, middle, -half]), axis=0)
        return total - half, total - middle
