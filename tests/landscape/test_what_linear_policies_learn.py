"""What do linear policies and rewards learn?  Against pair loops in NumPy, autodiff and the theorems about the routes."""

import functools
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_round_trip
from sampling import sampled
from tolerance import tolerance
from training_cases import watch

from didsim import alignment, simplex
from didsim.dynamics import Sgd, train
from didsim.landscape.linear.model import LinearModel, curvature_bounds, open_parts
from didsim.landscape.linear.routes import value_expansion, value_weights
from didsim.landscape.solvers import Status, solve
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Dpo, loss
from didsim.objectives.comparisons import comparisons_for
from didsim.policies import LogLinear
from didsim.samplers import Joint, OnPolicy, Uniform
from didsim.worlds import LinearReward, problem
from didsim.worlds.linear import draw_features
from didsim.worlds.preferences import BradleyTerry

P, N, D, BETA = 2, 5, 3, 0.7
SHARES = (0.7, 0.3)


@functools.cache
def given() -> SimpleNamespace:
    """A world, a policy class, and a model whose pairs and labels are any."""
    rng = np.random.default_rng(91)
    phi = rng.standard_normal((P, N, D))
    shown = rng.dirichlet(np.ones(N * N), P).reshape(P, N, N)
    chance = oracles.bradley_terry(rng.standard_normal((P, N)))
    theta = rng.standard_normal(D)
    ref = oracles.normalize(0.5 * rng.standard_normal((P, N)))
    world = problem(ref, reward=rng.standard_normal((P, N)), beta=BETA, log_prompts=np.log(SHARES))
    model = LinearModel(*map(jnp.asarray, (phi, shown, chance, np.log(SHARES), BETA)))
    return SimpleNamespace(
        phi=phi, shown=shown, chance=chance, theta=theta, ref=ref, world=world, model=model, policy=LogLinear(jnp.asarray(phi))
    )


@jax.jit
def modelled(world, policy, sampler):
    return alignment.linear_model(world, policy, sampler, BradleyTerry(), BETA)


direct, best_in_class, two_stage = map(jax.jit, (alignment.direct, alignment.best_in_class, alignment.two_stage))


def by_pairs(theta):
    """Loss, gradient and Hessian, pair by pair."""
    value, slope, bend = 0.0, np.zeros(D), np.zeros((D, D))
    for x in range(P):
        for a in range(N):
            for b in range(N):
                weight, wins = SHARES[x] * given().shown[x, a, b], given().chance[x, a, b]
                step = BETA * (given().phi[x, a] - given().phi[x, b])
                chance = 1 / (1 + np.exp(-step @ theta))
                value -= weight * (wins * np.log(chance) + (1 - wins) * np.log(1 - chance))
                slope -= weight * (wins - chance) * step
                bend += weight * chance * (1 - chance) * np.outer(step, step)
    return value, slope, bend


def test_loss_gradient_and_hessian_by_pairs():
    value, slope, bend = by_pairs(given().theta)
    theta = jnp.asarray(given().theta)
    assert_close(np.asarray(given().model.loss(theta)), np.asarray(value), atol=1e-12)
    assert_close(np.asarray(given().model.gradient(theta)), slope)
    assert_close(np.asarray(given().model.hessian(theta)), bend)
    assert_close(jax.jit(jax.grad(given().model.loss))(theta), given().model.gradient(theta))
    assert_close(jax.jit(jax.hessian(given().model.loss))(theta), given().model.hessian(theta))


def test_the_model_is_dpo_of_a_log_linear_policy():
    sampler = Joint(jnp.log(jnp.asarray(given().shown)))
    model = modelled(given().world, given().policy, sampler)
    log_policy = given().policy.log_probs(jnp.asarray(given().theta), given().world.log_ref)
    pairs = comparisons_for(Dpo(BETA), given().world, sampler, BradleyTerry(), log_policy)
    assert_close(model.loss(jnp.asarray(given().theta)), loss(Dpo(BETA), given().world, log_policy, pairs), atol=1e-12)


