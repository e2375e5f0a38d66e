"""Objectives with a squared link: IPO in its dialects, regression on reward gaps, and self-play regressions."""

from typing import ClassVar, final

import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import pytree
from didsim.objectives.inversion import policy_with_reward, squared_fit
from didsim.objectives.links import LinkSum, Term
from didsim.objectives.parts import Card, Limit, Objective
from didsim.worlds.preferences import BradleyTerry, Labels

Scalar = float | Float[Array, "..."]
FIT = "s = π_w/(π_w+π_l), D = 1/(1 + E_w s - E_l s)"


class _Ipo(Objective):
    """What IPO's dialects share: the target ``1/(2β)`` of the margin."""

    beta: Scalar

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)

    def link(self, margin):
        return jnp.square(margin - 0.5 / self.beta)

    def link_sum(self):
        return LinkSum((Term("square", 1.0, 1, -0.5 / self.beta),), 2.0 / self.beta)


@final
@pytree
class IpoSum(_Ipo):
    """``(Δ - 1/(2β))²`` with log-probabilities summed over tokens: the form of Azar et al. 2310.12036."""

    name: ClassVar[str] = "ipo[sum]"
    card: ClassVar[Card] = Card("log(π/π_ref)", "(m - 1/(2β))²", Limit.FORMULA, f"π_ref e^{{Ds/β}}, {FIT}", "2310.12036")
    beta: Scalar = 0.1

    def chosen_reward(self, seen):
        return seen.log_ratio

    def minimiser(self, problem):
        return simplex.normalize(problem.log_ref + squared_fit(problem, 0.5 / self.beta))


@final
@pytree
class IpoTokenMean(_Ipo):
    """``(ā - b̄ - 1/(2β))²``: IPO with log-ratios per token, as TRL, HALOs and oat have it."""

    name: ClassVar[str] = "ipo[token_mean]"
    card: ClassVar[Card] = Card("log(π/π_ref)/n", "(m - 1/(2β))²", Limit.FORMULA, "π_ref e^{n(Ds/β + C)}", "2310.12036")
    convex: ClassVar[bool] = False
    beta: Scalar = 0.1

    def chosen_reward(self, seen):
        return seen.mean_log_ratio

    def minimiser(self, problem):
        fit = squared_fit(problem, 0.5 / self.beta)
        return policy_with_reward(lambda reward: problem.log_ref + problem.lengths * reward, fit)


@final
@pytree
class IpoReferenceFree(_Ipo):
    """``(ℓ̄_w - ℓ̄_l - 1/(2β))²``: IPO per token with the reference left out."""

    name: ClassVar[str] = "ipo[reference_free]"
    card: ClassVar[Card] = Card("log π/n", "(m - 1/(2β))²", Limit.FORMULA, "e^{n(Ds/β + C)}", "2310.12036")
    reference_free: ClassVar[bool] = True
    convex: ClassVar[bool] = False
    beta: Scalar = 0.1

    def chosen_reward(self, seen):
        return seen.mean_log_policy

    def minimiser(self, problem):
        return policy_with_reward(lambda reward: problem.lengths * reward, squared_fit(problem, 0.5 / self.beta))


@final
@pytree
class IpoMargin(Objective):
    """``(Δ - β)²``: IPO whose β is the margin itself, not half its inverse."""

    name: ClassVar[str] = "ipo[margin]"
    card: ClassVar[Card] = Card("log(π/π_ref)", "(m - β)²", Limit.FORMULA, f"π_ref e^{{2βDs}}, {FIT}", "2310.12036")
    beta: Scalar = 0.1

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)

    def chosen_reward(self, seen):
        return seen.log_ratio

    def link(self, margin):
        return jnp.square(margin - self.beta)

    def link_sum(self):
        return LinkSum((Term("square", 1.0, 1, -jnp.asarray(self.beta)),), 4.0 * jnp.asarray(self.beta))

    def minimiser(self, problem):
        return simplex.normalize(problem.log_ref + squared_fit(problem, self.beta))


@final
@pytree
class Rebel(Objective):
    """``(Δ/η - (r_w - r_l))²``: regression of the log-ratio gap on the reward gap (2404.16767); labels do not matter."""

    name: ClassVar[str] = "rebel"
    card: ClassVar[Card] = Card("log(π/π_ref)/η - r", "m²", Limit.TARGET, "π_ref e^{ηr}: π* at η = 1/β", "2404.16767")
    eta: Scalar = 1.0

    def __post_init__(self) -> None:
        checks.positive_leaf("eta", self.eta)

    def chosen_reward(self, seen):
        return seen.log_ratio / self.eta - seen.reward

    def link(self, margin):
        return jnp.square(margin)

    def link_sum(self):
        return LinkSum((Term("square"),), 0.0)

    def minimiser(self, problem):
        return simplex.normalize(problem.log_ref + self.eta * problem.reward)


@final
@pytree
class SppoHard(Objective):
    """``(a - 1/(2β))² + (b + 1/(2β))²``: self-play with win rates rounded to 1 and 0 (2405.00675)."""

    name: ClassVar[str] = "sppo_hard"
    card: ClassVar[Card] = Card("(a - 1/(2β))² + (b + 1/(2β))²", "none", Limit.OWN, "misfit shared by normalising", "2405.00675")
    paired: ClassVar[bool] = False
    convex: ClassVar[bool] = False
    beta: Scalar = 0.1

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)

    def chosen_term(self, seen):
        return jnp.square(seen.log_ratio - 0.5 / self.beta)

    def rejected_term(self, seen):
        return jnp.square(seen.log_ratio + 0.5 / self.beta)


@final
@pytree
class Sppo(Objective):
    """``(a - η(P(y_w ≻ π_ref) - ½))²`` and the same for the rejected response: self-play preferences (2405.00675).

    The opponent is the policy at the start of a round, which is the reference here.  ``preferences`` are the labels that
    decide ``P(y ≻ π_ref) = Σ_b π_ref(b) P_yb``.
    """

    name: ClassVar[str] = "sppo"
    card: ClassVar[Card] = Card(
        "(log(π/π_ref) - η(P(y≻π_ref) - ½))², both responses", "none", Limit.OWN, "misfit shared by normalising", "2405.00675"
    )
    paired: ClassVar[bool] = False
    convex: ClassVar[bool] = False
    eta: Scalar = 1.0
    preferences: Labels = BradleyTerry()

    def __post_init__(self) -> None:
        checks.positive_leaf("eta", self.eta)

    def chosen_term(self, seen):
        wins = jnp.sum(self.preferences.matrix(seen.reward) * jnp.exp(seen.log_ref)[..., None, :], -1)
        return jnp.square(seen.log_ratio - self.eta * (wins - 0.5))

    def rejected_term(self, seen):
        return self.chosen_term(seen)
