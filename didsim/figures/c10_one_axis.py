"""C10: do DPO, online DPO and GRPO do the same?  They start alike and end on one curve, and differ on the way.

A response passes or fails.  At a given chance of success no policy is nearer to π_ref than the reference tilted by the
reward, ``KL = p log(p/p_ref) + (1 - p) log((1-p)/(1-p_ref))``.  DPO ends on that curve, online or not; its first online step
is ``2β`` times the policy gradient of the win rate (derived, F17).  A round of GRPO is such a tilt, so it never leaves the
curve, and its chance of success obeys ``logit p' = logit p_anchor + 1/(β √(p(1-p)))`` (2503.06639, F17).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.dynamics import Sgd, grpo_step, success_recursion, train, win_rates
from didsim.figures.settings import Count, Positive, Seed, Share, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, loss, population
from didsim.samplers import OnPolicy, ReferencePairs
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import BradleyTerry
from didsim.worlds.random import normal

ROUTES = {"offline DPO": ReferencePairs(), "online DPO": OnPolicy()}
ANCHORS = ("reference", "mirror")
SPREADS = (0.03, 0.1, 0.3, 1.0)


@config
class Config:
    """Numbers of C10; the configuration is this project's own.

    Of ``n`` responses the first ``passing`` pass; ``advantage`` is their reward.  ``grpo_beta`` is the weight of the
    divergence in GRPO's round, whose advantages are standardised.
    """

    FAST: ClassVar[dict] = {}  # quick as it is

    n: int = Field(8, ge=3, le=60)
    passing: Count = 3
    advantage: Positive = 1.5
    reference_scale: Positive = 0.6
    handicap: Positive = 1.0
    beta: Positive = 0.5
    grpo_beta: Positive = 2.0
    rounds: int = Field(8, ge=2, le=1000)
    learning_rate: Positive = 4.0
    steps: int = Field(20_000, ge=100)
    records: int = Field(60, ge=10)
    middling: Share = 0.5
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.passing >= self.n:
            raise ValueError("passing must be below n")


def run(settings: Config) -> xr.Dataset:
    """Success and distance from the reference along every route, first steps, GRPO's rounds, and the gradient's bound."""
    key = jax.random.key(settings.seed)
    noise = settings.reference_scale * normal(key, (settings.n,))
    passes = jnp.arange(settings.n) < settings.passing
    passes = passes.astype(noise.dtype)
    world = problem(simplex.normalize(noise - settings.handicap * passes), reward=settings.advantage * passes, beta=settings.beta)
    paths, steps = [], np.zeros(0)
    for sampler in ROUTES.values():
        descent = train(
            world, Dpo(settings.beta), sampler, BradleyTerry(), optimiser=Sgd(settings.learning_rate), steps=settings.steps,
            records=settings.records, metrics=_watch,
        )  # fmt: skip
        paths.append(np.asarray(descent.metrics["log_policy"], float))
        steps = descent.steps
    log_ref, passed = np.asarray(world.log_ref[0], float), np.asarray(passes, float)
    success, kl = _axis(np.stack(paths), log_ref, passed)
    target, _ = _axis(np.asarray(world.log_target[0], float)[None], log_ref, passed)
    return xr.Dataset(
        {
            "success": (("route", "record"), success),
            "kl": (("route", "record"), kl),
            "least_kl": (("route", "record"), _frontier(success, success[0, 0])),
            **_rounds(settings, world, passes, log_ref),
            **_first_steps(settings, world, paths[0]),
            **_bound(world, passes),
        },
        coords={"route": list(ROUTES), "anchor": list(ANCHORS), "spread": list(SPREADS), "step": ("record", steps)},
        attrs={"start": float(success[0, 0]), "end": float(target[0]), "beta": settings.beta},
    )


def _watch(problem, objective, log_policy, comparisons) -> dict:
    del problem, objective, comparisons
    return {"log_policy": log_policy[0]}


def _axis(log_policy: np.ndarray, log_ref: np.ndarray, passed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chance of success, and KL to the reference."""
    mass = np.exp(log_policy)
    return mass @ passed, (mass * (log_policy - log_ref)).sum(-1)


def _frontier(success: np.ndarray, start: float) -> np.ndarray:
    """Least KL to the reference at a chance of success, nats."""
    failure = 1.0 - success
    lost = np.where(failure > 0, failure * np.log(np.where(failure > 0, failure, 1.0) / (1.0 - start)), 0.0)
    return success * np.log(success / start) + lost


