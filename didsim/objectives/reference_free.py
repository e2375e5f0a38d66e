"""Objectives whose reward does not look at the reference: log-probabilities, per token or not, and odds."""

from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import at_least, between, positive
from didsim.objectives.inversion import logistic_fit, policy_below, policy_with_reward
from didsim.objectives.links import Link, Term, hinge_link, logistic, scaled_expm1, smoothed_link
from didsim.objectives.parts import Card, Limit, Objective, log_odds, register

Scalar = float | Float[Array, "..."]


@register("slic")
@final
class Slic(Objective):
    """``max(0, δ - ℓ_w + ℓ_l) + λ NLL`` on log-probabilities, no reference (Zhao et al. 2305.10425)."""

    card: ClassVar[Card] = Card("log π, and λ NLL", "max(0, δ - m)", Limit.OWN, "corner or face of a polyhedron", "2305.10425")
    reference_free: ClassVar[bool] = True
    kinked: ClassVar[bool] = True
    margin: Scalar = positive(default=1.0)
    nll_weight: Scalar = at_least(0.0, default=0.1)
    width: Scalar = at_least(0.0, default=0.0)

    def chosen_reward(self, seen):
        return seen.log_policy

    def pair_link(self):
        return hinge_link(self.margin, self.width)

    def chosen_term(self, seen):
        return -self.nll_weight * seen.log_policy


@register("hinge[reference_free]")
@final
class HingeReferenceFree(Objective):
    """``max(0, 1 - β(ℓ_w - ℓ_l))``, no reference: CPO's hinge, which is β times SLiC's at a margin of 1/β (2305.10425)."""

    card: ClassVar[Card] = Card("β log π", "max(0, 1 - m)", Limit.OWN, "corner or face of a polyhedron", "2305.10425")
    reference_free: ClassVar[bool] = True
    kinked: ClassVar[bool] = True
    beta: Scalar = positive(default=0.1)
    width: Scalar = at_least(0.0, default=0.0)

    def chosen_reward(self, seen):
        return self.beta * seen.log_policy

    def pair_link(self):
        return hinge_link(1.0, self.width)


@register("simpo")
@final
class SimPo(Objective):
    """``-log σ(β(ℓ_w/n_w - ℓ_l/n_l) - γ)``, no reference, γ absolute (Meng et al. 2405.14734); smoothed as ``cdpo`` for ε > 0.

    At length 1 and γ = 0 the minimiser on product data is ``(π_w/π_l)^{1/β}`` (D6).  Where lengths differ the margin is
    not linear in the logits and the loss not convex in them, though it is in the rewards themselves (derived).
    """

    card: ClassVar[Card] = Card(
        "β log π/n", "-log σ(m - γ)", Limit.FORMULA, "γ = 0: e^{n(log(π_w/π_l) + C)/β}; γ > 0: its own", "2405.14734"
    )
    convex: ClassVar[bool] = False
    reference_free: ClassVar[bool] = True
    beta: Scalar = positive(default=2.0)
    gamma: Scalar = at_least(0.0, default=0.0)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def chosen_reward(self, seen):
        return self.beta * seen.mean_log_policy

    def pair_link(self):
        return smoothed_link(self.smoothing, -self.gamma, odd=False)

    def closed_form(self, problem):
        scale = problem.lengths / self.beta
        plain = _zero(self.gamma) and _zero(self.smoothing)
        return policy_with_reward(lambda reward: scale * reward, logistic_fit(problem)) if plain else None


@register("simpo[gamma_ratio]")
@final
class SimPoRatio(Objective):
    """``-log σ(β(ℓ̄_w - ℓ̄_l - g))`` with ``g`` the ratio γ/β: how public code takes SimPO's margin (2405.14734).

    Smoothed as ``cdpo`` for ε > 0.  With a likelihood term on a third response it is TPO's variant per token (2405.16681).
    """

    card: ClassVar[Card] = Card(
        "β log π/n", "-log σ(m - βg)", Limit.FORMULA, "g = 0: e^{n(log(π_w/π_l) + C)/β}; g > 0: its own", "2405.14734"
    )
    convex: ClassVar[bool] = False
    reference_free: ClassVar[bool] = True
    beta: Scalar = positive(default=2.0)
    gamma_ratio: Scalar = at_least(0.0, default=0.0)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def chosen_reward(self, seen):
        return self.beta * seen.mean_log_policy

    def pair_link(self):
        return smoothed_link(self.smoothing, -self.beta * self.gamma_ratio, odd=False)

    def closed_form(self, problem):
        scale = problem.lengths / self.beta
        plain = _zero(self.gamma_ratio) and _zero(self.smoothing)
        return policy_with_reward(lambda reward: scale * reward, logistic_fit(problem)) if plain else None


