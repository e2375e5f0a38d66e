"""How large can a claim's residual be made on purpose?

From many starts, the worst of the random instances among them, the raw variables climb the residual's gradient, with some
noise so that a residual made of rounding alone is climbed as well; a step that does not raise it is not taken.  Hypotheses
are imposed after every step, so the climb never leaves them.
"""

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from didsim.claims.definition import Claim, judge
from didsim.claims.trials import instance, instances_from, mask
from didsim.claims.variables import Instance, limit
from didsim.numerics import checks
from didsim.numerics.compilation import quickly
from didsim.numerics.traces import jit

STARTS = 64
STEPS = 80


@dataclass(frozen=True)
class Climb:
    """The worst instance that a search on purpose found.

    Attributes:
        worst: its residual; infinite where it is not a number.
        raw: its variables before the hypotheses are imposed.
        starts: climbs made.
        steps: steps of each.
    """

    worst: float
    raw: Instance
    starts: int
    steps: int


def climb(claim: Claim, *, seed: int, first: int = 0, starts: int = STARTS, steps: int = STEPS) -> Climb:
    """Gradient ascent on the residual from random instances, of which ``first`` is one."""
    given, fresh = instance(claim, seed, first), instances_from(claim, (seed + 1) % checks.SEED_LIMIT, 0, claim.n)
    begin = {name: jnp.concatenate([given[name][None], fresh[name][: starts - 1]]) for name in given}
    noise = jax.random.split(
        jax.random.fold_in(jax.random.key(seed), zlib.crc32(claim.id.encode()) % 2**31), len(begin[min(begin)])
    )
    heights, ends = _search(claim, jnp.zeros(()).dtype, steps)(begin, noise)
    heights = np.where(np.isnan(heights), np.inf, np.asarray(heights, np.float64))
    best = int(np.argmax(heights))
    return Climb(float(heights[best]), {name: ends[name][best] for name in ends}, starts, steps)


@functools.lru_cache(maxsize=1)
def _search(claim: Claim, dtype: Any, steps: int) -> Callable:
    del dtype

    def height(raw: Instance) -> Float[Array, ""]:
        return judge(claim, raw, mask(claim, None))[0]

    def ascend(start: Instance, noise_key: Key[Array, ""]) -> tuple[Float[Array, ""], Instance]:
        def step(state, place):
            raw, best = state
            way = _direction(claim, height, raw, jax.random.fold_in(noise_key, place))
            pace = 10.0 ** (-3.0 * place / steps)
            tried = limit(claim.variables, {name: raw[name] + pace * way[name] for name in raw})
            value = height(tried)
            better = value > best
            return ({name: jnp.where(better, tried[name], raw[name]) for name in raw}, jnp.where(better, value, best)), None

        (end, best), _ = jax.lax.scan(step, (start, height(start)), jnp.arange(steps))
        return best, end

    return jit(jax.vmap(ascend), compiler_options=quickly())


def _direction(claim: Claim, height: Callable, raw: Instance, key: Key[Array, ""]) -> Instance:
    """The gradient and noise of the same length, of unit size per number; integers stay."""
    keys = jax.random.split(key, len(raw))
    noise = {name: jax.random.normal(own, raw[name].shape, raw[name].dtype) for own, name in zip(keys, raw, strict=True)}
    slope = jax.grad(height)(raw) if claim.smooth else jax.tree.map(jnp.zeros_like, raw)
    slope = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0.0), slope)
    length = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(slope)) / sum(g.size for g in jax.tree.leaves(slope)))
    unit = jax.tree.map(lambda g: g / jnp.where(length > 0, length, 1.0), slope)
    free = {name: float(claim.variables[name].kind != "whole") for name in raw}
    return {name: free[name] * (unit[name] + 0.5 * noise[name]) for name in raw}
