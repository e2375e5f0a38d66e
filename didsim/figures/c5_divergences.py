"""C5: which divergence keeps chosen responses from losing likelihood, and is reward accuracy ranking accuracy?

DPO's implicit reward is the reverse KL's; χPO and SquaredPO put other divergences in its place (2602.06788, F7).
SquaredPO's reward ``β x e^{-x}``, ``x = log(π/π_ref)``, is at most β/e and falls again beyond x = 1, so its minimiser needs
both branches of Lambert's function (derived).  On data on the geodesic, ``π_w = π_a``, the mean change of chosen responses
under DPO is ``Λ'(a)`` (D9).  HyPO ends at ``√π_ref`` where labels hold no preference, and where it ends depends on the
sampler although labels are Bradley-Terry (derived, F3).  And π* itself ranks a better response below a worse one wherever
``log π_ref(l)/π_ref(w) > (r_w - r_l)/β`` (2405.19534, F3).
"""

from dataclasses import replace
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.dynamics import Sgd, train
from didsim.figures.settings import Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.objectives import ChiPo, Dpo, Hypo, SquaredPo, loss, population
from didsim.objectives.squared_log import lower_branch
from didsim.samplers import ChosenRejected, Joint
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import AsShown, BradleyTerry, PreferenceMatrix
from didsim.worlds.random import normal

OBJECTIVES = {"dpo": Dpo, "chipo": ChiPo, "squaredpo": SquaredPo}
DATA = ("no preference", "uniform pairs", "reference pairs")


@config
class Config:
    """Numbers of C5; the configuration is this project's own.

    ``reward_scale`` is the spread of r/β; ``places`` are where chosen responses come from on the geodesic from π_ref at 0 to
    π* at 1.
    """

    FAST: ClassVar[dict] = {}  # quick as it is

    n: int = Field(8, ge=3, le=40)
    worlds: int = Field(48, ge=8)
    beta: Positive = 0.5
    reward_scale: Positive = 0.4
    places: int = Field(13, ge=3, le=200)
    betas: int = Field(17, ge=3, le=200)
    hypo_beta: Positive = 1.0
    learning_rate: Positive = 4.0
    steps: int = Field(6000, ge=100)
    seed: Seed = 0


def run(settings: Config) -> xr.Dataset:
    """Displacement by divergence, both branches, HyPO's ends, and who is misranked at the optimum."""
    ref, reward = normal(jax.random.key(settings.seed), (2, settings.worlds, settings.n))
    many = problem(simplex.normalize(ref), reward=settings.beta * settings.reward_scale * reward, beta=settings.beta)
    places = np.linspace(-0.5, 1.5, settings.places)
    return xr.Dataset(
        {
            **_displacement(settings, many, places),
            **_branches(settings, many),
            **_hypo(settings, many),
            **_ranked(settings, many),
        },
        coords={"place": places, "objective": list(OBJECTIVES), "data": list(DATA)},
        attrs={"beta": settings.beta},
    )


def _on_path(many: Problem, place, beta) -> Problem:
    """Chosen draws from the geodesic's ``place``, rejected ones from β before it."""
    chosen, rejected = (simplex.geodesic(many.log_ref, many.log_target, at) for at in (place, place - beta))
    return replace(many, log_chosen=chosen, log_rejected=rejected)


@partial(jit, static_argnames="name")
def _ends(many: Problem, places: Float[Array, " places"], name: str) -> tuple[Array, Array, Array]:
    """Mean change of chosen and of rejected responses at the minimiser, shape (places, worlds), and the worst gradient."""

    def at(place):
        data = _on_path(many, place, many.beta)
        end = OBJECTIVES[name](many.beta).minimiser(data)
        ratio = end - many.log_ref
        return simplex.expectation(data.log_chosen, ratio), simplex.expectation(data.log_rejected, ratio)

    first = _on_path(many, places[0], many.beta)
    steep = _steepest(first, OBJECTIVES[name](many.beta), OBJECTIVES[name](many.beta).minimiser(first))
    return *jax.vmap(at)(places), steep


