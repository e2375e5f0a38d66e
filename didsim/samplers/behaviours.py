"""Which law is one response drawn from?

A behaviour (policy) gives the law of a single response.  Two of them make a pair of independent draws, and they nest:
the best of four draws from the reference at temperature two is ``BestOf(Temper(FromReference(), 2.0), 4)``.
"""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics import checks, linalg, simplex
from didsim.numerics.pytrees import at_least, between, checked, finite, one_of, positive
from didsim.samplers.ranks import log_best_of, log_rank_of, ranks
from didsim.samplers.source import BEHAVIOURS, Behaviour, Number
from didsim.worlds import Problem

SCORES = ("reward", "implicit")


def positive_share(name: str, value: Number) -> None:
    """Nothing, if the value lies in (0, 1].

    Raises:
        ArgumentError: it does not.
    """
    checks.between(name, checks.positive(name, value), 0.0, 1.0)


class Altered(Behaviour):
    """A behaviour made from another one, ``base``."""

    base: Behaviour

    def draws(self, problem, log_policy):
        return self.base.draws(problem, log_policy)


class Scored(Altered):
    """A behaviour that favours draws of high score: of the true reward, or of the implicit reward ``log(π_t/π_ref)``."""

    by: str

    @property
    def follows_policy(self):
        return self.by == "implicit" or super().follows_policy

    def score(self, problem: Problem, log_policy: Float[Array, "prompts n"]) -> tuple[Array, Array]:
        """The score, and the difference up to which two scores are the same number."""
        if self.by == "reward":
            return problem.reward, jnp.zeros(problem.reward.shape[:-1], problem.reward.dtype)
        current = jax.lax.stop_gradient(log_policy)
        size = jnp.max(jnp.abs(current), -1) + jnp.max(jnp.abs(problem.log_ref), -1)
        return current - problem.log_ref, 8.0 * jnp.finfo(current.dtype).eps * size


@BEHAVIOURS.register("uniform")
@final
class FromUniform(Behaviour):
    """The uniform law."""

    def log_law(self, problem, log_policy):
        return jnp.full_like(problem.log_ref, -jnp.log(float(problem.log_ref.shape[-1])))


@BEHAVIOURS.register("reference")
@final
class FromReference(Behaviour):
    """The reference π_ref."""

    def log_law(self, problem, log_policy):
        return problem.log_ref


@BEHAVIOURS.register("target")
@final
class FromTarget(Behaviour):
    """The target π*."""

    def log_law(self, problem, log_policy):
        return problem.log_target


@BEHAVIOURS.register("chosen")
@final
class FromChosen(Behaviour):
    """The problem's law of chosen responses π_w."""

    def log_law(self, problem, log_policy):
        return problem.log_chosen


@BEHAVIOURS.register("rejected")
@final
class FromRejected(Behaviour):
    """The problem's law of rejected responses π_l."""

    def log_law(self, problem, log_policy):
        return problem.log_rejected


@BEHAVIOURS.register("policy")
@final
class FromPolicy(Behaviour):
    """The policy being trained, under a stop-gradient."""

    @property
    def follows_policy(self):
        return True

    def log_law(self, problem, log_policy):
        return jax.lax.stop_gradient(log_policy)


@BEHAVIOURS.register("law")
@final
class FromLaw(Behaviour):
    """A fixed log-law given by the user, shape (n,) or (prompts, n)."""

    given: Float[Array, "... n"] = checked(checks.log_law)

    def log_law(self, problem, log_policy):
        return checks.spread("given", self.given, problem.log_ref.shape).astype(problem.log_ref.dtype)


@BEHAVIOURS.register("temper")
@final
class Temper(Altered):
    """One response at a temperature, ``p^{1/T}`` normalised: above 1 flatter, below 1 sharper (`Tempered` is the pair of two).

    Responses without mass stay without.
    """

    base: Behaviour
    temperature: Number = positive(default=1.0)

    def log_law(self, problem, log_policy):
        return simplex.normalize(self.base.log_law(problem, log_policy) / self.temperature)


@BEHAVIOURS.register("tilt")
@final
class Tilt(Scored):
    """One response tilted by a score, ``p e^{t s}`` normalised: the true reward or the implicit reward ``log(π_t/π_ref)``."""

    base: Behaviour
    amount: Number = finite(default=1.0)
    by: str = one_of(SCORES, default="reward")

    def log_law(self, problem, log_policy):
        score, _ = self.score(problem, log_policy)
        return simplex.tilt(self.base.log_law(problem, log_policy), score, self.amount)


@BEHAVIOURS.register("geometric")
@final
class Geometric(Behaviour):
    """One response from the point ``c`` in [0, 1] of the path between two behaviours, ``first^{1-c} second^c`` normalised.

    `GeometricMix` is the pair of the policy and such a response.
    """

    first: Behaviour
    second: Behaviour
    share: Number = between(0.0, 1.0, default=0.5)

    def log_law(self, problem, log_policy):
        one, two = (side.log_law(problem, log_policy) for side in (self.first, self.second))
        return simplex.normalize(_times(1.0 - self.share, one) + _times(self.share, two))


