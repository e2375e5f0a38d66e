"""AuxDPO, with the auxiliary rewards found by a general optimiser in NumPy, and what it does where DPO goes the wrong way."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_jit_and_vmap, assert_round_trip
from population_oracles import central_difference
from scipy.linalg import null_space
from scipy.optimize import minimize
from tolerance import tolerance

from didsim import simplex
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, AuxDpo, Dpo, loss
from didsim.objectives.comparisons import Population, SampledPairs
from didsim.policies import LogLinear
from didsim.worlds import problem

N, BETA, PENALTY = 4, 0.7, 0.05
RNG = np.random.default_rng(17)
LOG_REF = oracles.normalize(RNG.standard_normal((2, N)))
FEATURES = RNG.standard_normal((N, 1))
LAWS = RNG.dirichlet(np.ones(N * N), 2).reshape(2, N, N)
LOGITS = RNG.standard_normal((2, N))
WORLD = problem(LOG_REF, reward=RNG.standard_normal((2, N)), beta=BETA)
PAIRS = Population(jnp.asarray(LAWS))
OBJECTIVE = AuxDpo(BETA, PENALTY, jnp.asarray(FEATURES))


def null_directions(ref, features):
    """Columns span what has no mean and no covariance with the features under the reference."""
    mass = np.exp(ref)
    scores = features - mass @ features
    return null_space(np.c_[mass[:, None] * scores, mass].T)


def prompt_by_hand(log_policy, ref, law, features=FEATURES, beta=BETA, penalty=PENALTY):
    ways, value = null_directions(ref, features), beta * (log_policy - ref)

    def cost(z):
        gaps = (value + ways @ z)[:, None] - (value + ways @ z)[None, :]
        return np.sum(law * np.logaddexp(0.0, -gaps)) + penalty * np.exp(ref) @ (ways @ z) ** 2

    found = minimize(
        cost, np.zeros(ways.shape[1]), method="Nelder-Mead", options={"xatol": 1e-11, "fatol": 1e-15, "maxiter": 9999}
    )
    return found.fun, ways @ found.x


def by_hand(logits):
    rows = zip(oracles.normalize(logits.reshape(2, N)), LOG_REF, LAWS, strict=True)
    return np.mean([prompt_by_hand(*row)[0] for row in rows])


@jax.jit
def value_and_gradient(objective, logits, comparisons):
    return jax.value_and_grad(lambda t: loss(objective, WORLD, simplex.normalize(t), comparisons))(logits)


def test_value_and_gradient_by_hand():
    value, slope = value_and_gradient(OBJECTIVE, LOGITS, PAIRS)
    assert float(value) == pytest.approx(by_hand(LOGITS), abs=1e-12)
    wanted = central_difference(lambda t: by_hand(t), LOGITS.reshape(-1)).reshape(2, N)
    np.testing.assert_allclose(slope, wanted, atol=1e-8)
    for other in (AuxDpo(0.9 * BETA, PENALTY, jnp.asarray(FEATURES)), AuxDpo(BETA, 9.0, jnp.asarray(FEATURES))):
        assert abs(float(value_and_gradient(other, LOGITS, PAIRS)[0]) - float(value)) > 1e-3


def test_auxiliary_rewards_are_the_best_in_the_null_space():
    from didsim.objectives import responses

    log_policy = simplex.normalize(jnp.asarray(LOGITS))
    got = np.asarray(OBJECTIVE.auxiliary(responses(WORLD, log_policy), PAIRS))
    for x in range(2):
        mass = np.exp(LOG_REF[x])
        np.testing.assert_allclose(got[x], prompt_by_hand(np.asarray(log_policy[x]), LOG_REF[x], LAWS[x])[1], atol=1e-6)
        scores = FEATURES - mass @ FEATURES
        np.testing.assert_allclose([mass @ got[x], *(mass @ (scores * got[x][:, None]))], 0.0, atol=1e-14)


def test_over_a_table_it_is_dpo():
    for logits in (LOGITS, 0.3 * LOGITS):
        for mine, theirs in zip(
            value_and_gradient(AuxDpo(BETA), logits, PAIRS), value_and_gradient(Dpo(BETA), logits, PAIRS), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, atol=tolerance())
    full = AuxDpo(BETA, PENALTY, jnp.eye(N))  # a class without a null space
    np.testing.assert_allclose(value_and_gradient(full, LOGITS, PAIRS)[0], value_and_gradient(Dpo(BETA), LOGITS, PAIRS)[0])
    np.testing.assert_allclose(OBJECTIVE.minimiser(WORLD), Dpo(BETA).minimiser(WORLD), atol=tolerance())


def test_where_dpo_reverses_it_goes_the_right_way():
    """F6's world: π ∝ (e^θ, e^-θ, 1), r = (1, 2, 0), pairs 1 : 1 : 100.  With a small penalty θ is sᵀr/(β sᵀs) < 0."""
    features, reward = np.array([[1.0], [-1.0], [0.0]]), np.array([1.0, 2.0, 0.0])
    world = problem(simplex.uniform(3), reward=reward, beta=1.0)
    law = np.zeros((3, 3))
    for a, b, times in [(0, 1, 1.0), (1, 2, 1.0), (0, 2, 100.0)]:
        win = 1.0 / (1.0 + np.exp(reward[b] - reward[a]))
        law[a, b], law[b, a] = times * win / 102.0, times * (1.0 - win) / 102.0
    policy, pairs = LogLinear(jnp.asarray(features)), Population(jnp.asarray(law)[None])

    @jax.jit
    def slope(objective, theta):
        return jax.grad(lambda t: loss(objective, world, policy.log_probs(t, world.log_ref), pairs))(theta)[0]

    aux = AuxDpo(1.0, 1e-9, jnp.asarray(features))
    predicted = jnp.array([features[:, 0] @ reward / 2.0])
    assert abs(float(slope(aux, predicted))) < 1e-6
    assert float(slope(aux, predicted - 0.05)) < -1e-6 < 1e-6 < float(slope(aux, predicted + 0.05))
    assert float(slope(aux, jnp.zeros(1))) > 1e-3  # down in θ: towards the best response
    assert float(slope(Dpo(1.0), jnp.zeros(1))) < -1e-3  # DPO goes the other way


