"""A5: when do chosen responses lose likelihood, and when do both sides?

Chosen and rejected laws at the places ``a`` and ``a - β`` of the path from π_ref to π* change by ``Λ'(a)`` and ``Λ'(a - β)``
when training reaches π* (D10): every trained run falls on one curve, both sides fall exactly where ``Λ'(a) < 0``, and
where chosen responses come from the reference itself that is always.
"""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from pydantic import Field

from didsim import did
from didsim.dynamics import Adam, Run
from didsim.figures.settings import Count, Positive, Seed, config
from didsim.figures.verdicts import Verdict, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.pytrees import pytree
from didsim.numerics.traces import jit
from didsim.objectives import Dpo
from didsim.sweeps import drawn_worlds, sweep
from didsim.worlds import Problem, RandomTarget, World
from didsim.worlds.random import normal

KINDS = ("map", "reference chosen", "reference rejected", "off the path")


@config
class Config:
    """Numbers of A5; the configuration is this project's own.

    The map has ``points`` × ``points`` trained runs a world; ``spread`` is the scale of both laws' normal logits.
    """

    FAST: ClassVar[dict] = {"seeds": 1, "steps": 1500}

    n: int = Field(16, ge=3, le=256)
    spread: Positive = 0.7
    points: int = Field(20, ge=2, le=60)
    places: tuple[float, float] = (-0.6, 1.7)
    betas: tuple[float, float] = (0.1, 1.5)
    seeds: Count = 4
    seed: Seed = 0
    steps: int = Field(3000, ge=10)
    learning_rate: Positive = 0.1
    stray: Positive = 0.5
    strayed: int = Field(16, ge=2)

    def __post_init__(self) -> None:
        for name in ("places", "betas"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} must be two rising numbers")
        if self.betas[0] <= 0:
            raise ValueError("betas must be positive")


@pytree
class Strayed(World):
    """A world on the path whose rejected law is pushed off it by ``stray`` times normal noise on its logits."""

    straight: RandomTarget
    stray: float | Float[Array, ""] = 0.0

    def draw(self, key):
        problem = self.straight.draw(key)
        noise = normal(jax.random.fold_in(key, 1), problem.log_ref.shape).astype(problem.log_ref.dtype)
        return replace(problem, log_rejected=simplex.tilt(problem.log_rejected, noise, self.stray))


def watch(problem: Problem, objective, log_policy, comparisons) -> dict:
    """Change of log-likelihood of chosen and rejected responses, beside D10's general closed form and -KL(π_ref‖π_θ)."""
    ratio = log_policy - problem.log_ref
    limit = did.displacement(problem.log_chosen, problem.log_rejected, problem.log_ref, problem.beta)
    return {
        "chosen": comparisons.mean_chosen(ratio)[0],
        "rejected": comparisons.mean_rejected(ratio)[0],
        "limit_chosen": limit.chosen[0],
        "limit_rejected": limit.rejected[0],
        "lost_to_ref": -simplex.kl(problem.log_ref, log_policy)[0],
    }