def test_direct_is_where_training_ends():
    best = direct(modelled(given().world, given().policy, Uniform()))
    assert best.status == Status.CONVERGED
    settings = {"policy": given().policy, "optimiser": Sgd(4.0), "steps": 1500, "records": 2, "metrics": watch}
    run = train(given().world, Dpo(BETA), Uniform(), BradleyTerry(), **settings)
    assert_close(np.asarray(run.params), np.asarray(best.theta), atol=1e-8)
    assert np.abs(np.asarray(best.theta)).max() > 0.1


def test_one_hot_features_are_a_table():
    policy = LogLinear(jnp.eye(N))
    world = problem(given().ref[0], reward=np.random.default_rng(92).standard_normal(N), beta=BETA)
    best = direct(modelled(world, policy, Uniform()))
    assert best.status == Status.NOT_UNIQUE
    assert best.undetermined == 1  # the common constant
    found = policy.log_probs(best.theta, world.log_ref)
    assert_close(np.asarray(found), np.asarray(solve(world, Dpo(BETA), Uniform(), BradleyTerry()).log_policy), atol=1e-8)


def sparse_model():
    """Pairs of the first prompt's first three responses only, features of four responses in a plane that they span."""
    phi = np.zeros((1, 5, 4))
    phi[0, :, :2] = [[0, 0], [1, 0], [0, 1], [2, 3], [1, 1]]
    phi[0, 4, 2] = 1.0  # the last response has a feature of its own
    shown = np.zeros((1, 5, 5))
    shown[0, 0, 1] = shown[0, 1, 2] = 0.5
    wins = oracles.bradley_terry((phi @ np.array([1.0, -0.5, 0.3, 0.0])) * BETA)
    return LinearModel(jnp.asarray(phi), jnp.asarray(shown), jnp.asarray(wins), jnp.zeros(1), jnp.asarray(BETA))


@pytest.mark.slow
def test_what_sampled_features_leave_open():
    """L2: an unseen response is learned iff its differences lie in the span of the sampled ones."""
    model = sparse_model()
    projector = alignment.open_directions(alignment.feature_covariance(model))
    assert_close(np.asarray(projector), np.diag([0.0, 0.0, 1.0, 1.0]), atol=1e-12)
    parts = np.asarray(open_parts(model))[0]
    assert_close(parts[:4, :4], np.zeros((4, 4)), atol=1e-12)
    assert_close(parts[4, :4], np.ones(4), atol=1e-12)
    best = direct(model, jnp.asarray([0.1, 0.2, 0.7, -0.4]))
    assert best.status == Status.NOT_UNIQUE
    # determined directions are learned, open ones stay where they started
    assert_close(np.asarray(best.theta), np.array([1.0, -0.5, 0.7, -0.4]), atol=1e-9)


def test_feature_covariance_by_pairs():
    phi, shown = given().phi, given().shown
    wanted = sum(
        SHARES[x] * shown[x, a, b] * np.outer(phi[x, a] - phi[x, b], phi[x, a] - phi[x, b])
        for x in range(P) for a in range(N) for b in range(N)
    )  # fmt: skip
    assert_close(np.asarray(alignment.feature_covariance(given().model)), wanted)


def test_curvature_bounds_hold_and_gradient_descent_keeps_the_rate():
    radius = 5.0
    bounds = curvature_bounds(given().model, radius)
    rng = np.random.default_rng(92)
    for scale in np.linspace(0.0, 1.0, 9):
        direction = rng.standard_normal(D)
        theta = scale * radius * direction / np.linalg.norm(direction)
        values = np.linalg.eigvalsh(by_pairs(theta)[2])
        assert bounds.convexity <= values[0] + 1e-15
        assert values[-1] <= bounds.smoothness + 1e-15
    assert np.linalg.eigvalsh(by_pairs(np.zeros(D))[2])[-1] > 0.99 * bounds.smoothness
    best = direct(given().model)
    assert np.linalg.norm(best.theta) < radius / 2
    theta, gap = np.zeros(D), []
    for _ in range(60):
        value, slope, _ = by_pairs(theta)
        gap.append(value - float(best.value))
        theta = theta - slope / float(bounds.smoothness)
        assert np.linalg.norm(theta) < radius
    gap = np.array(gap)
    alive = gap[:-1] > 1e-12
    assert np.all((gap[1:] / np.where(alive, gap[:-1], 1.0))[alive] <= float(bounds.rate) + 1e-9)


