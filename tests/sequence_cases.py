"""Sequences as plain tuples of tokens, and their laws by the chain rule, that tests of spaces and of policies share."""

import itertools

import numpy as np

from didsim.numerics.sequences import SequenceSpace


def responses(space: SequenceSpace) -> list[tuple[int, ...]]:
    """All responses as tuples of tokens, in the space's order."""
    end, going = space.vocabulary - 1, range(space.vocabulary - space.ends)
    ended = [(*head, end) for k in range(space.length) for head in itertools.product(going, repeat=k)] if space.ends else []
    return [*ended, *itertools.product(going, repeat=space.length)]


def prefixes(space: SequenceSpace) -> list[tuple[int, ...]]:
    return [head for k in range(space.length) for head in itertools.product(range(space.vocabulary - space.ends), repeat=k)]


def chain(space: SequenceSpace, log_next) -> np.ndarray:
    return np.array([sum(log_next[y[:k]][y[k]] for k in range(len(y))) for y in responses(space)])
