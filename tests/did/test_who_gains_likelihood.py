"""D9 and D10 over many random worlds: the path from reference to target, and who gains likelihood on it."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from random_laws import DTYPES, MANY, SOME, N, cast, extent, near, worst
from sampling import sampled
from scipy import optimize
from tolerance import tolerance

from didsim import did, simplex
from didsim.did import path
from didsim.numerics.checks import ArgumentError

path_law, path_cumulant, path_slope = jax.jit(did.path_law), jax.jit(did.path_cumulant), jax.jit(did.path_slope)
path_curvature = jax.jit(path.path_curvature)


def test_d9_rejected_laws_lie_on_the_geodesic_through_the_chosen_one():
    ref, target = cast(np.float64, MANY.ref, MANY.target)
    for a in (0.0, 0.4, 1.0):
        chosen, beta = simplex.geodesic(ref, target, a), 0.7
        rejected = did.optimal_rejected(chosen, ref, target, beta)
        assert worst(rejected, simplex.geodesic(ref, target, a - beta)) < tolerance(condition=extent(MANY.ref, MANY.target))
        assert worst(rejected, simplex.geodesic(ref, target, a + beta)) > 0.1


def test_d9_cumulant_function_is_convex_and_vanishes_at_both_laws():
    ref, target = cast(np.float64, MANY.ref, MANY.target)
    times = np.linspace(-1.0, 2.0, 13)

    def curve(direction):
        return np.array([simplex.log_partition(ref, direction, t) for t in times])

    values = curve(target - ref)
    near = tolerance(condition=extent(MANY.ref, MANY.target))
    assert np.all(np.diff(values, 2, axis=0) > -near)
    assert np.abs(values[[4, 8]]).max() < near
    assert np.abs(curve(target - 2 * ref)[[4, 8]]).max() > 0.1


def point(t):
    """Law at the place ``t`` of each world's path, and the cumulant function there, in plain NumPy."""
    weights = SOME.ref + np.asarray(t)[..., None] * (SOME.target - SOME.ref)
    law = oracles.normalize(weights)
    return np.exp(law), (weights - law)[..., 0]


def mean(law, values):
    return np.sum(law * values, -1)


@pytest.mark.parametrize("dtype", sampled(reversed(DTYPES), 2))
def test_d9_law_cumulant_slope_and_curvature(dtype):
    ref, target, t = (jnp.asarray(a, dtype) for a in (SOME.ref, SOME.target, SOME.times))
    law, cumulant = point(SOME.times)
    s = SOME.target - SOME.ref
    first = mean(law, s)
    near(jnp.exp(path_law(ref, target, t)), law, dtype=dtype)
    near(path_cumulant(ref, target, t), cumulant, dtype=dtype)
    near(path_slope(ref, target, t), first, dtype=dtype)
    near(path_curvature(ref, target, t), mean(law, (s - first[:, None]) ** 2), dtype=dtype)


@pytest.mark.slow  # the test above has both by hand
def test_d9_slope_and_curvature_are_derivatives_of_the_cumulant():
    def cumulant(t, ref, target):
        return did.path_cumulant(ref, target, t)

    arguments = jnp.asarray(SOME.times), jnp.asarray(SOME.ref), jnp.asarray(SOME.target)
    near(path_slope(*arguments[1:], arguments[0]), jax.jit(jax.vmap(jax.grad(cumulant)))(*arguments), condition=100.0)
    curvature = jax.jit(jax.vmap(jax.grad(jax.grad(cumulant))))(*arguments)
    np.testing.assert_allclose(path_curvature(*arguments[1:], arguments[0]), curvature, rtol=1e-9, atol=1e-11)


def test_d9_ends_of_the_path():
    ref, target = jnp.asarray(SOME.ref), jnp.asarray(SOME.target)
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
    np.testing.assert_allclose(path_slope(jnp.asarray(ref), jnp.asarray(target), 0.2), -0.3 * variance, rtol=slack)
    np.testing.assert_allclose(path_cumulant(jnp.asarray(ref), jnp.asarray(target), 0.2), -0.08 * variance, rtol=slack)


