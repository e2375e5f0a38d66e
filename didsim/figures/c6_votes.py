"""C6: may one drop ties, and what does DPO count when annotators disagree?  Nothing is lost, and points.

Of Davidson's ties nothing is lost by dropping them: what is left is Bradley-Terry.  Splitting them evenly doubles β at
ν = 1, for any world, and of Rao and Kupper's ties dropping leaves something else (2409.17431; derived, F12).  Under a
product sampler μ⊗μ DPO's log-ratios are ordered as the Borda scores ``Pμ`` whatever the preferences P, those of many
annotators included, and IPO's are linear in them; a sampler that is no product breaks that (2505.23749; derived, F13).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.figures.settings import Count, Positive, Seed, Share, config
from didsim.figures.verdicts import Verdict, below, by_dtype, must_break
from didsim.landscape.solvers import solve
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import Dpo, IpoSum
from didsim.samplers import Joint
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import Davidson, PreferenceMatrix, Ties, Users
from didsim.worlds.random import normal

POLICIES = ("dropped", "split", "modelled")
SAMPLERS = ("product", "no product")


@config
class Config:
    """Numbers of C6; the configuration is this project's own.

    ``ties`` are Davidson's ν; ``dependence`` scales the normal table that makes a product sampler none; ``users`` have
    normal rewards and even weights.  ``least_gap`` is the smallest difference of two Borda scores whose order is judged.
    """

    FAST: ClassVar[dict] = {}  # quick as it is

    n: int = Field(6, ge=3, le=40)
    beta: Positive = 0.5
    ties: tuple[Positive, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    kupper: Positive = 1.0
    reward_scale: Positive = 1.5
    worlds: Count = 48
    users: int = Field(3, ge=2, le=20)
    dependence: Positive = 1.0
    least_gap: Share = 1e-3
    seed: Seed = 0

    def __post_init__(self) -> None:
        if 1.0 not in self.ties:
            raise ValueError("ties must hold 1.0, where splitting doubles β")


def run(settings: Config) -> xr.Dataset:
    """Ends under every policy for ties; ends and Borda scores of many annotators under both samplers."""
    key = jax.random.key(settings.seed)
    points = _points(settings, jax.random.fold_in(key, 1))
    return _ties(settings, jax.random.fold_in(key, 0)).merge(points).assign_attrs(points.attrs)


def _ties(settings: Config, key: Array) -> xr.Dataset:
    """DPO's end for dropped, split and modelled ties by ν, the worlds as prompts of one problem; and one control."""
    ref, reward = normal(key, (2, settings.worlds, settings.n))
    world = problem(simplex.normalize(ref), reward=settings.reward_scale * reward, beta=settings.beta)
    ends = np.stack([[_end_of_ties(world, tie, how, settings.beta) for how in POLICIES] for tie in settings.ties])
    kupper = _solved(world, _without_ties(world, settings.kupper), settings.beta)
    ref, target = (np.asarray(law, float) for law in (world.log_ref, world.log_target))
    jsd = np.asarray(simplex.jsd(jnp.asarray(ends), jnp.asarray(target)))
    half = ref + 0.5 * np.asarray(world.reward, float) / settings.beta
    half -= np.log(np.exp(half).sum(-1, keepdims=True))
    at_one = list(settings.ties).index(1.0)
    return xr.Dataset(
        {
            "jsd": (("tie", "policy", "world"), jsd),
            "jsd_half": ("world", np.asarray(simplex.jsd(jnp.asarray(half), jnp.asarray(target)))),
            "half_error": (("tie", "world"), abs(ends[:, POLICIES.index("split")] - half).max(-1)),
            "error": (("tie", "policy", "world"), abs(ends - target).max(-1)),
            "kupper_error": ("world", abs(kupper - target).max(-1)),
            "stretch": (("tie", "world"), _stretch(ends[:, POLICIES.index("split")] - ref, target - ref)),
            "split_margin": (("world", "response"), (ends[at_one, POLICIES.index("split")] - ref)),
            "target_margin": (("world", "response"), target - ref),
        },
        coords={"tie": list(settings.ties), "policy": list(POLICIES)},
    )


