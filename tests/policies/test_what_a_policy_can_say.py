"""Policies: they start at the reference, are laws for any parameters, and keep the shared contracts."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from jax.flatten_util import ravel_pytree
from random_laws import Drawn
from tolerance import tolerance

import didsim
from didsim.objectives import Dpo
from didsim.policies import ContextLinear, LogLinear, Policy, StartedAt, Table
from didsim.policies.policy import POLICIES as BY_NAME
from didsim.samplers import Uniform
from didsim.worlds import RandomReward
from didsim.worlds.preferences import BradleyTerry

PROMPTS, N, D = 2, 5, 3
L = Drawn(
    ref=lambda: oracles.log_laws(30, (PROMPTS, N)),
    elsewhere=lambda: oracles.log_laws(29, (PROMPTS, N)),
    flat=lambda: np.full((PROMPTS, N), -np.log(N)),
    features=lambda: np.random.default_rng(31).standard_normal((PROMPTS, N, D)),
    contexts=lambda: np.random.default_rng(32).standard_normal((PROMPTS, D)),
)
POLICIES = {
    "table": lambda: Table(),
    "started_at": lambda: StartedAt(jnp.asarray(L.elsewhere)),
    "log_linear": lambda: LogLinear(jnp.asarray(L.features)),
    "log_linear, one for all prompts": lambda: LogLinear(jnp.asarray(L.features[0])),
    "context_linear": lambda: ContextLinear(jnp.asarray(L.contexts)),
    "context_linear, flat": lambda: ContextLinear(jnp.asarray(L.contexts), "flat"),
}


def params(policy, seed: int):
    """Parameters away from the start."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + rng.standard_normal(leaf.shape), policy.init(jnp.asarray(L.ref)))


def test_every_policy_is_a_case():
    mine = {type(make()) for make in POLICIES.values()}
    known = {p for p in Policy.__subclasses__() if p.__module__.startswith("didsim.policies.")}
    assert mine == {p for p in known if not inspect.isabstract(p)}
    assert mine < set(BY_NAME.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", POLICIES)
def test_starts_where_it_says(name, dtype):
    policy, ref = POLICIES[name](), jnp.asarray(L.ref, dtype)
    start = L.elsewhere if name == "started_at" else L.ref if getattr(policy, "start", "reference") == "reference" else L.flat
    assert_close(policy.log_probs(policy.init(ref), ref), start.astype(dtype))


@pytest.mark.parametrize("name", POLICIES)
def test_contracts(name):
    policy = POLICIES[name]()
    assert_round_trip(policy)
    calls = [(policy, params(policy, seed), jnp.asarray(oracles.log_laws(seed, (PROMPTS, N)))) for seed in range(3)]
    assert_jit_and_vmap(lambda policy, theta, ref: policy.log_probs(theta, ref), *calls)


@pytest.mark.parametrize("name", POLICIES)
def test_gradient_is_the_finite_difference(name):
    policy = POLICIES[name]()
    theta = params(policy, 4)
    weights = jnp.asarray(np.random.default_rng(5).standard_normal((PROMPTS, N)))

    @jax.jit
    def value(theta):
        return jnp.sum(weights * policy.log_probs(theta, jnp.asarray(L.ref)))

    flat, rebuild = ravel_pytree(theta)
    steps = 1e-6 * np.eye(flat.size)
    differences = [(value(rebuild(flat + step)) - value(rebuild(flat - step))) / 2e-6 for step in steps]
    gradient, _ = ravel_pytree(jax.jit(jax.grad(value))(theta))
    np.testing.assert_allclose(gradient, differences, atol=1e-8)


def softmax(weights: np.ndarray) -> np.ndarray:
    return np.array([[np.exp(w - max(row)) / sum(np.exp(v - max(row)) for v in row) for w in row] for row in weights])


def test_log_linear_is_a_tilt_of_the_reference():
    for features in (L.features, L.features[0]):
        policy = LogLinear(jnp.asarray(features))
        theta = np.asarray(params(policy, 6))
        scores = [[sum(theta * f) for f in np.broadcast_to(features, L.features.shape)[x]] for x in range(PROMPTS)]
        assert_close(jnp.exp(policy.log_probs(jnp.asarray(theta), jnp.asarray(L.ref))), softmax(L.ref + np.array(scores)))


def test_context_linear_is_a_tilt_of_the_reference_or_of_the_uniform_law():
    for start, base in (("reference", L.ref), ("flat", np.zeros_like(L.ref))):
        policy = ContextLinear(jnp.asarray(L.contexts), start)
        weights = np.asarray(params(policy, 7))
        scores = np.array([[sum(weights[y] * L.contexts[x]) for y in range(N)] for x in range(PROMPTS)])
        assert_close(jnp.exp(policy.log_probs(jnp.asarray(weights), jnp.asarray(L.ref))), softmax(base + scores))


def test_one_hot_features_make_tables():
    """Gradients of both linear models with one-hot features are those of the table they stand for (L1)."""
    weights = jnp.asarray(np.random.default_rng(8).standard_normal((PROMPTS, N)))

    def gradient(policy, theta):
        return jax.grad(lambda t: jnp.sum(weights * policy.log_probs(t, jnp.asarray(L.ref))))(theta)

    table = gradient(Table(), jnp.asarray(L.ref))
    pairs = np.eye(PROMPTS * N).reshape(PROMPTS, N, -1)
    assert_close(gradient(LogLinear(jnp.asarray(pairs)), jnp.zeros(PROMPTS * N)).reshape(PROMPTS, N), table)
    assert_close(gradient(ContextLinear(jnp.eye(PROMPTS)), jnp.zeros((N, PROMPTS))).T, table)


@pytest.mark.slow
def test_shared_features_move_responses_that_were_never_shown():
    """L2: gradient descent on pairs of the first three responses decides the fourth through its features."""
    features = np.arange(4.0)[:, None] * [1.0, 0.0, 0.0, 0.0]  # as many as a table has, so that both are one program
    ref = jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1]))
    world = didsim.problem(ref, reward=jnp.asarray(features[:, 0]), beta=1.0)
    seen = didsim.samplers.Restrict(Uniform(), jnp.array([True, True, True, False]))
    optimiser = didsim.dynamics.Sgd(2.0)
    data = {"optimiser": optimiser, "steps": 600, "records": 2}
    run = didsim.train(world, Dpo(1.0), seen, BradleyTerry(), policy=LogLinear(jnp.asarray(features)), **data)
    assert_close(run.log_policy, world.log_target, atol=1e-6)
    table = didsim.train(world, Dpo(1.0), seen, BradleyTerry(), policy=LogLinear(jnp.eye(4)), **data)
    assert float(jnp.abs(table.log_policy - world.log_target).max()) > 0.1


