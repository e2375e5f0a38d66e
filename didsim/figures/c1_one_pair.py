"""The part of C1 that shows one pair: with a hard label there is no end, and yet the same clock.

Gradient descent on ``-log σ(z)``, ``z = βΔ`` with Δ the log-ratio gap of two responses, moves z on the clock ``τ = ηβ²t`` by
``dz/dτ = 2σ(-z)``, so ``z + e^z = 1 + 2τ`` and ``z = log ω(1 + 2τ)``, with ω Wright's omega function (derived, F11).  Steps
of size h on that clock err by at most h: the flow contracts, as ``σ(-z)`` falls, so errors do not grow; and what single
steps err by, ``h ∫|z''|`` at most, adds up to ``h (z'(0) - z'(∞)) = h``.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy.special import wrightomega

from didsim.dynamics import Run, Sgd
from didsim.objectives import Dpo
from didsim.samplers import Uniform
from didsim.sweeps import sweep
from didsim.worlds import RandomReward
from didsim.worlds.preferences import BradleyTerry, Hard, Labels

SHOWN = 0.5  # share of uniform pairs that hold both responses: the clock runs at half its speed
FAR = 10.0  # on the clock, where the smallest β ends: past 4.2, where z = 2, a smaller β is ahead in z/β
LONGEST = 1.0  # step on the clock, half of the one from which on the map contracts no more
LABELS: dict[str, Labels] = {"hard": Hard(BradleyTerry()), "soft": BradleyTerry()}


def watch(problem, objective, log_policy, comparisons) -> dict:
    """``z = βΔ`` of the only pair, and the largest logit that it starts from."""
    del comparisons
    return {
        "z": objective.beta * jnp.ptp(log_policy - problem.log_ref, axis=-1)[0],
        "reach": jnp.max(jnp.abs(problem.log_ref)),
    }


def one_pair(settings: Any) -> dict:
    """``z`` of one pair for every β at one learning rate, under hard and soft labels, and as Wright's function has it."""
    betas = np.asarray(settings.betas)
    speed = min(FAR / (settings.steps * betas[0] ** 2), LONGEST / betas[-1] ** 2)
    step = speed * betas[:, None] ** 2
    hard, soft = (_trained(settings, labels, speed / SHOWN) for labels in LABELS.values())
    clock = step * hard["step"].values
    predicted = np.log(wrightomega(1.0 + 2.0 * clock))
    # Either logit is rounded once a step, by half a unit in its last place.
    logits = betas[:, None] * hard["reach"].values.max() + 0.5 * predicted
    rounding = np.finfo(hard["z"].dtype).eps * logits * hard["step"].values
    along = ("beta", "record")
    return {
        "pair_margin": (("label", *along), np.stack([one["z"].values.reshape(clock.shape) for one in (hard, soft)])),
        "pair_predicted": (along, predicted),
        "pair_clock": (along, clock),
        "pair_bound": (along, step + rounding),
    }


def _trained(settings: Any, labels: Labels, rate: float) -> xr.Dataset:
    run = Run(
        RandomReward(2, 1, settings.reference_scale, 0.0, settings.reward_scale),
        Dpo(1.0),
        Uniform(),
        labels,
        optimiser=Sgd(rate),
        steps=settings.steps,
        records=settings.records,
        metrics=watch,
    )
    return sweep(run, {"objective.beta": list(settings.betas)}, seeds=[settings.seed])
