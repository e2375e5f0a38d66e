"""What became of a path of policies: a point, a turn, or a corner?"""

import enum
import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from didsim.numerics import simplex


class Fate(enum.IntEnum):
    """How an iteration ends."""

    CONVERGED = 0
    CYCLE = 1
    COLLAPSE = 2


class Ending(NamedTuple):
    """What became of a path: its `Fate`, the exact period if it has a short one (0 if not), the period of its strongest
    oscillation in rounds, the median entropy of its tail in nats, and the largest change in the last rounds."""

    fate: Int[Array, "..."]
    period: Int[Array, "..."]
    turning: Float[Array, "..."]
    entropy: Float[Array, "..."]
    change: Float[Array, "..."]


def ending(
    path: Float[Array, "times n"], *, window: int = 64, settled: float = 1e-5, collapsed: float = 0.05, longest: int = 24
) -> Ending:
    """What a path ends in, from its last ``window`` rounds.

    COLLAPSE: the median entropy is below the share ``collapsed`` of ``log n``.  CONVERGED: no probability changes by more than
    ``settled`` a round.  CYCLE: anything else, with the smallest period up to ``longest`` that it repeats to within
    ``settled`` (0 if none: the turn need not take a whole number of rounds), and the period of the strongest Fourier mode.
    """
    tail = path[-window:]
    mass = jnp.exp(tail)
    entropy = jnp.median(simplex.entropy(tail))
    change = jnp.max(jnp.abs(mass[1:] - mass[:-1]))
    reach = min(longest, window // 2)
    late = jnp.arange(window - reach, window)
    earlier = late[None] - jnp.arange(1, reach + 1)[:, None]
    gaps = jnp.max(jnp.abs(mass[late] - mass[earlier]), axis=(1, 2))
    repeats = gaps <= settled
    period = jnp.where(jnp.any(repeats), 1 + jnp.argmax(repeats), 0)
    cycle = jnp.where(change <= settled, Fate.CONVERGED, Fate.CYCLE)
    fate = jnp.where(entropy <= collapsed * math.log(path.shape[-1]), Fate.COLLAPSE, cycle)
    return Ending(fate, jnp.where(fate == Fate.CYCLE, period, 0), _turning(mass), entropy, change)


def _turning(mass: Float[Array, "window n"]) -> Float[Array, ""]:
    """Rounds per turn of the strongest Fourier mode, between bins by a parabola through the log-power of three."""
    window = mass.shape[0]
    weight = 0.5 - 0.5 * jnp.cos(2.0 * jnp.pi * (jnp.arange(window) + 0.5) / window)
    signal = (mass - mass.mean(0)) * weight[:, None]
    power = jnp.sum(jnp.square(jnp.abs(jnp.fft.rfft(signal, axis=0))), -1)
    power = jnp.log(jnp.maximum(power, jnp.finfo(power.dtype).tiny))
    peak = jnp.clip(1 + jnp.argmax(power[1:-1]), 1, power.size - 2)
    low, middle, high = power[peak - 1], power[peak], power[peak + 1]
    curve = low - 2.0 * middle + high
    shift = jnp.where(curve < 0, 0.5 * (low - high) / jnp.where(curve < 0, curve, -1.0), 0.0)
    return window / (peak + jnp.clip(shift, -0.5, 0.5))
