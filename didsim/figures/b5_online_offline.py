"""B5: which pairs bring DPO to the target fastest, offline and online, and how many does it need?

Gradient descent on the exact population loss, from a weak reference that puts its mass on bad responses and from a strong
one.  Improving one side of the pair (best of K against a plain draw) keeps contrast in the pair; improving both sides
takes it away again once most responses shown are good.  With two reward levels the boundary is exact: two-sided pairs win
while the improved side's share of good responses is below one half, and lose above it (S9; derived).  With finitely many
pairs the value lost is S7's.
"""

import functools
from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim import landscape
from didsim.dynamics import Run, Sgd
from didsim.figures.settings import NonNegative, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import linalg, simplex
from didsim.numerics.pytrees import pytree, static
from didsim.numerics.traces import jit
from didsim.objectives import Dpo
from didsim.samplers import (
    BestOf,
    BestOfBase,
    BestOfBoth,
    FromReference,
    Independent,
    Mix,
    OnPolicy,
    ReferencePairs,
    Sampler,
    Switch,
    Uniform,
)
from didsim.samplers.recipes import Rewrite
from didsim.sweeps import sweep
from didsim.worlds import Problem, World
from didsim.worlds.preferences import BradleyTerry
from didsim.worlds.problems import on_geodesic
from didsim.worlds.random import normal

WIDTH = 64
FEW = {  # samplers of the finite-sample panel
    "uniform": Uniform(),
    "reference": ReferencePairs(),
    "one-sided": BestOfBase(k=2),
    "two-sided": BestOfBoth(k=2),
    "on-policy": OnPolicy(),
}
NEWTON = 14


