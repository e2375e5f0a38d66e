"""Objectives that look at chosen and rejected responses one at a time: a loss on each, no margin between them."""

from typing import ClassVar, final

from jaxtyping import Array, Float

from didsim.numerics.pytrees import finite, positive, pytree
from didsim.objectives.links import logistic, sigmoid
from didsim.objectives.parts import Card, Limit, LogRatio, Objective, register

Scalar = float | Float[Array, "..."]
LOSERS = "all responses with π_w < π_l lose their mass"


@pytree
class _Kto(Objective):
    """What KTO as a mean over pairs and as one over examples share: the latter is half of the former."""

    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)
    desirable: Scalar = positive(default=1.0)
    undesirable: Scalar = positive(default=1.0)

    def chosen_term(self, seen):
        return self.share * self.desirable * sigmoid(-self.beta * (seen.log_ratio - seen.divergence))

    def rejected_term(self, seen):
        return self.share * self.undesirable * sigmoid(-self.beta * (seen.divergence - seen.log_ratio))


@register("kto")
@final
class Kto(_Kto):
    """``λ_D (1 - σ(β(a - z₀)))`` on chosen and ``λ_U (1 - σ(β(z₀ - b)))`` on rejected responses (2402.01306).

    ``z₀ = KL(π_θ‖π_ref)`` exactly, under a stop-gradient, where public code estimates it from mismatched pairs.
    """

    card: ClassVar[Card] = Card(
        "λ_D σ(β(z₀ - a)) + λ_U σ(β(b - z₀)), z₀ = KL(π‖π_ref)", "none", Limit.NOWHERE,
        "losers of λ_D π_w < λ_U π_l lose their mass, if some win", "2402.01306",
    )  # fmt: skip


@register("kto[example_mean]")
@final
class KtoExampleMean(_Kto):
    """KTO as a mean over examples, chosen and rejected alike: half of ``kto`` where they are as many (2402.01306).

    So have the authors' code and TRL's, where ``z₀`` is an estimate from mismatched pairs, cut off at 0.
    """

    card: ClassVar[Card] = Card(
        "½[λ_D σ(β(z₀ - a)) + λ_U σ(β(b - z₀))], z₀ = KL(π‖π_ref)", "none", Limit.NOWHERE,
        "all responses with λ_D π_w < λ_U π_l lose their mass", "2402.01306",
    )  # fmt: skip
    example_mean: ClassVar[bool] = True


@register("nca_pair")
@final
class NcaPair(Objective):
    """``-log σ(βa) - ½ log σ(-βa) - ½ log σ(-βb)``: noise-contrastive alignment of a pair (2402.05369)."""

    card: ClassVar[Card] = Card(
        "-log σ(βa) - ½ log σ(-βa) - ½ log σ(-βb)", "none", Limit.OWN, "misfit shared by normalising", "2402.05369"
    )
    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def chosen_term(self, seen):
        scaled = self.beta * seen.log_ratio
        return logistic(scaled) + 0.5 * logistic(-scaled)

    def rejected_term(self, seen):
        return 0.5 * logistic(-self.beta * seen.log_ratio)


class _Bco(Objective):
    """What BCO's dialects share: a classifier ``σ(β log(π/π_ref) - δ)`` between chosen and rejected responses."""

    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    beta: Scalar

    def chosen_reward(self, seen):
        return self.beta * seen.log_ratio

    def shift(self, seen) -> Scalar:
        """``δ``."""
        raise NotImplementedError

    def chosen_term(self, seen):
        return logistic(self.beta * seen.log_ratio - self.shift(seen))

    def rejected_term(self, seen):
        return logistic(self.shift(seen) - self.beta * seen.log_ratio)


@register("bco[none]")
@final
class BcoNone(_Bco):
    """``-log σ(βa) - log σ(-βb)``: binary classifier optimisation without a shift (2404.04656)."""

    card: ClassVar[Card] = Card("-log σ(βa) - log σ(-βb)", "none", Limit.OWN, "misfit shared by normalising", "2404.04656")
    beta: Scalar = positive(default=0.1)

    def shift(self, seen):
        return 0.0


