"""C4: can DPO go the wrong way with infinitely many faultless labels?  Yes, where the policy class is too small.

Three responses with rewards (1, 2, 0), a uniform reference and the class ``π ∝ (e^θ, e^{-θ}, 1)``.  Responses 1 and 3 are
shown ``c`` times as often as the other two pairs, each with the true Bradley-Terry probability.  For every β DPO's optimum
has a mean reward below the reference's as soon as ``c > 2 + tanh(1)/tanh(½) = 3.65`` (2510.20413; numbers derived, F6),
while RLHF in the same class gains.  AuxDPO adds ``δ_w - δ_l`` to the margin, δ free in the null space of the reference's
score features; with a vanishing penalty on δ it ends where ``β E_{π_ref}[s sᵀ] θ = E_{π_ref}[s r]``, s the score (derived).
"""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim.figures.settings import Positive, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape.linear import best_in_class, direct
from didsim.landscape.linear.model import LinearModel
from didsim.numerics import simplex
from didsim.numerics.traces import jit
from didsim.policies import LogLinear
from didsim.worlds import Problem, problem
from didsim.worlds.preferences import BradleyTerry

SCORES, REWARD = np.array([1.0, -1.0, 0.0]), np.array([1.0, 2.0, 0.0])
# Mean reward at the end by β with c = 100, as stated: DPO's and RLHF's.
STATED = {1.0: (0.846, 1.418), 2.0: (0.886, 1.127), 3.0: (0.915, 1.073), 5.0: (0.945, 1.039)}
COUNT = 100.0
START = 1.0  # mean reward under the reference
TURN = 2.0 + np.tanh(1.0) / np.tanh(0.5)  # c at which DPO stays at the reference, for every β (derived)
ROUTES = ("dpo", "auxdpo", "table", "rlhf")


@config
class Config:
    """Numbers of C4; the world is F6's, with the ranges of its two dials free."""

    FAST: ClassVar[dict] = {}  # quick as it is

    least_beta: Positive = 0.5
    largest_beta: Positive = 8.0
    largest_count: float = Field(1000.0, gt=4.0, le=1e6)
    beta: Positive = 1.0
    points: int = Field(25, ge=3, le=500)

    def __post_init__(self) -> None:
        if self.least_beta >= self.largest_beta:
            raise ValueError("least_beta must be below largest_beta")


def run(settings: Config) -> xr.Dataset:
    """Ends of every route along both dials, at the stated β, and where DPO is predicted to turn."""
    betas = np.geomspace(settings.least_beta, settings.largest_beta, settings.points)
    counts = np.geomspace(1.0, settings.largest_count, settings.points)
    stated = np.array(list(STATED))
    grid_beta = np.concatenate([betas, np.full(len(counts), settings.beta), stated, stated])
    grid_count = np.concatenate([np.full(len(betas), COUNT), counts, np.full(len(stated), COUNT), np.full(len(stated), TURN)])
    world = problem(simplex.uniform(3), reward=REWARD)
    log_policy, theta = (np.asarray(part, float) for part in _ends(world, jnp.asarray(grid_beta), jnp.asarray(grid_count)))
    reward = np.exp(log_policy) @ REWARD
    target = np.exp(REWARD / grid_beta[:, None])
    target = np.log(target / target.sum(1, keepdims=True))
    cuts = np.cumsum([len(betas), len(counts), len(stated)])
    by_beta, by_count, at_stated, at_turn = np.split(reward, cuts)
    aux, _, aux_stated, _ = np.split(abs(theta - _aux_parameter(grid_beta)), cuts)
    return xr.Dataset(
        {
            "by_beta": (("beta", "route"), by_beta),
            "by_count": (("count", "route"), by_count),
            "at_stated": (("stated_beta", "route"), at_stated),
            "stated": (("stated_beta", "stated_route"), np.array(list(STATED.values()))),
            "at_turn": (("stated_beta", "route"), at_turn),
            "aux_error": ("place", np.concatenate([aux, aux_stated])),
            "table_error": ("grid", abs(log_policy[:, ROUTES.index("table")] - target).max(1)),
        },
        coords={"beta": betas, "count": counts, "route": list(ROUTES), "stated_beta": stated, "stated_route": ["dpo", "rlhf"]},
        attrs={"count": COUNT, "turn": TURN, "start": START, "beta_of_counts": settings.beta},
    )


