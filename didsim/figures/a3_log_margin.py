"""A3: are the log-margins of rejected, reference, learned and target policy ordered, and do they lie on one line?

Under the power law with π_w = π_ref every pair's log-margin moves along one line: at -β for π_l, 0 for π_ref, 1 for π*
(D8, D9).  Order alone is weaker: a strictly increasing but non-linear link between log(π*/π_ref) and log(π_ref/π_l)
keeps every pair in order and still teaches DPO something other than π*.
"""

from dataclasses import replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.did.order import margin_slope, ordered_share
from didsim.dynamics import Adam, Run
from didsim.dynamics.metrics import measure
from didsim.figures.settings import Positive, Seed, choose_seeds, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape.solvers import solve
from didsim.numerics import simplex
from didsim.numerics.pytrees import pytree
from didsim.objectives import Dpo
from didsim.sweeps import drawn_worlds, sweep
from didsim.worlds import Problem, RandomTarget, World


@config
class Config:
    """Numbers of A3; the configuration is this project's own."""

    FAST: ClassVar[dict] = {"steps": 6000, "seeds": 4}

    n: int = Field(32, ge=3, le=5000)
    beta: Positive = 0.5
    bend: Positive = 0.6
    seeds: int = Field(0, ge=0)
    seed: Seed = 0
    steps: int = Field(10_000, ge=10)
    learning_rate: Positive = 0.05
    records: int = Field(60, ge=5)
    shown_pairs: int = Field(12, ge=2, le=40)

    def __post_init__(self) -> None:
        choose_seeds(self)


@pytree
class BentLink(World):
    """A power-law world whose rejected law is bent: ``log(π_ref/π_l) = β s (1 + bend |s|)``, increasing in ``s``."""

    straight: RandomTarget
    bend: float | Float[Array, ""] = 0.0

    def draw(self, key):
        problem = self.straight.draw(key)
        s = simplex.clr(problem.log_target - problem.log_ref)
        rejected = simplex.tilt(problem.log_ref, s * (1.0 + self.bend * jnp.abs(s)), -problem.beta)
        return replace(problem, log_rejected=rejected)


def watch(problem: Problem, objective, log_policy, comparisons) -> dict:
    """Standard metrics, the share of pairs in the data's order, and how far along the geodesic the policy is."""
    moved = log_policy - problem.log_ref
    data = problem.log_chosen - problem.log_rejected
    place, off_line = margin_slope(moved, problem.log_target - problem.log_ref)
    return {
        **measure(problem, objective, log_policy, comparisons),
        "ordered_share": ordered_share(moved, data).mean(),
        "place": place.mean(),
        "off_line": jnp.where(jnp.isnan(off_line), 0.0, off_line).mean(),
        "log_ratio": moved[0],
    }


def run(settings: Config) -> xr.Dataset:
    """Trains and solves DPO under the power law and under a bent link, on the same worlds."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    world = BentLink(RandomTarget(n=settings.n, beta=settings.beta), settings.bend)
    base = Run(
        world,
        Dpo(settings.beta),
        optimiser=Adam(settings.learning_rate, decay="cosine"),
        steps=settings.steps,
        records=settings.records,
        metrics=watch,
    )
    links = {"power law": 0.0, "bent link": settings.bend}
    data = sweep(base, {"world.bend": links}, seeds=seeds).rename(bend="link", log_ratio_1="response_")
    data = data.drop_vars("log_policy").rename(response_="response")
    exact = [_exact(replace(base, world=replace(world, bend=bend)), seeds) for bend in links.values()]
    joined = {name: xr.concat([one[name] for one in exact], "link") for name in exact[0]}
    return data.assign(joined).assign(_pairs(joined, settings)).assign_attrs(beta=settings.beta)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of A3, worst over the worlds."""
    beta = data.attrs["beta"]
    line, bent = data.sel(link="power law"), data.sel(link="bent link")
    tight, target = by_dtype(1e-8, 1e-4), by_dtype(1e-10, 1e-7)
    trained_slope = 1.0 / line["place"].isel(record=-1)
    return [
        below("slope of data margins against learned ones: |slope - β|", abs(line["slope"] - beta), tight),
        below("collinear: relative residual", line["residual"], by_dtype(1e-8, 1e-4)),
        below("after training: |slope/β - 1|", abs(trained_slope - 1.0), by_dtype(1e-6, 1e-3)),
        above("ordered pairs at the optimum: share", line["exact_ordered"], by_dtype(1.0, 0.999)),
        below("E[M* - M_ref] = J(π_w, π_l)/β: |difference|", line["jeffreys_gap"], by_dtype(1e-10, 1e-4)),
        below("power law reaches π*: JSD", line["exact_jsd_target"], target),
        above("bent link keeps the order: share", bent["data_ordered"], by_dtype(1.0, 0.999)),
        must_break("bent link is collinear with π*: residual", bent["data_residual"], 1e-2),
        must_break("bent link reaches π*: JSD", bent["exact_jsd_target"], 1e-3),
        must_break("shuffled rejected law keeps the order: 1 - share", 1.0 - line["shuffled_ordered"], 1e-2),
    ]


def _exact(base: Run, seeds: range) -> dict[str, xr.DataArray]:
    """Exact optimum of every world and what D8 says about it."""
    worlds = drawn_worlds(base, seeds)
    best = solve(worlds, base.objective).log_policy
    learned, data, aim = best - worlds.log_ref, worlds.log_chosen - worlds.log_rejected, worlds.log_target - worlds.log_ref
    slope, residual = margin_slope(data, learned)
    moved = simplex.expectation(worlds.log_chosen, aim) - simplex.expectation(worlds.log_rejected, aim)
    gap = moved - simplex.jeffreys(worlds.log_chosen, worlds.log_rejected) / worlds.beta
    per_world = {
        "slope": slope,
        "residual": residual,
        "exact_ordered": ordered_share(learned, data),
        "data_ordered": ordered_share(aim, data),
        "data_residual": margin_slope(data, aim)[1],
        "shuffled_ordered": ordered_share(aim, jnp.roll(data, 1, axis=-1)),
        "jeffreys_gap": jnp.abs(gap),
        "exact_jsd_target": simplex.jsd(worlds.log_target, best),
    }
    per_response = {"learned": learned, "data": data, "aim": aim, "log_ref": worlds.log_ref}
    return {
        **{name: xr.DataArray(np.asarray(value), dims="seed") for name, value in per_world.items()},
        **{name: xr.DataArray(np.asarray(value), dims=("seed", "response")) for name, value in per_response.items()},
    }


def _pairs(exact: dict[str, xr.DataArray], settings: Config) -> dict[str, tuple]:
    """Pairs of the first world that the picture follows: evenly spread over the range of target margins."""
    aim = exact["aim"].isel(link=0, seed=0).values
    first, second = np.triu_indices(settings.n, 1)
    upward = np.where(aim[first] >= aim[second], first, second), np.where(aim[first] >= aim[second], second, first)
    gap = aim[upward[0]] - aim[upward[1]]
    chosen = np.argsort(gap)[np.linspace(0.02 * len(gap), 0.98 * len(gap) - 1, settings.shown_pairs).astype(int)]
    return {"pair_first": ("pair", upward[0][chosen]), "pair_second": ("pair", upward[1][chosen])}
