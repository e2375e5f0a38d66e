"""How far apart are laws in log space: closed forms, NumPy loops, exact arithmetic for small distances, ends of the range?"""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from random_laws import DTYPES, Drawn
from tolerance import tolerance

from didsim import simplex

B, N = 200, 5
KL, JSD, RENYI, ENTROPY = (jax.jit(f) for f in (simplex.kl, simplex.jsd, simplex.renyi, simplex.entropy))


def some_without_mass():
    """Laws of which every third has a zero mass."""
    log_p = oracles.log_laws(1, (B, N))
    log_p[::3, 1] = -np.inf
    return oracles.normalize(log_p)


L = Drawn(
    log_p=some_without_mass,
    log_q=lambda: oracles.log_laws(2, (B, N))[::-1].copy(),
    p=lambda: np.exp(L.log_p),
    q=lambda: np.exp(L.log_q),
    values=lambda: np.random.default_rng(3).standard_normal((B, N)),
)


def law(*masses, dtype=np.float64):
    return jnp.asarray(oracles.log(masses), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        pytest.param(lambda p, q, f: simplex.entropy(p), lambda: oracles.rows(oracles.entropy, L.p), id="entropy"),
        pytest.param(lambda p, q, f: simplex.kl(p, q), lambda: oracles.rows(oracles.kl, L.p, L.q), id="kl"),
        pytest.param(lambda p, q, f: simplex.kl(q, p), lambda: oracles.rows(oracles.kl, L.q, L.p), id="kl-back"),
        pytest.param(
            lambda p, q, f: simplex.jeffreys(p, q),
            lambda: oracles.rows(lambda p, q: oracles.kl(p, q) + oracles.kl(q, p), L.p, L.q),
            id="jeffreys",
        ),
        pytest.param(lambda p, q, f: simplex.jsd(p, q), lambda: oracles.rows(oracles.jsd, L.p, L.q), id="jsd"),
        pytest.param(lambda p, q, f: simplex.jsd(q, p), lambda: oracles.rows(oracles.jsd, L.p, L.q), id="jsd-back"),
        pytest.param(
            lambda p, q, f: simplex.renyi(p, q, 0.5),
            lambda: oracles.rows(lambda p, q: oracles.renyi(p, q, 0.5), L.p, L.q),
            id="renyi-half",
        ),
        pytest.param(
            lambda p, q, f: simplex.renyi(p, q, 2.0),
            lambda: oracles.rows(lambda p, q: oracles.renyi(p, q, 2.0), L.p, L.q),
            id="renyi-2",
        ),
        pytest.param(
            lambda p, q, f: simplex.renyi(q, p, 3.0),
            lambda: oracles.rows(lambda p, q: oracles.renyi(p, q, 3.0), L.q, L.p),
            id="renyi-back",
        ),
        pytest.param(lambda p, q, f: simplex.expectation(p, f), lambda: (L.p * L.values).sum(-1), id="mean"),
        pytest.param(
            lambda p, q, f: simplex.cumulants(p, f), lambda: oracles.rows(oracles.cumulants, L.p, L.values), id="cumulants"
        ),
        pytest.param(
            lambda p, q, f: simplex.log_partition(p, f, 0.7),
            lambda: np.log((L.p * np.exp(0.7 * L.values)).sum(-1)),
            id="log-partition",
        ),
    ],
)
def test_against_numpy_loops(function, wanted, dtype):
    got = jax.jit(function)(*(jnp.asarray(a, dtype) for a in (L.log_p, L.log_q, L.values)))
    assert got.dtype == dtype
    near = tolerance(dtype, condition=10.0)
    np.testing.assert_allclose(np.asarray(got, np.float64), wanted(), rtol=near, atol=near)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_normalize_forgets_constants(dtype, shift):
    got = simplex.normalize(jnp.asarray(np.array([[0.0, 1.0, -3000.0], [2.0, -np.inf, 2.0]]) + shift, dtype))
    wanted = oracles.normalize(np.array([[0.0, 1.0, -3000.0], [2.0, -np.inf, 2.0]]))
    assert_close(got, wanted.astype(dtype), atol=tolerance(dtype, condition=1.0 + abs(shift)), rtol=tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform(dtype):
    assert_close(simplex.uniform(4, dtype), np.full(4, -np.log(4.0), dtype))
    assert simplex.uniform(4).dtype == np.float64


def test_clr_is_the_representative_that_sums_to_zero():
    centred = simplex.clr(jnp.asarray(L.log_q))
    assert_close(centred.sum(-1), np.zeros(B), atol=tolerance(condition=10.0))
    assert_close(simplex.normalize(centred), L.log_q, atol=tolerance(condition=10.0))


def test_tilt_and_geodesic_are_powers():
    half = np.sqrt(L.q * L.p)
    assert_close(jnp.exp(simplex.geodesic(jnp.asarray(L.log_p), jnp.asarray(L.log_q), 0.5)), half / half.sum(-1, keepdims=True))
    weights = L.p * np.exp(-1.5 * L.values)
    assert_close(
        jnp.exp(simplex.tilt(jnp.asarray(L.log_p), jnp.asarray(L.values), -1.5)), weights / weights.sum(-1, keepdims=True)
    )


@pytest.mark.parametrize(
    ("dtype", "distance"),
    [(np.float32, d) for d in (1e-1, 1e-3, 1e-5)] + [(np.float64, d) for d in (1e-1, 1e-3, 1e-6, 1e-9, 1e-12)],
)
def test_small_distances_keep_their_relative_accuracy(dtype, distance):
    step = distance * np.random.default_rng(4).standard_normal((B, N))
    p = np.asarray(oracles.log_laws(5, (B, N)), dtype)
    q = np.asarray(oracles.normalize(p.astype(np.float64) + step), dtype)
    # The floats sum to one only up to the rounding unit; that shift is a square smaller than the distance's square.
    slack = tolerance(dtype, factor=256.0) + (16 * np.finfo(dtype).eps / distance) ** 2
    for function, exact in ((KL, oracles.exact_kl), (JSD, oracles.exact_jsd)):
        wanted = oracles.rows(exact, p, q)
        worst = np.max(np.abs(np.asarray(function(jnp.asarray(p), jnp.asarray(q)), np.float64) / wanted - 1.0))
        assert worst < slack, exact.__name__


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 1.7, 3.0])
@pytest.mark.parametrize(("dtype", "distance"), [(np.float32, 1e-3), (np.float64, 1e-2), (np.float64, 1e-6), (np.float64, 1e-11)])
def test_renyi_keeps_its_relative_accuracy_for_close_laws(dtype, distance, alpha):
    step = distance * np.random.default_rng(4).standard_normal((B, N))
    p = np.asarray(oracles.log_laws(5, (B, N)), dtype)
    q = np.asarray(oracles.normalize(p.astype(np.float64) + step), dtype)
    wanted = oracles.rows(lambda a, b: oracles.exact_renyi(a, b, alpha), p, q)
    slack = tolerance(dtype, factor=256.0) + (16 * np.finfo(dtype).eps / distance) ** 2

    def worst(values):
        return np.max(np.abs(np.asarray(values, np.float64) / wanted - 1.0))

    assert worst(RENYI(jnp.asarray(p), jnp.asarray(q), alpha)) < slack
    if distance < 1e-10 and alpha != 1.0:  # the control: the definition as it stands loses everything
        assert worst(oracles.rows(lambda a, b: oracles.renyi(a, b, alpha), np.exp(p), np.exp(q))) > 1.0


