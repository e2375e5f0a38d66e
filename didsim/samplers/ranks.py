"""How do draws from a law rank by a score, ties included?

Responses of equal score form a level.  The best of K draws is a draw of the highest level that occurs, chosen among the
draws of that level at random: given its level it is a draw of the base law.  So a rank's law is the law of its level times
the base law within the level, and two ranks are independent given their levels.
"""

import itertools
import math
from collections.abc import Callable
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from didsim.numerics import linalg
from didsim.numerics.pytrees import pytree
from didsim.samplers.source import Number

NODES = 24
SHARE = 1 / 16


@final
@pytree
class Standing:
    """Where each response stands under a law and a score.

    Masses are summed from both ends, so that a rare level is not lost in the rounding of a common one.

    Attributes:
        below: probability of a draw of strictly lower score, shape (prompts, n).
        tied: probability of a draw of the same score, the response itself included.
        above: probability of a draw of strictly higher score.
        level: number of the response's level, 0 the lowest score.
        log_within: log-law of the response given its level, ``-inf`` where the law has no mass.
    """

    below: Float[Array, "*batch n"]
    tied: Float[Array, "*batch n"]
    above: Float[Array, "*batch n"]
    level: Int[Array, "*batch n"]
    log_within: Float[Array, "*batch n"]

    @property
    def upto(self) -> Float[Array, "*batch n"]:
        """Probability of a draw of the same or a lower score."""
        return jnp.minimum(self.below + self.tied, 1.0)


def ranks(score: Float[Array, "*batch n"], log_law: Float[Array, "*batch n"], slack: Number = 0.0) -> Standing:
    """Standing of every response; neighbours in score that differ by at most ``slack`` are tied.

    One sort, O(N log N).
    """
    rank = jnp.vectorize(_rank, signature="(n),(n),()->(n),(n),(n),(n)")
    below, tied, above, level = rank(score, log_law, jnp.asarray(slack, score.dtype))
    within = jnp.where(jnp.isneginf(log_law), -jnp.inf, log_law - jnp.log(jnp.where(tied > 0, tied, 1.0)))
    return Standing(below, tied, above, level, within)


def _rank(score: Array, log_law: Array, slack: Array) -> tuple[Array, Array, Array, Array]:
    order = jnp.argsort(score)
    sorted_score, mass = score[order], jnp.exp(log_law[order])
    level = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), jnp.diff(sorted_score) > slack]))
    level_mass = jnp.zeros_like(mass).at[level].add(mass)
    none = jnp.zeros(1, mass.dtype)
    below = jnp.concatenate([none, jnp.cumsum(level_mass)[:-1]])
    above = jnp.concatenate([jnp.cumsum(level_mass[::-1])[-2::-1], none])
    total = below[-1] + level_mass[-1]
    back = jnp.zeros_like(order).at[order].set(level)
    return below[back] / total, level_mass[back] / total, above[back] / total, back


def log_best_of(standing: Standing, k: Number) -> Float[Array, "*batch n"]:
    """Log-law of the best of ``k`` draws, ``F(y)^k - F(y⁻)^k`` times the law within the level (S10).

    Written as ``F^k (1 - (1 - p/F)^k)``, which keeps its relative accuracy for rare levels; any real ``k > 0``.
    """
    k = jnp.asarray(k, standing.tied.dtype)
    upto = jnp.where(standing.upto > 0, standing.upto, 1.0)
    share = jnp.minimum(standing.tied / upto, 1.0)
    won = -jnp.expm1(k * jnp.log1p(-share))
    seen = standing.tied > 0
    # Near one, a power needs the digits that only the rest of the mass has.
    near_one = k * jnp.log1p(-jnp.minimum(standing.above, 0.5))
    power = jnp.where(standing.above < 0.5, near_one, k * jnp.log(upto))
    log_level = jnp.where(seen, power + jnp.log(jnp.where(seen, won, 1.0)), -jnp.inf)
    return log_level + standing.log_within


