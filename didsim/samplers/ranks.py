"""How do draws from a law rank by a score, ties included?

Responses of equal score form a level.  The best of K draws is a draw of the highest level that occurs, chosen among the
draws of that level at random: given its level it is a draw of the base law.  So a rank's law is the law of its level times
the base law within the level, and two ranks are independent given their levels.
"""

import math
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from didsim.numerics.pytrees import pytree
from didsim.samplers.source import Number


@final
@pytree
class Standing:
    """Where each response stands under a law and a score.

    Attributes:
        below: probability of a draw of strictly lower score, shape (prompts, n).
        tied: probability of a draw of the same score, the response itself included.
        log_within: log-law of the response given its level, ``-inf`` where the law has no mass.
    """

    below: Float[Array, "*batch n"]
    tied: Float[Array, "*batch n"]
    log_within: Float[Array, "*batch n"]

    @property
    def upto(self) -> Float[Array, "*batch n"]:
        """Probability of a draw of the same or a lower score."""
        return jnp.minimum(self.below + self.tied, 1.0)


def ranks(score: Float[Array, "*batch n"], log_law: Float[Array, "*batch n"], slack: Number = 0.0) -> Standing:
    """Standing of every response; neighbours in score that differ by at most ``slack`` are tied.

    One sort, O(N log N).
    """
    rank = jnp.vectorize(_rank, signature="(n),(n),()->(n),(n)")
    below, tied = rank(score, log_law, jnp.asarray(slack, score.dtype))
    within = jnp.where(jnp.isneginf(log_law), -jnp.inf, log_law - jnp.log(jnp.where(tied > 0, tied, 1.0)))
    return Standing(below, tied, within)


def _rank(score: Array, log_law: Array, slack: Array) -> tuple[Array, Array]:
    order = jnp.argsort(score)
    sorted_score, mass = score[order], jnp.exp(log_law[order])
    level = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), jnp.diff(sorted_score) > slack]))
    level_mass = jnp.zeros_like(mass).at[level].add(mass)
    total = jnp.cumsum(level_mass)
    before = jnp.concatenate([jnp.zeros(1, mass.dtype), total[:-1]])
    back = jnp.zeros_like(order).at[order].set(level)
    return before[back] / total[-1], level_mass[back] / total[-1]


def log_best_of(standing: Standing, k: Number) -> Float[Array, "*batch n"]:
    """Log-law of the best of ``k`` draws, ``F(y)^k - F(y⁻)^k`` times the law within the level (S10).

    Written as ``F^k (1 - (1 - p/F)^k)``, which keeps its relative accuracy for rare levels; any real ``k > 0``.
    """
    k = jnp.asarray(k, standing.tied.dtype)
    upto = jnp.where(standing.upto > 0, standing.upto, 1.0)
    share = jnp.minimum(standing.tied / upto, 1.0)
    won = -jnp.expm1(k * jnp.log1p(-share))
    seen = standing.tied > 0
    log_level = jnp.where(seen, k * jnp.log(upto) + jnp.log(jnp.where(seen, won, 1.0)), -jnp.inf)
    return log_level + standing.log_within


def log_rank_of(standing: Standing, k: Number, rank: Number) -> Float[Array, "*batch n"]:
    """Log-law of the draw of the given rank among ``k``, 1 the best: differences of regularised incomplete beta functions."""
    k, rank = (jnp.asarray(value, standing.tied.dtype) for value in (k, rank))
    # The score of rank j from the top is at most s when at least k - j + 1 draws are: a binomial tail.
    upper, lower = (
        jax.scipy.special.betainc(k - rank + 1.0, rank, jnp.clip(x, 0.0, 1.0)) for x in (standing.upto, standing.below)
    )
    return jnp.log(jnp.maximum(upper - lower, 0.0)) + standing.log_within


def log_best_and_worst_of(standing: Standing, k: Number) -> Float[Array, "*batch n n"]:
    """Log joint law of the best (row) and the worst (column) of the same ``k >= 2`` draws (S10).

    For levels ``r_b < r_a``: ``S[b,a]^k - S(b,a]^k - S[b,a)^k + S(b,a)^k`` with S the mass of an interval of scores; both
    in one level: ``p^k``.
    """
    k = jnp.asarray(k, standing.tied.dtype)
    upto, below = standing.upto, standing.below
    best, worst = (lambda x: x[..., :, None]), (lambda x: x[..., None, :])
    closed, open_low = best(upto) - worst(below), best(upto) - worst(upto)
    open_high, inside = best(below) - worst(below), best(below) - worst(upto)
    powers = [jnp.maximum(mass, 0.0) ** k for mass in (closed, open_low, open_high, inside)]
    apart = powers[0] - powers[1] - powers[2] + powers[3]
    level = jnp.where(best(below) == worst(below), best(standing.tied) ** k, apart)
    level = jnp.where(best(below) >= worst(below), jnp.maximum(level, 0.0), 0.0)
    return jnp.log(level) + best(standing.log_within) + worst(standing.log_within)


def log_two_ranks_of(standing: Standing, k: int, first: int, second: int) -> Float[Array, "*batch n n"]:
    """Log joint law of the draws of ranks ``first < second`` among the same ``k`` draws, 1 the best.

    Differences of ``Pr(at least `first` draws reach level a and at least `second` reach level b)``, sums of multinomial
    probabilities.
    """
    at_least, above = 1.0 - standing.below, 1.0 - standing.upto
    high = jnp.stack([at_least, above, at_least, above])[..., :, None]
    low = jnp.stack([at_least, at_least, above, above])[..., None, :]
    both, no_high, no_low, neither = _both_reach(jnp.minimum(high, low), low, k, first, second)
    level = jnp.where(standing.below[..., :, None] >= standing.below[..., None, :], both - no_high - no_low + neither, 0.0)
    return jnp.log(jnp.maximum(level, 0.0)) + standing.log_within[..., :, None] + standing.log_within[..., None, :]


def _both_reach(high: Array, low: Array, k: int, first: int, second: int) -> Array:
    """Chance that at least ``first`` draws land in the mass ``high`` and at least ``second`` in ``low``, which contains it."""
    terms = [(m, count) for m in range(first, k + 1) for count in range(max(second, m), k + 1)]
    ways = [math.comb(k, m) * math.comb(k - m, count - m) for m, count in terms]
    table = jnp.asarray([(way, m, count - m, k - count) for way, (m, count) in zip(ways, terms, strict=True)], low.dtype)

    def add(total: Array, term: Array) -> tuple[Array, None]:
        way, inside, between, outside = term
        return total + way * high**inside * jnp.maximum(low - high, 0.0) ** between * jnp.maximum(1.0 - low, 0.0) ** outside, None

    return jax.lax.scan(add, jnp.zeros(jnp.broadcast_shapes(high.shape, low.shape), low.dtype), table)[0]
