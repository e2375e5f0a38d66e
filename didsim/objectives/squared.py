"""Objectives with a squared link: IPO in its dialects, regression on reward gaps, and self-play regressions."""

from typing import ClassVar, final

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import positive
from didsim.objectives.inversion import policy_with_reward, squared_fit
from didsim.objectives.links import squared_link
from didsim.objectives.parts import Card, Limit, Objective, register
from didsim.worlds.preferences import BradleyTerry, Labels

Scalar = float | Float[Array, "..."]
FIT = "s = π_w/(π_w+π_l), D = 1/(1 + E_w s - E_l s)"


class _Ipo(Objective):
    """What IPO's dialects share: the target ``1/(2β)`` of the margin."""

    beta: Scalar

    def pair_link(self):
        return squared_link(0.5 / self.beta)


@register("ipo[sum]")
@final
class IpoSum(_Ipo):
    """``(Δ - 1/(2β))²`` with log-probabilities summed over tokens: the form of Azar et al. 2310.12036."""

    card: ClassVar[Card] = Card("log(π/π_ref)", "(m - 1/(2β))²", Limit.FORMULA, f"π_ref e^{{Ds/β}}, {FIT}", "2310.12036")
    beta: Scalar = positive(default=0.1)

    def chosen_reward(self, seen):
        return seen.log_ratio

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + squared_fit(problem, 0.5 / self.beta))


@register("ipo[token_mean]")
@final
class IpoTokenMean(_Ipo):
    """``(ā - b̄ - 1/(2β))²``: IPO with log-ratios per token, as TRL, HALOs and oat have it."""

    card: ClassVar[Card] = Card("log(π/π_ref)/n", "(m - 1/(2β))²", Limit.FORMULA, "π_ref e^{n(Ds/β + C)}", "2310.12036")
    convex: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def chosen_reward(self, seen):
        return seen.mean_log_ratio

    def closed_form(self, problem):
        fit = squared_fit(problem, 0.5 / self.beta)
        return policy_with_reward(lambda reward: problem.log_ref + problem.lengths * reward, fit)


@register("ipo[reference_free]")
@final
class IpoReferenceFree(_Ipo):
    """``(ℓ̄_w - ℓ̄_l - 1/(2β))²``: IPO per token with the reference left out."""

    card: ClassVar[Card] = Card("log π/n", "(m - 1/(2β))²", Limit.FORMULA, "e^{n(Ds/β + C)}", "2310.12036")
    reference_free: ClassVar[bool] = True
    convex: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def chosen_reward(self, seen):
        return seen.mean_log_policy

    def closed_form(self, problem):
        return policy_with_reward(lambda reward: problem.lengths * reward, squared_fit(problem, 0.5 / self.beta))


@register("ipo[margin]")
@final
class IpoMargin(Objective):
    """``(Δ - β)²``: IPO whose β is the margin itself, not half its inverse."""

    card: ClassVar[Card] = Card("log(π/π_ref)", "(m - β)²", Limit.FORMULA, f"π_ref e^{{2βDs}}, {FIT}", "2310.12036")
    beta: Scalar = positive(default=0.1)

    def chosen_reward(self, seen):
        return seen.log_ratio

    def pair_link(self):
        return squared_link(self.beta)

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + squared_fit(problem, self.beta))


@register("rebel")
@final
class Rebel(Objective):
    """``(Δ/η - (r_w - r_l))²``: regression of the log-ratio gap on the reward gap (2404.16767); labels do not matter."""

    card: ClassVar[Card] = Card("log(π/π_ref)/η - r", "m²", Limit.TARGET, "π_ref e^{ηr}: π* at η = 1/β", "2404.16767")
    eta: Scalar = positive(default=1.0)

    def chosen_reward(self, seen):
        return seen.log_ratio / self.eta - seen.reward

    def pair_link(self):
        return squared_link(0.0)

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + self.eta * problem.reward)


@register("sppo_hard")
@final
class SppoHard(Objective):
    """``(a - 1/(2β))² + (b + 1/(2β))²``: self-play with win rates rounded to 1 and 0 (2405.00675)."""

    card: ClassVar[Card] = Card("(a - 1/(2β))² + (b + 1/(2β))²", "none", Limit.OWN, "misfit shared by normalising", "2405.00675")
    paired: ClassVar[bool] = False
    convex: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def chosen_term(self, seen):
        return jnp.square(seen.log_ratio - 0.5 / self.beta)

    def rejected_term(self, seen):
        return jnp.square(seen.log_ratio + 0.5 / self.beta)


@register("sppo")
@final
class Sppo(Objective):
    """``(a - η(P(y_w ≻ π_ref) - ½))²`` and the same for the rejected response: self-play preferences (2405.00675).

    The opponent is the policy at the start of a round, which is the reference here.  ``preferences`` are the labels that
    decide ``P(y ≻ π_ref) = Σ_b π_ref(b) P_yb``.
    """

    card: ClassVar[Card] = Card(
        "(log(π/π_ref) - η(P(y≻π_ref) - ½))², both responses", "none", Limit.OWN, "misfit shared by normalising", "2405.00675"
    )
    paired: ClassVar[bool] = False
    convex: ClassVar[bool] = False
    eta: Scalar = positive(default=1.0)
    preferences: Labels = BradleyTerry()

    def chosen_term(self, seen):
        return jnp.square(seen.log_ratio - self.eta * (seen.win_rates(self.preferences) - 0.5))

    def rejected_term(self, seen):
        return self.chosen_term(seen)
