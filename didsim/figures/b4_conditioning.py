"""B4: how well does a sampler condition the problem, given the quality of the reference?

At the optimum the Hessian is a Laplacian weighted by what the sampler shows, and gradient descent at its best step converges
at ``(κ-1)/(κ+1)`` (S4).  Samplers that follow the reference lose λ₂ where it is bad or very good; those that follow the
policy inherit the target's spread; Mix-R needs neither.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim import landscape
from didsim.dynamics import Run, Sgd, record_steps
from didsim.dynamics.run import execute, run_key, run_world
from didsim.figures.settings import NonNegative, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import linalg, simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo
from didsim.policies import StartedAt
from didsim.samplers import BestOfBase, Joint, Mix, MixR, OnPolicy, ReferencePairs, Sampler, Switch, Uniform
from didsim.worlds import Given, Problem, RandomReward
from didsim.worlds.preferences import BradleyTerry
from didsim.worlds.random import normal

SAMPLERS: dict[str, Sampler] = {
    "uniform": Uniform(),
    "reference pairs": ReferencePairs(),
    "half uniform": Mix(Uniform(), ReferencePairs()),
    "best of 4 / reference": BestOfBase(k=4),
    "on-policy": OnPolicy(),
    "mix-R": MixR(),
}
RECORDS = 240


@config
class Config:
    """Numbers of B4; the configuration is this project's own.

    The reference is ``π_ref ∝ e^{skill · r + reference_scale · noise}``; descent starts ``start`` nats beside the optimum.
    """

    FAST: ClassVar[dict] = {"seeds": 4, "steps": 1500, "skills": (-1.0, 0.0, 1.0)}

    n: int = Field(16, ge=3, le=128)
    beta: Positive = 1.0
    skills: tuple[float, ...] = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
    reference_scale: NonNegative = 0.3
    reward_scale: Positive = 1.0
    seeds: int = Field(16, ge=2)
    seed: Seed = 0
    steps: int = Field(6000, ge=100)
    start: Positive = 0.01


def run(settings: Config) -> xr.Dataset:
    """Spectra of every sampler at the optimum and trained rates at the best step, over qualities of the reference and worlds."""
    seeds = np.arange(settings.seed, settings.seed + settings.seeds)
    worlds = _worlds(settings, seeds)
    laws = _laws(worlds)
    spectra = _spectra(worlds, laws, settings)
    trained = _trained(worlds, laws, spectra, settings)
    data = xr.merge([spectra, trained]).assign_coords(sampler=list(SAMPLERS), skill=list(settings.skills), seed=seeds)
    return data.assign_attrs(beta=settings.beta, steps=settings.steps, start=settings.start)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B4."""
    measured = np.log(data["measured_rate"].values)
    clear = data["separated"].values.astype(bool) & np.isfinite(measured)

    def off(name: str) -> np.ndarray:
        return np.abs(measured / np.log(data[name].values) - 1.0)[clear]

    courses = data["course"].sel(sampler=[name for name in SAMPLERS if name != "mix-R"])
    # What is quadratic in the error feeds the slowest mode κ times over: it must stay below the error itself.
    judged = np.isfinite(courses) & (data["kappa"] * data.attrs["start"] <= 1.0)
    followers = [name for name in SAMPLERS if name not in ("uniform", "mix-R")]
    flat = data.sel(sampler=["uniform", "mix-R"])["kappa"]
    return [
        below("measured ÷ predicted steps per e-fold, slowest mode clear: |ratio - 1|",
              off("predicted_rate"), by_dtype(0.02, 0.2)),
        above("share of runs whose slowest mode is clear", clear.mean(), by_dtype(0.25, 0.03)),
        below("whole way, all modes, κ × start ≤ 1: measured ÷ predicted e-folds, |ratio - 1|",
              abs(courses.where(judged, 1.0) - 1.0), by_dtype(0.02, 0.2)),
        above("share of runs so judged, Mix-R aside", judged.mean(), 0.5),
        below("Mix-R: error after one step ÷ the quadratic bound", data["one_step"], by_dtype(1.0, 1.1)),
        below("Mix-R: κ - 1", data["kappa"].sel(sampler="mix-R") - 1.0, by_dtype(1e-9, 1e-2)),
        below("uniform: κ ÷ (max σ'/min σ')", data["kappa"].sel(sampler="uniform") / data["kappa_bound"], 1.0),
        below("uniform and Mix-R do not look at the reference: max |Δ log κ| over its quality",
              np.ptp(np.log(flat.values), axis=1), by_dtype(1e-6, 0.05)),
        must_break("prediction from reward gaps doubled: median |ratio - 1|", np.median(off("doubled_rate")), 0.02),
        must_break("prediction for a step half as long: median |ratio - 1|", np.median(off("short_rate")), 0.02),
        must_break("whole way, reward gaps doubled: median |ratio - 1|", abs(data["doubled_course"] - 1.0).median(), 0.02),
        must_break("samplers that follow reference or policy keep κ whatever the quality: |Δ log κ|",
                   np.ptp(np.log(data["kappa"].sel(sampler=followers).mean("seed").values), axis=1), 0.05),
    ]  # fmt: skip


