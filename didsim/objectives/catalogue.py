"""Which objectives are there, and how exactly is each defined?

One class per named function of public preference-optimisation code, with hyperparameters as pytree leaves so that any
of them can be swept.  Notation of the formulas: ``a``, ``b`` are log(π/π_ref) of the chosen and the rejected response,
``Δ = a - b``, ``ℓ`` a log-probability, ``z = βΔ``, NLL the negative log-probability of the chosen response.
"""

from dataclasses import replace
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim import checks
from didsim.objectives.parts import LinkSum, Objective, Term, logistic, logistic_sum, ramp
from didsim.records import record

Scalar = float | Float[Array, "..."]


@final
@record
class Dpo(Objective):
    """``-log σ(z)`` (Rafailov et al. 2305.18290); minimiser ``π_ref (π_w/π_l)^{1/β}`` on product data (D5)."""

    name: ClassVar[str] = "dpo"
    beta: Scalar = 0.1

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        return logistic(margin)

    def link_sum(self):
        return logistic_sum()


@final
@record
class ConservativeDpo(Objective):
    """``-(1-ε) log σ(z) - ε log σ(-z)``: DPO that believes a share ε of labels is flipped."""

    name: ClassVar[str] = "cdpo"
    beta: Scalar = 0.1
    smoothing: Scalar = 0.1

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.leaf_between("smoothing", self.smoothing, 0.0, 0.5, open_high=True)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        return (1.0 - self.smoothing) * logistic(margin) + self.smoothing * logistic(-margin)

    def link_sum(self):
        keep, flip = Term("log_sigmoid", self.smoothing - 1.0), Term("log_sigmoid", -self.smoothing, -1)
        return LinkSum((keep, flip), 1.0 - 2.0 * self.smoothing)


@final
@record
class IpoSum(Objective):
    """``(Δ - 1/(2β))²`` with log-probabilities summed over tokens: the form of Azar et al. 2310.12036."""

    name: ClassVar[str] = "ipo[sum]"
    beta: Scalar = 0.1

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)

    def chosen_reward(self, seen):
        return seen.log_ratio

    def link(self, margin):
        return jnp.square(margin - 0.5 / self.beta)

    def link_sum(self):
        return LinkSum((Term("square", 1.0, 1, -0.5 / self.beta),), 2.0 / self.beta)


@final
@record
class Hinge(Objective):
    """``max(0, 1 - z)``: the hinge on log-ratios that TRL calls hinge.  Piecewise linear; faces of minimisers can occur."""

    name: ClassVar[str] = "hinge"
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
        return _hinge_sum(1.0, self.width)

    def smoothed(self, width):
        return replace(self, width=width)


@final
@record
class Slic(Objective):
    """``max(0, δ - ℓ_w + ℓ_l) + λ NLL`` on log-probabilities, no reference (Zhao et al. 2305.10425)."""

    name: ClassVar[str] = "slic"
    reference_free: ClassVar[bool] = True
    kinked: ClassVar[bool] = True
    margin: Scalar = 1.0
    nll_weight: Scalar = 0.1
    width: Scalar = 0.0

    def __post_init__(self) -> None:
        checks.positive_leaf("margin", self.margin)
        checks.leaf_at_least("nll_weight", self.nll_weight, 0.0)
        checks.leaf_at_least("width", self.width, 0.0)

    def chosen_reward(self, seen):
        return seen.log_policy

    def link(self, margin):
        return ramp(self.margin - margin, self.width)

    def link_sum(self):
        return _hinge_sum(self.margin, self.width)

    def chosen_term(self, seen):
        return -self.nll_weight * seen.log_policy

    def smoothed(self, width):
        return replace(self, width=width)


@final
@record
class SimPo(Objective):
    """``-log σ(β(ℓ_w/n_w - ℓ_l/n_l) - γ)``, no reference, γ absolute (Meng et al. 2405.14734).

    At length 1 and γ = 0 the minimiser on product data is ``(π_w/π_l)^{1/β}`` (D6).  Where lengths differ the margin is
    not linear in the logits and the loss not convex in them, though it is in the rewards themselves (derived).
    """

    name: ClassVar[str] = "simpo"
    convex: ClassVar[bool] = False
    reference_free: ClassVar[bool] = True
    beta: Scalar = 2.0
    gamma: Scalar = 0.0

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.leaf_at_least("gamma", self.gamma, 0.0)

    def chosen_reward(self, seen):
        return self.beta * seen.mean_log_policy

    def link(self, margin):
        return logistic(margin - self.gamma)

    def link_sum(self):
        return logistic_sum(shift=-self.gamma, odd=False)


