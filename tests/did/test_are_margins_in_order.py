"""D4 and D8: proportional, ordered or reversed log-margins, of laws and of drawn responses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from random_laws import MANY, SOME, N, cast, extent, near, worst
from scipy import stats
from tolerance import tolerance

from didsim import did, simplex
from didsim.did import order
from didsim.did.order import angle
from didsim.numerics.checks import ArgumentError


def test_d8_margin_slope_is_least_squares_over_pairs():
    u, v = MANY.target[::100], MANY.ref[::100]
    slope, residual = order.margin_slope(jnp.asarray(u), jnp.asarray(v))
    np.testing.assert_allclose(np.stack([slope, residual], -1), oracles.rows(oracles.pair_slope, u, v), rtol=1e-9)


@pytest.mark.slow
def test_d8_margins_are_proportional_and_ordered_under_the_power_law():
    chosen, ref, target, beta = cast(np.float64, MANY.chosen, MANY.ref, MANY.target, MANY.betas)
    rejected = did.optimal_rejected(chosen, ref, target, beta)
    slope, residual = order.margin_slope(chosen - rejected, target - ref)
    # Margins as small as 1e-3 sit on log-probabilities of order ten, so they carry that many rounding units less.
    small = np.abs(MANY.target - MANY.ref - (MANY.target - MANY.ref).mean(-1, keepdims=True)).max(-1) * np.minimum(
        MANY.betas, 1.0
    )
    assert worst(slope / beta, 1.0, scale=1.0 / small) < tolerance(condition=extent(MANY.ref, MANY.target, MANY.chosen))
    assert worst(residual, 0.0, scale=1.0 / small) < tolerance(condition=extent(MANY.ref, MANY.target, MANY.chosen))
    assert float(order.ordered_share(chosen - rejected, target - ref).min()) == 1.0
    _, off = order.margin_slope(chosen - jnp.asarray(MANY.rejected), target - ref)
    assert float(jnp.median(off)) > 0.1
    assert float(jnp.median(order.ordered_share(chosen - jnp.asarray(MANY.rejected), target - ref))) < 0.8


def test_d8_monotone_link_keeps_the_order_and_breaks_the_power_law():
    ref, gains = cast(np.float64, MANY.ref, 2.0 * np.random.default_rng(7).standard_normal((MANY.count, N)))
    target = simplex.tilt(ref, gains)
    rejected = simplex.tilt(ref, -jnp.sinh(gains))
    _, residual = order.margin_slope(ref - rejected, target - ref)
    assert float(order.ordered_share(ref - rejected, target - ref).min()) == 1.0
    assert float(jnp.median(residual)) > 0.01
    assert float(jnp.median(simplex.jsd(target, did.learned_policy(ref, rejected, ref, 1.0)))) > 1e-3


def test_d8_margins_of_the_three_laws_are_in_order():
    ref, target, beta = cast(np.float64, MANY.ref, MANY.target, MANY.betas)
    rejected = did.optimal_rejected(ref, ref, target, beta)
    low, middle, high = (v[:, :, None] - v[:, None, :] for v in (rejected, ref, target))
    preferred = (ref - rejected)[:, :, None] - (ref - rejected)[:, None, :] > 1e-12
    assert bool(jnp.all(jnp.where(preferred, (low < middle) & (middle < high), True)))
    assert int(preferred.sum()) == MANY.count * N * (N - 1) // 2


def test_d8_mean_margin_is_jeffreys_over_beta():
    chosen, ref, target, beta = cast(np.float64, MANY.chosen, MANY.ref, MANY.target, MANY.betas)

    def gap(rejected):
        mean = simplex.expectation(chosen, target - ref) - simplex.expectation(rejected, target - ref)
        return worst(mean, simplex.jeffreys(chosen, rejected) / beta)

    assert gap(did.optimal_rejected(chosen, ref, target, beta)) < tolerance(
        condition=20.0 * extent(MANY.ref, MANY.target, MANY.chosen)
    )
    assert gap(jnp.asarray(MANY.rejected)) > 0.1


def test_ordered_share_counts_pairs():
    u = jnp.array([0.0, 1.0, 2.0])
    assert float(order.ordered_share(u, u)) == 1.0
    assert float(order.ordered_share(u, -u)) == 0.0
    np.testing.assert_allclose(order.ordered_share(u, jnp.array([0.0, 2.0, 1.0])), 2 / 3)
    np.testing.assert_allclose(order.ordered_share(u, jnp.array([0.0, 0.0, 1.0])), 2 / 3)  # a tie orders nothing


def brute_shares(u, v):
    same = opposite = 0
    for a in range(len(u)):
        for b in range(a):
            product = (u[a] - u[b]) * (v[a] - v[b])
            same, opposite = same + (product > 0), opposite + (product < 0)
    pairs = len(u) * (len(u) - 1) / 2
    return same / pairs, opposite / pairs


def test_d8_pairs_are_counted_the_same_either_way(monkeypatch):
    rng = np.random.default_rng(2)
    u, v = rng.integers(0, 12, (8, 37)).astype(float), rng.integers(0, 12, (8, 37)).astype(float)  # many ties
    u[0], v[0] = np.arange(37.0), np.arange(37.0)
    wanted = np.array([brute_shares(a, b) for a, b in zip(u, v, strict=True)])
    for limit in (1024, 10):
        monkeypatch.setattr(did.order, "ALL_PAIRS", limit)
        found = did.margin_order(jnp.asarray(u), jnp.asarray(v))
        np.testing.assert_allclose(np.stack([found.ordered, found.reversed], -1), wanted, rtol=1e-14)
    assert wanted[0].tolist() == [1.0, 0.0]
    assert wanted[1:].sum(1).max() < 1.0


@pytest.mark.slow  # pairs are counted the same either way above
def test_d8_a_hundred_thousand_responses():
    n = 100_000
    rng = np.random.default_rng(1)
    u = rng.standard_normal(n)
    v = u + 0.5 * rng.standard_normal(n)
    tau = stats.kendalltau(u, v).statistic
    np.testing.assert_allclose(order.ordered_share(jnp.asarray(u), jnp.asarray(v)), 0.5 + 0.5 * tau, rtol=1e-12)
    np.testing.assert_allclose(
        order.ordered_share(jnp.asarray(u, np.float32), jnp.asarray(np.exp(u), np.float32)), 1.0, atol=1e-4
    )


def test_d8_collinear_implies_ordered_implies_comonotone_and_not_back():
    rng = np.random.default_rng(4)
    v = jnp.asarray(rng.standard_normal((200, 9)))
    flat = jnp.where(v > 0, v, 0.0)  # pairs below zero are tied: nothing is taught about them
    straight, bent, tied, torn, upside = (
        did.margin_order(u, v) for u in (0.7 * v, jnp.sinh(2.0 * v), flat, jnp.roll(v, 1, axis=-1), -v)
    )
    for found, collinear, ordered, comonotone in (
        (straight, True, True, True),
        (bent, False, True, True),
        (tied, False, False, True),
        (torn, False, False, False),
        (upside, False, False, False),
    ):
        assert (found.is_collinear(1e-9) == collinear).mean() > 0.99
        assert (found.is_ordered == ordered).mean() > 0.9
        assert (found.is_comonotone == comonotone).mean() > 0.9
    near(straight.slope, np.full(200, 0.7))


def test_d4_power_law_of_four_laws():
    found = did.power_law(SOME.ref, did.optimal_rejected(SOME.ref, SOME.ref, SOME.target, SOME.betas), SOME.ref, SOME.target)
    wide = slice(SOME.count // 2, None)  # narrow worlds carry fewer digits of their differences
    np.testing.assert_allclose(found.beta[wide], SOME.betas[wide], rtol=1e-9)
    assert float(found.angle[wide].max()) < 1e-9
    off = did.power_law(SOME.chosen, SOME.rejected, SOME.ref, SOME.target)
    u, v = (w - w.mean(-1, keepdims=True) for w in (SOME.chosen - SOME.rejected, SOME.target - SOME.ref))
    cosine = np.sum(u * v, -1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
    np.testing.assert_allclose(np.cos(off.angle), cosine, atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sin(off.angle)), off.residual, atol=1e-12)
    assert float(jnp.median(off.angle)) > 0.5


def test_small_angles_are_exact():
    u = jnp.asarray([1.0, 0.0, 0.0])
    for small in (1e-3, 1e-8, 1e-15):
        v = jnp.asarray([1.0, small, 0.0])
        np.testing.assert_allclose(angle(u, v), np.arctan(small), rtol=1e-12)
    np.testing.assert_allclose(angle(u, -u), np.pi)


@functools.cache
def drawn(bend: float, draws: int, runs: int = 2000):
    """Estimates from drawn responses; ``bend`` leaves the power law."""
    rng = np.random.default_rng(17)
    ref, target = oracles.log_laws(40, (1, 8), widest=1.0)[0], oracles.normalize(np.linspace(-1.0, 1.0, 8))
    s = target - ref
    chosen = np.exp(oracles.normalize(ref + 0.3 * s))
    rejected = np.exp(oracles.normalize(ref + 0.3 * s - 0.6 * s - bend * np.square(s)))
    counts = [rng.multinomial(draws, law, size=runs).astype(float) for law in (chosen, rejected)]
    return jax.jit(did.estimate_power_law)(*counts, ref, target)


def test_d4_intervals_cover_and_the_test_holds_its_level():
    found = drawn(0.0, 4000)
    runs = len(found.beta)
    covered = np.mean((np.asarray(found.low) < 0.6) & (np.asarray(found.high) > 0.6))
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / runs)
    assert abs(np.mean(found.beta) - 0.6) < 4 * np.std(found.beta) / np.sqrt(runs) + 1e-3
    rejected = np.mean(np.asarray(found.p_value) < 0.05)
    assert abs(rejected - 0.05) < 4 * np.sqrt(0.95 * 0.05 / runs)
    assert stats.kstest(found.misfit, stats.chi2(6).cdf).pvalue > 1e-4
    np.testing.assert_allclose(found.p_value, stats.chi2.sf(found.misfit, found.degrees), rtol=1e-9)


def test_d4_bent_data_is_found_out():
    found = drawn(0.3, 4000)
    assert np.mean(np.asarray(found.p_value) < 0.05) > 0.9


def test_d4_unseen_responses_count_nothing():
    ref, target = oracles.log_laws(40, (2, 5))
    counts = np.array([50.0, 30.0, 20.0, 0.0, 10.0]), np.array([20.0, 30.0, 40.0, 0.0, 10.0])
    found = did.estimate_power_law(*counts, ref, target)
    kept = [0, 1, 2, 4]
    four = did.estimate_power_law(counts[0][kept], counts[1][kept], oracles.normalize(ref[kept]), oracles.normalize(target[kept]))
    assert float(found.degrees) == float(four.degrees) == 2.0
    np.testing.assert_allclose([found.beta, found.misfit], [four.beta, four.misfit], rtol=1e-12)


COUNTS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: did.power_law(h, h, h, oracles.log([1.0, 0.0])), "`log_target` must give every response some mass"),
        (lambda h: did.estimate_power_law(*COUNTS[:, :2], h, h), "`log_ref` must have at least 3 responses"),
        (
            lambda h: did.estimate_power_law(np.array([1.0, -2.0, 3.0]), COUNTS[0], *[oracles.log([0.2, 0.3, 0.5])] * 2),
            "`chosen_counts` must be finite and at least 0, but is -2",
        ),
        (
            lambda h: did.estimate_power_law(COUNTS[0], COUNTS[0, :2], *[oracles.log([0.2, 0.3, 0.5])] * 2),
            "`rejected_counts` must have as many responses",
        ),
        (lambda h: did.estimate_power_law(*COUNTS[:, :2], h, h, level=1.0), "`level` must be in"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call(oracles.log([0.5, 0.5]))
