"""A8: what of paper A's statements is left when responses are sequences and policies speak token by token?

A full prefix table is a free table in other coordinates: DPO takes it to π*, and likelihood moves as on the displacement
map (L6, D5, D10).  A policy that can say less ends elsewhere, at a limit that an exact solver finds: k-grams always, a
transformer from some starts, for its loss has other stationary points (what is shown of narrow ones is an upper bound: they
have not settled when the solver's steps end).  That k-grams cannot reach π* is judged by proof: ``KL(π*‖π_θ)`` is convex in
their logits, so its stationary point is the least over all of them.  And
where tokens share parameters, a pair's hidden states (CHES) say something of how far its chosen response will fall (L5).
The plain share of tokens in common says more; that it is the pair's own share which does is a control by proof, for over
all other pairs' shares the mean rank correlation is ``-ρ/(n - 1)``.  A sum over tokens outside the sigmoid moves the optimum,
unless every token has labels of its own (F10).
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from pydantic import Field

from didsim.dynamics import Adam, Run
from didsim.dynamics.run import run_key
from didsim.figures.a8_pairs import pair_displacement
from didsim.figures.a8_segments import LOSSES, segment_verdicts, segments
from didsim.figures.settings import Count, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape.solvers import PolicySolution
from didsim.landscape.solvers.parametric import minimise
from didsim.landscape.solvers.result import in_double
from didsim.numerics import simplex
from didsim.numerics.sequences import SequenceSpace
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, Objective, Sft
from didsim.policies import Policy, Transformer, k_gram, prefix_table
from didsim.samplers.data import Data
from didsim.sweeps import sweep
from didsim.worlds import Problem, RandomSequences

REACHED = 1e-8


@config
class Config:
    """Numbers of A8; the configuration is this project's own.

    Tables are trained and solved on V^L sequences (``vocabulary``, ``length``); transformers, and every policy along the
    displacement map, on the smaller space of ``small_vocabulary`` and ``small_length``.
    """

    FAST: ClassVar[dict] = {
        "vocabulary": 2,
        "length": 4,
        "small_vocabulary": 2,
        "small_length": 4,
        "widths": (4,),
        "chosen_at": (0.0, 1.0),
        "starts": 3,
        "solver_steps": 800,
        "seeds": 2,
        "steps": 600,
        "pairs": 200,
        "inits": 8,
    }

    vocabulary: int = Field(4, ge=2, le=64)
    length: int = Field(6, ge=2, le=12)
    small_vocabulary: int = Field(2, ge=2, le=8)
    small_length: int = Field(4, ge=3, le=8)
    beta: Positive = 0.5
    scale: Positive = 0.5
    chosen_at: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    seeds: Count = 3
    seed: Seed = 0
    steps: int = Field(1500, ge=10)
    learning_rate: Positive = 0.05
    records: int = Field(40, ge=5)
    widths: tuple[int, ...] = (2, 4, 16)
    starts: int = Field(5, ge=2)
    spread: Positive = 0.3
    solver_steps: int = Field(2000, ge=10)
    pairs: int = Field(400, ge=64)
    inits: int = Field(8, ge=2)
    pair_steps: Count = 20
    pair_rate: Positive = 0.02

    def __post_init__(self) -> None:
        if any(width % 2 for width in self.widths):
            raise ValueError("widths must be even, for two heads of attention")
        if not self.widths or list(self.widths) != sorted(self.widths):
            raise ValueError("widths must rise")
        if not self.chosen_at or self.chosen_at[0] != 0:
            raise ValueError("chosen_at must begin with 0, where chosen draws come from the reference")


def run(settings: Config) -> xr.Dataset:
    """Tables trained and solved; every policy's limit along the map; transformers by width; pairs one by one."""
    small = SequenceSpace(settings.small_vocabulary, settings.small_length)
    space = SequenceSpace(settings.vocabulary, settings.length)
    worlds = _worlds(small, settings.chosen_at, settings)
    tables = _solved(worlds, _k_grams(small), 1, settings).log_policy[:, :, 0]
    if space == small:
        world, limits = jax.tree.map(lambda leaf: leaf[:1], worlds), tables[:, :1]
    else:
        world = _worlds(space, (0.0,), replace(settings, seeds=1))
        limits = _solved(world, _k_grams(space), 1, settings).log_policy[:, :, 0]
    parts = [
        _trained(space, world, limits[:, 0], settings),
        _limits(small, worlds, tables, settings),
        _nearest(small, worlds, settings),
        pair_displacement(settings),
        xr.Dataset(segments(), coords={"segment_loss": list(LOSSES)}),
    ]
    return xr.merge(parts, combine_attrs="drop_conflicts").assign_attrs(
        beta=settings.beta, vocabulary=space.vocabulary, length=space.length, small_n=small.n
    )


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of A8, worst over worlds, starts and initial weights."""
    near, exact = by_dtype(1e-8, 1e-5), by_dtype(1e-10, 1e-6)
    prefix, restricted = data.isel(table=-1), data.isel(table=slice(0, -1))
    ends = data["transformer_jsd"]
    off = abs(data["change"] - data["predicted_change"])
    ranks = data["rank_correlation"].mean("init")
    at_reference = data["change"].sel(role="chosen", chosen_at=0.0)
    lost = abs(at_reference + data["kl_ref_policy"].sel(chosen_at=0.0))
    by_another = (ranks.sel(score="ches") - ranks.sel(score="ches, shuffled")).sel(among="all")
    # CHES has a plain rival: the share of tokens that the two responses have in common.
    lead = (data["rank_correlation"].sel(score="tokens in common") - data["rank_correlation"].sel(score="ches")).sel(among="all")
    lead_error = lead.std("init", ddof=1) / np.sqrt(lead.sizes["init"])
    # Over all other pairs the mean is -ρ/(n - 1) by proof, so that CHES, where it meets its 0.4, leads by 0.4 - 1/(n - 1).
    ches_lead = ranks.sel(score="ches", among="all") - data["other_pairs_rank"].mean("init")
    by_length = ranks.sel(score="ches", among="all") - ranks.sel(score="ches", among="equal lengths")
    return [
        below("prefix table's exact minimum is π*: JSD", prefix["table_limit"], exact),
        below("trained prefix table reaches π*: JSD", prefix["jsd_target"].isel(record=-1), near),
        below("trained k-grams end at their exact limits: JSD", restricted["table_gap"], near),
        must_break("k-grams reach π*: JSD", restricted["table_limit"], 1e-4),
        below("the widest transformer reaches π*: JSD, best start", ends.min("start")[-1], REACHED),
        above("the widest transformer reaches π*: share of starts", (ends[-1] < REACHED).mean("start"), 0.5),
        must_break("some k-gram reaches π*: least KL(π*‖π_θ), a convex minimum", data["order_kl"].isel(order=slice(0, -1)), 1e-4),
        below("the least KL is one: largest gradient entry", data["order_slope"], 1e-8),
        below("a prefix table reaches π*: least KL(π*‖π_θ)", data["order_kl"].isel(order=-1), 1e-10),
        below("prefix table moves as Λ' says: |Δ log π - Λ'|", off.sel(policy="prefix table"), by_dtype(1e-7, 1e-4)),
        must_break("bigrams move as Λ' says: |Δ log π - Λ'|", off.sel(policy="bigram").max(("chosen_at", "role")), 1e-3),
        below("bookkeeping, an identity: chosen draws from π_ref, |Δ log π + KL(π_ref‖π_θ)|", lost, by_dtype(1e-10, 1e-5)),
        above("exact first slope against the fall: mean rank correlation", ranks.sel(score="slope"), 0.6),
        above("CHES against the fall: mean rank correlation", ranks.sel(score="ches", among="all"), 0.4),
        above("tokens in common rank better than CHES: mean lead in standard errors", lead.mean("init") / lead_error, 2.0),
        must_break("tokens in common of another pair rank better than CHES: CHES's mean lead", ches_lead, 0.3),
        must_break("CHES of another pair ranks as well: loss of rank correlation", by_another, 0.3),
        must_break("CHES ranks pairs of equal length as well: loss of rank correlation", by_length, 0.1),
        *segment_verdicts(data),
    ]


def _trained(space: SequenceSpace, world: Problem, limits: Array, settings: Config) -> xr.Dataset:
    """k-grams of growing k, the last of them the prefix table, trained by Adam, beside their exact limits, on one world."""
    names = [_order_name(k, space) for k in range(space.length)]
    contexts = [np.asarray(k_gram(space, k).context) for k in range(space.length)]
    base = Run(
        RandomSequences(space, 1, settings.scale, settings.scale, settings.beta),
        Dpo(settings.beta),
        policy=prefix_table(space),
        optimiser=Adam(settings.learning_rate, decay="cosine"),
        steps=settings.steps,
        records=settings.records,
        metrics=_watch,
    )
    data = sweep(base, {"policy.context": dict(zip(names, contexts, strict=True))}, seeds=[settings.seed])
    data = data.isel(seed=0, drop=True).rename(context="table")
    gap = jit(simplex.jsd)
    found = {
        "table_limit": gap(world.log_target[0, 0], limits),
        "table_gap": gap(limits, jnp.asarray(data["log_policy"].values[:, 0])),
    }
    kept = data[["jsd_target"]].assign({name: ("table", np.asarray(value)) for name, value in found.items()})
    return kept.drop_attrs()


def _watch(problem: Problem, objective: Objective, log_policy: Array, comparisons) -> dict:
    del objective, comparisons
    return {"jsd_target": simplex.jsd(problem.log_target, log_policy)[0]}


def _order_name(k: int, space: SequenceSpace) -> str:
    return "prefix table" if k == space.length - 1 else ("unigram", "bigram", "trigram")[k] if k < 3 else f"{k + 1}-gram"


def _limits(space: SequenceSpace, worlds: Problem, tables: Array, settings: Config) -> xr.Dataset:
    """Exact limits on the small space: k-grams and transformers, along the displacement map and over worlds."""
    places, seeds = len(settings.chosen_at), settings.seeds
    solved = tables.reshape(space.length, places, seeds, -1)
    networks = [Transformer(space, width) for width in settings.widths]
    first = jax.tree.map(lambda leaf: leaf[::seeds], worlds)
    # The narrowest network is followed along the map, the others on its first world alone.
    shown = [first, *[jax.tree.map(lambda leaf: leaf[:1], first)] * (len(networks) - 1)]
    ends = [_solved(where, _batched([one]), settings.starts, settings) for where, one in zip(shown, networks, strict=True)]
    learned = {"prefix table": solved[-1, :, 0], "bigram": solved[1, :, 0], "transformer": ends[0].log_policy[0, :, 0]}
    places_fine = np.linspace(min(settings.chosen_at), max(settings.chosen_at), 61)
    values = jit(_compared)(
        worlds, first, solved, jnp.stack([end.ends[0, 0, :, 0] for end in ends]), jnp.stack([*learned.values()]), places_fine
    )
    dims = {
        "order_jsd": ("order", "seed"),
        "transformer_jsd": ("width", "start"),
        "change": ("policy", "role", "chosen_at"),
        "predicted_change": ("role", "chosen_at"),
        "kl_ref_policy": ("policy", "chosen_at"),
        "curve": ("fine", "role"),
    }
    coords = {
        "policy": list(learned),
        "role": ["chosen", "rejected"],
        "chosen_at": list(settings.chosen_at),
        "fine": places_fine,
        "width": list(settings.widths),
        "order": np.arange(space.length),
        "order_parameters": ("order", [k_gram(space, k).parameters for k in range(space.length)]),
        "width_parameters": ("width", [network.parameters() for network in networks]),
    }
    made = {name: (dims[name], np.asarray(value)) for name, value in values.items()}
    return xr.Dataset(made, coords=coords, attrs={"dimension": space.n - 1})


def _nearest(space: SequenceSpace, worlds: Problem, settings: Config) -> xr.Dataset:
    """The k-grams nearest to π* in ``KL(π*‖π_θ)``: maximum likelihood on draws from π*, convex in their logits."""
    at_target = jax.vmap(lambda world: replace(world, log_chosen=world.log_target))(worlds)
    aimed = jax.tree.map(lambda leaf: leaf[: settings.seeds], at_target)
    ends = _solved(aimed, _k_grams(space), 1, settings, Sft())
    found = {"order_kl": simplex.kl(aimed.log_target[:, 0], ends.log_policy[:, :, 0]), "order_slope": ends.gradient_norm}
    return xr.Dataset({name: (("order", "seed"), np.asarray(value)) for name, value in found.items()})


def _compared(worlds: Problem, first: Problem, solved: Array, by_start: Array, learned: Array, fine: Array) -> dict[str, Array]:
    """What the limits say: distances to π*, and changes of log-likelihood beside the closed form."""
    log_ref, log_target = first.log_ref[0, 0], first.log_target[0, 0]
    return {
        "order_jsd": simplex.jsd(worlds.log_target[: solved.shape[2], 0], solved[:, 0]),
        "transformer_jsd": simplex.jsd(log_target, by_start),
        "change": jnp.stack([_changes(first, law) for law in learned]),
        "predicted_change": _changes(first, first.log_target[:, 0]),
        "kl_ref_policy": jnp.stack([simplex.kl(first.log_ref[:, 0], law) for law in learned]),
        "curve": jax.vmap(lambda a: _displacement(log_ref, log_target, a, first.beta[0]))(fine),
    }


def _worlds(space: SequenceSpace, chosen_at: tuple[float, ...], settings: Config) -> Problem:
    """Worlds along the map, place by place and seed by seed, as one batch."""
    seeds = jnp.arange(settings.seed, settings.seed + settings.seeds, dtype=jnp.uint32)

    def draw(chosen_at: Array, seed: Array) -> Problem:
        world = RandomSequences(space, 1, settings.scale, settings.scale, settings.beta, chosen_at)
        return world.draw(jax.random.split(run_key(seed))[0])

    drawn = jit(jax.vmap(jax.vmap(draw, (None, 0)), (0, None)))(jnp.asarray(chosen_at), seeds)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), drawn)


def _k_grams(space: SequenceSpace) -> Policy:
    """All k-grams over a space as one batch, the last of them the prefix table."""
    return _batched([k_gram(space, k) for k in range(space.length)])


def _batched(policies: Sequence[Policy]) -> Policy:
    """Policies that differ in numbers alone as a batch of one."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *policies)


