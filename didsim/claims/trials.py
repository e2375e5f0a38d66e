"""How does a claim fare on thousands of random instances, and its controls?

One compiled program per claim judges a batch of keys; which hypothesis is left out is an argument of it, so the claim and
all of its controls share the program.  Instance k of a claim is a pure function of the seed, the claim's name and k.
"""

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from didsim.claims.definition import Claim, judge
from didsim.claims.variables import Instance, Variable, draw
from didsim.numerics.compilation import quickly
from didsim.numerics.traces import jit

BATCH = 2500
USUAL = 8
PROGRAMS = 8  # kept at once: a compiled program takes tens of megabytes


@dataclass(frozen=True)
class Trial:
    """Random instances of a claim, perhaps with one hypothesis dropped.

    Attributes:
        instances: how many.
        worst: largest residual; infinite where one is not a number.
        index: which instance has it.
        n: responses of that instance.
        failures: instances that violate the dropped hypothesis and clearly miss the bound; miss it at all, if the claim
            says that the hypothesis is not needed.
        violating: instances that violate the dropped hypothesis.
    """

    instances: int
    worst: float
    index: int
    n: int
    failures: int
    violating: int

    @property
    def failure_rate(self) -> float:
        """Share of the instances without the hypothesis on which the claim fails."""
        return self.failures / max(self.violating, 1)


def batch_size(claim: Claim, n: int) -> int:
    """Instances judged at once, always as many, so that one program serves all; fewer where tables of pairs are large."""
    return max(1, round(BATCH * claim.share * min(1.0, (USUAL / n) ** 2)))


def instances_from(claim: Claim, seed: int, start: int, n: int) -> Instance:
    """A batch of random instances, from number ``start`` on; the number decides, not the batch."""
    base = jax.random.fold_in(jax.random.key(seed), zlib.crc32(claim.id.encode()) % 2**31)
    dtype, size = jnp.zeros(()).dtype, batch_size(claim, n)
    return {
        name: _drawer(variable, n, size, dtype)(jax.random.fold_in(base, zlib.crc32(name.encode()) % 2**31), np.int32(start))
        for name, variable in claim.variables.items()
    }


def instance(claim: Claim, seed: int, index: int, n: int | None = None) -> Instance:
    """One random instance again, hypotheses not yet imposed."""
    n = claim.n if n is None else n
    start = index - index % batch_size(claim, n)
    made = instances_from(claim, seed, start, n)
    return {name: values[index - start] for name, values in made.items()}


@functools.cache
def _drawer(variable: Variable, n: int, size: int, dtype: Any) -> Callable:
    """Compiled draw of one variable, shared by all claims that have one like it.

    Apart from the judge: fused into it, single-precision draws would be worked out twice and differ in their last bits.
    """
    del dtype

    def many(key: Key[Array, ""], start: Array) -> Array:
        keys = jax.vmap(lambda k: jax.random.fold_in(key, k))(start + jnp.arange(size, dtype=jnp.int32))
        return jax.vmap(lambda own: draw(own, variable, n))(keys)

    return jit(many, compiler_options=quickly())


@functools.lru_cache(maxsize=PROGRAMS)
def judge_many(claim: Claim, n: int, dtype: Any) -> Callable:
    """Compiled judge of a batch of instances; ``n`` and ``dtype`` are part of the name alone."""
    del n, dtype
    return jit(jax.vmap(lambda raw, dropped: judge(claim, raw, dropped), (0, None)), compiler_options=quickly())


def mask(claim: Claim, dropped: int | None) -> Array:
    """Which hypotheses are left out, as booleans."""
    return jnp.arange(len(claim.hypotheses)) == (-1 if dropped is None else dropped)


def run_trial(claim: Claim, *, instances: int, seed: int, dropped: int | None = None, n: int | None = None) -> Trial:
    """Judges random instances in batches of one compiled program."""
    n = claim.n if n is None else n
    dtype = jnp.zeros(()).dtype
    judged = judge_many(claim, n, dtype)
    starts = range(0, instances, batch_size(claim, n))
    parts = [judged(instances_from(claim, seed, start, n), mask(claim, dropped)) for start in starts]
    residual = np.concatenate([np.asarray(part[0], np.float64) for part in parts])[:instances]
    violated = np.concatenate([np.asarray(part[1]) for part in parts])[:instances]
    out = np.ones(instances, bool) if dropped is None else violated[:, dropped]
    worst = np.where(np.isnan(residual), np.inf, residual)
    index = int(np.argmax(worst))
    # What is not needed must hold as the claim does; what is needed must be missed by more than rounding.
    needed = dropped is None or claim.hypotheses[dropped].needed
    missed = residual > claim.clear(dtype) if needed else ~(residual <= claim.bound(dtype))
    failures = int(np.sum(out & missed))
    return Trial(instances, float(worst[index]), index, n, failures, int(out.sum()))