@register("bco[batch]")
@final
class BcoBatch(_Bco):
    """``-log σ(βa - δ) - log σ(-(βb - δ))``, ``δ`` the mean of ``βa`` and ``βb`` over the data at hand, no gradient (2404.04656).

    The mean is taken per prompt, exactly over a population and over the drawn pairs of a sample; a sample's loss is then
    not unbiased.
    """

    card: ClassVar[Card] = Card(
        "-log σ(βa - δ) - log σ(δ - βb), δ = ½E[βa + βb]", "none", Limit.OWN, "misfit shared by normalising", "2404.04656"
    )
    centred: ClassVar[bool] = True
    beta: Scalar = positive(default=0.1)

    def shift(self, seen):
        return seen.baseline


@register("bco[running]")
@final
class BcoRunning(_Bco):
    """``-log σ(βa - δ) - log σ(-(βb - δ))`` with a given ``δ`` (2404.04656).

    Public code keeps a running mean of rewards over all steps so far; within one step it is a number, and this is that
    step's loss; TRL's ``bco_pair`` had such a mean up to 0.28 and has none since.
    At ``δ = -β log Σ π_ref (π_w/π_l)^{1/β}`` the minimiser on product data is DPO's (derived).
    """

    card: ClassVar[Card] = Card(
        "-log σ(βa - δ) - log σ(δ - βb), δ given", "none", Limit.OWN, "DPO's at one value of δ alone", "2404.04656"
    )
    beta: Scalar = positive(default=0.1)
    delta: Scalar = finite(default=0.0)

    def shift(self, seen):
        return self.delta


@pytree
class _ApoZero(Objective):
    """What APO-zero as a mean over pairs and as one over examples share."""

    convex: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    beta: Scalar = positive(default=0.1)

    def chosen_term(self, seen):
        return sigmoid(-self.beta * seen.log_ratio)

    def rejected_term(self, seen):
        return sigmoid(self.beta * seen.log_ratio)


@register("apo_zero")
@final
class ApoZero(_ApoZero):
    """``1 - σ(βa) + σ(βb)``: chosen up, rejected down, each on its own (2408.06266)."""

    card: ClassVar[Card] = Card("1 - σ(βa) + σ(βb)", "none", Limit.NOWHERE, LOSERS, "2408.06266")


@register("apo_zero[example_mean]")
@final
class ApoZeroExampleMean(_ApoZero):
    """``½[λ_D (1 - σ(βa)) + λ_U σ(βb)]``: ``apo_zero`` as a mean over examples, with KTO's weights (2408.06266).

    TRL's ``apo_zero_unpaired``; half of ``apo_zero`` where examples are in pairs and both weights 1.
    """

    card: ClassVar[Card] = Card(
        "½[λ_D (1 - σ(βa)) + λ_U σ(βb)]", "none", Limit.NOWHERE,
        "all responses with λ_D π_w < λ_U π_l lose their mass", "2408.06266",
    )  # fmt: skip
    example_mean: ClassVar[bool] = True
    desirable: Scalar = positive(default=1.0)
    undesirable: Scalar = positive(default=1.0)

    def chosen_term(self, seen):
        return self.share * self.desirable * super().chosen_term(seen)

    def rejected_term(self, seen):
        return self.share * self.undesirable * super().rejected_term(seen)


@register("apo_down")
@final
class ApoDown(LogRatio):
    """``σ(βa) + 1 - σ(z)``: chosen down, rejected down further (2408.06266).

    Leaving a response the mass ε costs of the order ε^β and gives of the order ε: for β > 1 the minimum can be a law of full
    support (derived).
    """

    card: ClassVar[Card] = Card(
        "β log(π/π_ref), and σ(βa)", "1 - σ(m)", Limit.NOWHERE, "β ≤ 1: all but one response lose their mass", "2408.06266"
    )
    convex: ClassVar[bool] = False

    def link(self, margin):
        return sigmoid(-margin)

    def chosen_term(self, seen):
        return sigmoid(self.beta * seen.log_ratio)