def _stretch(moved: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Share of the way to the target, by least squares on centred log-ratios."""
    moved, whole = (values - values.mean(-1, keepdims=True) for values in (moved, whole))
    return (moved * whole).sum(-1) / (whole * whole).sum(-1)


def _end_of_ties(world: Problem, tie: float, how: str, beta: float) -> np.ndarray:
    """DPO's end on dropped or split ties; for modelled ones the law of the reward that Davidson's likelihood finds."""
    if how != "modelled":
        keep = "drop" if how == "dropped" else "split"
        return _solved(world, Davidson(tie, keep=keep).matrix(world.reward), beta)
    found = _davidson_fit(world.reward, jnp.asarray(tie, world.reward.dtype))
    return np.asarray(simplex.tilt(world.log_ref, found, 1.0 / beta), float)


def _without_ties(world: Problem, margin: float) -> Float[Array, "worlds n n"]:
    """Who wins where Rao and Kupper's ties are left out."""
    mean = Ties(margin).matrix(world.reward)
    gap = world.reward[:, :, None] - world.reward[:, None, :]
    win = jax.nn.sigmoid(gap - margin)
    lose = win + 1.0 - 2.0 * mean  # the split probability is ½(win + 1 - lose)
    return win / (win + lose)


def _solved(
    world: Problem, wins: Float[Array, "worlds n n"], beta: float, objective: type[Dpo | IpoSum] = Dpo, pairs=None
) -> np.ndarray:
    """Exact end on pairs of a given law, uniform if none, with a given chance of winning."""
    n = world.log_ref.shape[-1]
    law = jnp.full((n, n), -2.0 * np.log(n), world.log_ref.dtype) if pairs is None else pairs
    return np.asarray(solve(world, objective(beta), Joint(law), PreferenceMatrix(wins)).log_policy, float)


@jit
def _davidson_fit(reward: Float[Array, "worlds n"], tie: Float[Array, ""]) -> Float[Array, "worlds n"]:
    """Rewards of largest mean log-likelihood of wins, losses and ties over uniform pairs, by Newton's method from zero."""
    n = reward.shape[-1]
    centre = jnp.full((n, n), 1.0 / n, reward.dtype)

    def cost(scores, truth):
        (win, tied), (said, said_tied) = (Davidson(tie).outcomes(x[:, None] - x[None, :]) for x in (truth, scores))
        return -jnp.mean(win * jnp.log(said) + 0.5 * tied * jnp.log(said_tied)) - jnp.mean(
            win.T * jnp.log(said.T) + 0.5 * tied * jnp.log(said_tied)
        )

    def fit(truth):
        def step(_, scores):
            # The likelihood does not see a constant: add its direction to the Hessian.
            slope, bend = jax.grad(cost)(scores, truth), jax.hessian(cost)(scores, truth)
            move = jnp.linalg.solve(bend + centre, slope)
            return scores - move / jnp.maximum(jnp.max(jnp.abs(move)), 1.0)

        return jax.lax.fori_loop(0, 40, step, jnp.zeros_like(truth))

    return jax.vmap(fit)(reward)


def _points(settings: Config, key: Array) -> xr.Dataset:
    """Log-ratios of DPO and IPO beside the Borda scores, for annotators who disagree, under a product and another sampler."""
    ref, law = normal(jax.random.fold_in(key, 0), (2, settings.worlds, settings.n))
    rewards = settings.reward_scale * normal(jax.random.fold_in(key, 1), (settings.worlds, settings.users, settings.n))
    odd = settings.dependence * normal(jax.random.fold_in(key, 2), (settings.worlds, settings.n, settings.n))
    world = problem(simplex.normalize(ref), reward=rewards.mean(1), beta=settings.beta)
    weights = simplex.uniform(settings.users)
    wins = jnp.stack([Users(weights, one).matrix(one[0]) for one in rewards])
    mass = simplex.normalize(law)
    alone = mass[:, :, None] + mass[:, None, :]
    tables = (alone, _normal_table(alone + odd + odd.swapaxes(1, 2)))
    borda = np.stack([_borda(np.exp(np.asarray(table, float)), np.asarray(wins, float)) for table in tables])
    ends = {
        name: np.stack([_solved(world, wins, settings.beta, kind, table) for table in tables])
        for name, kind in (("dpo", Dpo), ("ipo", IpoSum))
    }
    ratios = {name: end - np.asarray(world.log_ref, float) for name, end in ends.items()}
    straight = ratios["ipo"] - borda / settings.beta
    dims = ("sampler", "point_world", "response")
    return xr.Dataset(
        {
            "borda": (dims, borda),
            "dpo_ratio": (dims, ratios["dpo"]),
            "ipo_ratio": (dims, ratios["ipo"]),
            "wrong": (dims[:2], _wrong_order(borda, ratios["dpo"], settings.least_gap)),
            "ipo_error": (dims[:2], np.ptp(straight, axis=-1)),
        },
        coords={"sampler": list(SAMPLERS)},
        attrs={"beta": settings.beta, "kupper": settings.kupper, "users": settings.users},
    )


def _normal_table(logits: Float[Array, "worlds n n"]) -> Float[Array, "worlds n n"]:
    return logits - jax.nn.logsumexp(logits, (1, 2), keepdims=True)


def _borda(shown: np.ndarray, wins: np.ndarray) -> np.ndarray:
    """Chance of every response to win against what it is shown with; ``Pμ`` under a product."""
    return (shown * wins).sum(2) / shown.sum(2)


def _wrong_order(borda: np.ndarray, ratio: np.ndarray, least: float) -> np.ndarray:
    """Share of the pairs, apart by at least so many points, whose log-ratios are in the other order."""
    gaps, moved = (values[..., :, None] - values[..., None, :] for values in (borda, ratio))
    judged = gaps > least
    return (judged & (moved <= 0)).sum((-2, -1)) / judged.sum((-2, -1))


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C6."""
    near = by_dtype(1e-8, 1e-2)
    other = data["half_error"].where(data["tie"] != 1.0, drop=True)
    product, none = data.sel(sampler="product"), data.sel(sampler="no product")
    return [
        below("ties dropped: DPO at π* for every ν: max |Δ log π|", data["error"].sel(policy="dropped"), near),
        below("ties modelled: at π* for every ν: max |Δ log π|", data["error"].sel(policy="modelled"), near),
        below("ties split at ν = 1: DPO half-way: max |Δ log π|", data["half_error"].sel(tie=1.0), near),
        below("product sampler: share of pairs not in the order of Borda scores", product["wrong"], 0.0),
        below("product sampler: IPO's β log-ratios - Borda scores: spread", product["ipo_error"] * data.attrs["beta"], near),
        must_break("ties split at other ν: half-way: max |Δ log π|", other.max("world"), 1e-2),
        must_break("ties split reach π*: max |Δ log π|", data["error"].sel(policy="split").max("world"), 1e-2),
        must_break("Rao and Kupper's ties dropped reach π*: max |Δ log π|", data["kupper_error"].max(), 1e-2),
        must_break("no product: worlds with a pair out of order: share", (none["wrong"] > 0).mean(), 0.1),
        must_break("no product: IPO linear in scores: spread", none["ipo_error"].max() * data.attrs["beta"], 1e-2),
    ]