@register("cpo-simpo")
@final
class CpoSimPo(Objective):
    """``-log σ(β(ℓ̄_w - ℓ̄_l) - γ) + α NLL / E n_w``: SimPO with CPO's likelihood term (2401.08417, 2405.14734).

    What TRL's CPO trainer minimises for its loss type ``simpo`` unless its ``cpo_alpha``, 1 by default, is set to 0.
    """

    card: ClassVar[Card] = Card(
        "β log π/n, and α NLL / E n_w", "-log σ(m - γ)", Limit.OWN, "between π_w and simpo's", "2405.14734"
    )
    convex: ClassVar[bool] = False
    reference_free: ClassVar[bool] = True
    token_mean: ClassVar[bool] = True
    beta: Scalar = positive(default=2.0)
    gamma: Scalar = at_least(0.0, default=0.0)
    nll_weight: Scalar = at_least(0.0, default=1.0)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def chosen_reward(self, seen):
        return self.beta * seen.mean_log_policy

    def pair_link(self):
        return smoothed_link(self.smoothing, -self.gamma, odd=False)

    def chosen_term(self, seen):
        return -self.nll_weight * seen.log_policy / seen.mean_length


@register("alphapo")
@final
class AlphaPo(Objective):
    """``-log σ(β(ρ(ℓ̄_w) - ρ(ℓ̄_l)) - γ)`` with ``ρ(ℓ) = (1 - e^{-αℓ})/α``; SimPO as α → 0 (2501.03884).

    Smoothed as ``cdpo`` for ε > 0.
    """

    card: ClassVar[Card] = Card(
        "β(1 - π^{-α/n})/α", "-log σ(m - γ)", Limit.FORMULA, "γ = 0: (1 - α(log(π_w/π_l) + C)/β)^{-n/α}", "2501.03884"
    )
    convex: ClassVar[bool] = False
    reference_free: ClassVar[bool] = True
    beta: Scalar = positive(default=2.0)
    alpha: Scalar = positive(default=0.25)
    gamma: Scalar = at_least(0.0, default=0.0)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def chosen_reward(self, seen):
        return -scaled_expm1(-self.alpha * seen.mean_log_policy, self.beta / self.alpha)

    def pair_link(self):
        return smoothed_link(self.smoothing, -self.gamma, odd=False)

    def closed_form(self, problem):
        if not (_zero(self.gamma) and _zero(self.smoothing)):
            return None

        def log_policy_of(top, drop):
            # log(e^{-αx} + α·drop/β)/(-α), as x and what the drop takes from it.
            change = jnp.log(self.alpha * drop / self.beta) + self.alpha * top
            return problem.lengths * (top - jnp.logaddexp(0.0, change) / self.alpha)

        none = jnp.zeros_like(problem.log_ref)
        return policy_below(log_policy_of, logistic_fit(problem), none - jnp.log(float(none.shape[-1])), none)


class _Cpo(Objective):
    """What CPO's dialects share: DPO without a reference, and a likelihood term."""

    beta: Scalar
    smoothing: Scalar

    def chosen_reward(self, seen):
        return self.beta * seen.log_policy

    def pair_link(self):
        return smoothed_link(self.smoothing)


@register("cpo")
@final
class Cpo(_Cpo):
    """``-log σ(β(ℓ_w - ℓ_l)) + α NLL``, no reference (Xu et al. 2401.08417); smoothed as ``cdpo`` for ε > 0."""

    card: ClassVar[Card] = Card("β log π, and α NLL", "-log σ(m)", Limit.OWN, "between π_w and (π_w/π_l)^{1/β}", "2401.08417")
    reference_free: ClassVar[bool] = True
    beta: Scalar = positive(default=0.1)
    nll_weight: Scalar = at_least(0.0, default=1.0)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def chosen_term(self, seen):
        return -self.nll_weight * seen.log_policy

    def closed_form(self, problem):
        plain = _zero(self.nll_weight) and _zero(self.smoothing)
        return simplex.normalize(logistic_fit(problem) / self.beta) if plain else None


