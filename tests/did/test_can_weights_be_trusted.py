"""Importance weights: effective size and Pareto tail shape, against loops, scipy's maximum likelihood and known tails."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from didsim import did
from didsim.did import weights

effective_sample_size, pareto_shape = jax.jit(did.effective_sample_size), jax.jit(did.pareto_shape)
generalised_pareto_shape = jax.jit(weights.generalised_pareto_shape)


def effective(u) -> float:
    return sum(u) ** 2 / sum(a * a for a in u)


def tail_shape(log_weights) -> float:
    """Zhang and Stephens' rule by loops, with the shrinkage of Pareto-smoothed importance sampling."""
    u = np.sort(np.exp(log_weights - log_weights.max()))
    m = math.ceil(min(0.2 * len(u), 3 * math.sqrt(len(u))))
    x = u[-m:] - u[-m - 1]
    n, grid = len(x), 30 + int(math.sqrt(len(x)))
    quartile = x[int(n / 4 + 0.5) - 1]
    thetas = [1 / x[-1] + (1 - math.sqrt(grid / (j - 0.5))) / (3 * quartile) for j in range(1, grid + 1)]
    shapes = [sum(math.log1p(-t * a) for a in x) / n for t in thetas]
    profile = [n * (math.log(-t / k) - k - 1) for t, k in zip(thetas, shapes, strict=True)]
    mass = [1 / sum(math.exp(other - mine) for other in profile) for mine in profile]
    best = sum(t * w for t, w in zip(thetas, mass, strict=True))
    k = sum(math.log1p(-best * a) for a in x) / n
    return (n * k + 10 * 0.5) / (n + 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_effective_sample_size(dtype):
    log_weights = 2.0 * np.random.default_rng(0).standard_normal((50, 40))
    wanted = [effective(np.exp(row)) for row in log_weights]
    got = effective_sample_size(jnp.asarray(log_weights, dtype))
    np.testing.assert_allclose(got, wanted, rtol=1e-12 if dtype == np.float64 else 1e-4)
    np.testing.assert_allclose(effective_sample_size(jnp.array([3.0, 3.0, -np.inf, 3.0])), 3.0)
    np.testing.assert_allclose(effective_sample_size(jnp.array([800.0, -800.0])), 1.0)


@pytest.mark.parametrize(("k", "dtype"), [(32, np.float64), (1000, np.float64), (1000, np.float32)])
def test_pareto_shape_is_the_published_rule(k, dtype):
    rng = np.random.default_rng(1)
    scale = np.linspace(0.3, 4.0, 40)[:, None]
    log_weights = scale * rng.standard_normal((40, k))
    got = np.asarray(pareto_shape(jnp.asarray(log_weights, dtype)))
    wanted = np.array([tail_shape(row) for row in log_weights])
    assert np.abs(got - wanted).max() < (1e-9 if dtype == np.float64 else 5e-3)
    assert np.ptp(wanted) > 0.3


def test_unshrunk_shape_is_near_the_maximum_likelihood_of_scipy():
    rng = np.random.default_rng(2)
    for shape in (-0.3, 0.2, 0.7, 1.2):
        x = np.sort(stats.genpareto.rvs(shape, size=4000, random_state=rng))
        got = float(generalised_pareto_shape(jnp.asarray(x)))
        fitted = stats.genpareto.fit(x, floc=0.0)[0]
        assert abs(got - fitted) < 0.02
        assert abs(got - shape) < 4.0 * (1.0 + shape) / math.sqrt(4000)  # asymptotic standard error of the shape


def test_shape_of_known_tails():
    """Pareto weights of index α have shape 1/α: mean over many fits within the Monte-Carlo error, plus a small bias."""
    key = jax.random.key(3)
    for shape in (0.3, 0.7, 1.1):
        log_weights = -shape * jnp.log(jax.random.uniform(key, (100, 4096), jnp.float64))
        found = np.asarray(pareto_shape(log_weights))
        tail = weights.tail_size(4096)
        shrunk = (tail * shape + 5.0) / (tail + 10.0)
        z = (found.mean() - shrunk) / (found.std() / math.sqrt(100))
        assert abs(found.mean() - shrunk) < 0.02, z
        assert abs(found.std() - (1 + shape) / math.sqrt(tail)) < 0.02


def test_degenerate_tails():
    assert np.isnan(pareto_shape(jnp.zeros(20)))  # five draws at least
    even, few, three_values = np.zeros(1000), np.zeros(1000), np.log(np.repeat([1.0, 2.0, 3.0], [800, 150, 50]))
    few[:3] = 1.0
    found = pareto_shape(jnp.asarray([even, few, three_values]))
    assert found[0] == -np.inf
    assert np.isnan(found[1])
    assert np.isfinite(found[2])
    exponential = np.log(np.repeat([1e-9, 1.0, 3.0], [300, 30, 30]))  # the grid may meet θ = 0 exactly
    assert np.isfinite(pareto_shape(jnp.asarray(exponential)))


def test_limits_follow_the_number_of_draws():
    assert did.pareto_shape_limit(100_000) == 0.7
    np.testing.assert_allclose(did.pareto_shape_limit(32), 1 - 1 / math.log10(32))
    assert did.pareto_shape_limit(1) == -math.inf
    assert [weights.tail_size(k) for k in (20, 25, 32, 225, 4096)] == [4, 5, 7, 45, 192]
