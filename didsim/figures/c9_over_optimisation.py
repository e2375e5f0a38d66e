"""C9: when does optimising a proxy start to cost what one means?  Where the two stop correlating under the policy.

Along ``π_t ∝ π_ref e^{t r̂}`` the mean of the gold reward g changes by ``Cov_{π_t}(g, r̂)``: it turns where the two are
uncorrelated *under the policy* (F5).  DPO on labels by the proxy walks this path as β falls; χPO and SquaredPO, which tie
the policy to the reference by other divergences, and best-of-K walk others.  The proxy errs most where π_ref is small.  What
a policy that follows the proxy loses against gold's own optimum is ``β ∫₀¹ s Var_{π_s}(Δr/β) ds``.
"""

import math
from dataclasses import replace
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.figures.settings import NonNegative, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape import gold_slope, turning_point
from didsim.numerics import simplex
from didsim.numerics.quadrature import panel_rule
from didsim.numerics.traces import jit
from didsim.objectives import ChiPo, Dpo, SquaredPo, loss, population
from didsim.samplers import BestOf, FromReference, Uniform
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import BradleyTerry
from didsim.worlds.random import normal

ROUTES = {"dpo": Dpo, "chipo": ChiPo, "squaredpo": SquaredPo}
GAP_BETA = 0.5
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)  # of the turning time
STEP = 1e-4
NATS = 5.0  # of the error's range over β in one panel of the integral: its poles are π away


@config
class Config:
    """Numbers of C9; the configuration is this project's own.

    The proxy is the gold reward plus a normal error that is the larger, the smaller π_ref: its scale is ``error`` times
    ``(π_ref/max π_ref)^{-power}``.
    """

    FAST: ClassVar[dict] = {}  # quick as it is

    n: int = Field(24, ge=6, le=100)
    worlds: int = Field(24, ge=8)
    reference_scale: Positive = 1.5
    error: float = Field(0.35, gt=0, le=100)
    power: NonNegative = 0.35
    least_beta: Positive = 0.1
    largest_beta: Positive = 10.0
    points: int = Field(33, ge=9, le=400)
    most_drawn: int = Field(512, ge=4)
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.least_beta >= self.largest_beta:
            raise ValueError("least_beta must be below largest_beta")


def run(settings: Config) -> xr.Dataset:
    """Gold and proxy reward, and KL to π_ref, along the ways of every route; turning points, and the gap's integral."""
    world, gold = _drawn(settings)
    betas = np.geomspace(settings.largest_beta, settings.least_beta, settings.points)
    draws = np.unique(np.geomspace(1, settings.most_drawn, settings.points).round())
    turn = np.asarray(turning_point(world.log_ref, gold, world.reward, 1.0 / settings.least_beta), float)
    ways = {name: _minimisers(world, jnp.asarray(betas, world.log_ref.dtype), name) for name in ROUTES}
    ways["best of K"] = jnp.stack([BestOf(FromReference(), float(k)).log_law(world, world.log_ref) for k in draws])
    found = {f"{what} {name}": values for name, way in ways.items() for what, values in _measured(way, world, gold).items()}
    ends = {name: ("drawn" if name.endswith("best of K") else "beta", "world") for name in found}
    middle = settings.points // 2
    steepest = [_steepest(world, ways[name][middle], betas[middle], name) for name in ROUTES]
    return xr.Dataset(
        {
            **{name: (ends[name], values) for name, values in found.items()},
            **_around(world, gold, turn),
            **_gap(world, gold),
            "turn": ("world", turn),
            "steepest": ("route", np.asarray(steepest, float)),
        },
        coords={"beta": betas, "drawn": draws, "route": list(ROUTES), "share": np.array(SHARES)},
        attrs={"gap_beta": GAP_BETA},
    )


