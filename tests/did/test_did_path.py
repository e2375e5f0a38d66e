"""D4 and D8-D10 over many random worlds: the path, who gains likelihood, order of margins, the power law in laws and counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from scipy import optimize, stats
from tolerance import tolerance

from didsim import did, simplex
from didsim.did import order, path
from didsim.numerics.checks import ArgumentError

B, N = 400, 6
DTYPES = (np.float32, np.float64)
REF, TARGET, CHOSEN, REJECTED = (oracles.log_laws(20 + i, (B, N)) for i in range(4))
TARGET = np.roll(TARGET, B // 3, axis=0)
BETAS = np.geomspace(0.1, 10.0, B)
TIMES = np.linspace(-1.5, 2.5, B)


def point(t):
    """Law at the place ``t`` of each world's path, and the cumulant function there, in plain NumPy."""
    weights = REF + np.asarray(t)[..., None] * (TARGET - REF)
    law = oracles.normalize(weights)
    return np.exp(law), (weights - law)[..., 0]


def mean(law, values):
    return np.sum(law * values, -1)


def near(got, wanted, condition=40.0, dtype=np.float64):
    slack = tolerance(dtype, condition=condition)
    np.testing.assert_allclose(np.asarray(got, np.float64), wanted, rtol=slack, atol=slack)


# D9: the path


@pytest.mark.parametrize("dtype", DTYPES)
def test_d9_law_cumulant_slope_and_curvature(dtype):
    ref, target, t = (jnp.asarray(a, dtype) for a in (REF, TARGET, TIMES))
    law, cumulant = point(TIMES)
    s = TARGET - REF
    first = mean(law, s)
    near(jnp.exp(did.path_law(ref, target, t)), law, dtype=dtype)
    near(did.path_cumulant(ref, target, t), cumulant, dtype=dtype)
    near(did.path_slope(ref, target, t), first, dtype=dtype)
    near(path.path_curvature(ref, target, t), mean(law, (s - first[:, None]) ** 2), dtype=dtype)


def test_d9_slope_and_curvature_are_derivatives_of_the_cumulant():
    def cumulant(t, ref, target):
        return did.path_cumulant(ref, target, t)

    arguments = jnp.asarray(TIMES), jnp.asarray(REF), jnp.asarray(TARGET)
    near(did.path_slope(*arguments[1:], arguments[0]), jax.vmap(jax.grad(cumulant))(*arguments), condition=100.0)
    curvature = jax.vmap(jax.grad(jax.grad(cumulant)))(*arguments)
    np.testing.assert_allclose(path.path_curvature(*arguments[1:], arguments[0]), curvature, rtol=1e-9, atol=1e-11)


def test_d9_ends_of_the_path():
    ref, target = jnp.asarray(REF), jnp.asarray(TARGET)
    assert_close(did.path_slope(ref, target, 0.0), -simplex.kl(ref, target), rtol=1e-12)
    assert_close(did.path_slope(ref, target, 1.0), simplex.kl(target, ref), rtol=1e-12)
    assert float(jnp.abs(did.path_cumulant(ref, target, 0.0)).max()) < 1e-14
    assert float(jnp.abs(did.path_cumulant(ref, target, 1.0)).max()) < 1e-14


@pytest.mark.parametrize("gap", [1e-3, 1e-9])
def test_slopes_of_close_laws_keep_their_digits(gap):
    """``Λ(t) = -t(1-t)κ₂/2`` and ``Λ'(t) = (t-½)κ₂`` for close laws, up to a relative error of the size of the gap."""
    rng = np.random.default_rng(8)
    ref = oracles.log_laws(9, (50, N))
    target = oracles.normalize(ref + gap * rng.standard_normal((50, N)))
    variance = np.array([oracles.cumulants(np.exp(r), t - r)[1] for r, t in zip(ref, target, strict=True)])
    slack = 5 * gap + 1e-6  # laws that differ by 1e-9 carry seven digits of their difference
    np.testing.assert_allclose(did.path_slope(jnp.asarray(ref), jnp.asarray(target), 0.2), -0.3 * variance, rtol=slack)
    np.testing.assert_allclose(did.path_cumulant(jnp.asarray(ref), jnp.asarray(target), 0.2), -0.08 * variance, rtol=slack)


