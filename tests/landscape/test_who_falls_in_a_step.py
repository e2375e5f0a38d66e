"""Who falls in one step, and through which pairs?

L4 against loops over pairs, against real steps, and over ten thousand single pairs at once.
"""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from sampling import picked

import didsim
from didsim import explain as explaining
from didsim import simplex
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, Aot, Dpo
from didsim.policies import ContextLinear, LogLinear, Table
from didsim.samplers import Joint, ReferencePairs, Uniform
from didsim.worlds.preferences import AsShown, BradleyTerry

P, N, D = 2, 4, 3
POLICIES = ["table", "log-linear", "context-linear"]


@functools.cache
def given() -> SimpleNamespace:
    """A world of two prompts, features for it, and a policy of every kind."""
    rng = np.random.default_rng(0)
    features, reward = rng.standard_normal((P, N, D)), rng.standard_normal((P, N))
    log_prompts = oracles.log([0.3, 0.7])
    world = didsim.problem(oracles.log_laws(1, (P, N)), reward=jnp.asarray(reward), beta=0.7, log_prompts=log_prompts)
    linear, context = LogLinear(jnp.asarray(features)), ContextLinear(jnp.asarray(rng.standard_normal((P, 2))))
    policies = {"table": Table(), "log-linear": linear, "context-linear": context}
    return SimpleNamespace(features=features, world=world, policies=policies)


def single_pair(n: int, chosen: int = 0, rejected: int = 1) -> Joint:
    return Joint(jnp.log(jnp.zeros((n, n)).at[chosen, rejected].set(1.0)))


def moved_params(policy):
    start = policy.init(given().world.log_ref)
    return start + 0.3 * jnp.asarray(np.random.default_rng(5).standard_normal(start.shape))


# One of each kind; the others are the same code with another formula.
QUICK = ["dpo", "hinge", "simpo", "orpo", "kto", "sft", "rlhf", "bco[batch]"]
EACH = picked([name for name, kind in OBJECTIVES.items() if not kind.batch_level], QUICK)


@pytest.mark.parametrize("name", EACH)
def test_parts_sum_to_the_derivative_for_every_objective(name):
    policy = given().policies["log-linear"]
    params = moved_params(policy)
    arguments = given().world, OBJECTIVES[name](), Uniform(), BradleyTerry(), policy, params
    found = explaining.explain(*arguments, 1e-4)
    rates = explaining.likelihood_rates(*arguments)
    assert_close(found.rate, rates, rtol=1e-10, atol=1e-13)
    if not OBJECTIVES[name].kinked:
        np.testing.assert_allclose(found.realised / 1e-4, rates, rtol=0.02, atol=2e-3 * float(jnp.abs(rates).max()))


@pytest.mark.parametrize("name", POLICIES)
def test_parts_sum_to_the_derivative_for_every_policy(name):
    policy = given().policies[name]
    arguments = given().world, Dpo(0.7), ReferencePairs(), BradleyTerry(), policy, moved_params(policy)
    small, smaller = (explaining.explain(*arguments, step) for step in (1e-4, 5e-5))
    assert_close(small.rate, explaining.likelihood_rates(*arguments), atol=1e-14)
    # A step of half the size has a quarter of the second-order error.
    errors = [np.abs(one.realised - one.step * one.rate).max() for one in (small, smaller)]
    assert 3.5 < errors[0] / errors[1] < 4.5


def test_parts_against_loops_over_pairs():
    """Own, partner, cross and normaliser from L4 in plain NumPy, features relative to their plain mean."""
    beta, theta = 0.7, np.array([0.4, -0.2, 0.1])
    log_policy = oracles.normalize(np.asarray(given().world.log_ref) + given().features @ theta)
    share, reward, shown = np.exp(np.asarray(given().world.log_prompts)), np.asarray(given().world.reward), 1.0 / N**2
    phi = given().features - given().features.mean(1, keepdims=True)
    wanted = np.zeros((4, P, N))
    for x in range(P):
        for y in range(N):
            for z in range(P):
                for a in range(N):
                    for b in range(N):
                        margin = beta * (given().features[z, a] - given().features[z, b]) @ theta
                        chance = 1 / (1 + np.exp(reward[z, b] - reward[z, a]))
                        pull = beta * share[z] * shown * (chance - 1 / (1 + np.exp(-margin)))
                        for end, sign in ((a, 1.0), (b, -1.0)):
                            inner = sign * pull * phi[x, y] @ phi[z, end]
                            inside = x == z and y in (a, b)
                            kind = 0 if inside and y == end else 1 if inside else 2
                            wanted[kind, x, y] += inner
                        wanted[3, x, y] -= pull * (np.exp(log_policy[x]) @ phi[x]) @ (phi[z, a] - phi[z, b])
    policy = given().policies["log-linear"]
    found = explaining.explain(given().world, Dpo(beta), Uniform(), BradleyTerry(), policy, jnp.asarray(theta))
    parts = np.stack([found.own, found.partner, found.cross, found.normaliser])
    np.testing.assert_allclose(parts, wanted, atol=1e-14)


def test_a_constant_added_to_all_features_changes_nothing():
    one, two = (
        explaining.explain(given().world, Dpo(), Uniform(), BradleyTerry(), LogLinear(jnp.asarray(given().features + shift)))
        for shift in (0.0, 5.0)
    )
    assert_close(one, two, atol=1e-12)