def test_path_divergences_are_those_of_the_tilted_law():
    times = np.linspace(-1.0, 2.0, B)
    start, end = oracles.log_laws(6, (B, N)), L.log_q
    middle = oracles.normalize((1 - times[:, None]) * start + times[:, None] * end)
    got = jax.jit(simplex.path_divergences)(jnp.asarray(start), jnp.asarray(L.log_q), jnp.asarray(times))
    for mine, other in zip(got, (start, end), strict=True):
        wanted = oracles.rows(oracles.kl, np.exp(middle), np.exp(other))
        np.testing.assert_allclose(mine, wanted, rtol=tolerance(condition=10.0), atol=tolerance(condition=10.0))


def test_the_plain_sum_would_lose_a_small_distance():
    p = oracles.log_laws(5, (B, N))
    q = oracles.normalize(p + 1e-10 * np.random.default_rng(4).standard_normal((B, N)))
    plain, exact = oracles.rows(oracles.jsd, np.exp(p), np.exp(q)), oracles.rows(oracles.exact_jsd, p, q)
    assert np.max(np.abs(plain / exact - 1.0)) > 1e3


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends_of_the_range(dtype):
    sure, other, even = law(1, 0, dtype=dtype), law(0, 1, dtype=dtype), law(0.5, 0.5, dtype=dtype)
    two = np.log(2.0)
    near = {"rtol": tolerance(dtype), "atol": 0.0}
    np.testing.assert_allclose([JSD(sure, other), KL(sure, even), ENTROPY(even), RENYI(sure, even, 2.0)], two, **near)
    assert KL(even, sure) == KL(sure, other) == RENYI(even, sure, 2.0) == np.inf
    for same in (sure, even):
        assert KL(same, same) == JSD(same, same) == 0.0
    assert ENTROPY(sure) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_nearly_sure_laws_stay_finite(dtype):
    p = jnp.asarray([0.0, -300.0, -5000.0], dtype)
    q = p[::-1]
    np.testing.assert_allclose([KL(p, q), RENYI(p, q, 2.0)], 5000.0, rtol=tolerance(dtype))
    np.testing.assert_allclose(JSD(p, q), np.log(2.0), rtol=tolerance(dtype))