@final
@record
class Cpo(Objective):
    """``-log σ(β(ℓ_w - ℓ_l)) + α NLL``, no reference (Xu et al. 2401.08417)."""

    name: ClassVar[str] = "cpo"
    reference_free: ClassVar[bool] = True
    beta: Scalar = 0.1
    nll_weight: Scalar = 1.0

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.leaf_at_least("nll_weight", self.nll_weight, 0.0)

    def chosen_reward(self, seen):
        return self.beta * seen.log_policy

    def link(self, margin):
        return logistic(margin)

    def link_sum(self):
        return logistic_sum()

    def chosen_term(self, seen):
        return -self.nll_weight * seen.log_policy


@final
@record
class Orpo(Objective):
    """``NLL/n_w - λ log σ(log-odds_w - log-odds_l)`` with odds of the per-token mean (Hong et al. 2403.07691)."""

    name: ClassVar[str] = "orpo"
    reference_free: ClassVar[bool] = True
    convex: ClassVar[bool] = False
    odds_weight: Scalar = 0.1

    def __post_init__(self) -> None:
        checks.leaf_at_least("odds_weight", self.odds_weight, 0.0)

    def chosen_reward(self, seen):
        return seen.log_odds

    def link(self, margin):
        return self.odds_weight * logistic(margin)

    def link_sum(self):
        return logistic_sum(self.odds_weight)

    def chosen_term(self, seen):
        return -seen.mean_log_policy


@final
@record
class Dpop(Objective):
    """``-log σ(β[Δ - λ max(0, -a)])``: DPO that punishes a falling chosen response (Pal et al. 2402.13228).

    Convex in a table's logits: the margin is concave in them and ``-log σ`` is convex and decreasing (derived).
    """

    name: ClassVar[str] = "dpop"
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
@record
class Kto(Objective):
    """``λ_D (1 - σ(β(a - z₀)))`` on chosen and ``λ_U (1 - σ(β(z₀ - b)))`` on rejected responses (2402.01306).

    ``z₀ = KL(π_θ‖π_ref)`` exactly, under a stop-gradient, where public code estimates it from mismatched pairs.
    """

    name: ClassVar[str] = "kto"
    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    beta: Scalar = 0.1
    desirable: Scalar = 1.0
    undesirable: Scalar = 1.0

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.positive_leaf("desirable", self.desirable)
        checks.positive_leaf("undesirable", self.undesirable)

    def chosen_term(self, seen):
        return self.desirable * jax.nn.sigmoid(-self.beta * (seen.log_ratio - seen.divergence))

    def rejected_term(self, seen):
        return self.undesirable * jax.nn.sigmoid(-self.beta * (seen.divergence - seen.log_ratio))


@final
@record
class ExoPair(Objective):
    """``σ(z)[log σ(z) - log(1-ε)] + σ(-z)[log σ(-z) - log ε]``: reverse KL to smoothed labels (2402.00856)."""

    name: ClassVar[str] = "exo_pair"
    convex: ClassVar[bool] = False
    beta: Scalar = 0.1
    smoothing: Scalar = 1e-3

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)
        checks.positive_leaf("smoothing", self.smoothing)
        checks.leaf_between("smoothing", self.smoothing, 0.0, 0.5)

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def link(self, margin):
        chosen = jax.nn.sigmoid(margin) * (-logistic(margin) - jnp.log1p(-jnp.asarray(self.smoothing)))
        return chosen + jax.nn.sigmoid(-margin) * (-logistic(-margin) - jnp.log(self.smoothing))


@final
@record
class Sft(Objective):
    """``-log π(y_w)``: maximum likelihood on chosen responses; minimiser π_w."""

    name: ClassVar[str] = "sft"
    reference_free: ClassVar[bool] = True
    paired: ClassVar[bool] = False

    def chosen_term(self, seen):
        return -seen.log_policy


@final
@record
class Rlhf(Objective):
    """``-E_π r + β KL(π‖π_ref)`` exactly, with the true reward; minimiser ``π_ref e^{r/β}``.  Uses no pairs."""

    name: ClassVar[str] = "rlhf"
    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    beta: Scalar = 0.1

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)

    def policy_term(self, seen):
        return jnp.exp(seen.log_policy) * (self.beta * seen.log_ratio - seen.reward)


def _hinge_sum(margin: Scalar, width: Scalar) -> LinkSum | None:
    """``max(0, margin - m)`` as a kernel sum; a rounded kink has none."""
    sharp = isinstance(width, (int, float)) and width == 0
    return LinkSum((Term("hinge", 1.0, -1, margin),)) if sharp else None


OBJECTIVES: dict[str, type[Objective]] = {
    kind.name: kind for kind in (Dpo, ConservativeDpo, IpoSum, Hinge, Slic, SimPo, Cpo, Orpo, Dpop, Kto, ExoPair, Sft, Rlhf)
}