@pytest.mark.parametrize("dtype", DTYPES)
def test_d10_critical_beta_is_the_root(dtype):
    got = did.critical_beta(jnp.asarray(SOME.ref, dtype), jnp.asarray(SOME.target, dtype))
    s = SOME.target - SOME.ref
    for row in range(0, SOME.count, 10):

        def slope(t, row=row):
            law = np.exp(oracles.normalize(SOME.ref[row] + t * s[row]))
            return float(np.sum(law * s[row]))

        wanted = optimize.brentq(slope, 0.0, 1.0, xtol=1e-15)
        assert abs(float(got[row]) - wanted) < tolerance(dtype, condition=1e3)


def test_d10_critical_beta_alone_is_that_in_a_batch_and_one_half_in_the_limit():
    ref, target = jnp.asarray(SOME.ref), jnp.asarray(SOME.target)
    batch = did.critical_beta(ref, target)
    assert_close(jax.jit(jax.vmap(did.critical_beta))(ref, target), batch)
    near(did.critical_beta(ref[0], target[0]), batch[0])
    assert_close(did.critical_beta(ref, ref), jnp.full(SOME.count, 0.5))
    close = oracles.normalize(SOME.ref + 1e-6 * np.random.default_rng(3).standard_normal((SOME.count, N)))
    assert float(jnp.abs(did.critical_beta(ref, jnp.asarray(close)) - 0.5).max()) < 1e-4


def test_d10_far_laws_have_a_root_too():
    ref, target = oracles.log_laws(30, (50, N), widest=300.0), oracles.log_laws(31, (50, N), widest=300.0)
    got = did.critical_beta(jnp.asarray(ref), jnp.asarray(target))
    law = np.exp(oracles.normalize(ref + np.asarray(got)[:, None] * (target - ref)))
    assert np.all((np.asarray(got) > 0) & (np.asarray(got) < 1))
    assert np.max(np.abs(mean(law, target - ref)) / np.abs(target - ref).max(-1)) < 1e-10


def test_d10_general_reference():
    for chosen, rejected, ref in (
        (SOME.chosen, SOME.rejected, SOME.ref),
        (SOME.ref, SOME.rejected, SOME.ref),
        (SOME.chosen, SOME.ref, SOME.ref),
    ):
        log_z = np.log(np.sum(np.exp(ref + (chosen - rejected) / SOME.betas[:, None]), -1))
        s = (chosen - rejected) / SOME.betas[:, None]
        got = did.displacement(chosen, rejected, ref, SOME.betas)
        near(got.chosen, mean(np.exp(chosen), s) - log_z, condition=1e3)
        near(got.rejected, mean(np.exp(rejected), s) - log_z, condition=1e3)
        near(got.gap, did.learned_margin(jnp.asarray(chosen), jnp.asarray(rejected), jnp.asarray(SOME.betas)), condition=1e3)