@BEHAVIOURS.register("top_p")
@final
class TopP(Altered):
    """One response by nucleus sampling: the likeliest up to mass ``p`` in (0, 1], renormalised (`Nucleus` is the pair of two).

    A response is kept when the strictly likelier ones have mass below ``p``; those as likely as the last kept are kept too.
    """

    base: Behaviour
    p: Number = checked(positive_share, default=0.9)

    def log_law(self, problem, log_policy):
        log_law = self.base.log_law(problem, log_policy)
        likelier = ranks(-log_law, log_law).below
        # All of the mass is all responses, also those whose mass is lost in the rounding of the others'.
        kept = (likelier < self.p) | (jnp.asarray(self.p) >= 1.0)
        return simplex.normalize(jnp.where(kept, log_law, -jnp.inf))


@BEHAVIOURS.register("greedy")
@final
class Greedy(Altered):
    """One response, always the likeliest of the base; ties are drawn evenly (`GreedyAgainst` is a pair with it)."""

    base: Behaviour

    def log_law(self, problem, log_policy):
        log_law = self.base.log_law(problem, log_policy)
        best = log_law == log_law.max(-1, keepdims=True)
        return simplex.normalize(jnp.where(best, jnp.zeros_like(log_law), -jnp.inf))


@BEHAVIOURS.register("best_of")
@final
class BestOf(Scored):
    """One response, the best of ``k`` draws: ``F(y)^k - F(y⁻)^k`` with F the base's mass in order of score (S10).

    Ties are drawn at random among the tied draws, so their mass splits as the base law does.  ``by`` is the true reward or
    the policy's implicit reward ``log(π_t/π_ref)``, whose ties are taken up to its rounding: at π_t = π_ref nothing is
    selected.  Any real ``k >= 1``; KL to the base is at most ``log k - (k-1)/k``.
    """

    base: Behaviour
    k: Number = at_least(1.0, default=4)
    by: str = one_of(SCORES, default="reward")

    def log_law(self, problem, log_policy):
        score, slack = self.score(problem, log_policy)
        return log_best_of(ranks(score, self.base.log_law(problem, log_policy), slack), self.k)

    def draws(self, problem, log_policy):
        return self.k * self.base.draws(problem, log_policy)


@BEHAVIOURS.register("ranked")
@final
class Ranked(Altered):
    """One response, the draw of a given rank by reward among ``k``: 1 the best; ties as in `BestOf` (`RankPair` has two)."""

    base: Behaviour
    k: Number = at_least(1.0, default=4)
    rank: Number = at_least(1.0, default=1)

    def __post_init__(self) -> None:
        if checks.is_number(self.k) and checks.is_number(self.rank):
            checks.between("rank", self.rank, 1.0, float(self.k))

    def log_law(self, problem, log_policy):
        return log_rank_of(ranks(problem.reward, self.base.log_law(problem, log_policy)), self.k, self.rank)

    def draws(self, problem, log_policy):
        return self.k * self.base.draws(problem, log_policy)


@BEHAVIOURS.register("rejection_sampled")
@final
class RejectionSampled(Altered):
    """One response by rejection sampling of π* from the base, at most ``tries`` draws, the last kept when all are refused.

    A draw is accepted with chance ``π*/(M p)``, ``M = max π*/p``, so with ``q = 1 - 1/M`` the law is
    ``(1 - q^t) π* + q^{t-1} (p - π*/M)`` (derived): the base for one try, the target in the limit.
    """

    base: Behaviour
    tries: Number = at_least(1.0, default=16)

    def log_law(self, problem, log_policy):
        base, log_accept = self._accept(problem, log_policy)
        log_refused = _times(jnp.asarray(self.tries, base.dtype) - 1.0, _log_rest(log_accept))
        found = _log_rest(log_refused + _log_rest(log_accept))
        # So rarely accepted that the chance is no number any more, it is one for each of the tries.
        log_found = jnp.where(jnp.exp(log_accept) > 0, found, jnp.log(jnp.asarray(self.tries, base.dtype)) + log_accept)
        # What an accepted draw takes away from the base, in logs: a sharp target is far below it.
        taken = jnp.where(jnp.isneginf(base), -jnp.inf, log_accept + problem.log_target - base)
        return simplex.normalize(jnp.logaddexp(log_found + problem.log_target, log_refused + base + _log_rest(taken)))

    def draws(self, problem, log_policy):
        log_accept = self._accept(problem, log_policy)[1][:, 0]
        tries, accept = jnp.asarray(self.tries, log_accept.dtype), jnp.exp(log_accept)
        # As many as allowed where nothing is ever accepted.
        expected = linalg.divide(-jnp.expm1(_times(tries, _log_rest(log_accept))), accept, accept > 0)
        return jnp.where(accept > 0, expected, tries) * self.base.draws(problem, log_policy)

    def _accept(self, problem: Problem, log_policy: Array) -> tuple[Array, Array]:
        """Log-law of the base, and log-chance that a draw from it is accepted, shape (prompts, 1)."""
        base = self.base.log_law(problem, log_policy)
        return base, jnp.minimum(-jnp.max(problem.log_target - base, axis=-1, keepdims=True), 0.0)


def _log_rest(log_chance: Array) -> Array:
    """``log(1 - p)`` from ``log p <= 0``; ``-inf`` for a sure event."""
    rare = jnp.log1p(-jnp.exp(jnp.minimum(log_chance, -0.5)))
    often = jnp.log(-jnp.expm1(jnp.clip(log_chance, -0.5, -jnp.finfo(log_chance.dtype).tiny)))
    return jnp.where(log_chance < -0.5, rare, jnp.where(log_chance < 0, often, -jnp.inf))


def _times(share: Number | Array, log_law: Array) -> Array:
    """``c log p``, zero where c is zero even if p is."""
    return jnp.where(jnp.asarray(share) == 0, 0.0, share * log_law)