# D10: the critical inverse temperature


@pytest.mark.parametrize("dtype", DTYPES)
def test_d10_critical_beta_is_the_root(dtype):
    got = did.critical_beta(jnp.asarray(REF, dtype), jnp.asarray(TARGET, dtype))
    s = TARGET - REF
    for row in range(0, B, 10):

        def slope(t, row=row):
            law = np.exp(oracles.normalize(REF[row] + t * s[row]))
            return float(np.sum(law * s[row]))

        wanted = optimize.brentq(slope, 0.0, 1.0, xtol=1e-15)
        assert abs(float(got[row]) - wanted) < tolerance(dtype, condition=1e3)


def test_d10_critical_beta_alone_is_that_in_a_batch_and_one_half_in_the_limit():
    ref, target = jnp.asarray(REF), jnp.asarray(TARGET)
    batch = did.critical_beta(ref, target)
    assert_close(jax.jit(jax.vmap(did.critical_beta))(ref, target), batch)
    near(did.critical_beta(ref[0], target[0]), batch[0])
    assert_close(did.critical_beta(ref, ref), jnp.full(B, 0.5))
    close = oracles.normalize(REF + 1e-6 * np.random.default_rng(3).standard_normal((B, N)))
    assert float(jnp.abs(did.critical_beta(ref, jnp.asarray(close)) - 0.5).max()) < 1e-4


def test_d10_far_laws_have_a_root_too():
    ref, target = oracles.log_laws(30, (50, N), widest=300.0), oracles.log_laws(31, (50, N), widest=300.0)
    got = did.critical_beta(jnp.asarray(ref), jnp.asarray(target))
    law = np.exp(oracles.normalize(ref + np.asarray(got)[:, None] * (target - ref)))
    assert np.all((np.asarray(got) > 0) & (np.asarray(got) < 1))
    assert np.max(np.abs(mean(law, target - ref)) / np.abs(target - ref).max(-1)) < 1e-10


# D10: displacement


def test_d10_general_reference():
    for chosen, rejected, ref in ((CHOSEN, REJECTED, REF), (REF, REJECTED, REF), (CHOSEN, REF, REF)):
        log_z = np.log(np.sum(np.exp(ref + (chosen - rejected) / BETAS[:, None]), -1))
        s = (chosen - rejected) / BETAS[:, None]
        got = did.displacement(chosen, rejected, ref, BETAS)
        near(got.chosen, mean(np.exp(chosen), s) - log_z, condition=1e3)
        near(got.rejected, mean(np.exp(rejected), s) - log_z, condition=1e3)
        near(got.gap, did.learned_margin(jnp.asarray(chosen), jnp.asarray(rejected), jnp.asarray(BETAS)), condition=1e3)