def _solved(
    worlds: Problem, policies: Policy, count: int, settings: Config, objective: Objective | None = None
) -> PolicySolution:
    """Exact limits of every policy (first axis) on every world (second axis)."""
    spread = jnp.asarray(settings.spread, worlds.log_ref.dtype)
    solver = functools.partial(_minimised, count=count, steps=settings.solver_steps)
    return in_double(solver, (worlds, policies, Dpo(jnp.asarray(settings.beta)) if objective is None else objective, spread))


@functools.partial(jit, static_argnames=("count", "steps"))
def _minimised(worlds, policies, objective, spread, *, count: int, steps: int) -> PolicySolution:
    def one(policy, world):
        key = jax.random.key(1)
        return minimise(key, world, objective, policy, Data(), spread, count=count, steps=steps)

    return jax.vmap(lambda policy: jax.vmap(lambda world: one(policy, world))(worlds))(policies)


def _changes(worlds: Problem, learned: Array) -> Array:
    """Mean change of log-likelihood since π_ref on chosen and on rejected draws, world by world."""
    moved = learned - worlds.log_ref[:, 0]
    return jnp.stack([simplex.expectation(law[:, 0], moved) for law in (worlds.log_chosen, worlds.log_rejected)])


def _displacement(log_ref: Array, log_target: Array, chosen_at: Array, beta: Array) -> Array:
    """Λ'(a) and Λ'(a - β) (D10)."""
    slope = jax.grad(lambda t: simplex.log_partition(log_ref, log_target - log_ref, t))
    return jnp.stack([slope(chosen_at), slope(chosen_at - beta)])
