"""Do objectives of sorted margins sort: batches by NumPy, populations as batches with repeats, gradients by differences?"""

from fractions import Fraction

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import oracles
import population_oracles
import pytest
from random_laws import Drawn
from tolerance import tolerance

import didsim
from didsim import simplex
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Aot, AotUnpaired, loss, product_population
from didsim.objectives.comparisons import Population, SampledPairs, draw_pairs
from didsim.samplers import ChosenRejected
from didsim.worlds import problem
from didsim.worlds.preferences import AsShown

N, M, BETA = 4, 24, 0.8
RNG = np.random.default_rng(12)
LOG_REF = oracles.normalize(RNG.standard_normal((1, N)))
LOGITS = RNG.standard_normal((1, N))
REWARD = RNG.standard_normal((1, N))
CHOSEN, REJECTED = RNG.integers(0, N, (2, M))
L = Drawn(world=lambda: problem(LOG_REF, reward=REWARD, beta=BETA))
KINDS = {"aot": Aot, "aot_unpaired": AotUnpaired}
each = pytest.mark.parametrize("name", KINDS)


def by_hand(name, logits, chosen=CHOSEN, rejected=REJECTED):
    """Sort, subtract, average: as public code does on a batch."""
    log_policy = oracle.log_softmax(logits)
    if name == "aot":
        first, second = log_policy[chosen] - log_policy[rejected], LOG_REF[0][chosen] - LOG_REF[0][rejected]
    else:
        ratio = log_policy - LOG_REF[0]
        first, second = ratio[chosen], ratio[rejected]
    gaps = np.sort(first) - np.sort(second)
    return sum(-oracle.log_sigmoid(BETA * gap) for gap in gaps) / len(gaps)


@jax.jit
def value_and_gradient(objective, logits, comparisons):
    return jax.value_and_grad(lambda t: loss(objective, L.world, simplex.normalize(t), comparisons))(logits)


def batch(chosen=CHOSEN, rejected=REJECTED):
    """The batch with half of its pairs shown the other way round."""
    turned = np.arange(len(chosen)) % 2 == 1
    first, second = np.where(turned, rejected, chosen), np.where(turned, chosen, rejected)
    return SampledPairs(jnp.asarray(first)[None], jnp.asarray(second)[None], jnp.asarray(1.0 - turned)[None])


def law():
    counts = np.zeros((N, N))
    np.add.at(counts, (CHOSEN, REJECTED), 1.0)
    return counts / M


@each
def test_a_batch_and_a_population_by_hand(name):
    for comparisons in (batch(), Population(jnp.asarray(law())[None])):
        value, slope = value_and_gradient(KINDS[name](BETA), jnp.asarray(LOGITS), comparisons)
        np.testing.assert_allclose(value, by_hand(name, LOGITS[0]), atol=tolerance())
        difference = population_oracles.central_difference(lambda t: by_hand(name, t), LOGITS[0])
        np.testing.assert_allclose(slope[0], difference, atol=1e-8)
    paired = np.mean(
        [
            -oracle.log_sigmoid(BETA * (d[a] - d[b]))
            for d in (LOGITS[0] - LOG_REF[0],)
            for a, b in zip(CHOSEN, REJECTED, strict=True)
        ]
    )
    assert abs(by_hand(name, LOGITS[0]) - paired) > 1e-3  # control: pair by pair it is another loss


@each
def test_unequal_weights_are_repeats(name):
    """A population with weights in 1/60 is a batch of 60 pairs."""
    weights = [Fraction(k, 60) for k in (7, 13, 11, 29)]
    pairs = [(0, 1), (2, 1), (3, 0), (1, 2)]
    joint = np.zeros((N, N))
    for weight, (a, b) in zip(weights, pairs, strict=True):
        joint[a, b] = float(weight)
    repeated = np.repeat(np.array(pairs), [int(60 * w) for w in weights], axis=0)
    value, _ = value_and_gradient(KINDS[name](BETA), jnp.asarray(LOGITS), Population(jnp.asarray(joint)[None]))
    np.testing.assert_allclose(value, by_hand(name, LOGITS[0], *repeated.T), atol=tolerance())


@each
def test_product_laws_need_no_writing_out_by_the_caller(name):
    kept = product_population(L.world, ChosenRejected().pair_law(L.world, L.world.log_ref), AsShown())
    one, other = (value_and_gradient(KINDS[name](BETA), jnp.asarray(LOGITS), data) for data in (kept, kept.written_out()))
    np.testing.assert_allclose(one[0], other[0], atol=tolerance())
    np.testing.assert_allclose(one[1], other[1], atol=tolerance())


@each
def test_large_batches_tend_to_the_population(name):
    data = Population(jnp.exp(L.world.log_chosen)[:, :, None] * jnp.exp(L.world.log_rejected)[:, None, :])
    exact = value_and_gradient(KINDS[name](BETA), jnp.asarray(LOGITS), data)[0]

    def one(key):
        drawn = draw_pairs(key, L.world, ChosenRejected(), AsShown(), L.world.log_ref, 1024)
        return loss(KINDS[name](BETA), L.world, simplex.normalize(jnp.asarray(LOGITS)), drawn)

    values = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 400)))
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - exact) / error < 4.5
    assert error < 0.002
    assert abs(np.log(2) - exact) / error > 8.0  # control: another value


@each
def test_no_exact_solver_takes_them(name):
    with pytest.raises(ArgumentError, match=f"must be a mean over pairs or responses, but {name} sorts them"):
        didsim.solve(L.world, KINDS[name](BETA))
    with pytest.raises(ArgumentError, match="Argument `beta` must be positive and finite, but is 0"):
        KINDS[name](0.0)


def test_means_over_pairs_have_no_batch_term():
    with pytest.raises(TypeError, match="objective 'dpo' is a mean over pairs"):
        didsim.objectives.Dpo().batch_term(didsim.objectives.responses(L.world, L.world.log_ref), batch())