def _worlds(settings: Config, seeds: np.ndarray) -> Problem:
    """Problems of one prompt each, with leading axes (skill, seed); a seed has the same reward and noise at every skill."""

    def one(skill: Array, seed: Array) -> Problem:
        world = RandomReward(settings.n, 1, settings.reference_scale, skill, settings.reward_scale, settings.beta)
        return run_world(Run(world, Dpo(settings.beta)), run_key(seed))

    over = jit(jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None)))
    return over(jnp.asarray(settings.skills), jnp.asarray(seeds, jnp.uint32))


def _laws(worlds: Problem) -> Array:
    """Log of every sampler's pair law at the optimum, shape (sampler, skill, seed, n, n)."""

    def one(problem: Problem) -> Array:
        found = [sampler.pair_law(problem, problem.log_target).matrix()[0] for sampler in SAMPLERS.values()]
        return jnp.log(jnp.stack(found))

    return jnp.moveaxis(jit(jax.vmap(jax.vmap(one)))(worlds), 2, 0)


def _spectra(worlds: Problem, laws: Array, settings: Config) -> xr.Dataset:
    """λ₂, λ_max, κ and the rates they predict."""

    @jit
    def values(laws: Array, reward: Array) -> Array:
        hessian = landscape.hessian_at_optimum(jnp.exp(laws), reward, settings.beta)
        return linalg.eigvalsh(hessian)[..., 1:]

    reward = jnp.broadcast_to(worlds.reward[:, :, 0], laws.shape[:-1])
    found = np.asarray(values(laws, reward))
    doubled = np.asarray(values(laws, 2.0 * reward))
    low, high = found[..., 0], found[..., -1]
    step = 2.0 / (low + high)
    every = np.sort(np.abs(1.0 - step[..., None] * found), axis=-1)
    slowest = every[..., -1]
    second = np.max(np.where(every >= slowest[..., None] * (1.0 - 1e-9), 0.0, every), axis=-1)
    floor = by_dtype(1e-12, 1e-4)
    length = np.minimum(settings.steps, np.log(floor / settings.start) / np.log(np.maximum(slowest, 1e-12)))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Half-way through what is fitted the next mode must have fallen to a hundredth; a few points are needed at all.
        clear = (np.nan_to_num(second / slowest) ** (length / 2) < 0.01) & (length > 12)
        clear &= length * -np.log(slowest) > 2.0
    dims = ("sampler", "skill", "seed")
    rates = {
        "predicted_rate": slowest,
        "doubled_rate": np.abs(1.0 - step[..., None] * doubled).max(-1),
        "short_rate": np.abs(1.0 - 0.5 * step[..., None] * found).max(-1),
    }
    return xr.Dataset(
        {name: (dims, np.maximum(rate, 1e-12)) for name, rate in rates.items()}
        | {"lambda_2": (dims, low), "kappa": (dims, high / low), "learning_rate": (dims, step), "separated": (dims, clear)}
        | {"kappa_bound": (("skill", "seed"), np.asarray(landscape.slope_ratio_bound(worlds.reward[:, :, 0])))}
    )


