"""Numbers that the field's claims are known by, worked out without the library, and counter-cases worth a name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, minimize

REWARD, FEATURES = np.array([1.0, 2.0, 0.0]), np.array([1.0, -1.0, 0.0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def value(theta):
    law = np.exp(theta * FEATURES)
    return law @ REWARD / law.sum()


@pytest.mark.parametrize(("beta", "wanted"), [(1, 0.846), (2, 0.886), (3, 0.915), (5, 0.945)])
def test_dpo_reverses_with_infinite_data(beta, wanted):
    from didsim.claims.statements.f_losses import _class_end

    pairs = [(0, 1, 1.0), (1, 2, 1.0), (0, 2, 100.0)]

    def slope(theta):
        gaps = [(FEATURES[a] - FEATURES[b], REWARD[a] - REWARD[b], w) for a, b, w in pairs]
        return sum(w * f * (sigmoid(beta * theta * f) - sigmoid(r)) for f, r, w in gaps)

    by_hand = value(brentq(slope, -9.0, 9.0))
    assert by_hand == pytest.approx(wanted, abs=6e-4)
    _, log_policy = _class_end({"beta": jnp.asarray(float(beta)), "times": jnp.asarray(100.0)})
    assert float(np.exp(log_policy) @ REWARD) == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize(("beta", "wanted"), [(1, 1.418), (2, 1.127), (3, 1.073), (5, 1.039)])
def test_rlhf_in_the_same_class_does_not(beta, wanted):
    def cost(theta):
        law = np.exp(theta * FEATURES)
        law /= law.sum()
        return beta * law @ np.log(3 * law) - law @ REWARD

    assert value(minimize(lambda t: cost(t[0]), [0.0], tol=1e-12).x[0]) == pytest.approx(wanted, abs=6e-4)


def test_a_sum_over_tokens_moves_the_optimum():
    """Four sequences of two tokens: π(first = 0) is .683 where DPO and π* have .766."""
    reward = 1.5 * np.array([1.2, -0.3, 0.4, -1.0])

    def tokens(logits):
        law = np.exp(logits) / np.exp(logits).sum()
        first = np.array([law[:2].sum(), law[2:].sum()])
        return np.log(2 * first[[0, 0, 1, 1]]), np.log(2 * law / first[[0, 0, 1, 1]])

    def loss(logits):
        win = sigmoid(reward[:, None] - reward)
        margins = [h[:, None] - h for h in tokens(np.append(logits, 0.0))]
        return sum((win * np.log1p(np.exp(-m))).sum() for m in margins)

    end = np.append(minimize(loss, np.zeros(3), tol=1e-12).x, 0.0)
    law, target = (np.exp(x) / np.exp(x).sum() for x in (end, reward))
    assert law[:2].sum() == pytest.approx(0.683, abs=6e-4)
    assert target[:2].sum() == pytest.approx(0.766, abs=6e-4)


@pytest.mark.parametrize("reach", [1.0, 20.0, 75.0])
def test_what_is_lost_against_the_optimum_is_integrated_however_large_the_error(reach):
    # The variance along the way is a peak as narrow as 1/(error/β): an attack found a rule of 48 nodes off by 3e-7.
    from didsim.claims.statements.f_numbers import PLACES, SHARES, _gap

    rng = np.random.default_rng(4)
    target, error, beta = np.log(rng.dirichlet(np.ones(6))), reach * np.linspace(-1.0, 1.0, 6), 0.5
    way = target + PLACES[:, None] * error / beta
    laws = np.exp(way - way.max(-1, keepdims=True))
    laws /= laws.sum(-1, keepdims=True)
    spread = laws @ error**2 - (laws @ error) ** 2
    end = target + error / beta
    end -= end.max() + np.log(np.sum(np.exp(end - end.max())))
    divergence = np.exp(end) @ (end - target)
    assert np.sum(SHARES * PLACES * spread) / beta**2 == pytest.approx(divergence, rel=1e-10, abs=1e-12)
    found = {"target": target, "error": error, "beta": beta, "time": 1.0}
    assert float(jax.jit(_gap)({name: jnp.asarray(value) for name, value in found.items()})) < 1e-12