def test_closed_form_of_l4():
    theta = jnp.asarray([0.4, -0.2, 0.1])
    policy = LogLinear(jnp.asarray(given().features[0]))
    world = didsim.problem(given().world.log_ref[0], reward=given().world.reward[0])
    log_policy = policy.log_probs(theta, world.log_ref)
    beta = 0.7
    margin = beta * ((given().features[0] @ theta)[:, None] - (given().features[0] @ theta)[None])
    weights = beta / N**2 * (oracles.bradley_terry(np.asarray(world.reward)) - 1 / (1 + np.exp(-margin)))
    wanted = explaining.log_linear_rates(jnp.asarray(given().features[:1]), log_policy, jnp.asarray(weights))
    assert_close(explaining.likelihood_rates(world, Dpo(beta), Uniform(), BradleyTerry(), policy, theta), wanted, atol=1e-14)


# Single pairs


def cases(kind: str, count: int = 12_000):
    """Random single pairs (0 chosen, 1 rejected), explained in one call: rate and realised change of every response."""
    rng = np.random.default_rng(3)
    features = jnp.asarray(rng.standard_normal((count, 5, 3)) * np.geomspace(0.1, 3.0, count)[:, None, None])
    log_ref = jnp.asarray(oracles.log_laws(4, (count, 1, 5)))
    reward = jnp.asarray(rng.standard_normal((count, 1, 5)))
    step = 1e-3

    def one(features, log_ref, reward):
        world = didsim.problem(log_ref, reward=reward)
        policy, params = (LogLinear(features), reward[0, :3]) if kind == "log-linear" else (Table(), log_ref + reward)
        found = explaining.explain(world, Dpo(0.5), single_pair(5), AsShown(), policy, params, step)
        log_policy = policy.log_probs(params, log_ref)
        logits = features @ jnp.einsum("n,nd->d", found.pull[0], features) if kind == "log-linear" else found.pull[0]
        return found, log_policy, logits

    return (features, step, *jax.jit(jax.vmap(one))(features, log_ref, reward))


def test_predicted_sign_is_the_realised_sign_for_every_log_linear_pair():
    features, step, found, log_policy, logits = cases("log-linear")
    # Along the step the second derivative of log π is minus a variance, at most a quarter of the squared range of logits.
    bound = step * jnp.square(jnp.ptp(logits, axis=-1)) / 8.0
    rate, realised = found.rate[:, 0, 0], found.realised[:, 0, 0]
    clear = jnp.abs(rate) > bound
    assert int(clear.sum()) >= 10_000
    assert int(jnp.sum(clear & (jnp.sign(rate) != jnp.sign(realised)))) == 0
    closed = explaining.single_pair_rates(features, log_policy[:, 0], 0, 1)[:, 0]
    assert int(jnp.sum(jnp.sign(closed) != jnp.sign(rate))) == 0
    assert 0.02 < float(jnp.mean(rate < 0)) < 0.5  # chosen responses do fall
    # The control: without the normaliser the rule of signs is wrong in some of the same cases.
    naive = jnp.sum(features[:, 0] * (features[:, 0] - features[:, 1]), -1)
    assert int(jnp.sum(clear & (jnp.sign(naive) != jnp.sign(realised)))) > 100


def test_a_table_with_one_pair_never_displaces():
    _, _, found, log_policy, _ = cases("table", 2_000)
    pi = jnp.exp(log_policy[:, 0])
    assert bool(jnp.all(found.realised[:, 0, 0] > 0))
    assert bool(jnp.all(found.realised[:, 0, 1] < 0))
    assert_close(found.rate[:, 0, 0], found.pull[:, 0, 0] * (1.0 - pi[:, 0] + pi[:, 1]), atol=1e-14)
    assert_close(found.cross[:, 0, 0], jnp.zeros(2_000), atol=1e-14)


def test_context_features_cannot_displace_by_one_pair():
    """Razin et al. 2410.08847, appendix F: with free weights per response one pair moves its chosen response up."""
    rng = np.random.default_rng(6)
    contexts, log_ref = jnp.asarray(rng.standard_normal((2_000, 1, 3))), jnp.asarray(oracles.log_laws(7, (2_000, 1, 5)))

    def one(contexts, log_ref):
        world = didsim.problem(log_ref, reward=jnp.zeros_like(log_ref))
        return explaining.explain(world, Dpo(), single_pair(5), AsShown(), ContextLinear(contexts))

    found = jax.jit(jax.vmap(one))(contexts, log_ref)
    assert bool(jnp.all(found.realised[:, 0, 0] > 0))
    assert bool(jnp.all(found.realised[:, 0, 1] < 0))


def test_another_prompt_moves_this_one_only_through_shared_parameters():
    pair = jnp.zeros((P, N, N)).at[0, 0, 1].set(1.0).at[1, 2, 3].set(1.0)
    for policy, shared in ((Table(), False), (given().policies["log-linear"], True)):
        found = explaining.explain(given().world, Dpo(), Joint(jnp.log(pair)), AsShown(), policy)
        outsiders = np.asarray(found.cross[0, :2])  # responses 0 and 1 of prompt 0: only the other prompt can cross
        assert (np.abs(outsiders).max() > 1e-3) == shared


@pytest.mark.slow
def test_many_responses_without_a_jacobian():
    n = 20_000
    world = didsim.problem(simplex.uniform(n), reward=jnp.linspace(-1.0, 1.0, n))
    rates = explaining.likelihood_rates(world, Dpo(), Uniform(), BradleyTerry())
    assert bool(jnp.all(jnp.diff(rates[0]) > 0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explaining.explain(given().world, Dpo(), Uniform(), BradleyTerry(), step=0.0), "`step` must be positive"),
        (lambda: explaining.explain(given().world, Aot(), Uniform(), BradleyTerry()), "`objective` must be a mean over pairs"),
        (
            lambda: explaining.explain(
                didsim.problem(simplex.uniform(10_000), reward=jnp.zeros(10_000)), Dpo(), Uniform(), BradleyTerry()
            ),
            "`policy` must have at most 67108864 derivatives",
        ),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