def log_rank_of(standing: Standing, k: Number, rank: Number) -> Float[Array, "*batch n"]:
    """Log-law of the draw of the given rank among ``k``, 1 the best; any real ``1 <= rank <= k``.

    The rank's place in the distribution function is ``Beta(k - rank + 1, rank)``: the level's share is a difference of
    incomplete beta functions, taken from the nearer end, and where it cancels the integral of the density.  The best is
    `log_best_of`, as accurate; of other ranks the beta functions' rounding grows as ``k log k`` times the rounding unit.
    """
    k, rank = (jnp.asarray(value, standing.tied.dtype) for value in (k, rank))
    low, high = k - rank + 1.0, rank
    below, above = jnp.clip(standing.below, 0.0, 1.0), jnp.clip(standing.above, 0.0, 1.0)
    # The score of rank j from the top is at most s when at least k - j + 1 draws are: a binomial tail.
    upper, lower = (jax.scipy.special.betainc(low, high, x) for x in (standing.upto, below))
    over, under = (jax.scipy.special.betainc(high, low, x) for x in (jnp.minimum(above + standing.tied, 1.0), above))
    from_below = upper <= over
    apart = jnp.where(from_below, upper - lower, over - under)
    clear = apart > SHARE * jnp.where(from_below, upper, over)
    log_ways = _log_ways(low, high)

    def log_density(share: Array) -> Array:
        x, rest = below + share * standing.tied, above + (1.0 - share) * standing.tied
        powers = ((low - 1.0, _log_from_nearer_end(x, rest)), (high - 1.0, _log_from_nearer_end(rest, x)))
        return sum((jnp.where(power == 0, 0.0, power * log_mass) for power, log_mass in powers), log_ways)

    near = _log_mean(log_density, below) + _log(standing.tied)
    among = jnp.where(clear, jnp.log(jnp.where(clear, apart, 1.0)), near) + standing.log_within
    return jnp.where(rank == 1.0, log_best_of(standing, k), among)


def _log_ways(low: Array, high: Array) -> Array:
    """``log Γ(low + high) - log Γ(low) - log Γ(high)``: for many draws without the log-gammas' size in rounding.

    Of the larger number and the sum, Stirling's series differ by ``(x - ½) log(1 + m/x) + m log(x + m) - m`` and the
    difference of their tails; from 16 on four terms leave 2e-14 (standard).
    """
    lesser, larger = jnp.minimum(low, high), jnp.maximum(low, high)
    total, log_gamma = low + high, jax.scipy.special.gammaln
    far = (larger - 0.5) * jnp.log1p(lesser / larger) + lesser * jnp.log(total) - lesser + _tail(total) - _tail(larger)
    return jnp.where(larger < 16.0, log_gamma(total) - log_gamma(larger), far) - log_gamma(lesser)


def _tail(x: Array) -> Array:
    """Four terms of Stirling's series of ``log Γ`` beyond its elementary part."""
    inverse = 1.0 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))


def log_best_and_worst_of(standing: Standing, k: Number) -> Float[Array, "*batch n n"]:
    """Log joint law of the best (row) and the worst (column) of the same ``k >= 2`` draws (S10).

    For levels ``r_b < r_a``: ``S[b,a]^k - S(b,a]^k - S[b,a)^k + S(b,a)^k`` with S the mass of an interval of scores; both
    in one level: ``p^k``.  Where the four powers cancel, the level that is rarer is integrated over,
    ``∫ k [(m + t + q)^{k-1} - (m + t)^{k-1}] dt`` for t from 0 to its mass p, with q the other's mass and m the mass between
    (derived).
    """
    k = jnp.asarray(k, standing.tied.dtype)
    best, worst = (lambda x: x[..., :, None]), (lambda x: x[..., None, :])
    higher, high, low = best(standing.level) > worst(standing.level), best(standing.tied), worst(standing.tied)
    between = _between(standing)
    powers = [mass**k for mass in (between + high + low, between + high, between + low, between)]
    apart = powers[0] - powers[1] - powers[2] + powers[3]
    rare, common = jnp.minimum(high, low), jnp.maximum(high, low)

    def log_density(share: Array) -> Array:
        reach = between + share * rare + common
        step = jnp.minimum(linalg.divide(common, reach, reach > 0), 1.0)
        return jnp.log(k) + (k - 1.0) * _log(reach) + _log(-jnp.expm1((k - 1.0) * jnp.log1p(-step)))

    clear = apart > SHARE * powers[0]
    log_apart = jnp.where(clear, _log(apart), _log_mean(log_density, rare) + _log(rare))
    same = best(standing.level) == worst(standing.level)
    level = jnp.where(same, k * _log(high), jnp.where(higher, log_apart, -jnp.inf))
    return level + best(standing.log_within) + worst(standing.log_within)


