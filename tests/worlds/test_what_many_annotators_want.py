"""Many annotators as one problem: average utility, distortion and the minority's favourite, against loops."""

import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import didsim
from didsim import objectives, preferences, samplers, worlds
from didsim.numerics.checks import ArgumentError
from didsim.sweeps.toml import run_from

RNG = np.random.default_rng(3)
WEIGHTS, REWARDS = np.array([0.7, 0.3]), RNG.uniform(0.0, 2.0, (2, 5))
LOG_REF = oracles.normalize(RNG.standard_normal((2, 5)))


def test_the_reward_is_the_average_utility():
    world = worlds.users(np.log(WEIGHTS), REWARDS, log_ref=LOG_REF, beta=0.5)
    average = [sum(WEIGHTS[u] * REWARDS[u, y] for u in range(2)) for y in range(5)]
    np.testing.assert_allclose(world.reward, [average] * 2, atol=1e-12)
    target = np.exp(LOG_REF) * np.exp(np.array(average) / 0.5)
    np.testing.assert_allclose(np.exp(world.log_target), target / target.sum(1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(np.exp(worlds.users(np.log(WEIGHTS), REWARDS).log_ref), 0.2)


def test_distortion_and_favourites_by_hand():
    law = np.exp(LOG_REF[0])
    average = WEIGHTS @ REWARDS
    assert float(worlds.distortion(jnp.asarray(LOG_REF[0]), jnp.log(WEIGHTS), jnp.asarray(REWARDS))) == pytest.approx(
        average.max() / (law @ average)
    )
    best = jnp.log(jnp.asarray(np.where(np.arange(5) == average.argmax(), 1.0, 0.0)))
    assert float(worlds.distortion(best, jnp.log(WEIGHTS), jnp.asarray(REWARDS))) == pytest.approx(1.0)
    found = worlds.favourite_mass(jnp.asarray(LOG_REF), jnp.asarray(REWARDS))
    np.testing.assert_allclose(found, [[np.exp(row[one.argmax()]) for one in REWARDS] for row in LOG_REF])


@pytest.mark.slow
def test_a_file_names_them_and_dpo_leaves_the_minority_behind():
    """Borda points of the average against its utility: the few who care much are outvoted by the many who care little."""
    few = {"log_weights": np.log([0.6, 0.4]).tolist(), "rewards": [[1.0, 0.5, 0.0], [0.0, 1.0, 9.0]]}
    run = run_from({
        "world": {"name": "users", **few}, "labels": {"name": "users", **few}, "sampler": "uniform",
        "objective": {"name": "dpo", "beta": 1.0}, "steps": 10,
    })  # fmt: skip
    assert isinstance(run.labels, preferences.Users)
    world = run.world.given
    end = didsim.solve(world, objectives.Dpo(1.0), samplers.Uniform(), run.labels).log_policy
    lost = worlds.distortion(end[0], run.labels.log_weights, run.labels.rewards)
    assert float(lost) > 1.2 * float(worlds.distortion(world.log_target[0], run.labels.log_weights, run.labels.rewards))
    assert (
        worlds.favourite_mass(end, run.labels.rewards)[0, 1] < worlds.favourite_mass(world.log_target, run.labels.rewards)[0, 1]
    )


def test_what_is_refused():
    with pytest.raises(ArgumentError, match=r"Argument `rewards` must have shape \(users, n\) with 2 users"):
        worlds.users(np.log(WEIGHTS), np.ones((3, 5)))
    with pytest.raises(ArgumentError, match="`log_weights`"):
        worlds.users(np.zeros(2), REWARDS)
    with pytest.raises(ArgumentError, match="`utilities`"):
        worlds.distortion(jnp.asarray(LOG_REF[0]), jnp.log(WEIGHTS), jnp.asarray(-REWARDS))
