"""What of an update does the preference direction not explain?  Against a root finder of SciPy and limits by hand."""

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
