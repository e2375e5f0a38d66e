"""The part of B1 that shows F9: a regulariser over all pairs settles responses that no pair shows.

DPO's loss is a vote and a regulariser ``E log 2cosh(z/2)`` over the pairs shown (F9.vote); in a response that no pair shows it
is flat, and gradient descent keeps what the start said of it (S2).  PRO takes the regulariser over all pairs of two draws from
π_ref.  Its derivative in an unseen response vanishes only where ``Σ_b π_ref(b) tanh(β(h_y - h_b)/2) = 0`` (F9.unseen): the left
side rises in ``h_y``, so there is one root, whatever the start.  Unseen responses share it, their own terms vanish, and what is
left is one equation in the log-ratios of the responses shown, which is solved here by bisection (SciPy's ``brentq``).

PRO needs a regulariser that outweighs the vote: pairs shown are draws from π_ref on the support, and rewards have half the usual
spread, else the best response has no finite end.  Steps are ``2S/(β² max π_ref)``, S the mass shown: both Hessians are at most
``β²/2 max π_ref/S`` (derived, from ``(log 2cosh(z/2))'' ≤ ¼``), so gradient descent descends.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import brentq

from didsim import landscape
from didsim.dynamics import Run, Sgd
from didsim.dynamics.run import execute
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, Pro
from didsim.policies import StartedAt
from didsim.samplers import Joint
from didsim.sweeps import drawn_worlds
from didsim.worlds import Given, Problem, RandomReward, problem
from didsim.worlds.preferences import BradleyTerry

LOSSES = ("dpo", "pro")
SHOWN = 0.75  # share of the responses that pairs show: the vote is at most 1/S² times as loud as the regulariser
SPREAD = 0.5  # of rewards, in the figure's usual ones
STARTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # nats by which unseen responses start above the reference


def all_pairs(settings: Any, seeds: range) -> dict:
    """Where DPO and PRO end from starts that differ on unseen responses alone, and what they are predicted to end at."""
    unseen = np.arange(settings.n) >= max(2, round(SHOWN * settings.n))
    scales = settings.reference_scale, 0.0, SPREAD * settings.reward_scale
    drawn = Run(RandomReward(settings.n, 1, *scales, settings.beta), Dpo(settings.beta))
    worlds = drawn_worlds(drawn, seeds)
    starts = worlds.log_ref + jnp.asarray(STARTS)[:, None, None] * jnp.asarray(unseen)
    losses = Dpo(settings.beta), Pro(settings.beta)
    ends = np.stack([_ends(loss, worlds, starts, jnp.asarray(unseen), settings.beta, settings.steps) for loss in losses])
    ratio = ends - np.asarray(worlds.log_ref)
    weight = np.exp(np.asarray(worlds.log_ref, float))
    roots = settled(ratio[1], weight, ~unseen, settings.beta)
    kept = _kept(worlds, starts, jnp.asarray(unseen), settings.beta)
    return {
        "all_pairs_ratio": (("loss", "start", "seed", "response"), ratio),
        "all_pairs_unseen": ("response", unseen),
        "all_pairs_mass": (("loss", "start", "seed"), np.exp(ends)[..., unseen].sum(-1)),
        "all_pairs_before": ("seed", weight[:, unseen].sum(-1)),
        "all_pairs_root": (("start", "seed"), roots),
        "all_pairs_unweighted": (("start", "seed"), settled(ratio[1], np.ones_like(weight), ~unseen, settings.beta)),
        "all_pairs_kept": (("start", "seed"), kept),
    }


def settled(ratio: np.ndarray, weight: np.ndarray, shown: np.ndarray, beta: float) -> np.ndarray:
    """The only ``h`` with ``Σ_b w_b tanh(β(h - h_b)/2) = 0`` over the responses shown; it lies between their extremes."""

    def root(known: np.ndarray, mass: np.ndarray) -> float:
        ends = known.min() - 1.0, known.max() + 1.0
        return float(brentq(lambda h: mass @ np.tanh(0.5 * beta * (h - known)), *ends, xtol=1e-13))  # type: ignore[arg-type]

    known = np.asarray(ratio, float)[..., shown]
    return np.array([[root(one, mass) for one, mass in zip(row, weight[:, shown], strict=True)] for row in known])


def _ends(loss, worlds: Problem, starts: Array, unseen: Array, beta: float, steps: int) -> np.ndarray:
    """Log-laws at the end of gradient descent, (start, seed, response), in one program."""

    def one(log_ref: Float[Array, " n"], reward: Float[Array, " n"], start: Float[Array, " n"]) -> Float[Array, " n"]:
        law = jnp.where(unseen, -jnp.inf, log_ref)
        rate = 2.0 * jnp.sum(jnp.exp(law)) / (beta**2 * jnp.max(jnp.exp(log_ref)))
        pairs = Joint(law[:, None] + law[None, :])
        world = Given(problem(log_ref, reward=reward, beta=beta))
        run = Run(world, loss, pairs, BradleyTerry(), StartedAt(start), Sgd(rate), steps=steps, records=2)
        return execute(run, jax.random.key(0)).log_policy[0]

    return np.asarray(jit(jax.vmap(jax.vmap(one), (None, None, 0)))(worlds.log_ref, worlds.reward, starts))


def _kept(worlds: Problem, starts: Array, unseen: Array, beta: float) -> np.ndarray:
    """Mass of unseen responses where DPO's descent ends, which keeps the sum of logits of the support (S2)."""
    component = jnp.where(unseen, jnp.arange(len(unseen)), 0)
    limit = landscape.descent_limit(starts, worlds.reward, component, beta)
    return np.exp(np.asarray(limit))[..., np.asarray(unseen)].sum(-1)
