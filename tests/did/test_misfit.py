"""What of an update does the preference direction not explain?  Against a root finder of SciPy and limits by hand."""

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.optimize import brentq

from didsim import did

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
    found = did.power_law_misfit(*jnp.asarray(laws))
    wanted = np.array([by_hand(*rows) for rows in np.swapaxes(laws, 0, 1)])
    np.testing.assert_allclose(found.misfit, wanted[:, 0], atol=1e-11)
    np.testing.assert_allclose(found.gamma, wanted[:, 1], rtol=1e-9)
    assert np.all(found.misfit > 1e-4)


def test_single_precision():
    laws = oracles.normalize(RNG.standard_normal((4, 6)))
    found = did.power_law_misfit(*jnp.asarray(laws, jnp.float32))
    assert found.misfit.dtype == jnp.float32
    np.testing.assert_allclose(found.misfit, by_hand(*laws)[0], atol=1e-5)


def test_no_preference_explains_nothing():
    ref, policy, chosen = oracles.normalize(RNG.standard_normal((3, 6)))
    found = did.power_law_misfit(*jnp.asarray([policy, ref, chosen, chosen]))
    assert float(found.misfit) == pytest.approx(float(np.exp(policy) @ (policy - ref)), abs=1e-12)