def run(settings: Config) -> xr.Dataset:
    """Trains every point of the map in one sweep and lays the closed form beside it."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    base = Run(
        Strayed(RandomTarget(n=settings.n, reference_scale=settings.spread, target_scale=settings.spread)),
        Dpo(0.5),
        optimiser=Adam(settings.learning_rate, decay="cosine"),
        steps=settings.steps,
        records=16,
        metrics=watch,
    )
    worlds = drawn_worlds(base, seeds)
    root = did.critical_beta(worlds.log_ref, worlds.log_target)
    kind, place, beta, stray = _points(settings, np.asarray(root))
    axes = ("world.straight.chosen_at", "world.straight.beta", "objective.beta", "world.stray")
    points = dict(enumerate(zip(place, beta, beta, stray, strict=True)))
    data = sweep(base, {axes: points}, seeds=seeds).rename(chosen_at="point").drop_vars("log_policy")
    along = np.linspace(settings.places[0] - settings.betas[1], settings.places[1], 201)
    predicted, slope = _on_map(worlds, jnp.asarray(place), jnp.asarray(beta), jnp.asarray(along))
    on_map = {name: (("point", "seed"), np.asarray(value)) for name, value in predicted.items()}
    return data.assign(on_map).assign(
        kind=("point", kind),
        chosen_at=("point", place),
        beta=("point", beta),
        critical_beta=("seed", np.asarray(root)),
        along=("t", along),
        slope=(("t", "seed"), np.asarray(slope)),
    )


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of A5, worst over points and worlds."""
    near, exact = by_dtype(1e-6, 2e-3), by_dtype(1e-12, 1e-4)
    end = data.isel(record=-1)
    on_path, off = end.sel(point=data["kind"] < 3), end.sel(point=data["kind"] == 3)
    shown, from_ref = on_path.sel(point=on_path["kind"] == 0), data.sel(point=data["kind"] == 1)
    diagonal, elsewhere = on_path.sel(point=on_path["kind"] == 2), shown.sel(point=abs(shown["chosen_at"]) > 0.2)
    chosen, rejected = abs(on_path["chosen"] - on_path["map_chosen"]), abs(on_path["rejected"] - on_path["map_rejected"])
    missed = np.maximum(abs(off["chosen"] - off["map_chosen"]), abs(off["rejected"] - off["map_rejected"]))
    gap = abs(on_path["chosen"] - on_path["rejected"] - on_path["gap"])
    exactly = abs(from_ref["chosen"] - from_ref["lost_to_ref"])
    not_ref = abs(elsewhere["chosen"] - elsewhere["lost_to_ref"])
    return [
        below("chosen change is Λ'(a): |difference|", chosen, near),
        below("rejected change is Λ'(a - β): |difference|", rejected, near),
        below("both fall exactly where Λ'(a) < 0: mismatches", _mismatches(shown, "higher", "map_chosen"), 0.0),
        below("both rise exactly where Λ'(a - β) > 0: mismatches", _mismatches(shown, "lower", "map_rejected"), 0.0),
        below("gap of the two is J(π_w, π_l)/β: |difference|", gap, near),
        below("π_ref = π_w, at every step: |chosen change + KL(π_ref‖π_θ)|", exactly, exact),
        below("π_ref = π_w: chosen falls for every β: largest change", from_ref["chosen"].isel(record=-1), 0.0),
        below("π_ref = π_l: chosen turns at β_c: mismatches", _mismatches(diagonal, "chosen", "map_chosen"), 0.0),
        below("off the path: general form of D10: |difference|", abs(off["chosen"] - off["limit_chosen"]), near),
        must_break("off the path the map holds: |difference|", missed, 1e-3),
        must_break("chosen change is -KL(π_ref‖π_θ) where π_w ≠ π_ref: |difference|", not_ref, 1e-3),
        must_break("rejected change is Λ'(a + β): |difference|", abs(shown["rejected"] - shown["map_upside_down"]), 1e-3),
    ]


def _points(settings: Config, root: np.ndarray) -> tuple[np.ndarray, ...]:
    """Kind, place, β and stray of every trained run: the map, two lines through it, and runs off the path."""
    places, betas = (np.linspace(*ends, settings.points) for ends in (settings.places, settings.betas))
    grid_place, grid_beta = (values.ravel() for values in np.meshgrid(places, betas, indexing="ij"))
    turning = np.concatenate([0.97 * root, 1.03 * root])
    few = np.linspace(*settings.betas, settings.strayed)
    parts = (
        (grid_place, grid_beta, 0.0),
        (np.zeros_like(betas), betas, 0.0),
        (turning, turning, 0.0),
        (np.linspace(*settings.places, settings.strayed), few, settings.stray),
    )
    kind = np.concatenate([np.full(len(part[0]), which) for which, part in enumerate(parts)])
    stray = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    return kind, np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]), stray


@jit
def _on_map(
    worlds: Problem, place: Float[Array, " point"], beta: Float[Array, " point"], along: Float[Array, " t"]
) -> tuple[dict[str, Array], Float[Array, "t seed"]]:
    """D10's closed form at every point and world, points first, and Λ' along the path."""
    laws = worlds.log_ref, worlds.log_target
    a, b = place[:, None], beta[:, None]
    moved = did.path_displacement(*laws, a, b)
    gap = did.learned_margin(did.path_law(*laws, a), did.path_law(*laws, a - b), b)
    predicted = {"map_chosen": moved.chosen, "map_rejected": moved.rejected, "gap": gap}
    return {**predicted, "map_upside_down": did.path_slope(*laws, a + b)}, did.path_slope(*laws, along[:, None])


def _mismatches(data: xr.Dataset, which: str, predicted: str) -> int:
    """Points where the trained sign is not the predicted one, leaving out changes within rounding of zero.

    ``which`` is the change looked at: "chosen", or the "higher" or "lower" one of chosen and rejected.
    """
    both = data["chosen"], data["rejected"]
    trained = {"chosen": both[0], "higher": np.maximum(*both), "lower": np.minimum(*both)}[which]
    clear = abs(data[predicted]) > by_dtype(1e-6, 2e-3)
    return int((clear & (np.sign(trained) != np.sign(data[predicted]))).sum())
