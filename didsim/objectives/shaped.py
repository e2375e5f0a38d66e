"""Objectives on the log-ratio with another link or a bent margin: hinge, exact optimisation, discovered and penalised losses."""

from dataclasses import replace
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.pytrees import pytree
from didsim.objectives.links import hinge_sum, logistic, logistic_sum, ramp
from didsim.objectives.parts import Card, Limit, Objective

Scalar = float | Float[Array, "..."]
CLAMP = 1e-3


@final
@pytree
class Hinge(Objective):
    """``max(0, 1 - z)``: the hinge on log-ratios that TRL calls hinge.  Piecewise linear; faces of minimisers can occur."""

    name: ClassVar[str] = "hinge"
    card: ClassVar[Card] = Card("β log(π/π_ref)", "max(0, 1 - m)", Limit.OWN, "corner or face of a polyhedron", "2309.06657")
    kinked: ClassVar[bool] = True
    beta: Scalar = 0.1
    width: Scalar = 0.0

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.leaf_at_least("width", self.width, 0.0)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        return ramp(1.0 - margin, self.width)

    def link_sum(self):
        return hinge_sum(1.0, self.width)

    def smoothed(self, width):
        return replace(self, width=width)


@final
@pytree
class Dpop(Objective):
    """``-log σ(β[Δ - λ max(0, -a)])``: DPO that punishes a falling chosen response (Pal et al. 2402.13228).

    Convex in a table's logits: the margin is concave in them and ``-log σ`` is convex and decreasing (derived).
    """

    name: ClassVar[str] = "dpop"
    card: ClassVar[Card] = Card(
        "chosen: β(a - λ max(0, -a)), rejected: βb", "-log σ(m)", Limit.OWN, "chosen responses held up", "2402.13228"
    )
    kinked: ClassVar[bool] = True
    beta: Scalar = 0.3
    penalty: Scalar = 50.0
    width: Scalar = 0.0

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.leaf_at_least("penalty", self.penalty, 0.0)
        checks.leaf_at_least("width", self.width, 0.0)

    def chosen_reward(self, seen):
        return self.beta * (seen.log_ratio - self.penalty * ramp(-seen.log_ratio, self.width))

    def rejected_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        return logistic(margin)

    def link_sum(self):
        return logistic_sum()

    def smoothed(self, width):
        return replace(self, width=width)


@final
@pytree
class ExoPair(Objective):
    """``σ(z)[log σ(z) - log(1-ε)] + σ(-z)[log σ(-z) - log ε]``: reverse KL to smoothed labels (2402.00856)."""

    name: ClassVar[str] = "exo_pair"
    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "KL of σ(m) from smoothed labels, ε > 0", Limit.OWN, "depends on ε", "2402.00856"
    )
    convex: ClassVar[bool] = False
    beta: Scalar = 0.1
    smoothing: Scalar = CLAMP

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.positive_leaf("smoothing", self.smoothing)
        checks.leaf_between("smoothing", self.smoothing, 0.0, 0.5)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        return _reverse_kl(margin, self.smoothing)


@final
@pytree
class ExoPairClamped(Objective):
    """``exo_pair`` that takes ε = 0 for 10⁻³, as TRL does, where the other dialect refuses it (2402.00856)."""

    name: ClassVar[str] = "exo_pair[clamped]"
    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "KL of σ(m) from smoothed labels, ε = 0 taken for 10⁻³", Limit.OWN, "depends on ε", "2402.00856"
    )
    convex: ClassVar[bool] = False
    beta: Scalar = 0.1
    smoothing: Scalar = 0.0

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.leaf_between("smoothing", self.smoothing, 0.0, 0.5)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        return _reverse_kl(margin, jnp.where(jnp.asarray(self.smoothing) == 0, CLAMP, self.smoothing))


@final
@pytree
class DiscoPop(Objective):
    """``(1-s)(-log σ(z)) + s e^{-z}`` with ``s = σ(z/τ)``: a loss found by a language model (2406.08414)."""

    name: ClassVar[str] = "discopop"
    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "(1-s)(-log σ(m)) + s e^{-m}, s = σ(m/τ)", Limit.OWN, "may have several", "2406.08414"
    )
    convex: ClassVar[bool] = False
    beta: Scalar = 0.05
    temperature: Scalar = 0.05

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.positive_leaf("temperature", self.temperature)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        rest = jax.nn.sigmoid(-margin / self.temperature)
        # s e^{-m} in one exponential: far below zero s vanishes faster than e^{-m} grows, but each alone overflows.
        return rest * logistic(margin) + jnp.exp(-margin - logistic(margin / self.temperature))


def _reverse_kl(margin: Float[Array, "*any"], smoothing: Scalar) -> Float[Array, "*any"]:
    chosen = jax.nn.sigmoid(margin) * (-logistic(margin) - jnp.log1p(-jnp.asarray(smoothing)))
    return chosen + jax.nn.sigmoid(-margin) * (-logistic(-margin) - jnp.log(smoothing))