def _aux_parameter(betas: np.ndarray) -> np.ndarray:
    """AuxDPO's θ from its normal equation, by hand: the reference is uniform and the score's mean is zero."""
    return (SCORES @ REWARD) / (betas * (SCORES @ SCORES))


def _null_direction() -> np.ndarray:
    """What is orthogonal, under the uniform reference, to the score and to constants: where δ is free."""
    return np.cross(SCORES, np.ones(3))


@jit
def _ends(world: Problem, betas: Float[Array, " cells"], counts: Float[Array, " cells"]) -> tuple[Array, Array]:
    """Log-policies of all routes in every cell, shape (cells, routes, 3), and AuxDPO's parameter."""
    dtype = betas.dtype
    scores, reward = jnp.asarray(SCORES, dtype), jnp.asarray(REWARD, dtype)
    none = jnp.zeros(3, dtype)
    small = jnp.stack([scores, none, none], -1)
    null = jnp.asarray(_null_direction(), dtype)
    wins = BradleyTerry().matrix(reward)

    def cell(beta, count):
        shown = jnp.zeros((3, 3), dtype).at[0, 1].set(1.0).at[1, 2].set(1.0).at[0, 2].set(count) / (2.0 + count)
        # Three features in every class, so that all are fitted by one program; δ is no part of AuxDPO's policy.
        classes = jnp.stack([small, jnp.stack([scores, null / beta, none], -1), jnp.eye(3, dtype=dtype)])

        def fit(features):
            return direct(LinearModel(features[None], shown[None], wins[None], jnp.zeros(1, dtype), beta)).theta

        thetas = jax.vmap(fit)(classes)
        said = jnp.stack([small, small, jnp.eye(3, dtype=dtype)])
        laws = [simplex.normalize(world.log_ref[0] + said[k] @ thetas[k]) for k in range(3)]
        starts = jnp.asarray([[0.0, 0.0, 0.0], [-2.0, 0.0, 0.0]], dtype)
        best = best_in_class(_at(world, beta), LogLinear(small), starts)
        return jnp.stack([*laws, simplex.normalize(world.log_ref[0] + small @ best.theta)]), thetas[1, 0]

    return jax.vmap(cell)(betas, counts)


def _at(world, beta):
    """The world with another β and the target that goes with it."""
    return replace(world, beta=beta, log_target=simplex.tilt(world.log_ref, world.reward, 1.0 / beta))


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C4."""
    rounding, digits = by_dtype(1e-9, 1e-4), 5e-4  # stated to three digits
    stated = abs(data["at_stated"].sel(route=["dpo", "rlhf"]).values - data["stated"].values)
    dpo, aux, rlhf, table = (data["by_beta"].sel(route=route) for route in ("dpo", "auxdpo", "rlhf", "table"))
    misled = data["by_count"].sel(route="dpo").where(data["count"] > 1.05 * TURN, drop=True)
    led = data["by_count"].sel(route="dpo").where(data["count"] < 0.95 * TURN, drop=True)
    return [
        below("DPO at β = 1, 2, 3, 5: |mean reward - stated|", stated[:, 0], digits),
        below("RLHF at β = 1, 2, 3, 5: |mean reward - stated|", stated[:, 1], digits),
        below("DPO, c = 100: mean reward - reference's, every β", dpo - START, -rounding),
        above("RLHF, same class: mean reward - reference's, every β", rlhf - START, rounding),
        below("DPO stays at the reference at the predicted c, any β: |gain|",
              abs(data["at_turn"].sel(route="dpo") - START), rounding),
        below("beyond that c DPO loses: mean reward - reference's", misled - START, -rounding),
        above("before that c DPO gains: mean reward - reference's", led - START, rounding),
        below("AuxDPO ends where its normal equation says: |θ - predicted|", data["aux_error"], rounding),
        above("AuxDPO gains: mean reward - reference's, every β", aux - START, rounding),
        below("full table reaches π*: max |log π - log π*|", data["table_error"], by_dtype(1e-8, 1e-3)),
        must_break("a full table loses too: mean reward - reference's", table - START, 1e-2),
        must_break("DPO is the best in its class: RLHF's mean reward - DPO's", rlhf - dpo, 1e-2),
    ]  # fmt: skip
