"""D11 and D12: entropies along the path and of the DID, against NumPy, finite differences and their own order in ε."""

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from random_laws import DTYPES
from random_laws import WIDER as W
from sampling import sampled
from scipy import stats
from tolerance import tolerance

from didsim import did, simplex
from didsim.did import entropy
from didsim.did.entropy import tempered


def entropies(log_laws) -> np.ndarray:
    return oracles.rows(oracles.entropy, np.exp(log_laws))


def tilted(amount, direction=None, base=None) -> np.ndarray:
    direction, base = (W.direction if direction is None else direction), (W.ref if base is None else base)
    return oracles.normalize(base + np.reshape(amount, (-1, 1)) * direction)


def did_entropies(amount, direction) -> np.ndarray:
    return entropies(tilted(amount, direction, 0.0))


def gamma_references(seed: int, count: int, n: int) -> np.ndarray:
    """Log-laws skewed to the right or to the left by any amount: signed centred gamma draws of random shape."""
    rng = np.random.default_rng(seed)
    shape, sign = rng.uniform(0.5, 20.0, (count, 1)), rng.choice([-1.0, 1.0], (count, 1))
    return oracles.normalize(sign * (rng.gamma(np.broadcast_to(shape, (count, n))) - shape) / np.sqrt(shape))


# D11


@pytest.mark.parametrize("dtype", DTYPES)
def test_d11_slope_is_the_derivative_of_the_exact_entropy(dtype):
    step = 1e-5
    slope = np.asarray(did.entropy_slope(jnp.asarray(W.ref, dtype), jnp.asarray(W.direction, dtype)))
    assert slope.dtype == dtype
    measured = (entropies(tilted(step)) - entropies(tilted(-step))) / (2 * step)
    near = 1e-7 if dtype == np.float64 else tolerance(dtype, condition=50.0)
    assert np.abs(slope - measured).max() < near
    under_uniform = did.entropy_slope(jnp.full((W.count, W.n), -np.log(W.n)), jnp.asarray(W.direction))
    assert np.abs(np.asarray(under_uniform) - measured).max() > 0.1  # the control: a covariance under another law


def test_d11_the_sign_decides_between_reinforcing_and_smoothing():
    """A small finite update changes the entropy in the direction that its correlation with log π_ref says."""
    mass = np.exp(W.ref)
    correlated = (mass * W.direction * W.ref).sum(-1) - (mass * W.direction).sum(-1) * (mass * W.ref).sum(-1)
    step = 1e-6
    change = entropies(tilted(step)) - entropies(W.ref)
    clear = np.abs(correlated) > 1e-3 * (mass * W.direction**2).sum(-1)
    assert clear.sum() > 0.8 * W.count
    assert np.all(np.sign(change[clear]) == -np.sign(correlated[clear]))
    assert min((change > 0).mean(), (change < 0).mean()) > 0.1


# D12


@pytest.mark.parametrize("dtype", sampled(reversed(DTYPES), 2))
def test_d12_deficit_is_what_the_entropy_lacks(dtype):
    got = entropy.did_entropy_deficit(jnp.asarray(W.target, dtype), jnp.asarray(W.ref, dtype))
    wanted = np.log(W.n) - did_entropies(1.0, W.direction)
    assert np.abs(np.asarray(got) - wanted).max() < tolerance(dtype, condition=30.0)
    assert np.abs(
        np.asarray(did.did_entropy(jnp.asarray(W.target), jnp.asarray(W.ref))) - np.log(W.n) + wanted
    ).max() < tolerance(condition=30.0)


def test_d12_deficit_of_a_tiny_update_keeps_its_relative_accuracy():
    direction = oracles.log_laws(23, (200, W.n))[100:]
    even = simplex.uniform(W.n, jnp.float64)
    tiny = 1e-7 * (direction - direction.mean(-1, keepdims=True))
    got = np.asarray(entropy.did_entropy_deficit(simplex.normalize(even + tiny), even))
    wanted = 0.5 * np.var(tiny, axis=-1)
    assert np.abs(got / wanted - 1).max() < 1e-5
    by_difference = np.log(W.n) - np.asarray(did.did_entropy(simplex.normalize(even + tiny), even))
    assert np.abs(by_difference / wanted - 1).max() > 1e-3


