"""Which samplers have a name in the literature?

Each is a combination of behaviours and samplers with its numbers as fields, so that a sweep can vary them.
"""

import abc
from typing import final

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import pytree, static
from didsim.samplers.behaviours import (
    Behaviour,
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
)
from didsim.samplers.combinators import Mix
from didsim.samplers.offline import ChosenRejected, Uniform
from didsim.samplers.online import OnPolicy
from didsim.samplers.pairs import Independent
from didsim.samplers.rule import Number, Sampler


class Recipe(Sampler):
    """A sampler that is a combination of others."""

    @property
    @abc.abstractmethod
    def parts(self) -> Sampler:
        """The combination."""

    @property
    def follows_policy(self):
        return self.parts.follows_policy

    def pair_law(self, problem, log_policy):
        return self.parts.pair_law(problem, log_policy)

    def draws(self, problem, log_policy):
        return self.parts.draws(problem, log_policy)


@final
@pytree
class OptimalRejected(Sampler):
    """Chosen ⊗ optimal rejected, ``π_l ∝ π_w (π_ref/π*)^β``: DPO's optimum is π* (D7).  Use labels `AsShown`."""

    beta: Number | None = None

    def __post_init__(self) -> None:
        checks.positive_leaf("beta", self.beta)

    def pair_law(self, problem, log_policy):
        beta = problem.beta if self.beta is None else self.beta
        rejected = simplex.tilt(problem.log_chosen, problem.log_ref - problem.log_target, beta)
        return Independent(FromChosen(), FromLaw(rejected)).pair_law(problem, log_policy)


@final
@pytree
class BestOfBase(Recipe):
    """One side improved: best of ``k`` draws by reward ⊗ one draw, both from ``base`` (S9, S10)."""

    base: Behaviour = FromReference()
    k: Number = 4

    @property
    def parts(self):
        return Independent(BestOf(self.base, self.k), self.base)


@final
@pytree
class BestOfBoth(Recipe):
    """Both sides improved: best of ``k`` ⊗ best of another ``k`` draws by reward from ``base`` (S9, S10)."""

    base: Behaviour = FromReference()
    k: Number = 4

    @property
    def parts(self):
        return Independent(BestOf(self.base, self.k), BestOf(self.base, self.k))


@final
@pytree
class ImplicitBestOf(Recipe):
    """Best of ``k`` draws by the policy's own implicit reward ``log(π_t/π_ref)`` ⊗ one draw, both from ``base``."""

    base: Behaviour = FromPolicy()
    k: Number = 4

    @property
    def parts(self):
        return Independent(BestOf(self.base, self.k, "implicit"), self.base)


@final
@pytree
class Tempered(Recipe):
    """Both responses from ``base`` at a temperature: ``p^{1/T} ⊗ p^{1/T}``."""

    base: Behaviour = FromReference()
    temperature: Number = 2.0

    @property
    def parts(self):
        side = Temper(self.base, self.temperature)
        return Independent(side, side)


@final
@pytree
class Nucleus(Recipe):
    """Both responses from the nucleus of ``base`` of mass ``p`` (top-p sampling); what lies outside is never shown (S1)."""

    base: Behaviour = FromReference()
    p: Number = 0.9

    @property
    def parts(self):
        side = TopP(self.base, self.p)
        return Independent(side, side)


@final
@pytree
class GreedyAgainst(Recipe):
    """The likeliest response of ``base`` ⊗ one draw from it: the comparison graph is a star."""

    base: Behaviour = FromReference()

    @property
    def parts(self):
        return Independent(Greedy(self.base), self.base)


@final
@pytree
class TargetAgainst(Recipe):
    """The target ⊗ ``base``: chosen-looking data of the best quality against what one has."""

    base: Behaviour = FromReference()

    @property
    def parts(self):
        return Independent(FromTarget(), self.base)


@final
@pytree
class Rewrite(Recipe):
    """One draw from ``base`` improved, ``p e^{t r}``, ⊗ one draw as it is: a rewrite against its original (S9)."""

    base: Behaviour = FromReference()
    amount: Number = 1.0

    @property
    def parts(self):
        return Independent(Tilt(self.base, self.amount), self.base)


@final
@pytree
class Xpo(Recipe):
    """The policy ⊗ the reference, ``π_t ⊗ π_ref``: the pairs of exploratory preference optimisation."""

    @property
    def parts(self):
        return Independent(FromPolicy(), FromReference())


@final
@pytree
class GeometricMix(Recipe):
    """The policy against a point of the path to the reference, ``π_t ⊗ π_t^{1-c} π_ref^c``."""

    share: Number = 0.5

    @property
    def parts(self):
        return Independent(FromPolicy(), Geometric(FromPolicy(), FromReference(), self.share))


@final
@pytree
class Hybrid(Recipe):
    """Offline pairs with on-policy ones, ``(1-λ) offline + λ π_t ⊗ π_t``; offline data chosen ⊗ rejected if not given."""

    offline: Sampler = ChosenRejected()
    share: Number = 0.5

    @property
    def parts(self):
        return Mix(self.offline, OnPolicy(), self.share)


@final
@pytree
class HalfTilted(Recipe):
    """``½ U⊗U + ½ p⁺⊗p⁻`` with ``p^± ∝ e^{±t s}``: uniform pairs and pairs drawn apart by reward or by implicit reward."""

    amount: Number = 1.0
    by: str = static(default="reward")

    @property
    def parts(self):
        up, down = (Tilt(FromUniform(), sign * self.amount, self.by) for sign in (1.0, -1.0))
        return Mix(Uniform(), Independent(up, down), 0.5)


@final
@pytree
class Rejection(Recipe):
    """Both responses by rejection sampling of the target from ``base``, with at most ``tries`` draws each."""

    base: Behaviour = FromReference()
    tries: Number = 16

    @property
    def parts(self):
        side = RejectionSampled(self.base, self.tries)
        return Independent(side, side)
