"""A4: which rejected law teaches the target, and what do the usual ones teach?

For given chosen responses exactly one rejected law makes DPO's optimum π*: ``π_l ∝ π_w (π_ref/π*)^β`` (D7).  Uniform
responses, the reference itself, hard negatives (the best of a few draws) and the worst of a few draws all teach
``π_ref (π_w/π_l)^{1/β}`` instead, which overshoots, undershoots or points elsewhere.
"""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim import did
from didsim.dynamics import Run
from didsim.figures.a2_power_law import repeated
from didsim.figures.settings import Count, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape.solvers import solve
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo
from didsim.samplers.ranks import log_best_of, ranks
from didsim.sweeps import drawn_worlds
from didsim.worlds import Problem, RandomTarget

REJECTED = ("optimal", "uniform", "π_ref", "hard negatives", "worst of K")


@config
class Config:
    """Numbers of A4; the configuration is this project's own.  Chosen responses come from the place ``chosen_at``."""

    FAST: ClassVar[dict] = {"seeds": 6}

    n: int = Field(12, ge=3, le=2000)
    beta: Positive = 0.5
    chosen_at: float = 1.0
    best_of: int = Field(2, ge=2)
    worst_of: int = Field(4, ge=2)
    wrong: float = Field(0.1, gt=0, lt=1)
    seeds: Count = 24
    seed: Seed = 0


def run(settings: Config) -> xr.Dataset:
    """Solves DPO for every rejected law on the same worlds, beside the closed form of what it must teach."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    world = RandomTarget(n=settings.n, beta=settings.beta, chosen_at=settings.chosen_at)
    worlds = drawn_worlds(Run(world, Dpo(settings.beta)), seeds)
    laws = _rejected(worlds, settings.best_of, settings.worst_of, settings.wrong)
    found = _solve(worlds, laws, settings.beta)
    measured = jax.device_get(_measure(worlds, laws, found, settings.beta))
    kept, where = slice(len(REJECTED)), ("rejected", "seed")
    wrong = measured["jsd"][-1]
    per_response = {"log_policy": found, "log_rejected": laws}
    return xr.Dataset(
        {
            **{name: (where, value[kept]) for name, value in measured.items()},
            **{name: ((*where, "response"), np.asarray(value)[kept]) for name, value in per_response.items()},
            "log_target": (("seed", "response"), np.asarray(worlds.log_target)),
            "reward": (("seed", "response"), np.asarray(worlds.reward)),
            "wrong_jsd": ("seed", wrong),
        },
        coords={"rejected": list(REJECTED), "seed": list(seeds)},
        attrs={"beta": settings.beta, "best_of": settings.best_of, "worst_of": settings.worst_of},
    )


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of A4, worst over the worlds."""
    near = by_dtype(1e-8, 1e-2)
    best = data["jsd"].sel(rejected="optimal")
    return [
        below("optimal rejected law reaches π*: JSD", best, by_dtype(1e-10, 1e-6)),
        *(below(f"{name}: max |log π_θ - predicted|", data["error"].sel(rejected=name), near) for name in REJECTED),
        below("the law that was rejected is the optimal one for what was learned: max |Δ log|", data["needed_error"], near),
        above("no other law comes nearer: least excess JSD", data["jsd"].sel(rejected=list(REJECTED[1:])) - best, 0.0),
        *(must_break(f"{name} reaches π*: JSD", data["jsd"].sel(rejected=name), 1e-3) for name in REJECTED[1:]),
        must_break("optimal law for another β reaches π*: JSD", data["wrong_jsd"], 1e-5),
    ]


@jit
def _rejected(worlds: Problem, best_of, worst_of, wrong) -> Float[Array, "law seed n"]:
    """The rejected laws of the figure, and last the optimal one for a β that is wrong by the given share."""
    chosen, ref, target = worlds.log_chosen, worlds.log_ref, worlds.log_target
    laws = (
        did.optimal_rejected(chosen, ref, target, worlds.beta),
        jnp.broadcast_to(simplex.uniform(ref.shape[-1], ref.dtype), ref.shape),
        ref,
        log_best_of(ranks(worlds.reward, ref), best_of),
        log_best_of(ranks(-worlds.reward, ref), worst_of),
        did.optimal_rejected(chosen, ref, target, (1.0 + wrong) * worlds.beta),
    )
    return jnp.stack([simplex.normalize(law) for law in laws])


def _solve(worlds: Problem, laws: Float[Array, "law seed n"], beta: float) -> Array:
    """Newton's minimiser for every rejected law, the worlds repeated as prompts of one problem."""
    many = replace(repeated(worlds, laws.shape[0]), log_rejected=laws.reshape(-1, laws.shape[-1]))
    return solve(many, Dpo(beta)).log_policy.reshape(laws.shape)


@jit
def _measure(worlds: Problem, laws: Float[Array, "law seed n"], found: Float[Array, "law seed n"], beta) -> dict[str, Array]:
    """Distances to the target found and predicted, errors of the prediction, and D7 turned round: from optimum to law."""
    predicted = did.learned_policy(worlds.log_chosen, laws, worlds.log_ref, beta)
    needed = did.optimal_rejected(worlds.log_chosen, worlds.log_ref, found, beta)
    return {
        "jsd": simplex.jsd(worlds.log_target, found),
        "predicted_jsd": simplex.jsd(worlds.log_target, predicted),
        "error": jnp.abs(found - predicted).max(-1),
        "needed_error": jnp.abs(needed - laws).max(-1),
    }