def test_d12_cumulants_and_skewness():
    got = np.asarray(did.uniform_cumulants(jnp.asarray(W.direction)))
    assert np.abs(got[:, 1] - W.direction.var(-1)).max() < tolerance(condition=100.0)
    assert np.abs(got[:, 2] - stats.moment(W.direction, 3, axis=-1)).max() < tolerance(condition=1000.0)
    assert np.abs(np.asarray(did.skewness(jnp.asarray(W.direction))) - stats.skew(W.direction, axis=-1)).max() < 1e-9


def test_d12_third_order_is_right_to_third_order():
    """Halving ε divides what is left by 16; with the cubic term's sign turned, by 8 alone."""
    direction = gamma_references(1, 400, W.n)

    def left(amount, sign=1.0):
        series = did.third_order_did_entropy(jnp.asarray(direction), sign * amount)
        return np.abs(np.asarray(series) - did_entropies(amount, direction))

    coarse, fine = left(0.02), left(0.01)
    ratio = coarse / fine
    assert np.quantile(ratio, 0.1) > 14.0
    assert np.quantile(ratio, 0.9) < 18.5
    turned = left(0.02, -1.0) / left(0.01, -1.0)
    assert np.median(turned) < 9.0
    assert np.allclose(
        did.third_order_did_entropy(jnp.asarray(direction), jnp.full(400, 0.02)),
        did.third_order_did_entropy(jnp.asarray(direction), 0.02),
    )


def test_d12_temperature_gap_exact_and_leading():
    reference = gamma_references(2, 400, W.n)
    logits = jnp.asarray(reference)

    def gap(amount):
        return did_entropies(amount, reference) - did_entropies(-amount, reference)

    assert np.abs(np.asarray(did.temperature_gap(logits, 0.5)) - gap(0.5)).max() < tolerance(condition=30.0)
    sharp, flat = (did.did_entropy(tempered(logits, sign * 0.5), logits) for sign in (1.0, -1.0))
    assert np.abs(np.asarray(sharp - flat) - gap(0.5)).max() < tolerance(condition=30.0)
    left = [np.abs(np.asarray(did.temperature_gap(logits, e) - did.temperature_gap_third_order(logits, e))) for e in (0.1, 0.05)]
    assert 28.0 < np.median(left[0] / left[1]) < 36.0


def test_d12_sign_rule_on_thousands_of_references_and_its_reversal():
    reference = gamma_references(3, 4000, 32)
    skewed = np.asarray(did.skewness(jnp.asarray(reference)))
    gap = np.asarray(did.temperature_gap(jnp.asarray(reference), 0.1))
    clear = np.abs(skewed) > 0.1
    assert clear.sum() > 2000
    assert np.mean(np.sign(gap[clear]) == -np.sign(skewed[clear])) > 0.999
    left = clear & (skewed < 0)
    assert left.sum() > 1000
    assert np.all(gap[left & (skewed < -0.3)] > 0)  # the paper's case turned round
    mirrored = np.concatenate([reference, -reference], axis=-1)
    even = np.asarray(did.temperature_gap(simplex.normalize(jnp.asarray(mirrored)), 0.1))
    assert np.abs(even).max() < tolerance()  # no skew of any odd order: no gap


@pytest.mark.parametrize("dtype", sampled(reversed(DTYPES), 2))
def test_many_responses_and_prompts(dtype):
    reference = jnp.asarray(oracles.normalize(np.random.default_rng(4).gamma(2.0, size=(2, 3, 100_000))), dtype)
    gap = did.temperature_gap(reference, 0.2)
    assert gap.shape == (2, 3)
    assert gap.dtype == dtype
    log_q = [oracles.normalize(sign * 0.2 * np.asarray(reference, np.float64)) for sign in (1.0, -1.0)]
    sharp, flat = (-(np.exp(q) * q).sum(-1) for q in log_q)
    assert np.abs(np.asarray(gap) - (sharp - flat)).max() < tolerance(dtype, condition=10.0)