def test_value_expansion_is_autodiff():
    @jax.jit
    def worth(theta):
        return alignment.value(given().world, given().policy.log_probs(theta, given().world.log_ref))

    theta = jnp.asarray(given().theta)
    value, slope, bend = jax.jit(value_expansion)(given().world, jnp.asarray(given().phi), theta)
    assert_close(value, worth(theta), atol=1e-12)
    assert_close(slope, jax.jit(jax.grad(worth))(theta))
    assert_close(bend, jax.jit(jax.hessian(worth))(theta))


@pytest.mark.slow
def test_best_in_class_is_the_best_of_many():
    rng, world, policy = np.random.default_rng(92), given().world, given().policy
    starts = jnp.asarray(rng.standard_normal((4, D)))
    best = best_in_class(world, policy, starts)
    tries = jnp.asarray(best.theta) + jnp.asarray(rng.standard_normal((500, D)) * np.geomspace(1e-3, 3, 500)[:, None])
    worth = jax.jit(jax.vmap(lambda theta: alignment.value(world, policy.log_probs(theta, world.log_ref))))(tries)
    assert best.status == Status.CONVERGED
    assert float(worth.max()) <= -float(best.value) + 1e-12


@pytest.mark.slow
def test_two_stages_meet_dpo_where_the_classes_are_alike():
    model = modelled(given().world, given().policy, Uniform())
    starts = jnp.asarray(np.random.default_rng(92).standard_normal((2, D)))
    route = two_stage(given().world, given().policy, model, jnp.asarray(given().phi), starts)
    assert_close(np.asarray(route.policy.theta), np.asarray(direct(model).theta), atol=1e-7)
    assert_close(np.asarray(route.reward.theta), BETA * np.asarray(direct(model).theta), atol=1e-8)
    unlike = two_stage(given().world, given().policy, model, jnp.asarray(given().phi).at[..., 0].set(0.0), starts)
    assert np.abs(np.asarray(unlike.policy.theta - route.policy.theta)).max() > 1e-3


def test_online_rests_where_training_on_its_own_pairs_ends():
    def model_at(theta):
        at = given().policy.log_probs(theta, given().world.log_ref)
        return alignment.linear_model(given().world, given().policy, OnPolicy(), BradleyTerry(), BETA, at)

    rest = jax.jit(lambda start: alignment.online(model_at, start))(jnp.zeros(D))
    assert rest.status == Status.CONVERGED
    settings = {"policy": given().policy, "optimiser": Sgd(4.0), "steps": 3000, "records": 2, "metrics": watch}
    run = train(given().world, Dpo(BETA), OnPolicy(), BradleyTerry(), **settings)
    assert_close(np.asarray(run.params), np.asarray(rest.theta), atol=1e-7)
    offline = direct(modelled(given().world, given().policy, Uniform()))
    assert np.abs(np.asarray(offline.theta - rest.theta)).max() > 1e-3
    assert jax.jit(lambda start: alignment.online(model_at, start, steps=1))(jnp.zeros(D)).status == Status.STALLED


def test_value_weights_climb_the_value():
    log_policy = given().policy.log_probs(jnp.asarray(given().theta), given().world.log_ref)
    weights = value_weights(given().world, log_policy, BETA)
    wins = BradleyTerry().matrix(given().world.reward)
    phi, theta = jnp.asarray(given().phi), jnp.asarray(given().theta)
    pull = LinearModel(phi, weights, wins, given().world.log_prompts, BETA).gradient(theta)
    _, climb, _ = value_expansion(given().world, phi, theta)
    assert_close(np.asarray(-pull), 2 * BETA * np.asarray(climb), atol=1e-12)
    at_target = value_weights(given().world, given().world.log_target, BETA)  # Δr = m: the ratio is 1/σ'
    gap = np.asarray(given().world.reward)[:, :, None] - np.asarray(given().world.reward)[:, None]
    mass = np.exp(np.asarray(given().world.log_target))
    assert_close(np.asarray(at_target), mass[:, :, None] * mass[:, None] * (2 + 2 * np.cosh(gap)), atol=1e-9)


