"""Which pairs are shown when each response is written by a behaviour, alone or among the same K draws?"""

import abc
from typing import final

from didsim.numerics import checks
from didsim.numerics.pytrees import pytree, static
from didsim.samplers.behaviours import Behaviour, FromReference
from didsim.samplers.laws import JointLaw, product_law
from didsim.samplers.ranks import log_best_and_worst_of, log_two_ranks_of, ranks
from didsim.samplers.rule import Number, Sampler


@final
@pytree
class Independent(Sampler):
    """Two independent draws, one from each behaviour: ``μ = p ⊗ q``."""

    first: Behaviour
    second: Behaviour

    @property
    def follows_policy(self):
        return self.first.follows_policy or self.second.follows_policy

    def pair_law(self, problem, log_policy):
        return product_law(self.first.log_law(problem, log_policy), self.second.log_law(problem, log_policy))

    def draws(self, problem, log_policy):
        return self.first.draws(problem, log_policy) + self.second.draws(problem, log_policy)


class SameDraws(Sampler):
    """Two of the same draws from ``base``, ranked by reward: a joint law, dense."""

    base: Behaviour

    @property
    @abc.abstractmethod
    def count(self) -> Number:
        """How many draws are ranked."""

    @property
    def follows_policy(self):
        return self.base.follows_policy

    def draws(self, problem, log_policy):
        return self.count * self.base.draws(problem, log_policy)


@final
@pytree
class BestWorst(SameDraws):
    """The best and the worst by reward of the same ``k >= 2`` draws from ``base``, the best first (S10).

    ``μ(a,b) = S[b,a]^k - S(b,a]^k - S[b,a)^k + S(b,a)^k`` for ``r_b < r_a``, S the mass of an interval of rewards.
    """

    base: Behaviour = FromReference()
    k: Number = 4

    def __post_init__(self) -> None:
        checks.leaf_at_least("k", self.k, 2.0)

    @property
    def count(self):
        return self.k

    def pair_law(self, problem, log_policy):
        return JointLaw(log_best_and_worst_of(ranks(problem.reward, self.base.log_law(problem, log_policy)), self.k))


@final
@pytree
class RankPair(SameDraws):
    """The draws of ranks ``first < second`` by reward among the same ``k`` draws from ``base``; 1 is the best."""

    base: Behaviour = FromReference()
    k: int = static(default=4)
    first: int = static(default=1)
    second: int = static(default=2)

    def __post_init__(self) -> None:
        checks.whole("k", self.k, least=2)
        checks.whole("first", self.first, least=1, below=self.k)
        checks.whole("second", self.second, least=self.first + 1, below=self.k + 1)

    @property
    def count(self):
        return self.k

    def pair_law(self, problem, log_policy):
        standing = ranks(problem.reward, self.base.log_law(problem, log_policy))
        return JointLaw(log_two_ranks_of(standing, self.k, self.first, self.second))
