"""B1: what does the support of the sampler leave open, and where does gradient descent land?

Pairs are shown only within blocks of responses.  The Hessian's null space has one dimension per component of the
comparison graph (S1); gradient descent ends at a closed form that keeps the sum of logits of each component (S2); and
the mass of responses that are never shown shrinks or grows with the reference's quality on the support (S3).  With PRO's
regulariser over all pairs their mass is determined, wherever training starts (F9).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from pydantic import Field

from didsim import landscape
from didsim.dynamics import Adam, Run, Sgd
from didsim.figures.b1_all_pairs import LOSSES, STARTS, all_pairs
from didsim.figures.settings import NonNegative, Positive, Seed, choose_seeds, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.objectives import Dpo
from didsim.samplers import Blocks
from didsim.sweeps import drawn_worlds, sweep
from didsim.worlds import Problem, RandomReward
from didsim.worlds.preferences import BradleyTerry


@config
class Config:
    """Numbers of B1; the configuration is this project's own.

    Blocks are given as shares of the responses.  The weak reference is ``π_ref ∝ e^{weak_skill r/β}``: at or below -1
    its κ is below 1 for every reward, because ``log Σ e^{tr}`` is convex in ``t`` (derived; S3).
    """

    FAST: ClassVar[dict] = {"steps": 1500, "seeds": 4, "graphs": 64}

    n: int = Field(24, ge=8, le=5000)
    beta: Positive = 0.5
    blocks: tuple[float, ...] = (0.34, 0.25, 0.17)
    seeds: int = Field(0, ge=0)
    seed: Seed = 0
    steps: int = Field(3000, ge=10)
    graphs: int = Field(256, ge=8)
    reward_scale: Positive = 1.0
    reference_scale: NonNegative = 0.5
    weak_skill: float = Field(-1.5, le=-1)
    coverages: tuple[float, ...] = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)

    def __post_init__(self) -> None:
        choose_seeds(self)
        for name in ("blocks", "coverages"):
            shares = getattr(self, name)
            if not shares or not all(0 < share < 1 for share in shares):
                raise ValueError(f"{name} must hold shares between 0 and 1")
        if sum(self.blocks) > 1:
            raise ValueError("blocks must sum to at most 1")


def block_labels(n: int, shares: tuple[float, ...]) -> np.ndarray:
    """Block of each response: consecutive blocks of at least two, the rest -1 (never shown)."""
    label, start = np.full(n, -1), 0
    for which, share in enumerate(shares):
        size = max(2, round(share * n))
        label[start : start + size] = which
        start += size
    return label


def run(settings: Config) -> xr.Dataset:
    """Gradient descent and Adam on block samplers, random graphs, support of growing size, and PRO beside DPO."""
    label = block_labels(settings.n, settings.blocks)
    seeds = range(settings.seed, settings.seed + settings.seeds)
    beyond = xr.Dataset(all_pairs(settings, seeds), coords={"loss": list(LOSSES), "start": list(STARTS)})
    parts = [_landing(settings, label, seeds), _graphs(settings), _coverage(settings, seeds), beyond]
    return xr.merge(parts, combine_attrs="drop_conflicts").assign_attrs(beta=settings.beta)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B1, worst over the worlds."""
    tight = by_dtype(1e-8, 1e-3)
    descent, adam = data.sel(optimiser="gradient descent"), data.sel(optimiser="Adam")
    uniform, weak = data.sel(reference="uniform"), data.sel(reference="weak")
    weighted = abs(descent["final"] - data["predicted_weighted"]).max("response")
    unseen = data["all_pairs_ratio"].isel(response=data["all_pairs_unseen"].values.astype(bool))
    off_root = abs(unseen - data["all_pairs_root"]).max(("start", "response"))
    apart = data["all_pairs_ratio"].sel(loss="pro") - data["all_pairs_ratio"].sel(loss="pro", start=0.0)
    mass = data["all_pairs_mass"].sel(loss="dpo")
    unweighted = abs(unseen.sel(loss="pro") - data["all_pairs_unweighted"]).max(("start", "response")).median("seed")
    return [
        below("gradient descent ends at S2's limit: max |Δ log π|", abs(descent["final"] - data["predicted"]), tight),
        below("Adam ends in the solution set: max |Δ margin| within a component", adam["set_error"], by_dtype(1e-6, 1e-2)),
        below("null-space dimension = components: mismatches", (data["nullity"] != data["component_count"]).sum(), 0.0),
        above("uniform reference: mass off the support shrinks: min κ", uniform["kappa"], 1.0),
        below("weak reference: mass off the support grows: max κ", weak["kappa"], 1.0),
        below("off-support odds ÷ predicted odds: |ratio - 1|", abs(data["odds_ratio"] - 1.0), by_dtype(1e-7, 1e-2)),
        below("PRO: unseen log-ratio solves F9's equation: |difference|", off_root.sel(loss="pro"), tight),
        below("PRO: the end does not depend on the start: max |Δ log π|", abs(apart), tight),
        below("DPO: unseen mass keeps its start's logits: ÷ S2's: |ratio - 1|", abs(mass / data["all_pairs_kept"] - 1), tight),
        must_break("regulariser over shown pairs (DPO) solves F9's equation: |difference|", off_root.sel(loss="dpo"), 0.1),
        must_break("DPO: unseen mass of the highest ÷ lowest start", mass.max("start") / mass.min("start"), 1.1),
        must_break("F9's equation with all responses weighted alike: median |difference|", unweighted, 1e-3),
        must_break("Adam ends at S2's limit: max |Δ log π|", abs(adam["final"] - data["predicted"]).max("response"), 1e-3),
        must_break("S2 with π_ref-weighted component means: max |Δ log π|", weighted, 1e-3),
        must_break("one null dimension whatever the sampler: mismatches", (data["nullity"] != 1).sum(), 0.5),
    ]