def _drawn(settings: Config) -> tuple[Problem, Float[Array, "worlds n"]]:
    """Worlds as prompts of one problem whose reward is the proxy; and the gold reward."""
    key = jax.random.key(settings.seed)
    ref, gold, noise = normal(key, (3, settings.worlds, settings.n))
    ref = simplex.normalize(settings.reference_scale * ref)
    rare = jnp.exp(settings.power * (jnp.max(ref, -1, keepdims=True) - ref))
    return problem(ref, reward=gold + settings.error * rare * noise, beta=1.0), gold


@partial(jit, static_argnames="name")
def _minimisers(world: Problem, betas: Float[Array, " betas"], name: str) -> Float[Array, "betas worlds n"]:
    """Population minimisers of DPO, χPO or SquaredPO by β, from their formulas."""
    # Chosen and rejected laws with log(π_w/π_l) = r̂ up to a constant: what Bradley-Terry labels of the proxy tell.
    even = jnp.broadcast_to(simplex.uniform(world.reward.shape[-1], world.reward.dtype), world.reward.shape)
    told = replace(world, log_chosen=simplex.normalize(world.reward), log_rejected=even)
    return jax.vmap(lambda beta: ROUTES[name](beta).minimiser(told))(betas)


@partial(jit, static_argnames="name")
def _steepest(world: Problem, log_policy: Float[Array, "worlds n"], beta, name: str) -> Float[Array, ""]:
    """Largest gradient entry of the population loss on uniform pairs with the proxy's labels."""
    shown = population(world, Uniform(), BradleyTerry(), world.log_ref)
    slope = jax.grad(lambda logits: loss(ROUTES[name](beta), world, simplex.normalize(logits), shown))(log_policy)
    return jnp.abs(slope).max()


@jit
def _measured(way: Float[Array, "stops worlds n"], world: Problem, gold: Float[Array, "worlds n"]) -> dict[str, Array]:
    return {
        "gold": simplex.expectation(way, gold),
        "proxy": simplex.expectation(way, world.reward),
        "kl": simplex.kl(way, world.log_ref),
    }


def _around(world: Problem, gold: Array, turn: np.ndarray) -> dict:
    """Slope of gold at shares of the turning time and of gold along its own way; the turn found anew, and its KL."""
    time = jnp.asarray(np.where(np.isnan(turn), 1.0, turn), gold.dtype)
    shares = jnp.asarray(SHARES, gold.dtype)[:, None, None]
    at = simplex.tilt(world.log_ref, world.reward, shares * time[:, None])
    own = simplex.tilt(world.log_ref, gold, shares * time[:, None])
    there = simplex.tilt(world.log_ref, world.reward, time[:, None])
    return {
        "slope": (
            ("share", "world"),
            np.asarray(gold_slope(at, *(jnp.broadcast_to(x, at.shape) for x in (gold, world.reward))), float),
        ),
        "own_slope": (("share", "world"), np.asarray(gold_slope(own, *[jnp.broadcast_to(gold, own.shape)] * 2), float)),
        "turn_kl": ("world", np.asarray(simplex.kl(there, world.log_ref), float)),
        "turn_gold": ("world", np.asarray(simplex.expectation(there, gold), float)),
        "turn_found": ("world", _turn_by_differences(world, gold, np.asarray(time, float))),
    }


def _turn_by_differences(world: Problem, gold: Array, near: np.ndarray) -> np.ndarray:
    """Where the mean gold reward stops rising, by halving its central difference within a factor of 1.5 of a time."""
    log_ref, proxy, meant = (np.asarray(values, np.float64) for values in (world.log_ref, world.reward, gold))

    def mean(time: np.ndarray) -> np.ndarray:
        weight = np.exp(log_ref + time[:, None] * (proxy - proxy.max(1, keepdims=True)))
        return (weight * meant).sum(1) / weight.sum(1)

    low, high = near / 1.5, near * 1.5
    for _ in range(60):
        middle = 0.5 * (low + high)
        rises = mean(middle + STEP) > mean(middle - STEP)
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return 0.5 * (low + high)