@config
class Config:
    """Numbers of B5; the configuration is this project's own.

    ``weak`` and ``strong`` are the multiples of the reward in the reference's logits; ``base_share`` is the share of good
    responses in the reference of the two-level worlds, ``shares`` those that best of K lifts it to; ``sets`` data sets of
    each size in ``pairs`` are drawn for worlds of ``small`` responses.
    """

    FAST: ClassVar[dict] = {"seeds": 8, "sets": 48, "steps": 100}

    n: int = Field(50, ge=6, le=1000)
    beta: Positive = 1.0
    weak: float = Field(-0.8, lt=0)
    strong: Positive = 0.8
    noise: NonNegative = 0.3
    tilt: Positive = 1.6
    seeds: int = Field(32, ge=2)
    seed: Seed = 0
    steps: int = Field(300, ge=50)
    learning_rate: Positive = 8.0
    base_share: float = Field(0.1, gt=0, lt=0.15)
    shares: tuple[float, ...] = (0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    gap: Positive = 2.0
    small: int = Field(12, ge=4, le=40)
    sets: int = Field(256, ge=16)
    pairs: tuple[int, ...] = (10_000, 100_000, 1_000_000)


@pytree
class Levels(World):
    """Normal rewards with a reference that follows them, or two reward levels with a given share of good draws.

    ``two_level`` is 0 or 1.  In a two-level world the second half of the responses is good, by ``gap``, and the reference
    is uniform within each half.
    """

    n: int = static(default=50)
    beta: float | Float[Array, ""] = 1.0
    noise: float | Float[Array, ""] = 0.3
    skill: float | Float[Array, ""] = 0.0
    two_level: float | Float[Array, ""] = 0.0
    share: float | Float[Array, ""] = 0.1
    gap: float | Float[Array, ""] = 2.0

    def draw(self, key) -> Problem:
        ref_key, reward_key = jax.random.split(key)
        good = jnp.arange(self.n) >= self.n // 2
        size = jnp.where(good, self.n - self.n // 2, self.n // 2)
        spread = normal(reward_key, (1, self.n))
        reward = jnp.where(self.two_level > 0, jnp.where(good, self.gap, 0.0), spread)
        even = jnp.log(jnp.where(good, self.share, 1.0 - self.share) / size)
        log_ref = jnp.where(self.two_level > 0, even, self.noise * normal(ref_key, (1, self.n)) + self.skill * reward)
        log_ref = simplex.normalize(log_ref)
        return on_geodesic(log_ref, simplex.tilt(log_ref, reward, 1.0 / self.beta), self.beta, 0.0)


def all_samplers(tilt: float) -> dict[str, Sampler]:
    """Every sampler of the figure."""
    sides = {"one-sided": BestOfBase, "two-sided": BestOfBoth}
    return {
        "reference": ReferencePairs(),
        "uniform": Uniform(),
        "on-policy": OnPolicy(),
        "mixture": Mix(ReferencePairs(), OnPolicy()),
        "rewrites": Rewrite(amount=tilt),
        **{f"{name} {k}": make(k=k) for k in (2, 4, 16) for name, make in sides.items()},
    }


def watch(problem: Problem, objective, log_policy: Float[Array, "prompts n"], comparisons) -> dict:
    """Value gap ``β KL(π‖π*)`` alone."""
    del objective, comparisons
    return {"value_gap": jnp.mean(problem.beta * simplex.kl(log_policy, problem.log_target))}


def run(settings: Config) -> xr.Dataset:
    """Trains from every sampler, in random and in two-level worlds, and fits finite data sets exactly."""
    base = Run(
        Levels(settings.n, settings.beta, settings.noise, 0.0, 0.0, settings.base_share, settings.gap),
        Dpo(settings.beta),
        Switch(tuple(all_samplers(settings.tilt).values())),
        BradleyTerry(),
        optimiser=Sgd(settings.learning_rate),
        steps=settings.steps,
        records=24,
        metrics=watch,
    )
    seeds = range(settings.seed, settings.seed + settings.seeds)
    random = _trained(base, settings, seeds)
    levels = _two_levels(base, settings)
    return xr.merge([random, levels, _finite(settings)]).assign_attrs(beta=settings.beta, base_share=settings.base_share)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B5, worst over the worlds."""
    end = data["value_gap"].isel(record=-1)
    weak = end.sel(reference="weak")
    slower = [(weak.sel(sampler=f"two-sided {k}") - weak.sel(sampler=f"one-sided {k}")).min() for k in (4, 16)]
    side_of_half = np.sign(np.round(data["share"] - 0.5, 9))
    lead = xr.apply_ufunc(np.log, data["level_gap"].sel(sides="two") / data["level_gap"].sel(sides="one"))
    few, many = (lead.where(side_of_half == sign, drop=True) for sign in (-1, 1))
    ratio = data["measured"].isel(pairs=-1) / data["expected"].isel(pairs=-1)
    error = ratio.std("set", ddof=1) / np.sqrt(data.sizes["set"])
    shuffled = data["expected"].isel(pairs=-1).roll(few=1, roll_coords=False)
    wrong = data["measured"].isel(pairs=-1) / shuffled
    off = abs(wrong.mean("set") - 1.0) / (wrong.std("set", ddof=1) / np.sqrt(data.sizes["set"]))
    return [
        above("weak reference, K = 4 and 16: gap of two-sided - gap of one-sided best-of-K", slower, 1e-4),
        above("weak reference: gap from plain pairs ÷ gap from one-sided best-of-4", _ratio(weak), 1.5),
        above("two levels, improved share above ½: log(gap two-sided ÷ one-sided)", many, 1e-6),
        below("two levels, improved share below ½: log(gap two-sided ÷ one-sided)", few, -1e-6),
        below("two levels, share exactly ½: |log(gap two-sided ÷ one-sided)|", abs(lead.sel(share=0.5)), by_dtype(1e-9, 1e-3)),
        below("most pairs: mean gap ÷ S7's prediction, in standard errors from 1", abs((ratio.mean("set") - 1.0) / error), 4.5),
        must_break("two-sided pairs are always slower: log gap saved at the smallest share", -lead.isel(share=0), 1e-6),
        must_break("S7 with another sampler's graph: largest of the standard errors from 1", off.max(), 4.5),
    ]


def _ratio(weak: xr.DataArray) -> xr.DataArray:
    return weak.sel(sampler="reference") / weak.sel(sampler="one-sided 4")


def _trained(base: Run, settings: Config, seeds: range) -> xr.Dataset:
    names = list(all_samplers(settings.tilt))
    references = {"weak": settings.weak, "strong": settings.strong}
    together = {
        f"{reference}|{name}": (skill, which) for reference, skill in references.items() for which, name in enumerate(names)
    }
    data = sweep(base, {("world.skill", "sampler.index"): together}, seeds=seeds, width=WIDTH)
    gap = data["value_gap"].values.reshape(len(references), len(names), len(seeds), -1)
    return xr.Dataset(
        {"value_gap": (("reference", "sampler", "seed", "record"), gap)},
        coords={"reference": list(references), "sampler": names, "step": ("record", data["step"].values)},
    )


def _two_levels(base: Run, settings: Config) -> xr.Dataset:
    """Gap at the end for one- and two-sided best-of-K, K real so that the share of good responses is any number."""
    ks = np.log1p(-np.asarray(settings.shares)) / np.log1p(-settings.base_share)
    together = {
        f"{sides}|{share}": (float(k), float(k) if sides == "two" else 1.0)
        for sides in ("one", "two")
        for share, k in zip(settings.shares, ks, strict=True)
    }
    pairs = Independent(BestOf(FromReference(), 1.0), BestOf(FromReference(), 1.0))
    run = replace(base, world=replace(base.world, two_level=1.0), sampler=pairs)  # type: ignore[type-var]
    data = sweep(run, {("sampler.first.k", "sampler.second.k"): together}, seeds=1, width=WIDTH)
    gap = data["value_gap"].values[:, 0, -1].reshape(2, -1)
    return xr.Dataset({"level_gap": (("sides", "share"), gap)}, coords={"sides": ["one", "two"], "share": list(settings.shares)})


def _finite(settings: Config) -> xr.Dataset:
    """Value lost by the exact fit of drawn data sets, and S7's expectation; on-policy pairs are those of π*."""
    world, laws, once = _expected(settings)
    counts = _counts(settings, np.asarray(laws, np.float64), np.asarray(world.reward[0], np.float64))
    lost = _lost(world, jnp.asarray(counts.reshape(-1, *counts.shape[-2:]), laws.dtype))
    dims = ("few", "pairs", "set")
    return xr.Dataset(
        {
            "measured": (dims, np.asarray(lost).reshape(counts.shape[:3])),
            "expected": (dims[:2], np.asarray(once)[:, None] / np.asarray(settings.pairs, float)),
        },
        coords={"few": list(FEW), "pairs": list(settings.pairs)},
    )


@functools.partial(jit, static_argnames="settings")
def _expected(settings: Config) -> tuple[Problem, Array, Array]:
    """The world, the pair law of every sampler at π*, and S7's expected value gap times the number of pairs."""
    skill = 0.5 * settings.weak
    world = Levels(settings.small, settings.beta, settings.noise, skill).draw(jax.random.key(settings.seed))

    laws = jnp.stack([sampler.pair_law(world, world.log_target).matrix()[0] for sampler in FEW.values()])
    hessian = landscape.hessian_at_optimum(laws, jnp.broadcast_to(world.reward, laws.shape[:2]), settings.beta)
    covariance = landscape.asymptotic_covariance(hessian)
    target = jnp.broadcast_to(world.log_target, laws.shape[:2])
    return world, laws, landscape.value_error(covariance, target, settings.beta)


@jit
def _lost(world: Problem, counts: Float[Array, "sets n n"]) -> Float[Array, " sets"]:
    """Value gap of the exact fit of every table of wins."""
    fitted = jax.vmap(_fit)(counts)
    return world.beta * simplex.kl(simplex.normalize(world.log_ref + fitted / world.beta), world.log_target)


def _counts(settings: Config, laws: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Share of the pairs in which a was shown with b and won, shape (samplers, sizes, sets, n, n)."""
    random = np.random.default_rng(settings.seed)
    n = settings.small
    wins = 1.0 / (1.0 + np.exp(reward[None] - reward[:, None]))
    found = np.zeros((len(laws), len(settings.pairs), settings.sets, n, n))
    for which, law in enumerate(laws):
        flat = law.ravel() / law.sum()
        for size, pairs in enumerate(settings.pairs):
            shown = random.multinomial(pairs, flat, size=settings.sets).reshape(-1, n, n)
            won = random.binomial(shown, wins)
            found[which, size] = (won + np.swapaxes(shown - won, 1, 2)) / pairs
    return found


def _fit(won: Float[Array, "n n"]) -> Float[Array, " n"]:
    """Maximum-likelihood rewards of a table of wins, by Newton's method."""
    n = won.shape[-1]
    both = (won + won.T) * (1.0 - jnp.eye(n, dtype=won.dtype))

    def step(reward: Array, _: None) -> tuple[Array, None]:
        chance = jax.nn.sigmoid(reward[:, None] - reward[None])
        slope = jnp.sum(jnp.where(jnp.eye(n, dtype=bool), 0.0, won) - both * chance, -1)
        bend = landscape.laplacian(both * chance * (1.0 - chance)) + jnp.ones((n, n), won.dtype) / n**2
        move = linalg.cholesky_solve(bend, slope)
        return reward + move / jnp.maximum(jnp.max(jnp.abs(move)) / 2.0, 1.0), None

    return jax.lax.scan(step, jnp.zeros(n, won.dtype), None, NEWTON)[0]