def distance(problem: Problem, objective, log_policy, population) -> dict[str, Float[Array, ""]]:
    """Euclidean error of the logits, up to their common constant."""
    del objective, population
    error = (log_policy - problem.log_target)[0]
    return {"size": jnp.linalg.norm(error - error.mean())}


def _trained(worlds: Problem, laws: Array, spectra: xr.Dataset, settings: Config) -> xr.Dataset:
    """Errors of gradient descent at the best step from beside the optimum, and their fitted rates."""
    floor = by_dtype(1e-12, 1e-4)

    def one(problem: Problem, log_joint: Array, follows: Array, rate: Array, seed: Array) -> tuple[Array, Array]:
        noise = normal(jax.random.fold_in(run_key(seed), 1), problem.log_ref.shape)
        policy = StartedAt(problem.log_target + settings.start * noise.astype(problem.log_ref.dtype))
        shown = Switch((Joint(log_joint[None]), OnPolicy()), follows)
        parts = (Given(problem), Dpo(settings.beta), shown, BradleyTerry(), policy, Sgd(rate))
        run = Run(*parts, steps=settings.steps, records=RECORDS, metrics=distance)
        return execute(run, run_key(seed)).metrics["size"], settings.start * simplex.clr(noise[0])

    over_seeds = jax.vmap(one, in_axes=(0, 0, None, 0, 0))
    over_skills = jax.vmap(over_seeds, in_axes=(0, 0, None, 0, None))
    over_samplers = jit(jax.vmap(over_skills, in_axes=(None, 0, 0, 0, None)))
    follows = jnp.asarray([int(name == "on-policy") for name in SAMPLERS])
    rates = jnp.asarray(spectra["learning_rate"].values)
    size, error = over_samplers(worlds, laws, follows, rates, jnp.arange(settings.seeds))
    moments = record_steps(settings.steps, RECORDS)
    fit = jit(landscape.fit_rate)(moments, size, floor)
    dims = ("sampler", "skill", "seed")
    size, error, shown = np.asarray(size, float), np.asarray(error, float), np.exp(np.asarray(laws, float))
    way = _ways(size, error, shown, worlds, spectra, moments, settings)
    return xr.Dataset(
        {name: (dims[3 - one.ndim :], one) for name, one in way.items()}
        | {
            "size": ((*dims, "record"), size),
            "measured_rate": (dims, np.asarray(fit.rate)),
            "rate_uncertainty": (dims, np.asarray(fit.uncertainty)),
        },
        coords={"step": ("record", moments)},
    )


def _ways(size, error, laws, worlds: Problem, spectra: xr.Dataset, moments, settings: Config) -> dict[str, np.ndarray]:
    """E-folds that errors really fell by, in those that all modes of the Hessian predict, and Mix-R's first step by its bound.

    The way counts down to a thousandth of the first error, above what is quadratic in it, and from one e-fold on.
    """
    reward = np.broadcast_to(np.asarray(worlds.reward[:, :, 0], float), (*size.shape[:3], settings.n))
    rate = spectra["learning_rate"].values

    def folds(scale: float) -> np.ndarray:
        hessian = np.asarray(landscape.hessian_at_optimum(jnp.asarray(laws), jnp.asarray(scale * reward), settings.beta), float)
        values, vectors = np.linalg.eigh(hessian)
        parts = np.einsum("...ab,...a->...b", vectors, error)
        kept = np.abs(1.0 - rate[..., None] * values)[..., None, :] ** np.asarray(moments)[:, None]
        left = np.linalg.norm(kept * parts[..., None, :], axis=-1) / np.linalg.norm(error, axis=-1)[..., None]
        last = np.maximum((left >= 1e-3).sum(-1) - 1, 0)[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            told, seen = (np.log(np.take_along_axis(one, last, -1)[..., 0]) for one in (left, size / size[..., :1]))
            return np.where(told < -1.0, seen / told, np.nan)

    place = list(SAMPLERS).index("mix-R")
    squares = np.sum(laws[place] * (error[place][..., :, None] - error[place][..., None, :]) ** 2, (-2, -1))
    most = rate[place] * settings.beta**3 * squares / (6.0 * math.sqrt(3.0))
    return {"course": folds(1.0), "doubled_course": folds(2.0), "one_step": size[place][..., list(moments).index(1)] / most}