def _gap(world: Problem, gold: Array) -> dict:
    """What the proxy's optimum loses of gold's value at one β, and the integral that says so."""
    best, ours = (simplex.tilt(world.log_ref, reward, 1.0 / GAP_BETA) for reward in (gold, world.reward))
    error = (world.reward - gold) / GAP_BETA
    reach = float(jnp.max(jnp.max(error, -1) - jnp.min(error, -1)))
    s, weights = (jnp.asarray(part, gold.dtype) for part in panel_rule(1 + math.ceil(reach / NATS)))
    way = simplex.tilt(best, ours - best, s[:, None, None])
    spread = simplex.cumulants(way, jnp.broadcast_to(error, way.shape))[..., 1]
    value = [simplex.expectation(law, gold) - GAP_BETA * simplex.kl(law, world.log_ref) for law in (best, ours)]
    integral = GAP_BETA * jnp.einsum("s,sw->w", weights * s, spread)
    return {
        "lost": ("world", np.asarray(value[0] - value[1], float)),
        "lost_predicted": ("world", np.asarray(integral, float)),
        "lost_unweighted": ("world", np.asarray(GAP_BETA * 0.5 * simplex.cumulants(best, error)[..., 1], float)),
    }


def _that_turn(data: xr.Dataset) -> xr.Dataset:
    """The worlds in which gold first rises and then turns, the covariance on both sides clear of rounding."""
    scaled = data["slope"] / abs(data["slope"]).max("share")
    clear = abs(scaled.sel(share=[0.5, 1.5])).min("share").values > by_dtype(1e-9, 1e-3)
    rises = data["slope"].isel(share=0).values > 0
    return data.isel(world=np.flatnonzero(np.isfinite(data["turn"].values) & rises & clear))


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C9, over the worlds in which gold first rises and then turns."""
    turned = _that_turn(data)
    at = 1.0 / turned["turn"].values
    inside = turned.isel(world=np.flatnonzero((at > 1.2 * float(data["beta"].min())) & (1.2 * at < float(data["beta"].max()))))
    near = by_dtype(1e-6, 1e-2)
    size = abs(turned["slope"]).max("share")
    before, after = turned["slope"].sel(share=[0.5, 0.9]), turned["slope"].sel(share=[1.1, 1.5])
    highest = data["beta"].values[inside["gold dpo"].argmax("beta").values]
    ratio = float(data["beta"][0] / data["beta"][1])
    return [
        above("worlds in which gold turns: share", turned.sizes["world"] / data.sizes["world"], 0.25),
        below("at the turn gold and proxy are uncorrelated: |Cov| ÷ its largest",
              abs(turned["slope"].sel(share=1.0)) / size, near),
        below("turn found from the mean gold reward alone ÷ predicted: |ratio - 1|",
              abs(turned["turn_found"] / turned["turn"] - 1.0), near),
        above("gold rises before the turn: covariance", before, 0.0),
        below("gold falls after it: covariance", after, 0.0),
        below("DPO's gold is highest at β = 1/t*: distance in steps of the grid",
              abs(np.log(highest * inside["turn"].values)) / np.log(ratio), 1.0),
        below("the formulas' ends are at rest: max |gradient|", data["steepest"], by_dtype(1e-10, 1e-5)),
        below("value lost ÷ the integral of the error's variance: |ratio - 1|",
              abs(data["lost"] / data["lost_predicted"] - 1.0), by_dtype(1e-8, 1e-2)),
        must_break("at the turn they are uncorrelated under π_ref: |Cov| ÷ its largest",
                   abs(turned["slope"].sel(share=0.0)) / size, 10 * near),
        must_break("gold optimised itself turns: least slope on its way ÷ largest",
                   turned["own_slope"] / turned["own_slope"].max("share"), -near),
        must_break("value lost is ½ Var under π*: mean |ratio - 1|",
                   abs(data["lost_unweighted"] / data["lost"] - 1.0).mean(), 1e-2),
    ]  # fmt: skip