@pytest.mark.slow  # contexts are swept in test_do_sequences_follow_the_chain_rule.py
def test_sweeps_take_features_as_an_axis():
    run = didsim.Run(RandomReward(n=N, prompts=PROMPTS), Dpo(0.5), Uniform(), BradleyTerry(), LogLinear(jnp.asarray(L.features)))
    short = didsim.Run(run.world, run.objective, run.sampler, run.labels, run.policy, steps=20, records=2)
    data = didsim.sweep(short, {"policy.features": [L.features, -L.features, 0.0 * L.features]}, seeds=2)
    law = data["log_policy"].values
    assert_close(law[0], law[1], atol=1e-10)  # the sign of a feature is a name
    assert_close(law[2, 0], np.full((PROMPTS, N), -np.log(N)), atol=1e-6)
    assert np.abs(law[0] - law[2]).max() > 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogLinear(jnp.full((N, D), jnp.nan)), "`features` must be finite"),
        (lambda: LogLinear(jnp.zeros((N, 0))), "`features` must have no empty axis, but has shape (5, 0)"),
        (
            lambda: LogLinear(jnp.zeros((N + 1, D))).log_probs(jnp.zeros(D), jnp.asarray(L.ref)),
            "`features` must have shape (5, 3) or (2, 5, 3), but has",
        ),
        (lambda: StartedAt(jnp.full(N, -jnp.inf)), "`log_start` must be finite"),
        (
            lambda: StartedAt(jnp.zeros(N + 1)).init(jnp.asarray(L.ref)),
            "`log_start` must have shape (5,) or (2, 5), but has shape (6,)",
        ),
        (lambda: ContextLinear(jnp.full((PROMPTS, D), jnp.inf)), "`contexts` must be finite"),
        (lambda: ContextLinear(jnp.zeros((PROMPTS, 0))), "`contexts` must have no empty axis"),
        (lambda: ContextLinear(jnp.asarray(L.contexts), "refrence"), "Did you mean 'reference'"),
        (
            lambda: ContextLinear(jnp.zeros((PROMPTS + 1, D))).log_probs(jnp.zeros((N, D)), jnp.asarray(L.ref)),
            "`contexts` must have shape (3,) or (2, 3), but has",
        ),
    ],
)
def test_bad_policies_are_refused(make, message):
    with pytest.raises(didsim.ArgumentError) as error:
        make()
    assert message in str(error.value)


def test_table_is_a_softmax_whose_gradient_is_known():
    theta = np.asarray(params(Table(), 6))
    law = np.exp(theta) / np.exp(theta).sum(-1, keepdims=True)
    assert_close(jnp.exp(Table().log_probs(jnp.asarray(theta), jnp.asarray(L.ref))), law)
    assert_close(Table().log_probs(jnp.asarray(theta + 1e3), jnp.asarray(L.ref)), np.log(law), atol=tolerance(condition=1e3))
    weights = np.random.default_rng(7).standard_normal((PROMPTS, N))
    gradient = jax.grad(lambda t: jnp.sum(weights * Table().log_probs(t, jnp.asarray(L.ref))))(jnp.asarray(theta))
    assert_close(gradient, weights - law * weights.sum(-1, keepdims=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_table_stays_a_law_at_extreme_logits(dtype):
    logits = jnp.asarray([[0.0, -1e6, 1e6], [0.0, 0.0, -1e30]], dtype)
    log_probs = Table().log_probs(logits, logits)
    assert_close(log_probs, np.array([[-1e6, -2e6, 0.0], [-np.log(2.0), -np.log(2.0), -1e30]], dtype), rtol=tolerance(dtype))