def _steepest(data: Problem, objective, log_policy: Float[Array, "worlds n"]) -> Float[Array, " worlds"]:
    """Largest gradient entry by world, in units of the largest reward slope there: the loss is the mean over worlds."""
    shown = population(data, ChosenRejected(), AsShown(), data.log_ref)
    slope = jax.grad(lambda logits: loss(objective, data, simplex.normalize(logits), shown))(log_policy)
    steep = jnp.max(jnp.exp(-jnp.minimum(log_policy - data.log_ref, 0.0)), -1)
    return log_policy.shape[0] * jnp.abs(slope).max(-1) / (1.0 + steep) ** 2


def _displacement(settings: Config, many: Problem, places: np.ndarray) -> dict:
    found = [_ends(many, jnp.asarray(places, many.log_ref.dtype), name) for name in OBJECTIVES]
    log_ref, way = (np.asarray(values, np.float64) for values in (many.log_ref, many.log_target - many.log_ref))

    def mean(at: np.ndarray) -> np.ndarray:
        weight = np.exp(log_ref + at[:, None, None] * way)
        return (weight * way).sum(-1) / weight.sum(-1)

    dims = ("objective", "place", "world")
    return {
        "chosen": (dims, np.array([one[0] for one in found], float)),
        "rejected": (dims, np.array([one[1] for one in found], float)),
        "steepest": (("objective", "world"), np.array([one[2] for one in found], float)),
        "chosen_slope": (dims[1:], mean(places)),
        "rejected_slope": (dims[1:], mean(places - settings.beta)),
    }


def _branches(settings: Config, many: Problem) -> dict:
    """SquaredPO's minimiser on chosen draws from π*, whether its best response is beyond the summit, and one branch alone."""
    data = _on_path(many, 1.0, many.beta)
    objective = SquaredPo(settings.beta)
    end = objective.closed_form(data)
    fit = (data.log_chosen - data.log_rejected) / settings.beta
    alone = simplex.normalize(data.log_ref + lower_branch(fit - fit.max(-1, keepdims=True) + np.exp(-1.0)))
    ratio = np.asarray(end - data.log_ref, float)
    return {
        "ratio": (("world", "response"), ratio),
        "upper": ("world", (ratio > 1.0).any(-1)),
        "squared_steepest": ("world", np.asarray(_steepest(data, objective, end), float)),
        "alone_steepest": ("world", np.asarray(_steepest(data, objective, alone), float)),
    }


def _hypo(settings: Config, many: Problem) -> dict:
    """HyPO trained without any preference, and on Bradley-Terry labels of uniform pairs and of the reference's own."""
    world = problem(jnp.stack([many.log_ref[0]] * 3), reward=jnp.stack([many.reward[0]] * 3), beta=settings.beta)
    n, ref = settings.n, many.log_ref[0]
    wins = BradleyTerry().matrix(world.reward).at[0].set(0.5)
    even = jnp.full((n, n), -2.0 * np.log(n), ref.dtype)
    tables = jnp.stack([even, even, ref[:, None] + ref[None, :]])
    descent = train(
        world, Hypo(settings.hypo_beta), Joint(tables), PreferenceMatrix(wins), optimiser=Sgd(3.0 * settings.learning_rate),
        steps=settings.steps, records=2, metrics=_watch,
    )  # fmt: skip
    ends = np.asarray(descent.log_policy, float)
    root = np.asarray(simplex.normalize(0.5 * ref), float)
    return {
        "hypo": (("data", "response"), ends),
        "root": ("response", root),
        "hypo_ref": ("response", np.asarray(ref, float)),
        "hypo_target": ("response", np.asarray(many.log_target[0], float)),
    }


def _watch(problem, objective, log_policy, comparisons) -> dict:
    del problem, objective, comparisons
    return {"mass": jnp.exp(log_policy).sum()}


