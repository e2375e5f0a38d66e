"""Policies: they start at the reference, are laws for any parameters, and keep the shared contracts."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from jax.flatten_util import ravel_pytree
from tolerance import tolerance

from didsim.policies import Policy, Table

PROMPTS, N = 2, 5
REF = oracles.log_laws(30, (PROMPTS, N))
POLICIES = {"table": Table()}


def params(policy, seed: int):
    """Parameters away from the start."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + rng.standard_normal(leaf.shape), policy.init(jnp.asarray(REF)))


def test_every_policy_is_a_case():
    assert {type(p) for p in POLICIES.values()} == {p for p in Policy.__subclasses__() if p.__module__ == "didsim.policies"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", POLICIES)
def test_starts_at_the_reference(name, dtype):
    policy = POLICIES[name]
    assert_close(policy.log_probs(policy.init(jnp.asarray(REF, dtype))), REF.astype(dtype))


@pytest.mark.parametrize("name", POLICIES)
def test_contracts(name):
    policy = POLICIES[name]
    assert_round_trip(policy)
    assert_jit_and_vmap(lambda policy, theta: policy.log_probs(theta), *[(policy, params(policy, seed)) for seed in range(3)])


@pytest.mark.parametrize("name", POLICIES)
def test_gradient_is_the_finite_difference(name):
    policy = POLICIES[name]
    theta = params(policy, 4)
    weights = jnp.asarray(np.random.default_rng(5).standard_normal((PROMPTS, N)))

    @jax.jit
    def value(theta):
        return jnp.sum(weights * policy.log_probs(theta))

    flat, rebuild = ravel_pytree(theta)
    steps = 1e-6 * np.eye(flat.size)
    differences = [(value(rebuild(flat + step)) - value(rebuild(flat - step))) / 2e-6 for step in steps]
    gradient, _ = ravel_pytree(jax.jit(jax.grad(value))(theta))
    np.testing.assert_allclose(gradient, differences, atol=1e-8)


def test_table_is_a_softmax_whose_gradient_is_known():
    theta = np.asarray(params(Table(), 6))
    law = np.exp(theta) / np.exp(theta).sum(-1, keepdims=True)
    assert_close(jnp.exp(Table().log_probs(jnp.asarray(theta))), law)
    assert_close(Table().log_probs(jnp.asarray(theta + 1e3)), np.log(law), atol=tolerance(condition=1e3))
    weights = np.random.default_rng(7).standard_normal((PROMPTS, N))
    gradient = jax.grad(lambda t: jnp.sum(weights * Table().log_probs(t)))(jnp.asarray(theta))
    assert_close(gradient, weights - law * weights.sum(-1, keepdims=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_table_stays_a_law_at_extreme_logits(dtype):
    log_probs = Table().log_probs(jnp.asarray([[0.0, -1e6, 1e6], [0.0, 0.0, -1e30]], dtype))
    assert_close(log_probs, np.array([[-1e6, -2e6, 0.0], [-np.log(2.0), -np.log(2.0), -1e30]], dtype), rtol=tolerance(dtype))
