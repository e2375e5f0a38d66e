"""Which sequences are there, numbered how, and how do their laws and next-token laws go over into each other?"""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from sequence_cases import chain, prefixes, responses
from tolerance import tolerance

import didsim
from didsim.numerics.sequences import SequenceSpace

SPACES = [SequenceSpace(3, 3), SequenceSpace(3, 3, ends=True), SequenceSpace(2, 1)]


def padded(space: SequenceSpace) -> np.ndarray:
    return np.array([[*y, *[space.vocabulary - 1] * (space.length - len(y))] for y in responses(space)])


def conditionals(space: SequenceSpace, seed: int) -> dict[tuple[int, ...], np.ndarray]:
    laws = oracles.log_laws(seed, (space.prefixes, space.vocabulary))
    return dict(zip(prefixes(space), laws, strict=True))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_tokens_numbers_and_lengths(space):
    listed, heads = responses(space), prefixes(space)
    assert (space.n, space.prefixes) == (len(listed), len(heads))
    tokens = space.tokens()
    assert np.array_equal(tokens, padded(space))
    assert np.array_equal(space.index(tokens), np.arange(space.n))
    assert_close(space.lengths(), np.array([float(len(y)) for y in listed]))
    counts, places = np.asarray(space.counts(tokens)), np.asarray(space.prefix_index(tokens))
    for y, mask, place in zip(listed, counts, places, strict=True):
        assert list(mask) == [True] * len(y) + [False] * (space.length - len(y))
        assert [heads[i] for i in place[: len(y)]] == [y[:k] for k in range(len(y))]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_laws_over_responses_and_next_token_laws_go_over_into_each_other(space):
    log_next = conditionals(space, 1)
    by_prefix = np.stack(list(log_next.values()))
    both_ways = jax.jit(lambda rows: ((law := space.log_law(rows)), space.next_log_probs(law)))
    law, back = both_ways(jnp.asarray(by_prefix))
    assert_close(law, chain(space, log_next))
    assert_close(np.exp(law).sum(), np.array(1.0))
    assert_close(back, by_prefix)


def test_a_prefix_without_mass_is_followed_by_the_uniform_law():
    space = SequenceSpace(2, 2)
    log_next = jax.jit(space.next_log_probs)(jnp.log(jnp.array([0.5, 0.5, 0.0, 0.0])))
    assert_close(jnp.exp(log_next), np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]))


def test_a_million_sequences_are_enumerated():
    space = SequenceSpace(10, 6)
    log_next = jax.nn.log_softmax(jax.random.normal(jax.random.key(0), (space.prefixes, 10)))
    law = jax.jit(space.log_law)(log_next)
    assert law.shape == (10**6,)
    tokens = jax.random.randint(jax.random.key(1), (50, 6), 0, 10)
    paths = np.asarray(log_next)[np.asarray(space.prefix_index(tokens)), np.asarray(tokens)]
    assert_close(law[space.index(tokens)], paths.sum(-1))
    assert_close(jax.nn.logsumexp(law), np.array(0.0), atol=tolerance(condition=100))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SequenceSpace(1, 3), "`vocabulary` must be an integer of at least 2"),
        (lambda: SequenceSpace(3, 0), "`length` must be an integer of at least 1"),
        (lambda: SequenceSpace(64, 12).tokens(), "`space` must have at most 4194304 responses"),
    ],
)
def test_bad_spaces_are_refused(make, message):
    with pytest.raises(didsim.ArgumentError) as error:
        make()
    assert message in str(error.value)