def test_feature_worlds():
    """A realisable world's reward is in the span; a misfit is outside it; entries have variance one over many draws."""
    features = draw_features(jax.random.key(3), 3, 6, 4)
    centred = np.asarray(simplex.clr(jnp.swapaxes(features, 1, 2))).swapaxes(1, 2).reshape(18, 4)

    def left_over(misfit):
        world = LinearReward(features, BETA, misfit=misfit).draw(jax.random.key(1))
        reward = np.asarray(simplex.clr(world.reward)).ravel()
        return np.linalg.norm(reward - centred @ np.linalg.lstsq(centred, reward, rcond=None)[0]), world

    assert left_over(0.0)[0] < tolerance(condition=100)
    size, world = left_over(0.5)
    assert size > 0.5
    wanted = oracles.normalize(np.asarray(world.log_ref + world.reward / BETA))
    assert_close(np.asarray(world.log_target), wanted, atol=1e-12)
    many = np.asarray(jax.jit(draw_features, static_argnums=(1, 2, 3))(jax.random.key(4), 500, 20, 20))
    assert abs(many.var() - 1.0) < 0.1
    # half of the variance is a response's own, whatever the prompt
    assert abs((many[::2] * many[1::2]).mean() - 0.5) < 0.1


def test_contracts():
    assert_round_trip(given().model)
    assert_round_trip(LinearReward(jnp.asarray(given().phi)))
    assert_round_trip(direct(given().model))
    ends = jax.jit(jax.vmap(lambda beta: direct(replace(given().model, beta=beta)).theta))(jnp.asarray([0.5, 1.0]))
    assert_close(np.asarray(ends[0]), 2.0 * np.asarray(ends[1]), atol=1e-8)


ERRORS = {
    "n": (lambda: draw_features(jax.random.key(0), 1, 1, 2), "`n` must"),
    "d": (lambda: draw_features(jax.random.key(0), 1, 3, 0), "`d` must"),
    "prompts": (lambda: draw_features(jax.random.key(0), 0, 3, 2), "`prompts` must"),
    "context": (lambda: draw_features(jax.random.key(0), 1, 3, 2, context=0), "`context` must"),
    "beta": (lambda: LinearReward(jnp.asarray(given().phi), beta=0.0), "`beta` must"),
    "misfit": (lambda: LinearReward(jnp.asarray(given().phi), misfit=-1.0), "`misfit` must"),
    "features": (lambda: LinearReward(jnp.asarray(given().phi).at[0, 0, 0].set(jnp.nan)), "`features` must"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_arguments_are_named(case):
    make, message = ERRORS[case]
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize("reward", sampled([((1.0, 0.0, 1.0),), ((2.0, 1.0, 2.0),)], 2))
def test_a_top_is_left_for_a_best_policy(reward):
    """By symmetry θ = 0 has no slope, but the value there is the lowest: either way it rises (one feature, -1, 0, 1)."""
    world = problem(np.log([[1 / 3] * 3]), reward=np.array([reward]), beta=0.1)
    policy = LogLinear(jnp.asarray([[-1.0], [0.0], [1.0]]))
    best = best_in_class(world, policy, jnp.zeros((1, 1)))

    def cost(theta):
        logits = np.log(1 / 3) + theta * np.array([-1.0, 0.0, 1.0])
        law = np.exp(logits) / np.exp(logits).sum()
        return -(law @ np.array(reward)) + 0.1 * (law @ np.log(3 * law))

    grid = np.array([cost(theta) for theta in np.linspace(-60, 60, 24_001)])
    np.testing.assert_allclose(best.value, grid.min(), atol=1e-5)
    assert cost(0.0) > grid.min() + 0.05
    assert int(best.status) in (Status.CONVERGED, Status.UNBOUNDED)
