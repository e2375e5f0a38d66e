"""What of an update does the preference direction not explain?  Against a root finder of SciPy and limits by hand."""

import decimal
from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.optimize import brentq

from didsim import did, simplex

power_law_misfit = jax.jit(did.power_law_misfit)
RNG = np.random.default_rng(8)


def by_hand(policy, ref, chosen, rejected):
    direction = chosen - rejected

    def fit(gamma):
        law = np.exp(ref + gamma * direction - np.max(ref + gamma * direction))
        return law / law.sum()

    gamma = brentq(lambda g: fit(g) @ direction - np.exp(policy) @ direction, -300.0, 300.0, xtol=1e-14)
    return np.exp(policy) @ (policy - np.log(fit(gamma))), gamma


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_misfit_and_strength(scale):
    laws = oracles.normalize(scale * RNG.standard_normal((4, 5, 6)))
    found = power_law_misfit(*jnp.asarray(laws))
    wanted = np.array([by_hand(*rows) for rows in np.swapaxes(laws, 0, 1)])
    np.testing.assert_allclose(found.misfit, wanted[:, 0], atol=1e-11)
    np.testing.assert_allclose(found.gamma, wanted[:, 1], rtol=1e-9)
    assert np.all(found.misfit > 1e-4)


def test_laws_of_a_world_meet_many_policies():
    policies, (ref, chosen, rejected) = (
        oracles.normalize(RNG.standard_normal((2, 5, 6))),
        oracles.normalize(RNG.standard_normal((3, 5, 6))),
    )
    found = power_law_misfit(*map(jnp.asarray, (policies, ref, chosen[0], rejected)))
    for place in np.ndindex(2, 5):
        misfit, gamma = by_hand(policies[place], ref[place[1]], chosen[0], rejected[place[1]])
        assert found.misfit[place] == pytest.approx(misfit, abs=1e-11)
        assert found.gamma[place] == pytest.approx(gamma, rel=1e-9)


def test_single_precision():
    laws = oracles.normalize(RNG.standard_normal((4, 6)))
    found = power_law_misfit(*jnp.asarray(laws, jnp.float32))
    assert found.misfit.dtype == jnp.float32
    np.testing.assert_allclose(found.misfit, by_hand(*laws)[0], atol=1e-5)


def test_no_preference_explains_nothing():
    ref, policy, chosen = oracles.normalize(RNG.standard_normal((3, 6)))
    found = power_law_misfit(*jnp.asarray([policy, ref, chosen, chosen]))
    assert float(found.misfit) == pytest.approx(float(np.exp(policy) @ (policy - ref)), abs=1e-12)


def test_an_end_that_is_far_along_the_direction_is_found():
    """Two responses with nearly the same direction hold all mass: hundreds of shortened steps (found by attack on F2)."""
    policy = simplex.normalize(jnp.array([-7.8, -7.2, -0.004, -7.9, -6.9, -6.4]))
    ref = simplex.normalize(jnp.array([-2.59, -3.76, -10.7, -0.5, -1.85, -1.99]))
    chosen = simplex.normalize(jnp.array([-5.42, -3.11, -2.2, -3.79, -9.46, -0.2]))
    rejected = simplex.normalize(jnp.array([-0.65, -1.99, -4.39, -2.94, -1.76, -2.25]))
    found = power_law_misfit(policy, ref, chosen, rejected)
    direction = chosen - rejected
    fitted, own = (float(jnp.sum(jnp.exp(law) * direction)) for law in (found.log_fit, policy))
    assert abs(fitted - own) < (1e-4 if policy.dtype == jnp.float32 else 1e-10)
    assert float(simplex.kl(policy, ref)) == pytest.approx(float(found.misfit + simplex.kl(found.log_fit, ref)), rel=1e-4)


