"""Objectives that estimate the ratio ``(1-P)/P`` of a pair by a Bregman divergence: one minimiser, many losses (2505.19601).

With ``R = e^{-m}``, ``m = β(h_w - h_l)``, every strictly convex generator ``h`` gives ``ℓ = h'(R)R - h(R) - h'(1/R)``.  On
labels with additive log-odds all have DPO's minimiser; they differ in the weight of a pair at the optimum and elsewhere (F8).
"""

import abc
from typing import ClassVar, final

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import positive
from didsim.objectives.inversion import logistic_fit
from didsim.objectives.links import Link, expm1, logistic
from didsim.objectives.parts import Card, Limit, LogRatio, register

Scalar = float | Float[Array, "..."]
SOURCE = "2505.19601"


class _Bregman(LogRatio):
    """What the four generators share: DPO's reward and DPO's minimiser."""

    @abc.abstractmethod
    def curvature(self, ratio: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """``h''(R)`` of the generator at ratios ``R = (1-P)/P``."""

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + logistic_fit(problem) / self.beta)


def _card(link: str) -> Card:
    return Card("β log(π/π_ref)", link, Limit.TARGET, "π*", SOURCE)


@register("bpo[logistic]")
@final
class BpoLogistic(_Bregman):
    """``-2 log σ(m)``: ``h = R log R - (1+R) log(1+R)``, which is DPO twice over (2505.19601)."""

    card: ClassVar[Card] = _card("-2 log σ(m)")

    def pair_link(self):
        return Link(lambda m: 2.0 * logistic(m))

    def curvature(self, ratio):
        return 1.0 / (ratio * (1.0 + ratio))


@register("bpo[kliep]")
@final
class BpoKliep(_Bregman):
    """``e^{-m} - m``: ``h = R log R - R``, importance estimation by KL (2505.19601)."""

    card: ClassVar[Card] = _card("e^{-m} - m")

    def pair_link(self):
        return Link(lambda m: 1.0 + expm1(-m) - m)

    def curvature(self, ratio):
        return 1.0 / ratio


@register("bpo[lsif]")
@final
class BpoLsif(_Bregman):
    """``½e^{-2m} - e^m + ½``: ``h = ½(R-1)²``, least-squares importance fitting (2505.19601)."""

    card: ClassVar[Card] = _card("½e^{-2m} - e^m + ½")
    convex: ClassVar[bool] = False

    def pair_link(self):
        return Link(lambda m: 0.5 * expm1(-2.0 * m) - expm1(m))

    def curvature(self, ratio):
        return jnp.ones_like(ratio)


@register("bpo[basu]")
@final
class BpoBasu(_Bregman):
    """``e^{-(1+λ)m} - ((1+λ)e^{λm} - 1)/λ``: ``h = (R^{1+λ} - R)/λ``, Basu's power divergence, λ > 0 (2505.19601).

    λ = 1 is twice the least-squares fit up to a constant, λ → 0 the fit by KL.
    """

    card: ClassVar[Card] = _card("e^{-(1+λ)m} - ((1+λ)e^{λm} - 1)/λ")
    convex: ClassVar[bool] = False
    power: Scalar = positive(default=0.5)

    def pair_link(self):
        power = jnp.asarray(self.power)
        return Link(lambda m: expm1(-(1.0 + power) * m) - (1.0 + power) / power * expm1(power * m))

    def curvature(self, ratio):
        return (1.0 + jnp.asarray(self.power)) * ratio ** (jnp.asarray(self.power) - 1.0)
