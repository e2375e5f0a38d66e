"""D1-D4 and D7-D9 over thousands of random worlds in one batched call each; every law has a twin that must fail it."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from tolerance import tolerance

from didsim import did, simplex
from didsim.did import order
from didsim.numerics.checks import ArgumentError
from didsim.worlds.preferences import BradleyTerry

B, N = 2000, 6
DTYPES = (np.float32, np.float64)
BETAS = np.geomspace(0.05, 20.0, B)
REF, TARGET, CHOSEN, REJECTED = (oracles.log_laws(10 + i, (B, N)) for i in range(4))
TARGET = np.roll(TARGET, B // 3, axis=0)  # so that wide and narrow laws meet


def worst(got, wanted, *, scale=1.0) -> float:
    """Largest gap between two batches, in units of ``scale``, after widening."""
    return float(np.max(np.abs(np.asarray(got, np.float64) - np.asarray(wanted, np.float64)) / scale))


def cast(dtype, *arrays):
    return [jnp.asarray(a, dtype) for a in arrays]


def extent(*log_laws) -> float:
    """Largest magnitude among the logs: what one rounding unit is multiplied with."""
    return 1.0 + max(float(np.abs(np.asarray(a)).max()) for a in log_laws)


# D1


@pytest.mark.parametrize("dtype", DTYPES)
def test_d1_likelihood_ratio(dtype):
    q = did.log_did(*cast(dtype, TARGET, REF))
    assert q.dtype == dtype
    assert worst(jnp.exp(q), oracles.rows(oracles.did, np.exp(TARGET), np.exp(REF))) < tolerance(
        dtype, condition=extent(REF, TARGET)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_d1_bayes_update_by_the_did_gives_the_target_back(dtype):
    ref, target = cast(dtype, REF, TARGET)

    def distance(q):
        return worst(simplex.normalize(ref + q), target)

    near = tolerance(dtype, condition=extent(REF, TARGET))
    assert distance(did.log_did(target, ref)) < near
    assert distance(target) > 0.1  # the target itself is no likelihood
    assert distance(did.log_did(ref, target)) > 0.1  # nor is the ratio upside down


def test_d1_it_is_the_only_such_law():
    """Any law q is recovered from the posterior that it makes, so two likelihoods never share a posterior."""
    ref, q = cast(np.float64, REF, TARGET)
    near = tolerance(condition=extent(REF, TARGET))
    assert worst(did.log_did(simplex.normalize(ref + q), ref), q) < near
    assert worst(did.log_did(simplex.geodesic(ref, q, 0.5), ref), q) > 0.1  # the control: half of the evidence


def test_d1_event_with_that_likelihood_has_the_target_as_posterior():
    ref, target = cast(np.float64, REF[-1], TARGET[-1])
    likelihood = did.evidence_likelihood(target, ref)
    assert float(likelihood.max()) == 0.0
    rng = np.random.default_rng(5)
    drawn = rng.choice(N, size=200_000, p=np.exp(REF[-1]))

    def observed(log_likelihood):
        seen = drawn[rng.random(drawn.size) < np.exp(np.asarray(log_likelihood))[drawn]]
        return oracles.p_value(np.bincount(seen, minlength=N), np.exp(TARGET[-1]))

    assert observed(likelihood) > 1e-4
    assert observed(0.8 * likelihood) < 1e-6


def test_d1_zero_masses():
    p, ref = oracles.log([[0.5, 0.5, 0.0]]), oracles.log([[0.2, 0.4, 0.4]])
    np.testing.assert_allclose(np.exp(did.log_did(p, ref)), [[2 / 3, 1 / 3, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(np.exp(did.log_did(p, p)), [[0.5, 0.5, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(did.did_entropy(jnp.asarray(p), jnp.asarray(ref)), [np.log(3) - 2 / 3 * np.log(2)], rtol=1e-14)


# D2


@pytest.mark.parametrize("dtype", DTYPES)
def test_d2_algebra(dtype):
    a, b, c = cast(dtype, TARGET, REF, CHOSEN)
    near = tolerance(dtype, condition=extent(TARGET, REF, CHOSEN))
    assert worst(did.log_did(a, a), -np.log(N)) < near
    assert worst(did.log_did(b, a), simplex.normalize(-did.log_did(a, b))) < near
    assert worst(did.log_did(a, c), did.compose(did.log_did(a, b), did.log_did(b, c))) < near
    assert worst(did.log_did(a, c), did.compose(did.log_did(a, b), did.log_did(c, b))) > 0.1


@pytest.mark.parametrize("t", [-1.0, 0.3, 2.0])
def test_d2_powers_follow_the_geodesic_and_not_the_mixture(t):
    ref, target = cast(np.float64, REF, TARGET)
    power = simplex.normalize(t * did.log_did(target, ref))
    near = tolerance(condition=extent(REF, TARGET))
    assert worst(did.log_did(simplex.geodesic(ref, target, t), ref), power) < near
    if 0 < t < 1:
        mixture = jnp.log((1 - t) * jnp.exp(ref) + t * jnp.exp(target))
        assert worst(did.log_did(mixture, ref), power) > 0.1


# D3


def test_d3_independent_draws_are_bradley_terry_in_the_log_did():
    joint = np.exp(CHOSEN[:, :, None] + REJECTED[:, None, :])
    model = BradleyTerry().matrix(did.log_did(*cast(np.float64, CHOSEN, REJECTED)))
    assert worst(model, oracles.chosen_given_pair(joint)) < tolerance(condition=extent(CHOSEN, REJECTED))
    pull = np.random.default_rng(6).standard_normal((N, N))
    correlated = joint * np.exp(pull)
    assert worst(model, oracles.chosen_given_pair(correlated)) > 0.1
    # Only correlation that depends on the order matters: a symmetric one (no equal pairs, say) cancels in Bayes' rule.
    symmetric = joint * np.exp(pull + pull.T)
    assert worst(model, oracles.chosen_given_pair(symmetric)) < tolerance(condition=extent(CHOSEN, REJECTED, 2 * pull))


# D4


@pytest.mark.parametrize("dtype", DTYPES)
def test_d4_under_the_power_law_preferences_carry_the_did(dtype):
    chosen, ref, target, beta = cast(dtype, CHOSEN, REF, TARGET, BETAS)
    wanted = oracles.bradley_terry(BETAS[:, None] * (TARGET - REF))

    def gap(rejected):
        return worst(BradleyTerry().matrix(did.log_did(chosen, rejected)), wanted)

    near = tolerance(dtype, condition=20.0 * extent(REF, TARGET, CHOSEN))
    assert gap(did.optimal_rejected(chosen, ref, target, beta)) < near
    assert gap(did.optimal_rejected(chosen, ref, target, 1.1 * beta)) > 0.02
    assert gap(jnp.asarray(REJECTED, dtype)) > 0.1


# D5 and D7


@pytest.mark.parametrize("dtype", DTYPES)
def test_d7_best_rejected_law_teaches_the_target(dtype):
    chosen, ref, target, beta = cast(dtype, CHOSEN, REF, TARGET, BETAS)

    def gap(rejected):
        return worst(did.learned_policy(chosen, rejected, ref, beta), target, scale=(1.0 + 1.0 / BETAS)[:, None])

    near = tolerance(dtype, condition=20.0 * extent(REF, TARGET, CHOSEN))
    assert gap(did.optimal_rejected(chosen, ref, target, beta)) < near
    assert gap(did.optimal_rejected(chosen, ref, target, 1.1 * beta)) > 0.02  # β' ≠ β stops elsewhere on the geodesic
    assert gap(did.optimal_rejected(chosen, target, ref, beta)) > 0.1


def test_d5_population_gradient_vanishes_at_the_learned_policy():
    rows = range(0, B, 100)
    got = np.asarray(did.learned_policy(*cast(np.float64, CHOSEN, REJECTED, REF, BETAS)))

    def steepest(logits):
        return max(np.abs(oracles.dpo_gradient(logits[i], REF[i], CHOSEN[i], REJECTED[i], BETAS[i])).max() for i in rows)

    assert steepest(got) < tolerance(condition=20.0)
    assert steepest(TARGET) > 1e-3


def test_d5_wrong_inverse_temperature_lands_on_the_geodesic():
    chosen, ref, target = cast(np.float64, CHOSEN, REF, TARGET)
    rejected = did.optimal_rejected(chosen, ref, target, 0.5)
    got = did.learned_policy(chosen, rejected, ref, 2.0)
    assert worst(got, simplex.geodesic(ref, target, 0.25)) < tolerance(condition=extent(REF, TARGET, CHOSEN))
    assert worst(got, target) > 0.1


def test_d6_reference_free_limit_is_the_did_under_the_power_law():
    chosen, ref, target = cast(np.float64, CHOSEN, REF, TARGET)
    rejected = did.optimal_rejected(chosen, ref, target, 0.5)
    got = did.reference_free_limit(chosen, rejected, 0.5)
    assert worst(got, did.log_did(target, ref)) < tolerance(condition=extent(REF, TARGET, CHOSEN))
    assert worst(got, target) > 0.1


# D8


def test_d8_margin_slope_is_least_squares_over_pairs():
    u, v = TARGET[::100], REF[::100]
    slope, residual = order.margin_slope(jnp.asarray(u), jnp.asarray(v))
    np.testing.assert_allclose(np.stack([slope, residual], -1), oracles.rows(oracles.pair_slope, u, v), rtol=1e-9)


def test_d8_margins_are_proportional_and_ordered_under_the_power_law():
    chosen, ref, target, beta = cast(np.float64, CHOSEN, REF, TARGET, BETAS)
    rejected = did.optimal_rejected(chosen, ref, target, beta)
    slope, residual = order.margin_slope(chosen - rejected, target - ref)
    # Margins as small as 1e-3 sit on log-probabilities of order ten, so they carry that many rounding units less.
    small = np.abs(TARGET - REF - (TARGET - REF).mean(-1, keepdims=True)).max(-1) * np.minimum(BETAS, 1.0)
    assert worst(slope / beta, 1.0, scale=1.0 / small) < tolerance(condition=extent(REF, TARGET, CHOSEN))
    assert worst(residual, 0.0, scale=1.0 / small) < tolerance(condition=extent(REF, TARGET, CHOSEN))
    assert float(order.ordered_share(chosen - rejected, target - ref).min()) == 1.0
    _, off = order.margin_slope(chosen - jnp.asarray(REJECTED), target - ref)
    assert float(jnp.median(off)) > 0.1
    assert float(jnp.median(order.ordered_share(chosen - jnp.asarray(REJECTED), target - ref))) < 0.8


def test_d8_monotone_link_keeps_the_order_and_breaks_the_power_law():
    ref, gains = cast(np.float64, REF, 2.0 * np.random.default_rng(7).standard_normal((B, N)))
    target = simplex.tilt(ref, gains)
    rejected = simplex.tilt(ref, -jnp.sinh(gains))
    _, residual = order.margin_slope(ref - rejected, target - ref)
    assert float(order.ordered_share(ref - rejected, target - ref).min()) == 1.0
    assert float(jnp.median(residual)) > 0.01
    assert float(jnp.median(simplex.jsd(target, did.learned_policy(ref, rejected, ref, 1.0)))) > 1e-3


def test_d8_margins_of_the_three_laws_are_in_order():
    ref, target, beta = cast(np.float64, REF, TARGET, BETAS)
    rejected = did.optimal_rejected(ref, ref, target, beta)
    low, middle, high = (v[:, :, None] - v[:, None, :] for v in (rejected, ref, target))
    preferred = (ref - rejected)[:, :, None] - (ref - rejected)[:, None, :] > 1e-12
    assert bool(jnp.all(jnp.where(preferred, (low < middle) & (middle < high), True)))
    assert int(preferred.sum()) == B * N * (N - 1) // 2


def test_d8_mean_margin_is_jeffreys_over_beta():
    chosen, ref, target, beta = cast(np.float64, CHOSEN, REF, TARGET, BETAS)

    def gap(rejected):
        mean = simplex.expectation(chosen, target - ref) - simplex.expectation(rejected, target - ref)
        return worst(mean, simplex.jeffreys(chosen, rejected) / beta)

    assert gap(did.optimal_rejected(chosen, ref, target, beta)) < tolerance(condition=20.0 * extent(REF, TARGET, CHOSEN))
    assert gap(jnp.asarray(REJECTED)) > 0.1


def test_ordered_share_counts_pairs():
    u = jnp.array([0.0, 1.0, 2.0])
    assert float(order.ordered_share(u, u)) == 1.0
    assert float(order.ordered_share(u, -u)) == 0.0
    np.testing.assert_allclose(order.ordered_share(u, jnp.array([0.0, 2.0, 1.0])), 2 / 3)
    np.testing.assert_allclose(order.ordered_share(u, jnp.array([0.0, 0.0, 1.0])), 2 / 3)  # a tie orders nothing


# D9


def test_d9_rejected_laws_lie_on_the_geodesic_through_the_chosen_one():
    ref, target = cast(np.float64, REF, TARGET)
    for a in (0.0, 0.4, 1.0):
        chosen, beta = simplex.geodesic(ref, target, a), 0.7
        rejected = did.optimal_rejected(chosen, ref, target, beta)
        assert worst(rejected, simplex.geodesic(ref, target, a - beta)) < tolerance(condition=extent(REF, TARGET))
        assert worst(rejected, simplex.geodesic(ref, target, a + beta)) > 0.1


def test_d9_cumulant_function_is_convex_and_vanishes_at_both_laws():
    ref, target = cast(np.float64, REF, TARGET)
    times = np.linspace(-1.0, 2.0, 13)

    def curve(direction):
        return np.array([simplex.log_partition(ref, direction, t) for t in times])

    values = curve(target - ref)
    near = tolerance(condition=extent(REF, TARGET))
    assert np.all(np.diff(values, 2, axis=0) > -near)
    assert np.abs(values[[4, 8]]).max() < near
    assert np.abs(curve(target - 2 * ref)[[4, 8]]).max() > 0.1


# Batches, dtypes, extremes


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_responses_and_nearly_sure_laws(dtype):
    sure = jnp.asarray([-1e-30, -80.0], dtype)
    even = jnp.log(jnp.asarray([0.5, 0.5], dtype))
    q = did.log_did(sure, even)
    assert_close(q, sure)
    rejected = did.optimal_rejected(even, even, sure, 0.1)
    assert_close(did.learned_policy(even, rejected, even, 0.1), sure, atol=tolerance(dtype, condition=800.0))


def test_beta_broadcasts_over_leading_axes():
    chosen, rejected, ref = cast(np.float64, CHOSEN[:6], REJECTED[:6], REF[:6])
    betas = jnp.array([0.5, 1.0, 2.0])
    got = did.learned_policy(*(a.reshape(2, 3, N) for a in (chosen, rejected, ref)), betas)
    for i in range(2):
        for j, beta in enumerate((0.5, 1.0, 2.0)):
            row = 3 * i + j
            assert_close(got[i, j], did.learned_policy(chosen[row], rejected[row], ref[row], beta))


def test_jit_agrees():
    chosen, rejected, ref, beta = cast(np.float64, CHOSEN, REJECTED, REF, BETAS)
    for function, arguments in (
        (did.log_did, (chosen, ref)),
        (did.learned_policy, (chosen, rejected, ref, beta)),
        (did.optimal_rejected, (chosen, ref, rejected, beta)),
    ):
        wanted = function(*arguments)
        assert_close(jax.jit(function)(*arguments), wanted, rtol=tolerance(), atol=tolerance(condition=10.0))


# Errors

HALF, SURE, THIRDS = oracles.log([0.5, 0.5]), oracles.log([1.0, 0.0]), oracles.log([1 / 3] * 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: did.log_did(HALF, SURE),
            "`log_ref` must have mass wherever `log_p` has, but is zero at index 1 where `log_p` is 0.5",
        ),
        (lambda: did.log_did(np.exp(HALF), HALF), "`log_p` must be normalised"),
        (lambda: did.log_did(HALF, np.array([0.0, np.nan])), "`log_ref` must hold log-probabilities"),
        (lambda: did.log_did(HALF, THIRDS), "`log_ref` must have as many responses as `log_p`, 2, but has 3"),
        (lambda: did.log_did(np.stack([HALF] * 2), np.stack([HALF] * 3)), "`log_ref` must have prompts that match `log_p`"),
        (
            lambda: did.learned_policy(HALF, SURE, HALF, 1.0),
            "`log_rejected` must give every response some mass, but is -inf at index 1",
        ),
        (
            lambda: did.learned_policy(SURE, HALF, HALF, 1.0),
            "`log_chosen` must give every response some mass, but is -inf at index 1",
        ),
        (
            lambda: did.learned_policy(HALF, HALF, THIRDS, 1.0),
            "`log_ref` must have as many responses as `log_chosen`, 2, but has 3",
        ),
        (lambda: did.learned_policy(HALF, HALF, HALF, 0.0), "`beta` must be positive and finite, but is 0"),
        (lambda: did.learned_policy(HALF, HALF, HALF, np.inf), "`beta` must be positive and finite, but is inf"),
        (
            lambda: did.optimal_rejected(HALF, HALF, SURE, 1.0),
            "`log_target` must give every response some mass, but is -inf at index 1",
        ),
        (lambda: did.optimal_rejected(HALF, HALF, HALF, -2.0), "`beta` must be positive and finite, but is -2"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call()