def test_no_mass_means_no_contribution():
    assert simplex.expectation(law(0.5, 0.5, 0), jnp.array([1.0, 3.0, jnp.nan])) == 2.0
    assert simplex.expectation(law(0.5, 0.5, 0), jnp.array([1.0, 3.0, jnp.inf])) == 2.0


def test_renyi_grows_with_alpha_through_kl():
    orders = [0.1, 0.5, 0.9, 1 - 1e-6, 1 + 1e-6, 1.5, 4.0]
    values = np.array([RENYI(jnp.asarray(L.log_p), jnp.asarray(L.log_q), alpha) for alpha in orders])
    assert np.all(np.diff(values, axis=0) > -1e-9)
    np.testing.assert_allclose((values[3] + values[4]) / 2, KL(jnp.asarray(L.log_p), jnp.asarray(L.log_q)), atol=1e-8)


def test_cumulants_of_a_coin_and_as_derivatives():
    p = 0.3
    got = simplex.cumulants(law(1 - p, p), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(got, [p, p * (1 - p), p * (1 - p) * (1 - 2 * p)], rtol=1e-14)
    row, values = jnp.asarray(L.log_q)[7], jnp.asarray(L.values)[7]

    def slope(t):
        return jax.grad(lambda s: simplex.log_partition(row, values, s))(t)

    derivatives = jax.jit(lambda t: [slope(t), jax.grad(slope)(t), jax.grad(jax.grad(slope))(t)])(0.0)
    np.testing.assert_allclose(simplex.cumulants(row, values), derivatives, atol=1e-13)


@pytest.mark.parametrize("function", [simplex.kl, simplex.jsd, simplex.jeffreys, lambda p, q: simplex.entropy(p)])
def test_gradients_in_free_logits_match_differences(function):
    logits = jnp.asarray(L.values)[0]

    @jax.jit
    def value(free):
        return function(simplex.normalize(free), jnp.asarray(L.log_q)[11])

    steps = 1e-6 * np.eye(N)
    differences = [(value(logits + step) - value(logits - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(jax.grad(value)(logits), differences, atol=1e-8)


@pytest.mark.parametrize("far", [-5000.0, -np.inf])
@pytest.mark.parametrize("function", [simplex.kl, simplex.jsd, lambda p, q: simplex.entropy(p)], ids=["kl", "jsd", "entropy"])
def test_gradients_stay_finite_without_mass(function, far):
    slope = jax.jit(jax.grad(lambda free, q: function(simplex.normalize(free), q)))
    values = slope(jnp.asarray([0.0, 1.0, far]), jnp.log(jnp.asarray([0.2, 0.3, 0.5])))
    assert bool(jnp.all(jnp.isfinite(values)))
    two = slope(jnp.asarray([0.0, 1.0, -60.0]), jnp.log(jnp.asarray([0.2, 0.3, 0.5])))  # as good as no mass
    assert_close(values, two, atol=1e-12)


@pytest.mark.parametrize("function", [simplex.kl, simplex.jsd])
def test_gradient_vanishes_where_the_laws_meet(function):
    q = jnp.asarray(L.log_q)[11]
    assert_close(jax.jit(jax.grad(lambda free: function(simplex.normalize(free), q)))(q), jnp.zeros(N))


def test_batch_axes_are_rows():
    p, q = jnp.asarray(L.log_p).reshape(10, 20, N), jnp.asarray(L.log_q).reshape(10, 20, N)
    for function in (KL, JSD, RENYI):
        extra = (0.5,) if function is RENYI else ()
        assert_close(function(p, q, *extra).reshape(-1), function(jnp.asarray(L.log_p), jnp.asarray(L.log_q), *extra))
