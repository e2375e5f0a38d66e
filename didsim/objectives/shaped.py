"""Objectives on the log-ratio with another link or a bent margin: hinge, exact optimisation, discovered and penalised losses."""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks
from didsim.numerics.pytrees import at_least, between, checked, positive
from didsim.objectives.links import finite, hinge_link, logistic, ramp
from didsim.objectives.parts import Card, Limit, Logistic, LogRatio, register

Scalar = float | Float[Array, "..."]
CLAMP = 1e-3


@register("hinge")
@final
class Hinge(LogRatio):
    """``max(0, 1 - z)``: the hinge on log-ratios that TRL calls hinge.  Piecewise linear; faces of minimisers can occur.

    On the corner ``z = 1`` any slope from -1 to 0 is one: here it is -½, in PyTorch's ``relu`` 0.
    """

    card: ClassVar[Card] = Card("β log(π/π_ref)", "max(0, 1 - m)", Limit.OWN, "corner or face of a polyhedron", "2309.06657")
    kinked: ClassVar[bool] = True
    width: Scalar = at_least(0.0, default=0.0)

    def pair_link(self):
        return hinge_link(1.0, self.width)


@register("dpop")
@final
class Dpop(Logistic):
    """``-log σ(β[Δ - λ max(0, -a)])``: DPO that punishes a falling chosen response (Pal et al. 2402.13228).

    At ``π_θ = π_ref`` it is on its corner: the first gradient has half of the penalty's slope here, where PyTorch's ``relu`` has
    none of it.  ``width`` rounds the corner.  Convex
    in a table's logits: the margin is concave in them and ``-log σ`` is convex and decreasing (derived).
    """

    card: ClassVar[Card] = Card(
        "chosen: β(a - λ max(0, -a)), rejected: βb", "-log σ(m)", Limit.OWN, "chosen responses held up", "2402.13228"
    )
    kinked: ClassVar[bool] = True
    beta: Scalar = positive(default=0.3)
    penalty: Scalar = at_least(0.0, default=50.0)
    width: Scalar = at_least(0.0, default=0.0)

    def chosen_reward(self, seen):
        return self.beta * (seen.log_ratio - self.penalty * ramp(-seen.log_ratio, self.width))

    def rejected_reward(self, seen):
        return self.beta * seen.log_ratio


def _some_share(name: str, value: object) -> None:
    checks.positive(name, value)
    checks.between(name, value, 0.0, 0.5)


@register("exo_pair")
@final
class ExoPair(LogRatio):
    """``σ(z)[log σ(z) - log(1-ε)] + σ(-z)[log σ(-z) - log ε]``: reverse KL to smoothed labels (2402.00856)."""

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "KL of σ(m) from smoothed labels, ε > 0", Limit.OWN, "depends on ε", "2402.00856"
    )
    convex: ClassVar[bool] = False
    smoothing: Scalar = checked(_some_share, default=CLAMP)

    def link(self, margin):
        return _reverse_kl(margin, self.smoothing)


@register("exo_pair[clamped]")
@final
class ExoPairClamped(LogRatio):
    """``exo_pair`` that takes ε = 0 for 10⁻³, as TRL did up to 0.28, where the other dialect refuses it (2402.00856)."""

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "KL of σ(m) from smoothed labels, ε = 0 taken for 10⁻³", Limit.OWN, "depends on ε", "2402.00856"
    )
    convex: ClassVar[bool] = False
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def link(self, margin):
        return _reverse_kl(margin, jnp.where(jnp.asarray(self.smoothing) == 0, CLAMP, self.smoothing))


@register("discopop")
@final
class DiscoPop(LogRatio):
    """``(1-s)(-log σ(z)) + s e^{-z}`` with ``s = σ(z/τ)``: a loss found by a language model (2406.08414)."""

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "(1-s)(-log σ(m)) + s e^{-m}, s = σ(m/τ)", Limit.OWN, "may have several", "2406.08414"
    )
    convex: ClassVar[bool] = False
    beta: Scalar = positive(default=0.05)
    temperature: Scalar = positive(default=0.05)

    def link(self, margin):
        margin = finite(margin)
        rest = jax.nn.sigmoid(-margin / self.temperature)
        # s e^{-m} in one exponential: far below zero s vanishes faster than e^{-m} grows, but each alone overflows.
        return rest * logistic(margin) + jnp.exp(-margin - logistic(margin / self.temperature))


def _reverse_kl(margin: Float[Array, "*any"], smoothing: Scalar) -> Float[Array, "*any"]:
    margin = finite(margin)
    chosen = jax.nn.sigmoid(margin) * (-logistic(margin) - jnp.log1p(-jnp.asarray(smoothing)))
    return chosen + jax.nn.sigmoid(-margin) * (-logistic(-margin) - jnp.log(smoothing))
