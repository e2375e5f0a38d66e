"""Which law is one response drawn from?

A behaviour (policy) gives the law of a single response.  Two of them make a pair of independent draws, and they nest:
the best of four draws from the reference at temperature two is ``BestOf(Temper(FromReference(), 2.0), 4)``.
"""

import abc
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, simplex
from didsim.numerics.pytrees import pytree, static
from didsim.samplers.ranks import log_best_of, log_rank_of, ranks
from didsim.samplers.rule import Number
from didsim.worlds import Problem


class Behaviour(abc.ABC):
    """A law of one response, possibly from the policy that is being trained."""

    @property
    def follows_policy(self) -> bool:
        """Whether the law depends on the current policy."""
        return False

    @abc.abstractmethod
    def log_law(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, "prompts n"]:
        """Log-law for every prompt; no gradient flows through ``log_policy``."""

    def draws(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> Float[Array, " prompts"]:
        """Expected number of responses generated for one that is shown."""
        del log_policy
        return jnp.ones(problem.log_ref.shape[:1], problem.log_ref.dtype)


class Altered(Behaviour):
    """A behaviour made from another one, ``base``."""

    base: Behaviour

    @property
    def follows_policy(self):
        return self.base.follows_policy

    def draws(self, problem, log_policy):
        return self.base.draws(problem, log_policy)


@final
@pytree
class FromUniform(Behaviour):
    """The uniform law."""

    def log_law(self, problem, log_policy):
        del log_policy
        return jnp.full_like(problem.log_ref, -jnp.log(float(problem.log_ref.shape[-1])))


@final
@pytree
class FromReference(Behaviour):
    """The reference π_ref."""

    def log_law(self, problem, log_policy):
        del log_policy
        return problem.log_ref


@final
@pytree
class FromTarget(Behaviour):
    """The target π*."""

    def log_law(self, problem, log_policy):
        del log_policy
        return problem.log_target


@final
@pytree
class FromChosen(Behaviour):
    """The problem's law of chosen responses π_w."""

    def log_law(self, problem, log_policy):
        del log_policy
        return problem.log_chosen


@final
@pytree
class FromRejected(Behaviour):
    """The problem's law of rejected responses π_l."""

    def log_law(self, problem, log_policy):
        del log_policy
        return problem.log_rejected


@final
@pytree
class FromPolicy(Behaviour):
    """The policy being trained, under a stop-gradient."""

    @property
    def follows_policy(self):
        return True

    def log_law(self, problem, log_policy):
        del problem
        return jax.lax.stop_gradient(log_policy)


@final
@pytree
class FromLaw(Behaviour):
    """A fixed log-law given by the user, shape (n,) or (prompts, n)."""

    given: Float[Array, "... n"]

    def log_law(self, problem, log_policy):
        del log_policy
        return checks.spread("given", self.given, problem.log_ref.shape).astype(problem.log_ref.dtype)


@final
@pytree
class Temper(Altered):
    """``p^{1/T}``, normalised: above 1 flatter, below 1 sharper; responses without mass stay without."""

    base: Behaviour
    temperature: Number = 1.0

    def __post_init__(self) -> None:
        checks.positive_leaf("temperature", self.temperature)

    def log_law(self, problem, log_policy):
        return simplex.normalize(self.base.log_law(problem, log_policy) / self.temperature)


@final
@pytree
class Tilt(Altered):
    """``p e^{t s}``, normalised, with s the true reward or the policy's implicit reward ``log(π_t/π_ref)``."""

    base: Behaviour
    amount: Number = 1.0
    by: str = static(default="reward")

    def __post_init__(self) -> None:
        checks.finite_leaf("amount", self.amount)
        checks.did_you_mean("by", self.by, ("reward", "implicit"))

    @property
    def follows_policy(self):
        return self.base.follows_policy or self.by == "implicit"

    def log_law(self, problem, log_policy):
        score, _ = _score(self.by, problem, log_policy)
        return simplex.tilt(self.base.log_law(problem, log_policy), score, self.amount)


@final
@pytree
class Geometric(Behaviour):
    """``first^{1-c} second^c``, normalised: a point ``c`` in [0, 1] of the path between two behaviours."""

    first: Behaviour
    second: Behaviour
    share: Number = 0.5

    def __post_init__(self) -> None:
        checks.leaf_between("share", self.share, 0.0, 1.0)

    @property
    def follows_policy(self):
        return self.first.follows_policy or self.second.follows_policy

    def log_law(self, problem, log_policy):
        one, two = (side.log_law(problem, log_policy) for side in (self.first, self.second))
        return simplex.normalize(_times(1.0 - self.share, one) + _times(self.share, two))


@final
@pytree
class TopP(Altered):
    """Nucleus sampling: the likeliest responses up to mass ``p`` in (0, 1], renormalised.

    A response is kept when the strictly likelier ones have mass below ``p``; those as likely as the last kept are kept too.
    """

    base: Behaviour
    p: Number = 0.9

    def __post_init__(self) -> None:
        checks.positive_leaf("p", self.p)
        checks.leaf_between("p", self.p, 0.0, 1.0)

    def log_law(self, problem, log_policy):
        log_law = self.base.log_law(problem, log_policy)
        likelier = ranks(-log_law, log_law).below
        return simplex.normalize(jnp.where(likelier < self.p, log_law, -jnp.inf))


@final
@pytree
class Greedy(Altered):
    """Always the likeliest response of the base; ties are drawn evenly."""

    base: Behaviour

    def log_law(self, problem, log_policy):
        log_law = self.base.log_law(problem, log_policy)
        best = log_law == log_law.max(-1, keepdims=True)
        return simplex.normalize(jnp.where(best, jnp.zeros_like(log_law), -jnp.inf))


@final
@pytree
class BestOf(Altered):
    """The best of ``k`` draws, ``F(y)^k - F(y⁻)^k`` with F the base's mass in order of score (S10).

    Ties are drawn at random among the tied draws, so their mass splits as the base law does.  ``by`` is the true reward or
    the policy's implicit reward ``log(π_t/π_ref)``, whose ties are taken up to its rounding: at π_t = π_ref nothing is
    selected.  Any real ``k >= 1``; KL to the base is at most ``log k - (k-1)/k``.
    """

    base: Behaviour
    k: Number = 4
    by: str = static(default="reward")

    def __post_init__(self) -> None:
        checks.leaf_at_least("k", self.k, 1.0)
        checks.did_you_mean("by", self.by, ("reward", "implicit"))

    @property
    def follows_policy(self):
        return self.base.follows_policy or self.by == "implicit"

    def log_law(self, problem, log_policy):
        score, slack = _score(self.by, problem, log_policy)
        return log_best_of(ranks(score, self.base.log_law(problem, log_policy), slack), self.k)

    def draws(self, problem, log_policy):
        return self.k * self.base.draws(problem, log_policy)


@final
@pytree
class Ranked(Altered):
    """The draw of a given rank by reward among ``k``: 1 the best, ``k`` the worst; ties as in `BestOf`."""

    base: Behaviour
    k: Number = 4
    rank: Number = 1

    def __post_init__(self) -> None:
        checks.leaf_at_least("k", self.k, 1.0)
        checks.leaf_at_least("rank", self.rank, 1.0)
        if checks.is_number(self.k) and checks.is_number(self.rank):
            checks.between("rank", self.rank, 1.0, float(self.k))

    def log_law(self, problem, log_policy):
        return log_rank_of(ranks(problem.reward, self.base.log_law(problem, log_policy)), self.k, self.rank)

    def draws(self, problem, log_policy):
        return self.k * self.base.draws(problem, log_policy)


@final
@pytree
class RejectionSampled(Altered):
    """Rejection sampling of the target π* from the base, at most ``tries`` draws; the last one is kept when all are refused.

    A draw is accepted with chance ``π*/(M p)``, ``M = max π*/p``, so with ``q = 1 - 1/M`` the law is
    ``(1 - q^t) π* + q^{t-1} (p - π*/M)`` (derived): the base for one try, the target in the limit.
    """

    base: Behaviour
    tries: Number = 16

    def __post_init__(self) -> None:
        checks.leaf_at_least("tries", self.tries, 1.0)

    def log_law(self, problem, log_policy):
        base, accept = self._accept(problem, log_policy)
        tries = jnp.asarray(self.tries, base.dtype)
        refused = (1.0 - accept) ** (tries - 1.0)
        target = jnp.exp(problem.log_target)
        rest = jnp.maximum(jnp.exp(base) - accept * target, 0.0)
        return simplex.normalize(jnp.log((1.0 - (1.0 - accept) * refused) * target + refused * rest))

    def draws(self, problem, log_policy):
        _, accept = self._accept(problem, log_policy)
        tries = jnp.asarray(self.tries, accept.dtype)
        return ((1.0 - (1.0 - accept) ** tries) / accept)[:, 0] * self.base.draws(problem, log_policy)

    def _accept(self, problem: Problem, log_policy: Array) -> tuple[Array, Array]:
        base = self.base.log_law(problem, log_policy)
        return base, jnp.exp(-jnp.max(problem.log_target - base, axis=-1, keepdims=True))


def _score(by: str, problem: Problem, log_policy: Array) -> tuple[Array, Array]:
    """Score that draws are ranked by, and the difference up to which two scores are the same number."""
    if by == "reward":
        return problem.reward, jnp.zeros(problem.reward.shape[:-1], problem.reward.dtype)
    current = jax.lax.stop_gradient(log_policy)
    size = jnp.max(jnp.abs(current), -1) + jnp.max(jnp.abs(problem.log_ref), -1)
    return current - problem.log_ref, 8.0 * jnp.finfo(current.dtype).eps * size


def _times(share: Number | Array, log_law: Array) -> Array:
    """``c log p``, zero where c is zero even if p is."""
    return jnp.where(jnp.asarray(share) == 0, 0.0, share * log_law)
