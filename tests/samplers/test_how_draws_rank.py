"""Ranks of draws, ties included: bounds on best of k, ranks against each other, rare levels (S10)."""

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from tolerance import tolerance

from didsim import simplex
from didsim.samplers import ranks


def random_bases(count: int, n: int, ties: bool):
    rng = np.random.default_rng(41)
    score = rng.integers(0, n // 2, (count, n)).astype(float) if ties else rng.standard_normal((count, n))
    return jnp.asarray(score), jnp.asarray(oracles.normalize(2.0 * rng.standard_normal((count, n)))), rng


@pytest.mark.parametrize("ties", [False, True])
def test_best_of_k_stays_near_its_base(ties):
    """KL(best of k ‖ base) ≤ log k - (k-1)/k, for any real k, any ties, thousands of bases (S10)."""
    score, base, rng = random_bases(3000, 16, ties)
    k = jnp.asarray(np.exp(rng.uniform(0.0, 5.0, 3000)))
    law = ranks.log_best_of(ranks.ranks(score, base), k[:, None])
    bound = jnp.log(k) - (k - 1.0) / k
    excess = np.asarray(simplex.kl(law, base) - bound)
    assert excess.max() < tolerance(condition=10.0), f"instance {excess.argmax()}"
    assert_close(jnp.exp(law).sum(-1), np.ones(3000), atol=tolerance(condition=float(k.max())))
    assert np.asarray(simplex.kl(law, base) - 0.5 * bound).max() > 0.1  # half the bound does not hold


def test_the_bound_is_reached_by_many_responses():
    n, k = 4096, 7.0
    flat = jnp.full(n, -np.log(n))
    law = ranks.log_best_of(ranks.ranks(jnp.arange(float(n)), flat), k)
    assert abs(float(simplex.kl(law, flat)) - (np.log(k) - (k - 1) / k)) < 2e-3


def test_rank_one_is_the_best_and_ranks_average_to_the_base():
    score, base, _ = random_bases(20, 6, True)
    standing = ranks.ranks(score, base)
    near = tolerance(condition=25.0)  # powers of five of numbers near one, and differences of them
    laws_by_rank = jnp.stack([jnp.exp(ranks.log_rank_of(standing, 5, rank)) for rank in range(1, 6)])
    assert_close(laws_by_rank[0], jnp.exp(ranks.log_best_of(standing, 5)), atol=near)
    assert_close(laws_by_rank.mean(0), jnp.exp(base), atol=near)
    assert float(abs(laws_by_rank[:4].mean(0) - jnp.exp(base)).max()) > 0.01
    joint = jnp.exp(ranks.log_two_ranks_of(standing, 5, 2, 4))
    assert_close(joint.sum(-1), laws_by_rank[1], atol=near)
    assert_close(joint.sum(-2), laws_by_rank[3], atol=near)
    ends = jnp.exp(ranks.log_two_ranks_of(standing, 5, 1, 5))
    assert_close(jnp.exp(ranks.log_best_and_worst_of(standing, 5)), ends, atol=near)


def test_rare_levels_keep_their_relative_accuracy():
    """A response of mass 1e-40 is the best of k with chance k·1e-40, a difference of powers would say 0."""
    rare = np.log(1e-40)
    base = jnp.asarray([[np.log(0.5), np.log(0.5), rare]])
    law = ranks.log_best_of(ranks.ranks(jnp.asarray([[0.0, 1.0, 2.0]]), base), 8.0)
    np.testing.assert_allclose(law[0, 2], np.log(8.0) + rare, rtol=1e-12)
    assert float(1.0**8 - (1.0 - 1e-40) ** 8) == 0.0