@register("cpo[token_mean]")
@final
class CpoTokenMean(_Cpo):
    """``-log σ(β(ℓ_w - ℓ_l)) + α NLL / E n_w``: CPO whose likelihood is a mean over tokens (Xu et al. 2401.08417).

    So have the authors' code and TRL's CPO trainer, over the tokens of a batch.
    """

    card: ClassVar[Card] = Card(
        "β log π, and α NLL / E n_w", "-log σ(m)", Limit.OWN, "between π_w and (π_w/π_l)^{1/β}", "2401.08417"
    )
    reference_free: ClassVar[bool] = True
    token_mean: ClassVar[bool] = True
    beta: Scalar = positive(default=0.1)
    nll_weight: Scalar = at_least(0.0, default=1.0)
    smoothing: Scalar = between(0.0, 0.5, default=0.0)

    def chosen_term(self, seen):
        return -self.nll_weight * seen.log_policy / seen.mean_length


class _Orpo(Objective):
    """What ORPO's dialects share: a logistic link weighted by λ, which its code calls β."""

    odds_weight: Scalar

    def pair_link(self):
        terms = (Term("log_sigmoid", -self.odds_weight),)
        return Link(lambda margin: self.odds_weight * logistic(margin), terms, self.odds_weight)


@register("orpo")
@final
class Orpo(_Orpo):
    """``NLL/n_w - λ log σ(log-odds_w - log-odds_l)`` with odds of the per-token mean (Hong et al. 2403.07691)."""

    card: ClassVar[Card] = Card("log-odds of π^{1/n}, and NLL/n", "-λ log σ(m)", Limit.OWN, "near π_w", "2403.07691")
    reference_free: ClassVar[bool] = True
    convex: ClassVar[bool] = False
    odds_weight: Scalar = at_least(0.0, default=0.1)

    def chosen_reward(self, seen):
        return seen.log_odds

    def chosen_term(self, seen):
        return -seen.mean_log_policy


@register("orpo[prompt]")
@final
class OrpoPrompt(_Orpo):
    """``NLL of prompt and response / E(n_x + n_w) - λ log σ(log-odds_w - log-odds_l)`` (Hong et al. 2403.07691).

    ORPO as TRL has it: the likelihood is a mean over all tokens of a batch, prompts included.  A world of laws has no tokens of
    prompts; there it is a mean over those of responses.
    """

    card: ClassVar[Card] = Card(
        "log-odds of π^{1/n}, and NLL with the prompt's / E n", "-λ log σ(m)", Limit.OWN, "near π_w", "2403.07691"
    )
    reference_free: ClassVar[bool] = True
    convex: ClassVar[bool] = False
    token_mean: ClassVar[bool] = True
    odds_weight: Scalar = at_least(0.0, default=0.1)

    def chosen_reward(self, seen):
        return seen.log_odds

    def tokens(self, seen):
        return seen.prompt_lengths + seen.lengths

    def chosen_term(self, seen):
        return -(seen.prompt_log_policy + seen.log_policy) / seen.mean_length


@register("orpo[sum]")
@final
class OrpoSum(_Orpo):
    """``NLL - λ log σ(log-odds_w - log-odds_l)`` with odds of the whole response: ORPO without dividing by lengths."""

    card: ClassVar[Card] = Card("log-odds of π, and NLL", "-λ log σ(m)", Limit.OWN, "near π_w", "2403.07691")
    reference_free: ClassVar[bool] = True
    convex: ClassVar[bool] = False
    odds_weight: Scalar = at_least(0.0, default=0.1)

    def chosen_reward(self, seen):
        return log_odds(seen.log_policy)

    def chosen_term(self, seen):
        return -seen.log_policy


def _zero(value: Scalar) -> bool:
    """Whether a number is zero everywhere, as far as can be seen."""
    return not checks.is_traced(value) and bool(np.all(np.asarray(value) == 0))
