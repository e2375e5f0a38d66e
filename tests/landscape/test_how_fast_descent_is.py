"""How fast is descent, by prediction and by measurement?  Rates against spectra, plain gradient descent and known series."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from graph_cases import N, given, is_quadratic, nullities, worst
from tolerance import tolerance

from didsim import landscape


def local_rate(smallest, largest, step):
    """Factor by which the error shrinks per step near the optimum (S4)."""
    return np.maximum(np.abs(1 - step * smallest), np.abs(1 - step * largest))


def test_descent_rate_is_the_spectrum():
    hessian = np.asarray(nullities(given().pairs, given().reward, given().beta)[1])[given().count < N]
    low, high, step = (np.asarray(a) for a in landscape.descent_rate(jnp.asarray(hessian)))
    values = np.linalg.eigvalsh(hessian)
    wanted = np.take_along_axis(values, given().count[given().count < N][:, None], 1)[:, 0]
    kappa = values[:, -1] / wanted
    np.testing.assert_allclose(high, values[:, -1], rtol=tolerance())
    assert worst(np.abs(low / wanted - 1) / kappa)[0] < tolerance(), worst(np.abs(low / wanted - 1) / kappa)
    np.testing.assert_allclose(step, 2 / (low + high))


@pytest.mark.parametrize("times", [1.0, 0.5, 0.999])
def test_measured_contraction(times):
    """Plain gradient descent on the loss, started beside the optimum, contracts at max|1 - ηλ|; at the best step (κ-1)/(κ+1)."""
    rng = np.random.default_rng(6)
    shown, reward, ref = rng.dirichlet(np.ones(36)).reshape(6, 6), rng.standard_normal(6), np.zeros(6)
    hessian = landscape.hessian_at_optimum(jnp.asarray(shown), jnp.asarray(reward), 0.7)
    low, high, best = (float(a) for a in landscape.descent_rate(hessian))
    predicted = max(abs(1 - times * best * low), abs(1 - times * best * high))
    if times == 1.0:
        assert abs(predicted - (high / low - 1) / (high / low + 1)) < 1e-12
    optimum = reward / 0.7
    start = 1e-3 * rng.standard_normal(6)
    logits, sizes = optimum + start - start.mean(), []
    for _ in range(22):
        margin = 0.7 * ((logits - ref)[:, None] - (logits - ref)[None, :])
        force = shown * (1 / (1 + np.exp(-margin)) - oracles.bradley_terry(reward))
        logits = logits - times * best * 0.7 * (force.sum(1) - force.sum(0))
        sizes.append(np.linalg.norm(logits - optimum + (optimum - logits).mean()))
    measured = (sizes[-1] / sizes[-3]) ** 0.5
    assert abs(measured - predicted) < 5e-3
    assert abs(measured - predicted**2) > 5e-3


def test_beyond_twice_the_inverse_curvature_it_diverges():
    hessian = np.asarray(nullities(given().pairs, given().reward, given().beta)[1])[np.flatnonzero(given().count == 1)[0]]
    _, high, _ = landscape.descent_rate(jnp.asarray(hessian))
    for times, grows in ((1.9, False), (2.1, True)):
        size = np.linalg.norm(np.linalg.matrix_power(np.eye(N) - times / float(high) * hessian, 400), 2)
        assert (size > 10) == grows


def test_the_best_step_beats_every_other():
    low, high = jnp.asarray([0.1, 0.5]), jnp.asarray([1.0, 0.5])
    best = landscape.best_step(low, high)
    kappa = high / low
    np.testing.assert_allclose(local_rate(low, high, best), (kappa - 1) / (kappa + 1), atol=tolerance())
    for times in (0.9, 1.1):
        assert np.all(local_rate(low, high, times * best) > local_rate(low, high, best) + 1e-3)
    assert np.array_equal(is_quadratic(low, high, 3), [False, True])


def test_a_known_rate_is_found_within_its_uncertainty():
    steps = np.arange(0, 200, 2)
    rates = np.geomspace(0.6, 0.99, 40)
    noise = np.exp(0.01 * np.random.default_rng(38).standard_normal((40, 100)))
    errors = rates[:, None] ** steps * noise + 0.5 * (0.7 * rates[:, None]) ** steps
    fitted = jax.jit(landscape.fit_rate)
    fit = fitted(steps, jnp.asarray(errors), 1e-12)
    off = np.abs(fit.rate - rates)
    assert np.all(off < 2e-3)
    assert np.mean(off <= np.asarray(fit.uncertainty)) > 0.85
    assert np.all(np.asarray(fit.first) > 0)
    # Rounding below the floor is never fitted, and a rate that has not settled says so.
    flat = jnp.maximum(jnp.asarray(errors), 1e-9)
    np.testing.assert_allclose(fitted(steps, flat, 1e-9).rate, rates, atol=2e-3)
    young = fitted(np.arange(20), jnp.asarray(0.9 ** np.arange(20) + 100 * 0.6 ** np.arange(20)), 1e-12)
    assert abs(float(young.rate) - 0.9) < 2 * float(young.uncertainty)
    assert float(young.uncertainty) > 0.01
    assert np.isnan(fitted(np.arange(20), jnp.full(20, 1e-15), 1e-12).rate)


def test_order_tells_linear_from_quadratic():
    linear, square = 0.3 ** np.arange(12.0), 0.5 ** (2.0 ** np.arange(12))
    got = landscape.fit_order(jnp.asarray(np.stack([linear, square])), 1e-12)
    np.testing.assert_allclose(got, [1.0, 2.0], atol=1e-9)
    assert np.isnan(landscape.fit_order(jnp.asarray([1e-1, 1e-14, 1e-14]), 1e-12))


def test_the_uniform_sampler_keeps_its_bound():
    """κ ≤ max σ'/min σ' for all rewards, and by hand at one of them; a sampler that is not uniform breaks it."""
    rng = np.random.default_rng(39)
    reward = jnp.asarray(rng.standard_normal((200, 8)) * np.geomspace(0.01, 3, 200)[:, None])
    bound = np.asarray(landscape.slope_ratio_bound(reward))
    gap = np.abs(np.asarray(reward)[0][:, None] - np.asarray(reward)[0][None]).max()
    np.testing.assert_allclose(bound[0], 0.25 * (2 + np.exp(gap) + np.exp(-gap)), rtol=1e-12)

    def kappa(pairs):
        low, high, _ = landscape.descent_rate(landscape.hessian_at_optimum(jnp.asarray(pairs), reward, 1.0))
        return np.asarray(high / low)

    assert np.all(kappa(np.full((8, 8), 1 / 64)) <= bound * (1 + 1e-9))
    assert np.mean(kappa(rng.dirichlet(np.ones(64), 200).reshape(200, 8, 8)) > bound) > 0.3