def log_two_ranks_of(standing: Standing, k: int, first: int, second: int) -> Float[Array, "*batch n n"]:
    """Log joint law of the draws of ranks ``first < second`` among the same ``k`` draws, 1 the best.

    A sum of multinomial probabilities of how many draws lie above, in, and below the two levels and between them; all of
    them positive, so that rare levels keep their relative accuracy.
    """
    best, worst = (lambda x: x[..., :, None]), (lambda x: x[..., None, :])
    kinds = best(standing.above), best(standing.tied), _between(standing), worst(standing.tied), worst(standing.below)
    higher = best(standing.level) > worst(standing.level)
    apart = _log_multinomial(
        jnp.stack(jnp.broadcast_arrays(*kinds)), [c for c in _counts(k, 5) if _fits(c[0], c[1], c[2], c[3], first, second)]
    )
    alone = jnp.stack([standing.above, standing.tied, standing.below])
    level = _log_multinomial(alone, [c for c in _counts(k, 3) if c[0] < first and c[0] + c[1] >= second])
    same = best(standing.level) == worst(standing.level)
    return (
        jnp.where(same, best(level), jnp.where(higher, apart, -jnp.inf)) + best(standing.log_within) + worst(standing.log_within)
    )


def _between(standing: Standing) -> Float[Array, "*batch n n"]:
    """Mass strictly between the levels of a row and of a column, from the end that the row is nearer to; >= 0."""
    reach = standing.above + standing.tied
    from_below = standing.below[..., :, None] - standing.upto[..., None, :]
    from_above = standing.above[..., None, :] - reach[..., :, None]
    return jnp.maximum(jnp.where(standing.upto[..., :, None] < 0.5, from_below, from_above), 0.0)


def _fits(above: int, high: int, between: int, low: int, first: int, second: int) -> bool:
    """Whether the draw of rank ``first`` lies in the higher level and that of rank ``second`` in the lower."""
    return above < first <= above + high and above + high + between < second <= above + high + between + low


def _counts(k: int, kinds: int) -> list[tuple[int, ...]]:
    """All ways to spread ``k`` draws over some kinds."""
    bars = itertools.combinations(range(k + kinds - 1), kinds - 1)
    return [tuple(int(c) for c in np.diff([-1, *bar, k + kinds - 1]) - 1) for bar in bars]


def _log_multinomial(masses: Float[Array, "kinds *batch"], counts: list[tuple[int, ...]]) -> Float[Array, "*batch"]:
    """Log-probability that the draws fall on the kinds of response in one of the given numbers."""
    ways = [math.factorial(sum(count)) // math.prod(math.factorial(c) for c in count) for count in counts]
    table = jnp.asarray([(math.log(way), *count) for way, count in zip(ways, counts, strict=True)], masses.dtype)
    log_masses = _log(masses)

    def add(total: Array, term: Array) -> tuple[Array, None]:
        count = term[1:].reshape(-1, *[1] * (masses.ndim - 1))
        powers = jnp.where(count > 0, count * log_masses, 0.0)
        return jnp.logaddexp(total, term[0] + powers.sum(0)), None

    return jax.lax.scan(add, jnp.full(masses.shape[1:], -jnp.inf, masses.dtype), table)[0]


def _log_mean(log_density: Callable[[Array], Array], like: Array) -> Array:
    """Log of a mean over [0, 1] by Gauss and Legendre's rule, which is exact for polynomials up to the degree 47."""
    rule = np.polynomial.legendre.leggauss(NODES)
    places, log_weights = jnp.asarray(0.5 * (1.0 + rule[0]), like.dtype), jnp.asarray(np.log(0.5 * rule[1]), like.dtype)

    def add(total: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
        return jnp.logaddexp(total, node[1] + log_density(node[0])), None

    return jax.lax.scan(add, jnp.full_like(log_density(places[0]), -jnp.inf), (places, log_weights))[0]


def _log_from_nearer_end(mass: Float[Array, "*any"], rest: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Log of a mass whose rest is known too: near one a power of it needs the digits that only the rest has."""
    return jnp.where(rest < 0.5, jnp.log1p(-jnp.minimum(rest, 0.5)), _log(mass))


def _log(mass: Float[Array, "*any"]) -> Float[Array, "*any"]:
    return jnp.where(mass > 0, jnp.log(jnp.where(mass > 0, mass, 1.0)), -jnp.inf)