def test_d10_on_the_path_it_is_the_slope():
    ref, target, place = jnp.asarray(REF), jnp.asarray(TARGET), jnp.asarray(TIMES)
    for beta in (0.3, 1.0, 2.0):
        got = did.path_displacement(ref, target, place, beta)
        chosen, rejected = did.path_law(ref, target, place), did.path_law(ref, target, place - beta)
        general = did.displacement(chosen, rejected, ref, beta)
        near(got.chosen, general.chosen, condition=1e3)
        near(got.rejected, general.rejected, condition=1e3)
        # The control: the same data against another reference is displaced otherwise.
        elsewhere = jnp.abs(did.displacement(chosen, rejected, CHOSEN, beta).chosen - got.chosen)
        assert float(jnp.median(elsewhere[B // 2 :])) > 1e-2  # in wide worlds


def test_d10_renyi_forms():
    chosen, rejected, beta = jnp.asarray(CHOSEN), jnp.asarray(REJECTED), jnp.asarray(BETAS).at[0].set(1.0)
    for closed, reference in ((did.displacement_from_chosen, chosen), (did.displacement_from_rejected, rejected)):
        got, wanted = closed(chosen, rejected, beta), did.displacement(chosen, rejected, reference, beta)
        near(got.chosen, wanted.chosen, condition=1e3)
        near(got.rejected, wanted.rejected, condition=1e3)
    both = did.displacement_from_chosen(chosen, rejected, beta)
    assert bool(jnp.all((both.rejected < both.chosen) & (both.chosen < 0)))


def test_d10_signs_from_the_rejected_reference():
    """With ``π_ref = π_l`` rejected always falls; chosen rises from ``β = 1`` on and changes sign at ``β_c``."""
    ref, target = jnp.asarray(REF), jnp.asarray(TARGET)
    root = did.critical_beta(ref, target)
    for factor, sign in ((0.9, -1.0), (1.1, 1.0)):
        moved = did.path_displacement(ref, target, factor * root, factor * root)
        assert bool(jnp.all(moved.rejected < 0))
        assert bool(jnp.all(sign * moved.chosen > 0))
    at_one = did.path_displacement(ref, target, 1.5, 1.5).chosen
    assert bool(jnp.all(at_one >= simplex.kl(target, ref)))


def test_d10_before_convergence_any_policy():
    ref, policy, other = jnp.asarray(REF), jnp.asarray(REJECTED), jnp.asarray(CHOSEN)
    near(did.mean_change(other, policy, ref), mean(np.exp(CHOSEN), REJECTED - REF), condition=100.0)
    assert_close(did.mean_change(ref, policy, ref), -simplex.kl(ref, policy))
    assert bool(jnp.any(did.mean_change(other, policy, ref) > 0))  # the control: other draws may gain


# D8: order


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


# D4: the power law


def test_d4_power_law_of_four_laws():
    found = did.power_law(REF, did.optimal_rejected(REF, REF, TARGET, BETAS), REF, TARGET)
    wide = slice(B // 2, None)  # narrow worlds carry fewer digits of their differences
    np.testing.assert_allclose(found.beta[wide], BETAS[wide], rtol=1e-9)
    assert float(found.angle[wide].max()) < 1e-9
    off = did.power_law(CHOSEN, REJECTED, REF, TARGET)
    u, v = (w - w.mean(-1, keepdims=True) for w in (CHOSEN - REJECTED, TARGET - REF))
    cosine = np.sum(u * v, -1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
    np.testing.assert_allclose(np.cos(off.angle), cosine, atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sin(off.angle)), off.residual, atol=1e-12)
    assert float(jnp.median(off.angle)) > 0.5


def test_small_angles_are_exact():
    u = jnp.asarray([1.0, 0.0, 0.0])
    for small in (1e-3, 1e-8, 1e-15):
        v = jnp.asarray([1.0, small, 0.0])
        np.testing.assert_allclose(did.angle(u, v), np.arctan(small), rtol=1e-12)
    np.testing.assert_allclose(did.angle(u, -u), np.pi)


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


# Batches and sizes


def test_many_responses_and_leading_axes():
    n = 100_000
    rng = np.random.default_rng(0)
    ref, target = (oracles.normalize(rng.standard_normal(n)) for _ in range(2))
    root = did.critical_beta(ref, target)
    assert abs(float(did.path_slope(jnp.asarray(ref), jnp.asarray(target), root))) < 1e-12
    moved = did.displacement(ref, did.optimal_rejected(ref, ref, target, 0.5), ref, 0.5)
    np.testing.assert_allclose(moved.chosen, -oracles.kl(np.exp(ref), np.exp(target)), rtol=1e-10)
    shaped = did.displacement(*(a.reshape(20, 20, N) for a in (CHOSEN, REJECTED, REF)), 0.5)
    flat = did.displacement(CHOSEN, REJECTED, REF, 0.5)
    assert_close(shaped.chosen.reshape(-1), flat.chosen, rtol=1e-12)


COUNTS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: did.critical_beta(h, oracles.log([1.0, 0.0])), "`log_target` must give every response some mass"),
        (lambda h: did.critical_beta(h, oracles.log([0.2, 0.3, 0.5])), "`log_target` must have as many responses"),
        (lambda h: did.displacement(h, h, h, -1.0), "`beta` must be positive and finite, but is -1"),
        (lambda h: did.displacement(h, h + 1.0, h, 1.0), "`log_rejected` must be normalised"),
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
