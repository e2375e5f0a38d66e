"""How low can a loss fall?  Floors against sums over pairs, against descent, and where no floor is reached."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.optimize import minimize
from tolerance import tolerance

from didsim import landscape
from didsim.landscape.floors import loss_floor
from didsim.numerics import simplex
from didsim.objectives import OBJECTIVES, Dpo
from didsim.objectives.comparisons import Population

RNG = np.random.default_rng(3)


def loss_by_hand(scores, joint):
    n = len(scores)
    return sum(joint[a, b] * math.log1p(math.exp(scores[b] - scores[a])) for a in range(n) for b in range(n))


def floor_by_hand(joint):
    mean = (joint + joint.T) / 2
    n = len(joint)
    pairs = [(p, m) for p, m in zip(joint.reshape(n * n), mean.reshape(n * n), strict=True) if p > 0]
    return math.log(2) - sum(p * math.log(p / m) for p, m in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_floor_is_ln_two_less_the_asymmetry_and_met_by_additive_odds(seed):
    rng = np.random.default_rng(seed)
    chosen, rejected = rng.dirichlet(np.ones((2, 4))[0], 2)
    independent = np.outer(chosen, rejected)
    assert float(landscape.dpo_floor(jnp.asarray(independent))) == pytest.approx(floor_by_hand(independent), abs=tolerance())
    best = minimize(loss_by_hand, np.zeros(4), args=(independent,), method="BFGS", options={"gtol": 1e-9}).fun
    assert best == pytest.approx(floor_by_hand(independent), abs=1e-10)
    correlated = independent * rng.uniform(0.2, 5.0, (4, 4))
    correlated /= correlated.sum()
    best = minimize(loss_by_hand, np.zeros(4), args=(correlated,), method="BFGS", options={"gtol": 1e-9}).fun
    assert best > floor_by_hand(correlated) + 1e-4  # control: the floor is a bound only
    assert float(landscape.dpo_floor(jnp.asarray(correlated))) == pytest.approx(floor_by_hand(correlated), abs=tolerance())


def test_floor_of_no_preference_and_of_certainty():
    tied = np.ones((3, 3)) / 9
    sure = np.triu(np.ones((3, 3)), 1) / 3
    both = landscape.dpo_floor(jnp.asarray(np.stack([tied, sure])))
    np.testing.assert_allclose(both, [math.log(2), 0.0], atol=tolerance())


def test_a_finite_data_set_can_be_fitted_below_its_populations_floor():
    chosen, rejected = RNG.dirichlet(np.ones(6), 2)
    law = np.outer(chosen, rejected)
    drawn = RNG.multinomial(30, law.reshape(-1)).reshape(6, 6) / 30
    fitted = minimize(loss_by_hand, np.zeros(6), args=(drawn,), method="BFGS").fun
    assert fitted < floor_by_hand(law) - 1e-2


def test_floors_of_unpaired_losses():
    chosen, rejected = RNG.dirichlet(np.ones(5), 2)
    bco = sum(w * math.log(1 + q / w) + q * math.log(1 + w / q) for w, q in zip(chosen, rejected, strict=True))
    kl = sum(w * math.log(w / q) for w, q in zip(chosen, rejected, strict=True))
    logs = jnp.log(jnp.asarray(chosen)), jnp.log(jnp.asarray(rejected))
    assert float(landscape.bco_floor(*logs)) == pytest.approx(bco, abs=tolerance())
    assert float(landscape.kldo_floor(*logs)) == pytest.approx(-kl, abs=tolerance())


def test_gold_turns_where_it_stops_correlating():
    proxy = RNG.standard_normal(6)
    ref = oracles.normalize(np.where(np.arange(6) == np.argmax(proxy), -7.0, RNG.standard_normal(6)))
    gold = np.where(np.arange(6) == np.argmax(proxy), -3.0, proxy)  # the proxy's favourite is a fraud
    time = float(landscape.turning_point(jnp.asarray(ref), jnp.asarray(gold), jnp.asarray(proxy)))

    def mean(t):
        law = np.exp(ref + t * proxy)
        return (law / law.sum()) @ gold

    grid = np.linspace(0.0, 20.0, 20001)
    assert time == pytest.approx(grid[np.argmax([mean(t) for t in grid])], abs=2e-3)
    assert abs(mean(time + 1e-4) - mean(time - 1e-4)) / 2e-4 < 1e-6
    assert np.isnan(landscape.turning_point(jnp.asarray(ref), jnp.asarray(proxy), jnp.asarray(proxy)))
    policy = simplex.normalize(jnp.asarray(ref))
    slope = float(landscape.gold_slope(policy, jnp.asarray(gold), jnp.asarray(proxy)))
    assert slope == pytest.approx((mean(1e-5) - mean(-1e-5)) / 2e-5, abs=1e-7)


def test_a_loss_whose_numbers_are_traced_has_no_known_floor():
    pairs = Population(jnp.full((1, 3, 3), 1 / 9))

    def known(smoothing):
        return loss_floor(OBJECTIVES["cdpo"](beta=0.5, smoothing=smoothing), pairs, 3) is not None

    seen = []
    jax.jit(lambda smoothing: seen.append(known(smoothing)))(0.1)  # a sweep over the smoothing
    assert seen == [False]
    assert loss_floor(Dpo(beta=0.5), pairs, 3) == pytest.approx(math.log(2))
