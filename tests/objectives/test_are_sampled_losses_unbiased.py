"""Are losses of drawn pairs those of the population on average?"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close
from loss_cases import NAMES, PAIRLESS, by_hand, case_of, policy, value_and_gradient
from objective_cases import make, value_at
from problem_cases import N, given
from sampling import picked

from didsim import simplex
from didsim.objectives.comparisons import draw_pairs
from didsim.samplers import Product, Uniform
from didsim.worlds.preferences import Bernoulli, BradleyTerry, Davidson

DRAWS, PAIRS = 2000, 16


@jax.jit
def drawn_pairs(key, sampler):
    def one(key):
        return draw_pairs(key, given().problem, sampler, BradleyTerry(), given().problem.log_ref, PAIRS)

    return jax.vmap(one)(jax.random.split(key, DRAWS))


every = jax.jit(jax.vmap(jax.value_and_grad(value_at, argnums=1), (None, None, 0, None)))


@functools.cache
def drawn(fair):
    """Batches of pairs of the case, or of pairs whose first response comes from another law."""
    biased = Product(simplex.normalize(0.5 * jnp.array(given().first)), jnp.array(given().second))
    return drawn_pairs(jax.random.key(5), case_of("product soft").sampler if fair else biased)


def worst_z_score(name, pairs):
    scores = []
    for got, wanted in zip(every(make(name), given().logits, pairs, given().problem), by_hand(name, "product soft"), strict=True):
        error = np.asarray(got).std(0) / np.sqrt(DRAWS)
        assert np.all(error > 0)
        scores.append(np.abs((np.asarray(got).mean(0) - wanted) / error).max())
    return max(scores)


# Rewards of log-ratios and of log-probabilities, and with a mean that is held still.
QUICK = ["dpo", "simpo", "kto", "orpo", "exo_pair"]


def quick(names):
    return pytest.mark.parametrize("name", picked(names, QUICK))


@quick([name for name in NAMES if name not in [*PAIRLESS, "bco[batch]"]])
def test_samples_estimate_without_bias(name):
    assert worst_z_score(name, drawn(fair=True)) < 4.5
    assert worst_z_score(name, drawn(fair=False)) > 8.0


@pytest.mark.parametrize("case", ["joint flipped", "on policy", "product cycle", "as shown", "blocks"])
def test_every_kind_of_data_is_sampled_without_bias(case):
    sampler, labels = case_of(case).sampler, case_of(case).labels
    log_policy = jnp.array(policy(given().logits))
    pairs = draw_pairs(jax.random.key(9), given().problem, sampler, labels, log_policy, DRAWS * PAIRS)
    first, second, win = (np.asarray(leaf) for leaf in jax.tree.leaves(pairs))
    for x, law in enumerate(case_of(case).laws):
        got = np.zeros((N, N))
        np.add.at(got, (first[x], second[x]), win[x])
        np.add.at(got, (second[x], first[x]), 1 - win[x])
        error = np.sqrt(np.maximum(law * (1 - law), 1e-4) / win[x].size)
        assert np.abs((got / win[x].size - law) / error).max() < 4.5
        assert np.abs((got / win[x].size - law.T) / error).max() > 8.0  # control: roles exchanged


def test_rlhf_needs_no_pairs():
    pairs = draw_pairs(jax.random.key(0), given().problem, Uniform(), BradleyTerry(), given().problem.log_ref, PAIRS)
    rlhf, logits = make("rlhf"), given().logits
    assert_close(value_and_gradient(rlhf, logits, pairs), value_and_gradient(rlhf, logits, case_of("joint hard").population))


@quick([name for name in NAMES if name not in PAIRLESS])
def test_counting_drawn_pairs_changes_no_loss(name):
    """The table of weights is the same data; a control has other pairs."""
    key, case, logits = jax.random.key(4), case_of("joint hard"), given().logits
    pairs = draw_pairs(key, given().problem, case.sampler, Bernoulli(BradleyTerry()), given().problem.log_ref, PAIRS)
    wanted = value_and_gradient(make(name), logits, pairs)
    assert_close(value_and_gradient(make(name), logits, pairs.counted(N)), wanted)
    others = replace(pairs, first=(pairs.first + 1) % N).counted(N)
    assert abs(value_and_gradient(make(name), logits, others)[0] - wanted[0]) > 1e-3


@pytest.mark.parametrize("labels", [Davidson(tie=0.7), Bernoulli(Davidson(tie=0.7))])
def test_counted_pairs_are_their_weights_by_hand(labels):
    pairs = draw_pairs(jax.random.key(6), given().problem, Uniform(), labels, given().problem.log_ref, 50)
    first, second, win, tied = (np.asarray(leaf) for leaf in jax.tree.leaves(pairs))
    ordered, even = np.zeros((2, len(first), N, N))
    for x, k in np.ndindex(*first.shape):
        for a, b, weight in ((first[x, k], second[x, k], win[x, k]), (second[x, k], first[x, k], 1 - win[x, k])):
            ordered[x, a, b] += weight / 50
            even[x, a, b] += 0.5 * tied[x, k] / 50
    counted = pairs.counted(N)
    assert_close((counted.ordered, counted.tied), (ordered, even))
    assert even.sum() > 0