def test_d10_on_the_path_it_is_the_slope():
    ref, target, place = jnp.asarray(SOME.ref), jnp.asarray(SOME.target), jnp.asarray(SOME.times)
    for beta in (0.3, 1.0, 2.0):
        got = did.path_displacement(ref, target, place, beta)
        chosen, rejected = did.path_law(ref, target, place), did.path_law(ref, target, place - beta)
        general = did.displacement(chosen, rejected, ref, beta)
        near(got.chosen, general.chosen, condition=1e3)
        near(got.rejected, general.rejected, condition=1e3)
        # The control: the same data against another reference is displaced otherwise.
        elsewhere = jnp.abs(did.displacement(chosen, rejected, SOME.chosen, beta).chosen - got.chosen)
        assert float(jnp.median(elsewhere[SOME.count // 2 :])) > 1e-2  # in wide worlds


def test_d10_renyi_forms():
    chosen, rejected, beta = jnp.asarray(SOME.chosen), jnp.asarray(SOME.rejected), jnp.asarray(SOME.betas).at[0].set(1.0)
    for closed, reference in ((did.displacement_from_chosen, chosen), (did.displacement_from_rejected, rejected)):
        got, wanted = closed(chosen, rejected, beta), did.displacement(chosen, rejected, reference, beta)
        near(got.chosen, wanted.chosen, condition=1e3)
        near(got.rejected, wanted.rejected, condition=1e3)
    both = did.displacement_from_chosen(chosen, rejected, beta)
    assert bool(jnp.all((both.rejected < both.chosen) & (both.chosen < 0)))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_d10_chosen_never_rises_from_the_chosen_reference(scale):
    """``chosen = -KL(π_w‖π_θ)``, summed without cancellation; masses, rounded by the size of their logs, times divergences."""
    chosen, rejected = oracles.normalize(scale * np.random.default_rng(5).standard_normal((2, 300, 5)))
    for beta in (0.5, 3.0):
        got = np.asarray(did.displacement_from_chosen(jnp.asarray(chosen), jnp.asarray(rejected), beta).chosen)
        learned = oracles.normalize(chosen + (chosen - rejected) / beta)
        gap = np.exp(chosen) * (chosen - learned) + np.exp(learned) - np.exp(chosen)
        forward = simplex.kl(jnp.asarray(chosen), jnp.asarray(rejected)) / beta
        shared = simplex.renyi(jnp.asarray(chosen), jnp.asarray(rejected), 1.0 + 1.0 / beta) / beta
        assert np.all(got <= 0)
        size = 1.0 + (1.0 + 1.0 / beta) * np.abs(chosen - rejected).max(-1) + np.abs(chosen).max(-1)
        assert np.max(np.abs(got + gap.sum(-1)) / (size * (1.0 + np.asarray(forward + shared)))) < tolerance(factor=4.0)
        if (scale, beta) == (100.0, 0.5):  # control: the difference of the parts is above zero by rounding
            assert np.max(forward - shared) > 0


def test_d10_signs_from_the_rejected_reference():
    """With ``π_ref = π_l`` rejected always falls; chosen rises from ``β = 1`` on and changes sign at ``β_c``."""
    ref, target = jnp.asarray(SOME.ref), jnp.asarray(SOME.target)
    root = did.critical_beta(ref, target)
    for factor, sign in ((0.9, -1.0), (1.1, 1.0)):
        moved = did.path_displacement(ref, target, factor * root, factor * root)
        assert bool(jnp.all(moved.rejected < 0))
        assert bool(jnp.all(sign * moved.chosen > 0))
    at_one = did.path_displacement(ref, target, 1.5, 1.5).chosen
    assert bool(jnp.all(at_one >= simplex.kl(target, ref)))


def test_d10_before_convergence_any_policy():
    ref, policy, other = jnp.asarray(SOME.ref), jnp.asarray(SOME.rejected), jnp.asarray(SOME.chosen)
    near(did.mean_change(other, policy, ref), mean(np.exp(SOME.chosen), SOME.rejected - SOME.ref), condition=100.0)
    assert_close(did.mean_change(ref, policy, ref), -simplex.kl(ref, policy))
    assert bool(jnp.any(did.mean_change(other, policy, ref) > 0))  # the control: other draws may gain


def test_many_responses_and_leading_axes():
    n = 100_000
    rng = np.random.default_rng(0)
    ref, target = (oracles.normalize(rng.standard_normal(n)) for _ in range(2))
    root = did.critical_beta(ref, target)
    assert abs(float(did.path_slope(jnp.asarray(ref), jnp.asarray(target), root))) < 1e-12
    moved = did.displacement(ref, did.optimal_rejected(ref, ref, target, 0.5), ref, 0.5)
    np.testing.assert_allclose(moved.chosen, -oracles.kl(np.exp(ref), np.exp(target)), rtol=1e-10)
    shaped = did.displacement(*(a.reshape(20, 20, N) for a in (SOME.chosen, SOME.rejected, SOME.ref)), 0.5)
    flat = did.displacement(SOME.chosen, SOME.rejected, SOME.ref, 0.5)
    assert_close(shaped.chosen.reshape(-1), flat.chosen, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: did.critical_beta(h, oracles.log([1.0, 0.0])), "`log_target` must give every response some mass"),
        (lambda h: did.critical_beta(h, oracles.log([0.2, 0.3, 0.5])), "`log_target` must have as many responses"),
        (lambda h: did.displacement(h, h, h, -1.0), "`beta` must be positive and finite, but is -1"),
        (lambda h: did.displacement(h, h + 1.0, h, 1.0), "`log_rejected` must be normalised"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call(oracles.log([0.5, 0.5]))
