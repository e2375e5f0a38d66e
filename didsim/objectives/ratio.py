"""Objectives on the log-ratio with a logistic link: DPO and what is added to its margin or its labels.

Notation here and in the other families: ``a``, ``b`` are log(π/π_ref) of the chosen and the rejected response,
``Δ = a - b``, ``z = βΔ``, ``ℓ`` a log-probability, ``n`` a length in tokens, a bar a mean per token, NLL the negative
log-probability of the chosen response.
"""

from typing import ClassVar, final

from jaxtyping import Array, Float

from didsim.numerics import simplex
from didsim.numerics.pytrees import at_least, between, positive
from didsim.objectives.inversion import logistic_fit, policy_with_reward
from didsim.objectives.links import Link, Term, logistic, smoothed_link
from didsim.objectives.parts import Card, Limit, Logistic, LogRatio, register

Scalar = float | Float[Array, "..."]


@register("dpo")
@final
class Dpo(LogRatio, Logistic):
    """``-log σ(z)`` (Rafailov et al. 2305.18290); minimiser ``π_ref (π_w/π_l)^{1/β}`` on product data (D5)."""

    card: ClassVar[Card] = Card("β log(π/π_ref)", "-log σ(m)", Limit.TARGET, "π_ref (π_w/π_l)^{1/β}", "2305.18290")

    def closed_form(self, problem):
        return simplex.normalize(problem.log_ref + logistic_fit(problem) / self.beta)


@register("cdpo")
@final
class ConservativeDpo(LogRatio):
    """``-(1-ε) log σ(z) - ε log σ(-z)``: DPO that believes a share ε of labels is flipped."""

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "-(1-ε) log σ(m) - ε log σ(-m)", Limit.OWN, "labels shrunk towards ½", "note of E. Mitchell, 2023"
    )
    smoothing: Scalar = between(0.0, 0.5, default=0.1, open_high=True)

    def pair_link(self):
        return smoothed_link(self.smoothing)


@register("robust")
@final
class RobustDpo(LogRatio):
    """``[-(1-ε) log σ(z) + ε log σ(-z)]/(1-2ε)``: unbiased for labels flipped with chance ε (2403.00409).

    It equals ``-log σ(z) - εz/(1-2ε)``, so it is convex; it has no minimum where the data is surer than ``1-ε`` (derived).
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref)", "[-(1-ε) log σ(m) + ε log σ(-m)]/(1-2ε)", Limit.OWN,
        "π* if labels are flipped with chance ε; none if they are too sure", "2403.00409",
    )  # fmt: skip
    smoothing: Scalar = between(0.0, 0.5, default=0.1, open_high=True)

    def pair_link(self):
        rest = 1.0 / (1.0 - 2.0 * self.smoothing)
        keep, flip = Term("log_sigmoid", (self.smoothing - 1.0) * rest), Term("log_sigmoid", self.smoothing * rest, -1)
        return Link(lambda m: logistic(m) - self.smoothing / (1.0 - 2.0 * self.smoothing) * m, (keep, flip), rest)


@register("dpo_norm")
@final
class DpoNorm(Logistic):
    """``-log σ(β(ā - b̄))``: DPO with log-ratios per token."""

    card: ClassVar[Card] = Card("β log(π/π_ref)/n", "-log σ(m)", Limit.FORMULA, "π_ref e^{n (log(π_w/π_l) + C)/β}", "2411.15124")
    convex: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def chosen_reward(self, seen):
        return self.beta * seen.mean_log_ratio

    def closed_form(self, problem):
        scale = problem.lengths / self.beta
        return policy_with_reward(lambda reward: problem.log_ref + scale * reward, logistic_fit(problem))


@register("r-dpo")
@final
class LengthDpo(Logistic):
    """``-log σ(z + α(n_w - n_l))``: DPO whose reward has a price per token taken out (2403.19159)."""

    card: ClassVar[Card] = Card(
        "β log(π/π_ref) + αn", "-log σ(m)", Limit.FORMULA, "π_ref (π_w/π_l)^{1/β} e^{-αn/β}", "2403.19159"
    )
    beta: Scalar = positive(default=0.1)
    length_weight: Scalar = at_least(0.0, default=0.01)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio + self.length_weight * seen.lengths

    def closed_form(self, problem):
        reward = logistic_fit(problem) - self.length_weight * problem.lengths
        return simplex.normalize(problem.log_ref + reward / self.beta)


@register("odpo[gap]")
@final
class OffsetDpo(Logistic):
    """``-log σ(z - α(r_w - r_l))``: DPO that asks for a margin in proportion to the reward gap (2402.10571).

    The offset's other published form, ``α log(r_w - r_l)``, is no difference of two rewards and is not provided.
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref) - αr", "-log σ(m)", Limit.FORMULA, "π_ref (π_w/π_l)^{1/β} e^{αr/β}: beyond π*", "2402.10571"
    )
    beta: Scalar = positive(default=0.1)
    offset: Scalar = at_least(0.0, default=1.0)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio - self.offset * seen.reward

    def closed_form(self, problem):
        reward = logistic_fit(problem) + self.offset * problem.reward
        return simplex.normalize(problem.log_ref + reward / self.beta)
