"""Games without a best response, rounds of GRPO and credit for tokens: against loops, fixed points and a linear programme."""

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.optimize import linprog, minimize

from didsim import dynamics, landscape
from didsim.dynamics.games import ALGORITHMS
from didsim.numerics.checks import ArgumentError
from didsim.numerics.sequences import SequenceSpace

GAME = np.array([[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]])
START = np.log([0.6, 0.2, 0.2])
NASH = np.array([4, 3, 4]) / 11


def test_nash_is_that_of_a_linear_programme():
    found = linprog([0, 0, 0, -1], A_ub=np.c_[-GAME.T, np.ones(3)], b_ub=np.zeros(3), A_eq=[[1, 1, 1, 0]], b_eq=[1])
    np.testing.assert_allclose(found.x[:3], NASH, atol=1e-9)
    assert float(dynamics.exploitability(jnp.log(jnp.asarray(NASH)), jnp.asarray(GAME))) == pytest.approx(0.0, abs=1e-12)


def dpo_margins(mass):
    """Minimiser of DPO's loss in the margins on pairs from ``mass ⊗ mass`` with the game's labels, by a general optimiser."""

    def loss(margins):
        gaps = margins[:, None] - margins[None, :]
        return np.sum(np.outer(mass, mass) * (np.logaddexp(0.0, -gaps) + (1.0 - GAME) * gaps))

    def slope(margins):
        gaps = margins[:, None] - margins[None, :]
        pull = np.outer(mass, mass) * (1.0 / (1.0 + np.exp(-gaps)) - GAME)
        return pull.sum(1) - pull.sum(0)

    return minimize(loss, np.zeros(3), jac=slope, method="BFGS", options={"gtol": 1e-13}).x


def by_hand(algorithm, rounds, eta=0.5, tau=0.5, inner=100):
    policy, ref, before = np.exp(START), np.exp(START), GAME @ np.exp(START)
    seen = [policy]
    for _ in range(rounds):
        if algorithm == "comal":
            for _ in range(inner):
                policy = policy ** (1 - eta * tau) * ref ** (eta * tau) * np.exp(eta * GAME @ policy)
                policy /= policy.sum()
            ref = policy
        elif algorithm == "inpo":
            policy = policy ** (1 - eta * tau) * ref ** (eta * tau) * np.exp(eta * GAME @ policy)
        elif algorithm == "dpo":
            policy = policy * np.exp(dpo_margins(policy) * eta / 4.0)
        elif algorithm == "mirror-prox":
            ahead = policy * np.exp(eta * GAME @ policy)
            policy = policy * np.exp(eta * GAME @ (ahead / ahead.sum()))
        elif algorithm == "omwu":
            rates = GAME @ policy
            policy, before = policy * np.exp(eta * (2 * rates - before)), rates
        else:
            policy = policy * np.exp(eta * GAME @ policy)
        policy = policy / policy.sum()
        seen.append(policy)
    return np.array(seen)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rounds_by_hand_and_where_they_go(algorithm):
    policies = np.exp(dynamics.play(jnp.asarray(GAME), jnp.asarray(START), algorithm, rounds=300))
    np.testing.assert_allclose(policies[:20], by_hand(algorithm, 19), atol=1e-7 if algorithm == "dpo" else 1e-12)
    left = np.asarray(dynamics.exploitability(jnp.log(jnp.asarray(policies)), jnp.asarray(GAME)))
    if algorithm in ("omwu", "mirror-prox"):
        assert np.all(np.diff(left[::100]) < 0)  # slower than rounds of regularised games, to the same end
    elif algorithm == "comal":
        assert left[-1] < 1e-6
        np.testing.assert_allclose(policies[-1], NASH, atol=1e-5)
    else:
        assert left[-1] > 1e-2  # cycles outwards, or stops at the regularised game's solution
    if algorithm == "comal":
        distance = (NASH * (np.log(NASH) - np.log(policies))).sum(-1)
        assert np.all(np.diff(distance[:40]) < 0)


def test_an_algorithm_of_ones_own_is_played_by_name():
    def best_reply(game, carry):
        return carry[0].at[jnp.argmax(dynamics.win_rates(carry[0], game.preference))].add(game.eta), carry[1]

    ALGORITHMS.register("best-reply")(best_reply)
    try:
        got = dynamics.play(jnp.asarray(GAME), jnp.asarray(START), "best-reply", rounds=2, eta=0.3)
    finally:
        del ALGORITHMS["best-reply"]
    wins = GAME @ np.exp(START)
    np.testing.assert_allclose(got[1], START + 0.3 * (np.arange(3) == wins.argmax()), atol=1e-12)


def test_bad_games_are_refused():
    with pytest.raises(ArgumentError, match="Argument `algorithm` must be one of"):
        dynamics.play(jnp.asarray(GAME), jnp.asarray(START), "nothing")
    with pytest.raises(ArgumentError, match="`preference`"):
        dynamics.play(jnp.asarray(GAME + 0.1), jnp.asarray(START))
    with pytest.raises(ArgumentError, match="`tau` must be positive"):
        dynamics.play(jnp.asarray(GAME), jnp.asarray(START), tau=-1.0)


@pytest.mark.parametrize("mirror", [False, True])
def test_grpo_by_hand(mirror):
    rng = np.random.default_rng(2)
    log_ref, reward = oracles.normalize(rng.standard_normal(5)), np.array([0.0, 1.0, 0.0, 0.0, 1.0])
    policy, logs, success = np.exp(log_ref), jnp.asarray(log_ref), np.exp(log_ref) @ reward
    start = success
    for _ in range(4):
        anchor = policy if mirror else np.exp(log_ref)
        advantage = (reward - policy @ reward) / np.sqrt(policy @ reward * (1 - policy @ reward))
        policy = anchor * np.exp(advantage / 2.0)
        policy /= policy.sum()
        logs = dynamics.grpo_step(logs, logs if mirror else jnp.asarray(log_ref), jnp.asarray(reward), 2.0)
        success = dynamics.success_recursion(jnp.asarray(success), jnp.asarray(success if mirror else start), 2.0)
        np.testing.assert_allclose(np.exp(logs), policy, atol=1e-13)
        assert float(success) == pytest.approx(policy @ reward, abs=1e-10)
    still = dynamics.grpo_step(logs, jnp.asarray(log_ref), jnp.ones(5), 2.0)
    np.testing.assert_allclose(still, log_ref, atol=1e-13)


def test_values_of_prefixes_by_hand():
    rng = np.random.default_rng(6)
    space, beta = SequenceSpace(3, 2), 0.6
    log_ref, reward = oracles.normalize(rng.standard_normal(9)), rng.standard_normal(9)
    got = np.asarray(landscape.state_values(space, jnp.asarray(log_ref), jnp.asarray(reward), beta))
    mass = np.exp(log_ref)
    for y in range(9):
        same = [z for z in range(9) if z // 3 == y // 3]
        start = beta * np.log(sum(mass[z] * np.exp(reward[z] / beta) for z in range(9)))
        inner = beta * np.log(sum(mass[z] * np.exp(reward[z] / beta) for z in same) / sum(mass[z] for z in same))
        np.testing.assert_allclose(got[y], [start, inner], atol=1e-12)
