"""Which samplers have a name in the literature?

Most are a combination of behaviours and samplers with its numbers as fields, so that a sweep can vary them.
"""

from typing import Any, final

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import at_least, between, checked, finite, one_of, positive, static, whole
from didsim.samplers.basic import ChosenRejected, Independent, OnPolicy, Recipe, Uniform
from didsim.samplers.behaviours import (
    SCORES,
    BestOf,
    FromChosen,
    FromLaw,
    FromPolicy,
    FromReference,
    FromTarget,
    FromUniform,
    Geometric,
    Greedy,
    RejectionSampled,
    Temper,
    Tilt,
    TopP,
    positive_share,
)
from didsim.samplers.combinators import Mix
from didsim.samplers.laws import JointLaw
from didsim.samplers.ranks import log_best_and_worst_of, log_two_ranks_of, ranks
from didsim.samplers.source import SAMPLERS, Behaviour, Number, Sampler

MOST_RANKED = 64  # the law of two ranks sums over k² / 2 multinomial terms


@SAMPLERS.register("optimal_rejected")
@final
class OptimalRejected(Sampler):
    """Chosen ⊗ optimal rejected, ``π_l ∝ π_w (π_ref/π*)^β``: DPO's optimum is π* (D7).  Use labels `AsShown`."""

    beta: Number | None = positive(default=None)

    def pair_law(self, problem, log_policy):
        beta = problem.beta if self.beta is None else self.beta
        rejected = simplex.tilt(problem.log_chosen, problem.log_ref - problem.log_target, beta)
        return Independent(FromChosen(), FromLaw(rejected)).pair_law(problem, log_policy)


@SAMPLERS.register("best_of_base")
@final
class BestOfBase(Recipe):
    """One side improved: best of ``k`` draws by reward ⊗ one draw, both from ``base`` (S9, S10)."""

    base: Behaviour = FromReference()
    k: Number = at_least(1.0, default=4)

    def parts(self):
        return Independent(BestOf(self.base, self.k), self.base)


@SAMPLERS.register("best_of_both")
@final
class BestOfBoth(Recipe):
    """Both sides improved: best of ``k`` ⊗ best of another ``k`` draws by reward from ``base`` (S9, S10)."""

    base: Behaviour = FromReference()
    k: Number = at_least(1.0, default=4)

    def parts(self):
        return Independent(BestOf(self.base, self.k), BestOf(self.base, self.k))


@SAMPLERS.register("implicit_best_of")
@final
class ImplicitBestOf(Recipe):
    """Best of ``k`` draws by the policy's own implicit reward ``log(π_t/π_ref)`` ⊗ one draw, both from ``base``."""

    base: Behaviour = FromPolicy()
    k: Number = at_least(1.0, default=4)

    def parts(self):
        return Independent(BestOf(self.base, self.k, "implicit"), self.base)


@SAMPLERS.register("tempered")
@final
class Tempered(Recipe):
    """Pairs of two responses of `Temper`, both from ``base`` at a temperature: ``p^{1/T} ⊗ p^{1/T}``."""

    base: Behaviour = FromReference()
    temperature: Number = positive(default=2.0)

    def parts(self):
        side = Temper(self.base, self.temperature)
        return Independent(side, side)


@SAMPLERS.register("top_p")
@final
class Nucleus(Recipe):
    """Pairs of two responses of `TopP`, from the nucleus of mass ``p`` of ``base``; what lies outside is never shown (S1)."""

    base: Behaviour = FromReference()
    p: Number = checked(positive_share, default=0.9)

    def parts(self):
        side = TopP(self.base, self.p)
        return Independent(side, side)


@SAMPLERS.register("greedy")
@final
class GreedyAgainst(Recipe):
    """Pairs of a response of `Greedy`, the likeliest of ``base``, ⊗ one draw from it: the comparison graph is a star."""

    base: Behaviour = FromReference()

    def parts(self):
        return Independent(Greedy(self.base), self.base)


@SAMPLERS.register("target_against")
@final
class TargetAgainst(Recipe):
    """The target ⊗ ``base``: chosen-looking data of the best quality against what one has."""

    base: Behaviour = FromReference()

    def parts(self):
        return Independent(FromTarget(), self.base)