def _rounds(settings: Config, world: Problem, passes: Array, log_ref: np.ndarray) -> dict:
    """GRPO's rounds in both variants beside the recursion of one number; and with a reward of three values, as a control."""
    graded = passes + 0.5 * (jnp.arange(settings.n) == settings.n - 1)
    found: dict[str, list] = {name: [] for name in ("grpo_success", "grpo_kl", "recursion", "graded", "graded_recursion")}
    for anchor in ANCHORS:
        for reward, name in ((passes, "grpo_success"), (graded, "graded")):
            path = [world.log_ref[0]]
            for _ in range(settings.rounds):
                path.append(_round(path[-1], world.log_ref[0] if anchor == "reference" else path[-1], reward, settings.grpo_beta))
            success, kl = _axis(np.asarray(jnp.stack(path), float), log_ref, np.asarray(reward, float))
            found[name].append(success)
            said = [success[0]]
            for place in range(settings.rounds):
                at = success[place] if name == "graded" else said[-1]
                hold = success[0] if anchor == "reference" else at
                said.append(float(success_recursion(jnp.asarray(at), jnp.asarray(hold), settings.grpo_beta)))
            found["recursion" if name == "grpo_success" else "graded_recursion"].append(said)
            if name == "grpo_success":
                found["grpo_kl"].append(kl)
    return {name: (("anchor", "round"), np.array(values)) for name, values in found.items()}


_round = jit(grpo_step)


def _first_steps(settings: Config, world: Problem, path: np.ndarray) -> dict:
    """Online DPO's downward gradient, and 2β times the policy gradient of the win rate, at π_ref and on the way."""
    middle = path[int(settings.middling * (len(path) - 1))]
    wins = BradleyTerry().matrix(world.reward)[0]
    pulls, climbs = [], []
    for at in (world.log_ref, jnp.asarray(middle[None], world.log_ref.dtype)):
        pulls.append(np.asarray(_pull(world, at)[0], float))
        rate = np.asarray(win_rates(at[0], wins), float)
        climbs.append(2.0 * settings.beta * np.exp(np.asarray(at[0], float)) * (rate - 0.5))
    return {"pull": (("place", "response"), pulls), "climb": (("place", "response"), climbs)}


@jit
def _pull(world: Problem, log_policy: Float[Array, "1 n"]) -> Float[Array, "1 n"]:
    def value(logits):
        shown = population(world, OnPolicy(), BradleyTerry(), jax.lax.stop_gradient(log_policy))
        return loss(Dpo(world.beta), world, simplex.normalize(logits), shown)

    return -jax.grad(value)(log_policy)


def _bound(world: Problem, passes: Array) -> dict:
    """Squared policy gradient of the mean reward by the reward's spread, and ``max π Var r``, which bounds it."""
    mass = np.exp(np.asarray(world.log_ref[0], float))
    reward = np.array(SPREADS)[:, None] * np.asarray(passes, float)
    centred = reward - (reward @ mass)[:, None]
    return {
        "gradient": ("spread", ((mass * centred) ** 2).sum(1)),
        "gradient_bound": ("spread", mass.max() * (centred**2 @ mass)),
    }


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C10."""
    start, exact = data.attrs["start"], by_dtype(1e-10, 1e-4)
    off = data["kl"] - data["least_kl"]
    grpo_off = abs(data["grpo_kl"].values - _frontier(data["grpo_success"].values, start))
    first = abs(data["pull"] - data["climb"])
    size = abs(data["climb"].isel(place=0)).max()
    last = data["success"].isel(record=-1)
    return [
        below("online DPO's first step - 2β × policy gradient, ÷ largest", first.isel(place=0) / size, by_dtype(1e-12, 1e-5)),
        below("GRPO's success - recursion, both anchors, every round", abs(data["grpo_success"] - data["recursion"]), exact),
        below("GRPO stays on the curve of least KL: distance, nats", grpo_off, exact),
        above("no route is nearer to the reference than the curve: KL - least KL", off, -exact),
        below("DPO ends on the curve, online or not: distance, nats", off.isel(record=-1), by_dtype(1e-8, 1e-3)),
        below("DPO ends at the optimum's success, online or not", abs(last - data.attrs["end"]), by_dtype(1e-6, 1e-3)),
        below("gradient squared ÷ max π Var r", data["gradient"] / data["gradient_bound"], 1.0),
        must_break("online DPO's later step is 2β × policy gradient: difference ÷ largest",
                   first.isel(place=1).max() / abs(data["climb"].isel(place=1)).max(), 1e-2),
        must_break("recursion with a reward of three values: largest difference by anchor",
                   abs(data["graded"] - data["graded_recursion"]).max("round"), 1e-3),
        must_break("DPO stays on the curve on its way: largest distance by route", off.max("record"), 1e-3),
    ]  # fmt: skip
