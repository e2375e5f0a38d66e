"""Ranks of draws, ties included: bounds on best of k, ranks against each other, rare levels (S10)."""

import math
from decimal import Decimal
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from tolerance import tolerance

from didsim import simplex
from didsim.samplers import ranks
from didsim.samplers.behaviours import BestOf, FromReference, Ranked, RejectionSampled, TopP
from didsim.samplers.recipes import BestWorst, RankPair
from didsim.worlds import problem

log_rank_of = jax.jit(ranks.log_rank_of)
log_best_of = jax.jit(ranks.log_best_of)
log_best_and_worst_of = jax.jit(ranks.log_best_and_worst_of)
log_two_ranks_of = jax.jit(ranks.log_two_ranks_of, static_argnums=(1, 2, 3))
ranked = jax.jit(ranks.ranks)


def random_bases(count: int, n: int, ties: bool):
    rng = np.random.default_rng(41)
    score = rng.integers(0, n // 2, (count, n)).astype(float) if ties else rng.standard_normal((count, n))
    return jnp.asarray(score), jnp.asarray(oracles.normalize(2.0 * rng.standard_normal((count, n)))), rng


@pytest.mark.parametrize("ties", [False, True])
def test_best_of_k_stays_near_its_base(ties):
    """KL(best of k ‖ base) ≤ log k - (k-1)/k, for any real k, any ties, thousands of bases (S10)."""
    score, base, rng = random_bases(3000, 16, ties)
    k = jnp.asarray(np.exp(rng.uniform(0.0, 5.0, 3000)))
    law = log_best_of(ranked(score, base), k[:, None])
    bound = jnp.log(k) - (k - 1.0) / k
    excess = np.asarray(simplex.kl(law, base) - bound)
    assert excess.max() < tolerance(condition=10.0), f"instance {excess.argmax()}"
    assert_close(jnp.exp(law).sum(-1), np.ones(3000), atol=tolerance(condition=float(k.max())))
    assert np.asarray(simplex.kl(law, base) - 0.5 * bound).max() > 0.1  # half the bound does not hold


def test_the_bound_is_reached_by_many_responses():
    n, k = 4096, 7.0
    flat = jnp.full(n, -np.log(n))
    law = log_best_of(ranked(jnp.arange(float(n)), flat), k)
    assert abs(float(simplex.kl(law, flat)) - (np.log(k) - (k - 1) / k)) < 2e-3


def test_rank_one_is_the_best_and_ranks_average_to_the_base():
    score, base, _ = random_bases(20, 6, True)
    standing = ranked(score, base)
    near = tolerance(condition=25.0)  # powers of five of numbers near one, and differences of them
    laws_by_rank = jnp.stack([jnp.exp(log_rank_of(standing, 5, rank)) for rank in range(1, 6)])
    assert_close(laws_by_rank[0], jnp.exp(log_best_of(standing, 5)), atol=near)
    assert_close(laws_by_rank.mean(0), jnp.exp(base), atol=near)
    assert float(abs(laws_by_rank[:4].mean(0) - jnp.exp(base)).max()) > 0.01
    joint = jnp.exp(log_two_ranks_of(standing, 5, 2, 4))
    assert_close(joint.sum(-1), laws_by_rank[1], atol=near)
    assert_close(joint.sum(-2), laws_by_rank[3], atol=near)
    ends = jnp.exp(log_two_ranks_of(standing, 5, 1, 5))
    assert_close(jnp.exp(log_best_and_worst_of(standing, 5)), ends, atol=near)


def test_rare_levels_keep_their_relative_accuracy():
    """A response of mass 1e-40 is the best of k with chance k·1e-40, a difference of powers would say 0."""
    rare = np.log(1e-40)
    base = jnp.asarray([[np.log(0.5), np.log(0.5), rare]])
    law = log_best_of(ranked(jnp.asarray([[0.0, 1.0, 2.0]]), base), 8.0)
    np.testing.assert_allclose(law[0, 2], np.log(8.0) + rare, rtol=1e-12)
    assert float(1.0**8 - (1.0 - 1e-40) ** 8) == 0.0


def log(x: Fraction) -> float:
    """Log of an exact number of any size."""
    return math.log(x.numerator) - math.log(x.denominator) if x > 0 else -math.inf


def exact_law(rng, spread: float, n: int = 6):
    """Masses over ``spread`` nats as exact fractions, and their logs."""
    mass = [Fraction(math.exp(x)) for x in rng.uniform(-spread, 0.0, n)]
    mass = [one / sum(mass) for one in mass]
    return mass, jnp.asarray([log(one) for one in mass])


def tail(p: Fraction, k: int, least: int) -> Fraction:
    """Chance that at least ``least`` of ``k`` draws have a property of chance p."""
    return sum((math.comb(k, j) * p**j * (1 - p) ** (k - j) for j in range(least, k + 1)), Fraction(0))


@pytest.mark.parametrize("spread", [3.0, 40.0, 200.0])
@pytest.mark.parametrize("k", [2, 5, 12])
def test_ranks_are_exact_for_masses_of_any_size(k, spread):
    """Against exact fractions: nothing that can be drawn is dropped, however rare, and its log-mass has 13 digits."""
    mass, base = exact_law(np.random.default_rng(k), spread)
    standing = ranked(jnp.arange(6.0), base)
    below = [sum(mass[:i], Fraction(0)) for i in range(7)]
    for rank in {1, (k + 1) // 2, k}:
        wanted = [log(tail(below[i + 1], k, k - rank + 1) - tail(below[i], k, k - rank + 1)) for i in range(6)]
        np.testing.assert_allclose(log_rank_of(standing, float(k), float(rank)), wanted, rtol=1e-11, atol=1e-11)
    wanted = np.full((6, 6), -np.inf)
    for b in range(6):
        wanted[b, b] = k * log(mass[b])
        for a in range(b):
            inside = below[b] - below[a + 1]
            wanted[b, a] = log((inside + mass[a] + mass[b]) ** k - (inside + mass[b]) ** k - (inside + mass[a]) ** k + inside**k)
    joint = log_best_and_worst_of(standing, float(k))
    np.testing.assert_allclose(joint, wanted, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(log_two_ranks_of(standing, k, 1, k), wanted, rtol=1e-11, atol=1e-11)


def test_single_precision_keeps_rare_pairs():
    """In float32 a mass of 1e-5 is no longer 2e-3 off."""
    mass = [Fraction(1, 10**5), Fraction(1, 2), Fraction(1, 2) - Fraction(1, 10**5)]
    standing = ranked(jnp.arange(3.0, dtype=jnp.float32), jnp.asarray([log(one) for one in mass], jnp.float32))
    got = log_best_and_worst_of(standing, 4.0)
    rest = mass[1] + mass[0]
    wanted = log(1 - (1 - mass[0]) ** 4 - rest**4 + mass[1] ** 4)
    assert abs(float(got[2, 0]) - wanted) < 1e-5


@jax.jit
def kept(world):
    """What a whole nucleus, the best of four, the first of four and a smaller nucleus keep; pairs of best and worst."""
    start, base = FromReference(), world.log_ref
    single = TopP(start, 1.0), BestOf(start, 4), Ranked(start, 4, 1), TopP(start, 0.9)
    double = BestWorst(k=4), RankPair(k=4, first=1, second=4)
    return [one.log_law(world, base) for one in single], [two.pair_law(world, base).log_matrix() for two in double]


@pytest.mark.parametrize("rare", [-20.0, -45.0, -300.0])
def test_whole_nuclei_and_first_ranks_keep_what_best_of_keeps(rare):
    base = jnp.asarray(oracles.normalize(np.array([[rare, 0.3, 0.0, -1.0]])))
    world = problem(base, reward=np.array([3.0, 0.0, 1.0, 2.0]))
    (whole, best, first, smaller), joints = kept(world)
    np.testing.assert_allclose(whole, base, rtol=1e-14)
    np.testing.assert_allclose(first, best, rtol=1e-12)
    np.testing.assert_allclose(best[0, 0], np.log(4.0) + base[0, 0], rtol=1e-8)
    for (joint,) in joints:
        assert np.isfinite(joint[0, 1:]).all()
        assert np.isinf(joint[1:, 0]).all()  # the highest is never the worse one
    assert np.isinf(smaller[0, 0])  # control: a smaller nucleus leaves it out


@pytest.mark.parametrize("gap", [1e-6, 1.0, 30.0, 100.0, 800.0])
@pytest.mark.parametrize("tries", [1, 3, 16])
def test_rejection_sampling_pays_for_every_refusal(gap, tries):
    """Two responses, exact fractions: acceptance e^-gap, expected draws ``Σ_{i<t} (1-a)^i``."""
    base = jnp.asarray(oracles.normalize(np.array([[0.0, -gap]])))
    world = problem(base, log_target=base[:, ::-1])
    sampled = RejectionSampled(FromReference(), tries)
    accept = Fraction(math.exp(-gap / 4)) ** 4
    wanted = sum((1 - accept) ** i for i in range(tries))
    np.testing.assert_allclose(sampled.draws(world, base), [float(wanted)], rtol=1e-9)
    p, q = Fraction(1) / (1 + accept), accept / (1 + accept)  # base; the target is the other way round
    rest = (1 - accept) ** (tries - 1)
    found = 1 - (1 - accept) * rest
    law = [found * q + rest * (p - accept * q), found * p + rest * (q - accept * p)]
    np.testing.assert_allclose(sampled.log_law(world, base)[0], [log(one) for one in law], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "k", "rare"), [(np.float32, 1e5, -16.0), (np.float64, 1e15, -30.0), (np.float64, 1e15, -600.0)]
)
def test_many_draws_cost_the_best_no_digits(dtype, k, rare):
    """Of two levels the rare one's best has ``1 - (1-p)^k`` and the other ``(1-p)^k``."""
    base = jnp.asarray([[rare, np.log1p(-np.exp(rare))]], dtype)
    standing = ranked(jnp.asarray([[1.0, 0.0]], dtype), base)
    none = k * np.log1p(-np.exp(float(base[0, 0])))
    # The mass is rounded by its log's size, the law of the rare level by log k too; a power's log by as much as it is long.
    near = 8.0 * np.finfo(dtype).eps * (1.0 + abs(rare) + np.log(k))
    for law in (log_best_of(standing, k), log_rank_of(standing, k, 1.0)):
        assert abs(float(law[0, 0]) - np.log(-np.expm1(none))) < near
        assert abs(float(law[0, 1]) - none) < near * abs(none)


@pytest.mark.parametrize("k", [5, 12, 16, 40, 10**5, 10**15])
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_numbers_of_ways_keep_their_digits(k, rank):
    """``k!/((k - r)! (r - 1)!)`` against whole numbers."""
    wanted = float((Decimal(k) * math.comb(k - 1, rank - 1)).ln())
    got = jax.jit(ranks._log_ways)(jnp.asarray(k - rank + 1.0), jnp.asarray(float(rank)))
    assert abs(float(got) - wanted) < tolerance(condition=16.0 + wanted)
    log_gamma = [math.lgamma(x) for x in (k + 1.0, k - rank + 1.0, float(rank))]
    if k == 10**15:  # control: a difference of log-gammas keeps nothing
        assert abs(log_gamma[0] - log_gamma[1] - log_gamma[2] - wanted) > 0.1