@SAMPLERS.register("rewrite")
@final
class Rewrite(Recipe):
    """One draw from ``base`` improved, ``p e^{t r}``, ⊗ one draw as it is: a rewrite against its original (S9)."""

    base: Behaviour = FromReference()
    amount: Number = finite(default=1.0)

    def parts(self):
        return Independent(Tilt(self.base, self.amount), self.base)


@SAMPLERS.register("xpo")
@final
class Xpo(Recipe):
    """The policy ⊗ the reference, ``π_t ⊗ π_ref``: the pairs of exploratory preference optimisation."""

    def parts(self):
        return Independent(FromPolicy(), FromReference())


@SAMPLERS.register("geometric")
@final
class GeometricMix(Recipe):
    """Pairs of the policy ⊗ a response of `Geometric` on the path to the reference, ``π_t ⊗ π_t^{1-c} π_ref^c``."""

    share: Number = between(0.0, 1.0, default=0.5)

    def parts(self):
        return Independent(FromPolicy(), Geometric(FromPolicy(), FromReference(), self.share))


@SAMPLERS.register("hybrid")
@final
class Hybrid(Recipe):
    """Offline pairs with on-policy ones, ``(1-λ) offline + λ π_t ⊗ π_t``; offline data chosen ⊗ rejected if not given."""

    offline: Sampler = ChosenRejected()
    share: Number = between(0.0, 1.0, default=0.5)

    def parts(self):
        return Mix(self.offline, OnPolicy(), self.share)


@SAMPLERS.register("half_tilted")
@final
class HalfTilted(Recipe):
    """``½ U⊗U + ½ p⁺⊗p⁻`` with ``p^± ∝ e^{±t s}``: uniform pairs and pairs drawn apart by reward or by implicit reward."""

    amount: Number = finite(default=1.0)
    by: str = one_of(SCORES, default="reward")

    def parts(self):
        up, down = (Tilt(FromUniform(), sign * self.amount, self.by) for sign in (1.0, -1.0))
        return Mix(Uniform(), Independent(up, down), 0.5)


@SAMPLERS.register("rejection")
@final
class Rejection(Recipe):
    """Pairs of two responses of `RejectionSampled`, from ``base`` with at most ``tries`` draws each."""

    base: Behaviour = FromReference()
    tries: Number = at_least(1.0, default=16)

    def parts(self):
        side = RejectionSampled(self.base, self.tries)
        return Independent(side, side)


class SameDraws(Sampler):
    """Two of the same ``k`` draws from ``base``, ranked by reward: a joint law, dense."""

    base: Behaviour
    k: Any

    def draws(self, problem, log_policy):
        return self.k * self.base.draws(problem, log_policy)


@SAMPLERS.register("best_worst")
@final
class BestWorst(SameDraws):
    """The best and the worst by reward of the same ``k >= 2`` draws from ``base``, the best first (S10).

    ``μ(a,b) = S[b,a]^k - S(b,a]^k - S[b,a)^k + S(b,a)^k`` for ``r_b < r_a``, S the mass of an interval of rewards.
    """

    base: Behaviour = FromReference()
    k: Number = at_least(2.0, default=4)

    def pair_law(self, problem, log_policy):
        return JointLaw(log_best_and_worst_of(ranks(problem.reward, self.base.log_law(problem, log_policy)), self.k))


@SAMPLERS.register("rank_pair")
@final
class RankPair(SameDraws):
    """The draws of ranks ``first < second`` by reward among the same ``k`` draws from ``base``; 1 is the best."""

    base: Behaviour = FromReference()
    k: int = whole(2, default=4, below=MOST_RANKED + 1)
    first: int = static(default=1)
    second: int = static(default=2)

    def __post_init__(self) -> None:
        checks.whole("first", self.first, least=1, below=self.k)
        checks.whole("second", self.second, least=self.first + 1, below=self.k + 1)

    def pair_law(self, problem, log_policy):
        standing = ranks(problem.reward, self.base.log_law(problem, log_policy))
        return JointLaw(log_two_ranks_of(standing, self.k, self.first, self.second))