def exactly(policy, ref, chosen, rejected):
    """``J`` and ``γ*`` of the numbers given, by bisection in 320 decimals."""
    with decimal.localcontext(prec=320, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
        policy, ref, chosen, rejected = ([Decimal(float(x)) for x in law] for law in (policy, ref, chosen, rejected))
        direction = [w - lost for w, lost in zip(chosen, rejected, strict=True)]
        mass = [x.exp() for x in policy]
        mean = sum(p * r for p, r in zip(mass, direction, strict=True)) / sum(mass)
        low, high = Decimal(-(10**5)), Decimal(10**5)
        for _ in range(90):
            gamma = (low + high) / 2
            weights = [(b + gamma * r).exp() for b, r in zip(ref, direction, strict=True)]
            rises = sum(w * (r - mean) for w, r in zip(weights, direction, strict=True)) < 0
            low, high = (gamma, high) if rises else (low, gamma)
        total = sum(weights)
        fit = [w / total for w in weights]
        kl = sum(p * (x - q.ln()) + q - p for p, x, q in zip(mass, policy, fit, strict=True))
        return float(kl), float(gamma)


SHARP = [(np.float64, 30.0), (np.float64, 100.0), (np.float32, 10.0), (np.float32, 20.0)]


def sharp_laws(dtype, scale):
    return np.asarray(oracles.normalize(scale * np.random.default_rng(11).standard_normal((4, 100, 4))), dtype)


def rounding(found, policy, ref, chosen, rejected):
    """What the inputs' own rounding does to J: ``dJ = Σ (π - q)(… - γ dR)``, every number rounded by its size."""
    reach = (np.abs(law).max(-1) for law in (policy, ref))
    sizes = np.abs(chosen).max(-1) + np.abs(rejected).max(-1)
    return 8.0 * np.finfo(policy.dtype).eps * (1.0 + sum(reach) + np.abs(found.gamma) * sizes)


@pytest.mark.parametrize(("dtype", "scale"), SHARP)
def test_sharp_laws_split_without_remainder(dtype, scale):
    """``E_{q_γ*}R = E_πR`` and ``KL(π‖π_ref) = J + KL(q‖π_ref)``, compiled or not, whatever the other laws of the batch."""
    laws = sharp_laws(dtype, scale)
    found = power_law_misfit(*jnp.asarray(laws))
    policy, ref = (law.astype(float) for law in laws[:2])
    direction = (laws[2] - laws[3]).astype(float)
    fit, near = np.asarray(found.log_fit, float), rounding(found, *laws)

    def kl(log_p, log_q):
        return np.sum(np.exp(log_p) * (log_p - log_q) + np.exp(log_q) - np.exp(log_p), -1)

    def remainder(fit):
        return np.abs(kl(policy, ref) - kl(policy, fit) - kl(fit, ref))

    own, fitted = (np.sum(np.exp(law) * direction, -1) for law in (policy, fit))
    assert np.max(np.abs(own - fitted) / (near * np.ptp(direction, axis=-1))) < 1.0
    assert np.max(remainder(fit) / near) < 4.0
    assert np.max(remainder(oracles.normalize(fit + 0.5 * direction))) > 1.0  # control: half a unit of γ further
    alone = [did.power_law_misfit(*jnp.asarray(laws[:, row])) for row in range(3)]
    assert np.max(np.abs(np.array([one.misfit for one in alone]) - found.misfit[:3]) / near[:3]) < 1.0


@pytest.mark.parametrize(("dtype", "scale"), SHARP)
def test_sharp_laws_have_the_exact_misfit(dtype, scale):
    laws = sharp_laws(dtype, scale)
    found = power_law_misfit(*jnp.asarray(laws))
    wanted = np.array([exactly(*rows) for rows in np.swapaxes(laws[:, :8], 0, 1)])
    near = rounding(found, *laws)[:8]
    assert np.max(np.abs(np.asarray(found.misfit[:8], float) - wanted[:, 0]) / near) < 1.0
    assert np.max(np.abs(np.asarray(found.gamma[:8], float) / wanted[:, 1] - 1.0)) < 1e4 * np.finfo(dtype).eps


def test_a_mean_at_the_end_of_the_range_is_met_at_infinity():
    """All of π on the top of R: q is the reference given the top, at ``γ = ∞``; and turned round."""
    ref = oracles.normalize(RNG.standard_normal(4))
    direction, even = np.array([2.0, 2.0, 0.5, -1.0]), np.full(4, np.log(0.25))
    policy = np.array([np.log(0.3), np.log(0.7), -np.inf, -np.inf])
    for sign in (1.0, -1.0):
        found = power_law_misfit(*jnp.asarray([policy, ref, oracles.normalize(sign * direction), even]))
        assert float(found.gamma) == sign * np.inf
        limit = ref[:2] - np.logaddexp(*ref[:2])
        np.testing.assert_allclose(found.log_fit, [*limit, -np.inf, -np.inf], atol=1e-14)
        assert float(found.misfit) == pytest.approx(float(np.exp(policy[:2]) @ (policy[:2] - limit)), abs=1e-14)


def test_a_response_that_is_never_chosen_leaves_no_number():
    policy, ref, rejected = oracles.normalize(RNG.standard_normal((3, 3)))
    found = power_law_misfit(*jnp.asarray([policy, ref, [np.log(0.5), np.log(0.5), -np.inf], rejected]))
    assert np.isnan(found.misfit)
    assert np.isnan(found.gamma)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_derivatives_are_those_of_differences(scale):
    """Along one direction of each law, of J and of γ; the step leaves truncation and rounding of 1e-5 of the slope."""
    laws, ways = scale * RNG.standard_normal((4, 6)), RNG.standard_normal((4, 6))

    def both(t):
        found = power_law_misfit(*simplex.normalize(jnp.asarray(laws) + t * jnp.asarray(ways)))
        return jnp.stack([found.misfit, found.gamma])

    step = 1e-5
    wanted = (both(step) - both(-step)) / (2.0 * step)
    for got in (jax.jacfwd(both)(0.0), jax.jacrev(both)(0.0)):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)
