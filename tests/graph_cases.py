"""Thousands of random graphs of comparisons, with rewards and references, that several tests share; made on first use."""

import functools
from types import SimpleNamespace

import jax
import numpy as np
import oracles
from scipy.sparse.csgraph import connected_components

from didsim import landscape

B, N = 3000, 8


@functools.cache
def given() -> SimpleNamespace:
    """An entry per instance: pair laws of any graph, and of blocks with equal weights."""
    rng = np.random.default_rng(21)
    reward = rng.standard_normal((B, N)) * np.geomspace(0.1, 3.0, B)[:, None]
    # Random pair laws: from no edge at all to nearly complete, edge weights over four orders of magnitude.
    edges = rng.uniform(size=(B, N, N)) < rng.uniform(0.0, 0.25, B)[:, None, None]
    pairs = edges * 10.0 ** rng.uniform(-4, 0, (B, N, N))
    graph = (pairs + np.swapaxes(pairs, 1, 2) > 0) & ~np.eye(N, dtype=bool)
    # Random partitions into blocks, some responses never shown: equal weights inside a block keep gradient descent quick.
    block = rng.integers(-1, 3, (B, N))
    block[:, :2] = 0  # every instance shows something
    together = (block[:, :, None] == block[:, None, :]) & (block >= 0)[:, :, None]
    shown = together / np.maximum(together.sum(-1, keepdims=True), 1)
    # What happens to responses that are never shown: one component is seen, the rest is not.
    support = rng.uniform(size=(B, N)) < 0.6
    support[:, 0], support[:, 1], support[:, 2] = True, True, False
    count, label = (np.array(part) for part in zip(*map(_first_members, graph), strict=True))
    return SimpleNamespace(
        reward=reward,
        beta=np.geomspace(0.2, 5.0, B)[::-1].copy(),
        ref=oracles.log_laws(22, (B, N)),
        pairs=pairs,
        graph=graph,
        block=block,
        together=together,
        shown=shown / shown.sum((1, 2), keepdims=True),
        support=support,
        one=np.where(support, 0, np.arange(N)),
        count=count,
        label=label,
        block_label=np.array([_first_members(graph)[1] for graph in together]),
    )


@jax.jit
def nullities(pairs, reward, beta):
    """Null-space dimensions and Hessians at the optimum, by the library."""
    hessian = jax.vmap(landscape.hessian_at_optimum)(pairs, reward, beta)
    return landscape.null_space_dimension(hessian), hessian


def worst(error) -> tuple[float, str]:
    """Largest error and the instance that has it."""
    index = int(np.argmax(error))
    return error[index], f"instance {index}"


def _first_members(graph):
    """Smallest index of every response's component, by SciPy."""
    count, label = connected_components(graph, directed=False)
    return count, np.array([np.argmax(label == own) for own in label])


def is_quadratic(smallest, largest, n):
    """Whether all non-zero eigenvalues agree to rounding, so that the best step squares the error (S5)."""
    return np.asarray(largest - smallest <= 16 * n * np.finfo(np.float64).eps * largest)