def test_sure_labels_have_finite_auxiliary_rewards():
    sure = Population(jnp.asarray(np.triu(np.ones((N, N)), 1) / 6.0)[None].repeat(2, 0))
    value, slope = value_and_gradient(AuxDpo(BETA, 1e-4, jnp.asarray(FEATURES)), 30.0 * LOGITS, sure)
    assert bool(jnp.isfinite(value))
    assert bool(jnp.isfinite(slope).all())
    rows = zip(oracles.normalize(30.0 * LOGITS), LOG_REF, np.asarray(sure.ordered), strict=True)
    assert float(value) <= np.mean([prompt_by_hand(*row, penalty=1e-4)[0] for row in rows]) + 1e-9


def test_contracts_batches_and_single_precision():
    assert_round_trip(OBJECTIVE)
    others = [AuxDpo(jnp.asarray(b), jnp.asarray(p), jnp.asarray(FEATURES)) for b, p in ((0.7, 0.05), (0.5, 0.2))]
    logits = jnp.asarray(LOGITS)
    assert_jit_and_vmap(lambda o, t: loss(o, WORLD, simplex.normalize(t), PAIRS), *[(o, logits) for o in others])
    first, second, win = RNG.integers(0, N, (2, 9)), RNG.integers(0, N, (2, 9)), RNG.uniform(size=(2, 9))
    law = np.zeros((2, N, N))
    for x in range(2):
        np.add.at(law[x], (first[x], second[x]), win[x] / 9)
        np.add.at(law[x], (second[x], first[x]), (1 - win[x]) / 9)
    batch = SampledPairs(jnp.asarray(first), jnp.asarray(second), jnp.asarray(win))
    got, wanted = (value_and_gradient(OBJECTIVE, LOGITS, one) for one in (batch, Population(jnp.asarray(law))))
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)
    narrow = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (OBJECTIVE, WORLD, logits, PAIRS))
    value = jax.jit(loss)(narrow[0], narrow[1], simplex.normalize(narrow[2]), narrow[3])
    assert value.dtype == jnp.float32
    assert float(value) == pytest.approx(by_hand(LOGITS), abs=1e-5)


def test_what_is_refused():
    with pytest.raises(ArgumentError, match="Argument `features` must have shape"):
        loss(AuxDpo(features=jnp.ones((3, 1))), WORLD, WORLD.log_ref, PAIRS)
    with pytest.raises(ArgumentError, match="Argument `penalty` must be positive and finite, but is 0"):
        OBJECTIVES["auxdpo"](penalty=0.0)
