"""Objectives from other divergences than the reverse KL: the log-ratio is replaced by an increasing function of it.

Regularising with an f-divergence makes ``β f'(π/π_ref)`` the implicit reward (2309.16240): ``log`` for the reverse KL,
which is DPO, and the rewards of this module for the others.
"""

import math
from collections.abc import Callable
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pytrees import at_least, between, positive
from didsim.objectives.inversion import logistic_fit, policy_below
from didsim.objectives.links import clip, logistic, scaled_expm1
from didsim.objectives.parts import Card, Limit, Logistic, Objective, register
from didsim.worlds import Problem

Scalar = float | Float[Array, "..."]
NEWTON_STEPS = 60


class _Divergence(Logistic):
    """What these objectives share: reward ``β g(log(π/π_ref))`` with ``g`` increasing, logistic link."""

    convex: ClassVar[bool] = False
    beta: Scalar

    def bend(self, log_ratio: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """``β g``, up to a constant."""
        raise NotImplementedError

    def lowered(self, log_ratio: Float[Array, "*#any"], drop: Float[Array, "*#any"]) -> Float[Array, "*any"]:
        """The ``x`` with ``g(x) = g(log_ratio) - drop``, ``drop >= 0``; NaN where ``g`` does not reach so low."""
        raise NotImplementedError

    def chosen_reward(self, seen):
        return self.bend(seen.log_ratio)

    def closed_form(self, problem: Problem):
        return _below(problem, logistic_fit(problem) / self.beta, self.lowered)


@register("f-dpo[forward_kl]")
@final
class ForwardKlDpo(_Divergence):
    """``-log σ(β(e^{-b} - e^{-a}))``: DPO with the forward KL as regulariser (2309.16240)."""

    card: ClassVar[Card] = Card("-β π_ref/π", "-log σ(m)", Limit.FORMULA, "π_ref/(-(log(π_w/π_l) + C)/β)", "2309.16240")
    beta: Scalar = positive(default=0.1)

    def bend(self, log_ratio):
        return -scaled_expm1(-log_ratio, self.beta) - self.beta

    def lowered(self, log_ratio, drop):
        return -jnp.logaddexp(-log_ratio, jnp.log(drop))


@register("f-dpo[js]")
@final
class JensenShannonDpo(_Divergence):
    """``-log σ(β(log σ(a) - log σ(b)))``: DPO with the Jensen-Shannon divergence as regulariser (2309.16240)."""

    card: ClassVar[Card] = Card(
        "β log σ(log(π/π_ref))", "-log σ(m)", Limit.FORMULA, "π_ref/(e^{-(log(π_w/π_l) + C)/β} - 1)", "2309.16240"
    )
    beta: Scalar = positive(default=0.1)

    def bend(self, log_ratio):
        return -self.beta * logistic(log_ratio)

    def lowered(self, log_ratio, drop):
        depth = logistic(log_ratio) + drop
        return -depth - jnp.log(-jnp.expm1(-depth))


@register("f-dpo[alpha]")
@final
class AlphaDpo(_Divergence):
    """``-log σ(β(g(a) - g(b)))`` with ``g(x) = (e^{(α-1)x} - 1)/(α-1)``: DPO with an α-divergence (2309.16240).

    α = 0 is the forward KL, α → 1 DPO, and α = 2 the χ² divergence.  This is the α of TRL from 0.29 on; with that of the
    paper's authors and of TRL up to 0.28 it is ``1 - α``, the dialect ``f-dpo[alpha_authors]``.  For α > 1
    the reward has a lower end, and where the data's rewards are too far apart for it the worst responses lose their mass,
    and the minimiser is no longer the closed form.
    """

    card: ClassVar[Card] = Card(
        "β (π/π_ref)^{α-1}/(α-1)", "-log σ(m)", Limit.FORMULA, "α < 1: π_ref ((α-1)(log(π_w/π_l) + C)/β)^{1/(α-1)}", "2309.16240"
    )
    beta: Scalar = positive(default=0.1)
    alpha: Scalar = between(0.0, 2.0, default=0.5)

    def bend(self, log_ratio):
        return powered(log_ratio, jnp.asarray(self.alpha) - 1.0, self.beta)

    def lowered(self, log_ratio, drop):
        return lowered_power(log_ratio, drop, jnp.asarray(self.alpha) - 1.0)

    def closed_form(self, problem):
        found = super().closed_form(problem)
        # A response at the lower end of the reward has not the margins it should have: the others' are no longer theirs.
        cut = jnp.isneginf(found) & jnp.isfinite(logistic_fit(problem))
        return jnp.where(jnp.any(cut, -1, keepdims=True), jnp.nan, found)


@register("f-dpo[alpha_authors]")
@final
class AlphaDpoAuthors(_Divergence):
    """``-log σ(β(g(a) - g(b)))`` with ``g(x) = (1 - e^{-αx})/α``: DPO with an α-divergence as its authors count α (2309.16240).

    α → 0 is DPO and α = 1 the forward KL: ``f-dpo[alpha]`` at ``1 - α``.  Up to its constant this is the paper's
    ``-u^{-α}/α``, which TRL had up to 0.28.
    """

    card: ClassVar[Card] = Card(
        "-β (π/π_ref)^{-α}/α", "-log σ(m)", Limit.FORMULA, "π_ref (-α (log(π_w/π_l) + C)/β)^{-1/α}", "2309.16240"
    )
    beta: Scalar = positive(default=0.1)
    alpha: Scalar = between(0.0, 1.0, default=0.5)

    def bend(self, log_ratio):
        return powered(log_ratio, -jnp.asarray(self.alpha), self.beta)

    def lowered(self, log_ratio, drop):
        return lowered_power(log_ratio, drop, -jnp.asarray(self.alpha))


@register("chi-po")
@final
class ChiPo(Objective):
    """``-log σ(clip_{2R}(β[φ(e^a) - φ(e^b)]))`` with ``φ(u) = u + log u``: χ² and reverse KL together (2407.13399)."""

    card: ClassVar[Card] = Card(
        "β φ(π/π_ref), φ(u) = u + log u", "-log σ(m), m within ±2R", Limit.FORMULA,
        "π_ref φ⁻¹((log(π_w/π_l) + C)/β), if no margin is clipped", "2407.13399",
    )  # fmt: skip
    convex: ClassVar[bool] = False
    kinked: ClassVar[bool] = True
    beta: Scalar = positive(default=0.1)
    reward_bound: Scalar = positive(default=10.0)
    width: Scalar = at_least(0.0, default=0.0)

    def chosen_reward(self, seen):
        return scaled_expm1(seen.log_ratio, self.beta) + self.beta * (1.0 + seen.log_ratio)

    def link(self, margin):
        return logistic(clip(margin, 2.0 * self.reward_bound, self.width))

    def closed_form(self, problem):
        fit = logistic_fit(problem)
        clipped = fit.max(-1, keepdims=True) - fit.min(-1, keepdims=True) > 2.0 * self.reward_bound
        return jnp.where(clipped, jnp.nan, _below(problem, fit / self.beta, self._lowered))

    def _lowered(self, log_ratio: Float[Array, "*#any"], drop: Float[Array, "*#any"]) -> Float[Array, "*any"]:
        # Where e^x is far beyond any drop that is not clipped, x stays what it is.
        largest = 0.5 * math.log(float(jnp.finfo(drop.dtype).max))
        return jnp.where(log_ratio > largest, log_ratio, log_lambert(log_ratio + jnp.exp(jnp.minimum(log_ratio, largest)) - drop))


def _below(
    problem: Problem,
    reward: Float[Array, "prompts n"],
    lowered: Callable[[Float[Array, "prompts 1"], Float[Array, "prompts n"]], Float[Array, "prompts n"]],
) -> Float[Array, "prompts n"]:
    """`policy_below` for rewards that are functions of the log-ratio: the best response's lies in ``[0, -log π_ref]``."""
    none = jnp.zeros_like(reward)
    return policy_below(lambda top, drop: problem.log_ref + lowered(top, drop), reward, none, -problem.log_ref)


@jax.jit
def powered(log_ratio: Float[Array, "*any"], power: Float[Array, ""], beta: Scalar) -> Float[Array, "*any"]:
    """``β (e^{px} - 1)/p``, with its limit ``βx`` at p = 0."""
    exponent = jnp.where(power == 0, 1.0, power)
    grown = jnp.sign(exponent) * scaled_expm1(exponent * log_ratio, beta / jnp.abs(exponent))
    return jnp.where(power == 0, beta * log_ratio, grown)


@jax.jit
def lowered_power(log_ratio: Float[Array, "*#any"], drop: Float[Array, "*#any"], power: Float[Array, ""]) -> Float[Array, "*any"]:
    """The ``x`` with ``e^{px}/p = e^{p log_ratio}/p - drop``; -inf where, for p > 0, the reward has its lower end before."""
    size = jnp.where(power == 0, 1.0, jnp.abs(power))
    # log(e^{px} - p·drop)/p, as x and what the drop adds to it.
    log_change = jnp.log(size * drop) - power * log_ratio
    raised = log_ratio - jnp.logaddexp(0.0, log_change) / size
    left = -jnp.expm1(log_change)
    reduced = jnp.where(left > 0, log_ratio + jnp.log(jnp.where(left > 0, left, 1.0)) / size, -jnp.inf)
    return jnp.where(power == 0, log_ratio - drop, jnp.where(power < 0, raised, reduced))


@jax.jit
def log_lambert(value: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """The ``x`` with ``x + e^x = value``, which is ``log W(e^value)``, W Lambert's function, by Newton's method."""

    def newton(_, x):
        # Convex and increasing: from the right of the root, where the first step lands, Newton's method cannot overshoot.
        return x - (x + jnp.exp(x) - value) / (1.0 + jnp.exp(x))

    return jax.lax.fori_loop(0, NEWTON_STEPS, newton, jnp.where(value > 1.0, jnp.log(jnp.maximum(value, 1.0)), value))