def _base(settings: Config, label: np.ndarray, *, scale: float, skill: float, optimiser) -> Run:
    world = RandomReward(settings.n, 1, scale, skill, settings.reward_scale, settings.beta)
    return Run(
        world,
        Dpo(settings.beta),
        Blocks(jnp.asarray(label)),
        BradleyTerry(),
        optimiser=optimiser,
        steps=settings.steps,
        records=12,
    )


def _safe_rate(settings: Config, label: np.ndarray) -> float:
    """Step of gradient descent that cannot overshoot: half the responses shown over β² bounds 1/λ_max for blocks."""
    return float((label >= 0).sum() / settings.beta**2)


def _landing(settings: Config, label: np.ndarray, seeds: range) -> xr.Dataset:
    """Where gradient descent and Adam end, beside S2's prediction."""
    descent = Sgd(_safe_rate(settings, label))
    base = _base(settings, label, scale=settings.reference_scale, skill=0.0, optimiser=descent)
    optimisers = {"gradient descent": descent, "Adam": Adam(0.05, decay="cosine")}
    data = sweep(base, {"optimiser": optimisers}, seeds=seeds)
    worlds = drawn_worlds(base, seeds)
    component = _components(base, worlds)
    predicted = landscape.descent_limit(worlds.log_ref, worlds.reward, component, settings.beta)
    final = data["log_policy"].isel(prompt=0)
    off = final.values - np.asarray(predicted)
    within = jax.vmap(landscape.component_means, in_axes=(0, None))(jnp.asarray(off), component)
    return xr.Dataset(
        {
            "final": final,
            "set_error": (("optimiser", "seed"), np.abs(off - np.asarray(within)).max(-1)),
            "predicted": (("seed", "response"), predicted),
            "predicted_weighted": (("seed", "response"), _weighted_limit(worlds, component, settings.beta)),
            "log_ref": (("seed", "response"), worlds.log_ref),
            "block": ("response", label),
        }
    )


def _components(base: Run, worlds: Problem) -> jax.Array:
    shown = base.sampler.pair_law(worlds, worlds.log_ref).matrix()
    return landscape.components(landscape.comparison_graph(shown))


def _weighted_limit(worlds: Problem, component: jax.Array, beta: float) -> jax.Array:
    """The broken form of S2: component means weighted by π_ref instead of unweighted."""
    weight = jnp.exp(worlds.log_ref)
    mean = landscape.component_means(weight * worlds.reward, component) / landscape.component_means(weight, component)
    logits = worlds.log_ref + (worlds.reward - mean) / beta
    return logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)


def _graphs(settings: Config) -> xr.Dataset:
    """Null-space dimension and component count for random sparse samplers."""
    random = np.random.default_rng(settings.seed)
    n, graphs = min(settings.n, 100), settings.graphs
    share = np.linspace(0.0, 3.0 / n, graphs)[:, None, None]
    joined = np.triu(random.random((graphs, n, n)) < share, 1)
    pairs = jnp.asarray(joined * random.exponential(size=joined.shape))
    reward = jnp.asarray(random.normal(size=(graphs, n)) * settings.reward_scale)
    total = jnp.maximum(pairs.sum((1, 2), keepdims=True), jnp.finfo(pairs.dtype).tiny)
    hessian = landscape.hessian_at_optimum(pairs / total, reward, settings.beta)
    counts = landscape.component_count(landscape.components(landscape.comparison_graph(pairs)))
    return xr.Dataset({"nullity": ("graph", landscape.null_space_dimension(hessian)), "component_count": ("graph", counts)})


def _coverage(settings: Config, seeds: range) -> xr.Dataset:
    """Mass off one growing block, for a uniform reference and for one that puts its mass on bad responses."""
    sizes = [max(2, round(share * settings.n)) for share in settings.coverages]
    labels = np.stack([np.where(np.arange(settings.n) < size, 0, -1) for size in sizes])
    rates = [_safe_rate(settings, label) for label in labels]
    axes = {("sampler.block", "optimiser.learning_rate"): list(zip(labels, rates, strict=True))}
    found = []
    for skill in (0.0, settings.weak_skill / settings.beta):
        base = _base(settings, labels[0], scale=0.0, skill=skill, optimiser=Sgd(rates[0]))
        data = sweep(base, axes, seeds=seeds).rename(block="coverage")
        worlds = drawn_worlds(base, seeds)
        found.append(_odds(worlds, labels, jnp.asarray(data["log_policy"].isel(prompt=0).values), settings.beta))
    joined = xr.concat(found, xr.DataArray(["uniform", "weak"], dims="reference", name="reference"))
    return joined.assign_coords(coverage=[size / settings.n for size in sizes])


def _odds(worlds: Problem, labels: np.ndarray, final: jax.Array, beta: float) -> xr.Dataset:
    support = jnp.asarray(labels >= 0)[:, None, :]
    kappa = landscape.off_support_factor(worlds.log_ref, worlds.reward, support, beta)
    before = landscape.off_support_mass(worlds.log_ref, support)
    after = landscape.off_support_mass(final, support)
    predicted_odds = before / (1.0 - before) / kappa
    values = {
        "kappa": kappa,
        "mass_before": before,
        "mass_after": after,
        "mass_predicted": predicted_odds / (1.0 + predicted_odds),
        "odds_ratio": after / (1.0 - after) / predicted_odds,
    }
    return xr.Dataset({name: (("coverage", "seed"), np.asarray(value)) for name, value in values.items()})
