"""D13: the estimator, its errors and intervals against loops, exact enumeration of all samples, and NumPy's bootstrap."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from random_laws import DTYPES, Drawn
from sampling import sampled
from scipy import stats
from tolerance import tolerance

from didsim import did
from didsim.did import estimation, estimators
from didsim.did.estimation import estimate_length_normalised_did_entropy
from didsim.numerics.checks import ArgumentError

N = 4
self_normalised_entropy, jackknife = jax.jit(estimators.self_normalised_entropy), jax.jit(estimators.jackknife)
delta_error, asymptotic_moments = jax.jit(estimators.delta_error), jax.jit(estimators.asymptotic_moments)
bootstrap = jax.jit(estimators.bootstrap, static_argnums=3)
jackknife_interval = jax.jit(estimators.jackknife_interval, static_argnums=(3, 4))
effective_sample_size, pareto_shape = jax.jit(did.effective_sample_size), jax.jit(did.pareto_shape)


L = Drawn(
    ref=lambda: oracles.log_laws(40, (3, N), widest=1.0)[-1],
    target=lambda: oracles.log_laws(41, (3, N), widest=1.0)[-1],
    exact=lambda: oracles.entropy(oracles.did(np.exp(L.target), np.exp(L.ref))),
)


def plug_in(log_u, s) -> float:
    u = np.exp(log_u - log_u.max())
    return log_u.max() + math.log(sum(u) / len(u)) - sum(a * b for a, b in zip(u, s, strict=True)) / sum(u)


def without(log_u, s) -> np.ndarray:
    return np.array([plug_in(np.delete(log_u, k), np.delete(s, k)) for k in range(len(s))])


def random_draws(seed: int, k: int, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    s = scale * rng.standard_normal((5, k))
    return s + scale * rng.standard_normal((5, k)) - 3.0, s


def all_samples(k: int, law=None, ref=None):
    """Every way to draw k responses from the law up to order: its probability, log-weights and log-ratios."""
    law, ref = (L.target if law is None else law), (L.ref if ref is None else ref)
    rows = np.array(list(itertools.combinations_with_replacement(range(N), k)))
    counts = np.stack([(rows == y).sum(-1) for y in range(N)], axis=-1)
    return stats.multinomial.pmf(counts, k, np.exp(law)), -ref[rows], (law - ref)[rows]


# The estimate and its errors


@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, 1.0), (np.float32, 1.0), (np.float64, 40.0)])
def test_value_and_jackknife_are_those_of_loops(dtype, scale):
    """Also where one weight holds nearly everything, and leaving it out changes the scale of all others."""
    log_u, s = random_draws(1, 12, scale)
    values = [plug_in(*pair) for pair in zip(log_u, s, strict=True)]
    left_out = [without(*pair) for pair in zip(log_u, s, strict=True)]
    bias = [11 * (d.mean() - v) for d, v in zip(left_out, values, strict=True)]
    error = [math.sqrt(11 / 12 * sum((d - d.mean()) ** 2)) for d in left_out]
    near = {"rtol": 1e-11 if dtype == np.float64 else 2e-4}
    got = jnp.asarray(log_u, dtype), jnp.asarray(s, dtype)
    np.testing.assert_allclose(self_normalised_entropy(*got), values, **near)
    found_bias, found_error = jackknife(*got)
    np.testing.assert_allclose(found_bias, bias, **near)
    np.testing.assert_allclose(found_error, error, **near)
    assert found_error.dtype == dtype


def test_delta_error_is_the_derivative_in_the_weight_of_each_draw():
    """ψ_k is what the estimate changes by, per share of probability moved to draw k."""
    log_u, s = random_draws(2, 12)
    wanted = []
    for one_u, one_s in zip(log_u, s, strict=True):
        u, step, influence = np.exp(one_u), 1e-6, []
        for k in range(12):
            ends = []
            for move in (step, -step):
                p = (1 - move) * np.full(12, 1 / 12) + move * np.eye(12)[k]
                ends.append(math.log(p @ u) - (p @ (u * one_s)) / (p @ u))
            influence.append((ends[0] - ends[1]) / (2 * step))
        wanted.append(math.sqrt(sum(i * i for i in influence) / (12 * 11)))
    np.testing.assert_allclose(delta_error(jnp.asarray(log_u), jnp.asarray(s)), wanted, rtol=1e-7)


def test_bias_and_variance_are_those_of_all_samples():
    """Enumerating every sample of K: K·bias and K·variance approach the coefficients, with errors that halve with 1/K."""
    b, v = (float(x) for x in asymptotic_moments(*(jnp.asarray(a) for a in (L.target, L.ref, L.target))))
    gaps = []
    for k in (12, 24):
        chance, log_u, s = all_samples(k)
        values = np.asarray(self_normalised_entropy(jnp.asarray(log_u), jnp.asarray(s)))
        mean = chance @ values
        gaps.append((k * (mean - L.exact) - b, k * (chance @ (values - mean) ** 2) - v))
    for coarse, fine in zip(*gaps, strict=True):
        assert 1.5 < coarse / fine < 2.6
    assert abs(gaps[1][0]) < 0.3 * abs(b)
    assert abs(gaps[1][1]) < 0.3 * v
    assert b < 0  # the estimator looks less spread out than the truth


def test_jackknife_removes_the_leading_bias():
    chance, log_u, s = all_samples(24)
    bias, _ = jackknife(jnp.asarray(log_u), jnp.asarray(s))
    values = np.asarray(self_normalised_entropy(jnp.asarray(log_u), jnp.asarray(s)))
    assert abs(chance @ (values - np.asarray(bias)) - L.exact) < 0.15 * abs(chance @ values - L.exact)


def test_moments_hold_for_another_proposal_and_know_the_weights():
    even, proposal = np.full(N, -math.log(N)), oracles.normalize(0.5 * L.target)
    b, v = asymptotic_moments(jnp.asarray(L.target), jnp.asarray(L.ref), jnp.asarray(proposal))
    rng = np.random.default_rng(3)
    y = rng.choice(N, (20_000, 256), p=np.exp(proposal))
    s = (L.target - L.ref)[y]
    values = np.asarray(self_normalised_entropy(jnp.asarray(s - proposal[y]), jnp.asarray(s)))
    assert abs(256 * values.var() / float(v) - 1) < 0.06
    assert abs(values.mean() - L.exact - float(b) / 256) < 4.5 * values.std() / math.sqrt(20_000) + 0.1 * abs(float(b)) / 256
    q = oracles.did(np.exp(L.target), np.exp(L.ref))
    moment = float(estimators.weight_second_moment(jnp.asarray(np.log(q)), jnp.asarray(L.target)))
    np.testing.assert_allclose(moment, sum(q**2 / np.exp(L.target)), rtol=1e-13)
    drawn = rng.choice(N, (200_000,), p=np.exp(L.target))
    assert abs(200_000 / float(effective_sample_size(jnp.asarray(-L.ref[drawn]))) / moment - 1) < 0.02
    zero, nothing = asymptotic_moments(*(jnp.asarray(even),) * 3)
    assert abs(float(zero)) + abs(float(nothing)) < tolerance()


def test_bootstrap_is_numpys():
    """Four draws have 256 equally likely resamples: the mean and spread over them are known exactly."""
    log_u, s = random_draws(4, 4, 0.5)
    resamples = np.array(list(itertools.product(range(4), repeat=4)))
    exact = np.array([[plug_in(log_u[i][r], s[i][r]) for r in resamples] for i in range(5)])
    draws = np.asarray(bootstrap(jax.random.key(0), jnp.asarray(log_u), jnp.asarray(s), 4000))
    z = (draws.mean(0) - exact.mean(1)) / (exact.std(1) / math.sqrt(4000))
    assert np.abs(z).max() < 4.5
    assert np.abs(draws.std(0) / exact.std(1) - 1).max() < 0.06
    assert np.abs(draws[:, :, None] - exact[None]).min(-1).max() < 1e-12  # every one of them is a resample
    ends = np.asarray(estimators.percentile_interval(jnp.asarray(draws), 0.9))
    np.testing.assert_allclose(ends, np.quantile(draws, [0.05, 0.95], axis=0).T, rtol=1e-12)


def test_intervals_have_the_level_asked_for():
    value, error = jnp.asarray([1.0]), jnp.asarray([0.1])
    np.testing.assert_allclose(estimators.delta_interval(value, error, 0.95), [[1 - 0.1959964, 1 + 0.1959964]], rtol=1e-6)
    reach = 0.1 * stats.t.ppf(0.95, 9)
    got = jackknife_interval(value, jnp.asarray([0.3]), error, 0.9, 10)
    np.testing.assert_allclose(got, [[0.7 - reach, 0.7 + reach]], rtol=1e-12)


def test_coverage_by_enumeration():
    """Exact coverage on four responses, no sampling error: near nominal for mild weights at K = 32, far off for heavy ones."""
    found = {}
    for name, scale in (("mild", 0.4), ("heavy", 4.0)):
        ref = oracles.normalize(scale * np.array([1.0, 0.3, -0.4, -0.9]))
        law = oracles.normalize(ref + 0.4 * np.array([0.5, -1.0, 0.7, -0.2]))
        exact = oracles.entropy(oracles.did(np.exp(law), np.exp(ref)))
        chance, log_u, s = (jnp.asarray(a) for a in all_samples(32, law, ref))
        bias, error = jackknife(log_u, s)
        ends = jackknife_interval(self_normalised_entropy(log_u, s), bias, error, 0.95, 32)
        found[name] = float(jnp.sum(chance * ((ends[:, 0] <= exact) & (exact <= ends[:, 1]))))
    assert 0.90 < found["mild"] < 0.98
    assert found["heavy"] < 0.7


# The checked entry


@pytest.mark.parametrize("dtype", sampled(reversed(DTYPES), 2))
def test_the_record_holds_what_the_parts_say(dtype):
    rng = np.random.default_rng(5)
    y = rng.choice(N, (2, 3, 64), p=np.exp(L.target))
    log_p, log_ref = (jnp.asarray(a[y], dtype) for a in (L.target, L.ref))
    got = did.estimate_did_entropy(log_p, log_ref, level=0.9, resamples=50)
    value = np.asarray(self_normalised_entropy(-log_ref, log_p - log_ref))
    bias, error = jackknife(-log_ref, log_p - log_ref)
    near = {"rtol": 1e-12 if dtype == np.float64 else 1e-4}
    np.testing.assert_allclose(got.value, value, **near)
    np.testing.assert_allclose(got.corrected, value - np.asarray(bias), **near)
    np.testing.assert_allclose(got.jackknife_error, error, **near)
    np.testing.assert_allclose(got.effective, effective_sample_size(-log_ref), **near)
    np.testing.assert_allclose(got.log_z, np.log(np.exp(-np.asarray(log_ref, np.float64)).mean(-1)), **near)
    assert (got.samples, got.level) == (64, 0.9)
    assert got.bootstrap.shape == got.delta.shape == got.jackknife.shape == (2, 3, 2)
    assert got.value.dtype == got.bootstrap.dtype == dtype
    assert np.all(got.bootstrap[..., 0] < got.bootstrap[..., 1])
    shape = np.asarray(pareto_shape(-log_ref))
    np.testing.assert_array_equal(got.trusted, shape <= did.pareto_shape_limit(64))


@pytest.mark.slow
def test_draws_from_another_proposal_estimate_the_same_entropy():
    rng = np.random.default_rng(6)
    proposal = oracles.normalize(0.5 * L.target)
    y = rng.choice(N, (400, 2048), p=np.exp(proposal))
    got = did.estimate_did_entropy(L.target[y], L.ref[y], proposal[y], resamples=10)
    z = (float(got.value.mean()) - L.exact) / (float(got.value.std()) / 20)
    assert abs(z) < 4.5
    wrong = did.estimate_did_entropy(L.target[y], L.ref[y], resamples=10)  # as if drawn from π
    assert abs(float(wrong.value.mean()) - L.exact) / (float(wrong.value.std()) / 20) > 20


def test_trust_follows_the_tail():
    rng = np.random.default_rng(7)
    even, heavy = -rng.uniform(1.0, 1.1, 1000), -2.0 * rng.exponential(size=1000)
    assert bool(did.estimate_did_entropy(np.full(1000, -1.0), even, resamples=10).trusted)
    assert not bool(did.estimate_did_entropy(np.full(1000, -1.0), heavy, resamples=10).trusted)
    assert not bool(did.estimate_did_entropy(np.full(8, -1.0), even[:8], resamples=10).trusted)  # eight draws know nothing


def test_length_normalised_is_a_law_of_its_own():
    rng = np.random.default_rng(8)
    lengths = np.array([1.0, 2.0, 3.0, 2.0])
    exact = oracles.entropy(np.exp(oracles.normalize((L.target - L.ref) / lengths)))
    assert abs(exact - L.exact) > 0.01
    y = rng.choice(N, (400, 2048), p=np.exp(L.target))
    got = estimate_length_normalised_did_entropy(L.target[y], L.ref[y], lengths[y], resamples=10)
    b, _ = asymptotic_moments(*(jnp.asarray(a) for a in (L.target, L.ref, L.target)))
    assert abs(float(got.value.mean()) - exact) < 4.5 * float(got.value.std()) / 20 + 3 * abs(float(b)) / 2048
    ones = estimate_length_normalised_did_entropy(L.target[y], L.ref[y], np.ones(y.shape), resamples=10)
    np.testing.assert_allclose(ones.value, did.estimate_did_entropy(L.target[y], L.ref[y], resamples=10).value, rtol=1e-12)


# Token level

V, T = 3, 2


@functools.cache
def tables(which: int):
    """Next-token laws of one policy: of the first token, and of the second after each first."""
    return oracles.log_laws(50 + which, (3, V))[-1], oracles.log_laws(60 + which, (V, V))


def next_laws(policy, y) -> np.ndarray:
    """Next-token laws along the sequences y of shape (k, 2)."""
    first, second = policy
    return np.stack([np.broadcast_to(first, (len(y), V)), second[y[:, 0]]], axis=1)


def exact_token_entropy(one, two) -> float:
    """``Σ_c P_π(c) H(q(·|c)) / Σ_c P_π(c)`` over the contexts of two-token sequences (derived; theory D13)."""
    met = np.exp(np.concatenate([[0.0], one[0]]))
    laws = (np.concatenate([first[None], second]) for first, second in (one, two))
    return float(met @ did.did_entropy(*(jnp.asarray(law) for law in laws)) / met.sum())


def test_token_level_is_exact_per_context():
    grid = np.array(list(itertools.product(range(V), repeat=2)))
    p, ref = next_laws(tables(0), grid), next_laws(tables(1), grid)
    log_sequence = tables(0)[0][grid[:, 0]] + tables(0)[1][grid[:, 0], grid[:, 1]]
    each = np.array(
        [
            [oracles.entropy(oracles.did(np.exp(a), np.exp(b))) for a, b in zip(*rows, strict=True)]
            for rows in zip(p, ref, strict=True)
        ]
    )
    wanted = (np.exp(log_sequence)[:, None] * each).sum() / 2
    np.testing.assert_allclose(exact_token_entropy(tables(0), tables(1)), wanted, rtol=1e-12)
    drawn = np.random.default_rng(9).choice(len(grid), (300, 200), p=np.exp(log_sequence))
    got = did.estimate_token_did_entropy(p[drawn], ref[drawn])
    inside = (got.interval[:, 0] <= wanted) & (wanted <= got.interval[:, 1])
    assert abs(float(inside.mean()) - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 300)
    assert abs(float(got.error.mean()) / float(got.value.std()) - 1) < 0.15


def test_token_level_times_length_is_sequence_level_only_for_independent_tokens():
    grid = np.array(list(itertools.product(range(V), repeat=2)))

    def sequence(policy):
        return policy[0][grid[:, 0]] + policy[1][grid[:, 0], grid[:, 1]]

    def gap(one, two):
        whole = oracles.entropy(oracles.did(np.exp(sequence(one)), np.exp(sequence(two))))
        return abs(whole - 2 * exact_token_entropy(one, two))

    apart = [(t[0], np.broadcast_to(t[1][-1], (V, V))) for t in (tables(0), tables(1))]
    assert gap(*apart) < tolerance(condition=10.0)
    assert gap(tables(0), tables(1)) > 1e-3


def test_masked_positions_do_not_count():
    grid = np.array([[0, 1], [2, 2], [1, 0]])
    p, ref = next_laws(tables(0), grid), next_laws(tables(1), grid)
    mask = np.array([[True, True], [True, False], [True, True]])
    each = np.array(
        [
            [oracles.entropy(oracles.did(np.exp(a), np.exp(b))) for a, b in zip(*rows, strict=True)]
            for rows in zip(p, ref, strict=True)
        ]
    )
    got = did.estimate_token_did_entropy(p, ref, mask)
    np.testing.assert_allclose(got.value, each[mask].mean(), rtol=1e-12)
    sizes, sums = mask.sum(-1), (each * mask).sum(-1)
    residual = (sums - each[mask].mean() * sizes) / sizes.mean()
    np.testing.assert_allclose(got.error, math.sqrt(sum(residual**2) / 6), rtol=1e-10)


# Sizes and errors


@pytest.mark.slow  # the same sums as of fewer
def test_many_draws():
    rng = np.random.default_rng(10)
    ref = -rng.uniform(1.0, 2.0, 100_000)
    got = did.estimate_did_entropy(np.full(100_000, -1.5), ref, resamples=20)
    assert np.isfinite(float(got.value))
    assert float(got.bootstrap[0]) <= float(got.bootstrap[1])
    assert abs(float(got.delta_error) / float(got.jackknife_error) - 1) < 1e-3


OK = np.array([-1.0, -2.0, -3.0])
LAWS = np.log(np.full((2, 2, 2), 0.5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: did.estimate_did_entropy(OK, OK[:2]), r"`log_ref` must have the shape of `log_p`, \(3,\), but has \(2,\)"),
        (lambda: did.estimate_did_entropy(OK, OK, OK[:2]), r"`log_proposal` must have the shape of `log_p`"),
        (lambda: did.estimate_did_entropy(OK[:1], OK[:1]), r"`log_p` must hold at least 2 draws on its last axis, but has"),
        (
            lambda: did.estimate_did_entropy(OK, np.array([-1.0, -np.inf, -1.0])),
            "`log_ref` must be finite, but is -inf",
        ),
        (
            lambda: did.estimate_did_entropy(np.exp(OK), OK),
            "`log_p` must hold log-probabilities, at most 0, but reaches",
        ),
        (lambda: did.estimate_did_entropy(OK, OK, level=1.0), r"`level` must be in \[0, 1\), but is 1"),
        (lambda: did.estimate_did_entropy(OK, OK, resamples=5), "`resamples` must be an integer of at least 10, but is 5"),
        (lambda: did.estimate_did_entropy(OK, OK, seed=-1), "`seed` must be an integer"),
        (
            lambda: estimate_length_normalised_did_entropy(OK, OK, np.zeros(3)),
            "`lengths` must be finite and at least 1",
        ),
        (lambda: estimate_length_normalised_did_entropy(OK, OK, np.ones(2)), "`lengths` must have the shape of `log_p`"),
        (lambda: did.estimate_token_did_entropy(LAWS[0], LAWS[0]), r"`log_p_next` must have shape \(..., k, t, v\) with k >= 2"),
        (lambda: did.estimate_token_did_entropy(LAWS, LAWS[:1]), "`log_ref_next` must have the shape of `log_p_next`"),
        (lambda: did.estimate_token_did_entropy(LAWS, np.exp(LAWS)), "`log_ref_next` must be normalised"),
        (lambda: did.estimate_token_did_entropy(LAWS, LAWS, np.zeros((2, 2), bool)), "`mask` must keep at least one"),
        (lambda: did.estimate_token_did_entropy(LAWS, LAWS, np.ones((2, 3), bool)), r"`mask` must have shape \(2, 2\), but has"),
        (lambda: did.estimate_token_did_entropy(LAWS, LAWS, level=-0.1), r"`level` must be in \[0, 1\), but is -0.1"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call()


def test_the_entry_compiles_once_per_shape():
    before = estimation._estimate.plain._cache_size()
    for seed in range(3):
        did.estimate_did_entropy(OK, OK, resamples=11, seed=seed)
    assert estimation._estimate.plain._cache_size() == before + 1