def _ranked(settings: Config, many: Problem) -> dict:
    """Share of uniform pairs whose better response is the likelier, and the rewarder, at π* by β; counted and predicted."""
    log_ref, reward = (np.asarray(values, np.float64) for values in (many.log_ref, many.reward))
    better = reward[:, :, None] > reward[:, None, :]
    gaps, handicap = reward[:, :, None] - reward[:, None, :], log_ref[:, None, :] - log_ref[:, :, None]
    betas = np.geomspace(0.05, 5.0, settings.betas)
    ranked, predicted, rewarded, wrong = [], [], [], []
    for beta in betas:
        target = np.asarray(simplex.tilt(many.log_ref, many.reward, 1.0 / beta), np.float64)
        likelier, richer = (x[:, :, None] > x[:, None, :] for x in (target, target - log_ref))
        ranked.append((likelier & better).sum((1, 2)) / better.sum((1, 2)))
        rewarded.append((richer & better).sum((1, 2)) / better.sum((1, 2)))
        predicted.append(((handicap <= gaps / beta) & better).sum((1, 2)) / better.sum((1, 2)))
        wrong.append(((handicap <= gaps) & better).sum((1, 2)) / better.sum((1, 2)))
    dims = ("beta", "world")
    return {
        "ranked": (dims, ranked), "ranked_predicted": (dims, predicted), "rewarded": (dims, rewarded),
        "ranked_wrong": (dims, wrong), "beta": ("beta", betas),
    }  # fmt: skip


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C5."""
    near, rounding = by_dtype(1e-9, 1e-3), by_dtype(1e-10, 1e-6)
    dpo = data.sel(objective="dpo")
    steepest = data["steepest"]
    upper = data["upper"].values
    beyond = data["alone_steepest"].values[upper]
    hypo = data["hypo"]
    summit = data["ratio"] * np.exp(-data["ratio"])
    apart = abs(hypo.sel(data="uniform pairs") - hypo.sel(data="reference pairs")).max()
    return [
        below("DPO: mean change of chosen - Λ'(a), of rejected - Λ'(a - β)",
              [float(abs(dpo[name] - data[f"{name}_slope"]).max()) for name in ("chosen", "rejected")], near),
        below("all three divergences: formula's end is at rest: relative |gradient|", steepest, rounding),
        below("SquaredPO, both branches: at rest: relative |gradient|", data["squared_steepest"], rounding),
        above("worlds whose best response is on the upper branch: share", upper.mean(), 0.02),
        above("worlds whose best response is on the lower branch: share", 1.0 - upper.mean(), 0.02),
        below("SquaredPO's reward ÷ β, at most 1/e", summit, np.exp(-1.0) + by_dtype(1e-12, 1e-6)),
        below("HyPO without preference ends at √π_ref: max |Δ log π|", abs(hypo.sel(data="no preference") - data["root"]),
              by_dtype(1e-8, 1e-3)),
        below("share of pairs ranked right at π*: |counted - predicted|", abs(data["ranked"] - data["ranked_predicted"]),
              by_dtype(0.0, 0.05)),
        above("reward accuracy at π*, every β", data["rewarded"], by_dtype(1.0, 0.95)),
        must_break("one branch alone is at rest where both are needed: mean relative |gradient|",
                   beyond.mean(), 10 * rounding),
        must_break("HyPO without preference stays at π_ref: max |Δ log π|",
                   abs(hypo.sel(data="no preference") - data["hypo_ref"]).max(), 1e-2),
        must_break("HyPO's end does not depend on the sampler: max |Δ log π|", apart, 1e-2),
        must_break("ranking is reward accuracy at π*: mean share misranked, largest β",
                   1.0 - data["ranked"].isel(beta=-1).mean(), 0.05),
        must_break("share ranked right without dividing by β: mean |counted - predicted|, smallest β",
                   abs(data["ranked"] - data["ranked_wrong"]).isel(beta=0).mean(), 1e-2),
    ]  # fmt: skip
