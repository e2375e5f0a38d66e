"""The part of A8 that trains on one pair at a time: does the chosen response fall, and did the hidden states say so?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy import stats

from didsim.numerics.sequences import SequenceSpace
from didsim.numerics.traces import jit
from didsim.policies import Transformer, ches, normalised_ches
from didsim.policies.autoregressive import Autoregressive
from didsim.policies.policy import Params

SPACE = SequenceSpace(8, 8, ends=True)
WIDTH = 8
SCORES = ("slope", "ches", "normalised ches", "tokens in common", "ches, shuffled")


def pair_displacement(settings: Any) -> xr.Dataset:
    """Change of the chosen response's log-likelihood after gradient descent on its pair alone, beside what predicts it.

    Pairs: a response drawn from the untrained network, which is the reference, and the same response with a random share
    of its tokens, up to a half, drawn anew.  Scores: the exact first slope, CHES, its normalised form, the share of tokens
    in common, and CHES of another pair; over all pairs, and over those in which neither response ends before the last
    token, where a score cannot live off the lengths.
    """
    policy = Transformer(SPACE, WIDTH, start="flat")
    inits = jnp.arange(settings.inits) + settings.seed

    def measured(init: Array) -> dict[str, Array]:
        key, pair_key = jax.random.split(jax.random.fold_in(jax.random.key(8), init))
        params = policy.weights(key, 1)
        return _pairs(policy, params, pair_key, settings)

    found = jax.device_get(jit(lambda: jax.lax.map(measured, inits))())
    found["ches, shuffled"] = np.roll(found["ches"], 1, axis=-1)
    among = {"all": found["tokens in common"] < 1.0}
    among["equal lengths"] = among["all"] & found["whole"].astype(bool)
    fall = -found["change"]
    rank = [
        [[_rank(a, b, c) for a, b, c in zip(found[name], fall, kept, strict=True)] for name in SCORES] for kept in among.values()
    ]
    return xr.Dataset(
        {
            "pair_fall": (("init", "pair"), np.where(among["all"], fall, np.nan)),
            "pair_whole": (("init", "pair"), among["equal lengths"].astype(int)),
            "pair_ches": (("init", "pair"), found["ches"]),
            "rank_correlation": (("among", "score", "init"), np.array(rank)),
            "other_pairs_rank": ("init", list(map(_others_rank, found["tokens in common"], fall, among["all"]))),
        },
        coords={"score": list(SCORES), "among": list(among)},
    )


def _rank(score: np.ndarray, fall: np.ndarray, kept: np.ndarray) -> float:
    """Spearman's correlation of a score with the fall of the chosen response, over the pairs that are kept."""
    return float(np.asarray(stats.spearmanr(score[kept], fall[kept]))[0])


def _others_rank(score: np.ndarray, fall: np.ndarray, kept: np.ndarray) -> float:
    """`_rank` where every pair has the score of another one, mean over all rotations of the n pairs but the one that is none.

    It is ``-ρ/(n - 1)`` with ``ρ`` of the pairs' own scores (derived), whatever the scores: summed over all rotations every
    rank meets every other one, and deviations from the mean rank sum to 0.
    """
    kept_score, kept_fall = score[kept], fall[kept]
    all_kept = np.ones(kept_score.shape, bool)
    return float(np.mean([_rank(np.roll(kept_score, by), kept_fall, all_kept) for by in range(1, kept_score.size)]))


def _pairs(policy: Autoregressive, params: Params, key: Array, settings: Any) -> dict[str, Array]:
    keys = jax.random.split(key, 3)
    pairs = settings.pairs
    chosen, other = policy.sample(keys[0], params, 2 * pairs)[0].reshape(2, pairs, -1)
    redrawn = jax.random.uniform(keys[1], chosen.shape) < jax.random.uniform(keys[2], (pairs, 1)) / 2
    rejected = _ended(jnp.where(redrawn, other, chosen))
    up, down = policy.hidden_states(params, jnp.concatenate([chosen, rejected])[None])[0].reshape(2, pairs, SPACE.length, -1)
    counts = SPACE.counts(chosen), SPACE.counts(rejected)
    moved = jax.vmap(lambda a, b: _descend(policy, params, a, b, settings))(chosen, rejected)
    return {
        "change": moved[0],
        "slope": -moved[1],
        "ches": ches(up, down, *counts),
        "normalised ches": normalised_ches(up, down, *counts),
        "tokens in common": jnp.mean(chosen == rejected, -1),
        "whole": (jnp.all(counts[0] & counts[1], -1)).astype(params["token"].dtype),
    }


def _ended(tokens: Array) -> Array:
    """Sequences whose tokens after the first end are end tokens."""
    return jnp.where(SPACE.counts(tokens), tokens, SPACE.vocabulary - 1)


def _descend(policy: Autoregressive, params: Params, chosen: Array, rejected: Array, settings: Any) -> tuple[Array, Array]:
    """Change of log π(chosen) after gradient descent on one pair, and its first slope ``d log π(chosen)/dt``."""
    flat, rebuild = ravel_pytree(params)
    tokens = jnp.stack([chosen, rejected])[None]

    def log_probs(theta: Array) -> Array:
        return policy.token_log_probs(rebuild(theta), tokens)[0].sum(-1)

    def step(state: tuple[Array, Array], first: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        theta, start = state
        now, pull_back = jax.vjp(log_probs, theta)
        up, down = (pull_back(row)[0] for row in jnp.eye(2, dtype=now.dtype))
        start = jnp.where(first, now, start)
        margin = settings.beta * ((now - start)[0] - (now - start)[1])
        downhill = settings.beta * jax.nn.sigmoid(-margin) * (up - down)
        return (theta + settings.pair_rate * downhill, start), (now[0] - start[0], up @ downhill)

    at_start = jnp.arange(settings.pair_steps + 1) == 0
    _, (changes, slopes) = jax.lax.scan(step, (flat, jnp.zeros(2, flat.dtype)), at_start)
    return changes[-1], slopes[0]
