"""A small problem with every part away from its default, and laws on it, that several rooms' tests share; made on first use."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import oracles

from didsim.samplers import Joint
from didsim.worlds import problem

P, N, BETA = 3, 5, 0.7
SHARES = np.array([0.55, 0.3, 0.15])


@functools.cache
def given() -> SimpleNamespace:
    """The problem and its parts; laws of one response ``[P, N]``, of pairs and preferences ``[P, N, N]``."""
    rng = np.random.default_rng(7)
    ref, first, second = oracles.normalize(rng.standard_normal((3, P, N)))
    chosen, rejected = oracles.normalize(rng.standard_normal((2, P, N)))
    reward = 1.5 * rng.standard_normal((P, N))
    lengths = rng.integers(1, 6, (P, N)).astype(float)
    logits = 1.3 * rng.standard_normal((P, N))
    shown = rng.dirichlet(np.ones(N * N), P).reshape(P, N, N)
    upper = np.triu(rng.uniform(size=(P, N, N)), 1)
    law = {"log_prompts": np.log(SHARES), "log_chosen": chosen, "log_rejected": rejected}
    with jax.ensure_compile_time_eval():  # also where a traced function is the first to ask
        return SimpleNamespace(
            ref=ref,
            first=first,
            second=second,
            chosen=chosen,
            rejected=rejected,
            reward=reward,
            lengths=lengths,
            logits=jnp.asarray(logits),
            shown=shown,
            pairs=Joint(jnp.log(jnp.asarray(shown))),
            soft=oracles.bradley_terry(reward),
            cycle=upper + np.tril(1 - np.swapaxes(upper, 1, 2), -1) + 0.5 * np.eye(N),
            problem=problem(ref, reward=reward, beta=BETA, lengths=lengths, **law),
            worlds=[oracle.World(*rows) for rows in zip(ref, reward, lengths, strict=True)],
        )


def narrow(tree):
    """The same tree in single precision."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)
