"""C3: is a loss that stays at 0.693 stuck, or is there nothing to learn?  Every loss has a floor that the data set.

No policy's population DPO loss is below ``ln 2 - JSD(ν‖νᵀ)``, ν the law of (chosen, rejected); BCO's is at least
``2 ln 2 - 2 JSD(π_w‖π_l)`` and KLDO's at least ``-KL(π_w‖π_l)`` (F1).  Chosen draws from π* and rejected ones from π_ref at
β = 1 reach all three at once, at π*.  Dependent draws leave DPO above its floor, by the mean divergence of the labels from
the best scores; a finite data set can be fitted below the floor of the population that it was drawn from.
"""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from pydantic import Field

from didsim.dynamics import Sgd, train
from didsim.figures.a2_power_law import repeated
from didsim.figures.settings import Count, Positive, Seed, config
from didsim.figures.verdicts import Verdict, above, below, by_dtype, must_break
from didsim.landscape import bco_floor, dpo_floor, kldo_floor
from didsim.landscape.solvers import solve
from didsim.objectives import BcoNone, Dpo, Kldo
from didsim.samplers import Joint
from didsim.worlds import Problem, RandomTarget
from didsim.worlds.preferences import AsShown
from didsim.worlds.random import normal

BETA = 1.0  # with chosen draws from π* and rejected ones from π_ref the one β at which BCO without shift ends at π* too
OBJECTIVES = {"dpo": Dpo(BETA), "bco[none]": BcoNone(BETA), "kldo": Kldo(BETA)}


@config
class Config:
    """Numbers of C3; the configuration is this project's own.

    ``strengths`` scale the preference, log(π*/π_ref); ``dependence`` scales the normal table added to the log of the law of
    independent draws; ``pairs`` is the size of the finite data set.
    """

    FAST: ClassVar[dict] = {}  # quick as it is

    n: int = Field(6, ge=3, le=50)
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0)
    dependence: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    learning_rate: Positive = 2.0
    steps: int = Field(12_000, ge=100)
    records: int = Field(60, ge=10)
    pairs: int = Field(60, ge=10)
    repeats: Count = 32
    seed: Seed = 0

    def __post_init__(self) -> None:
        if 0.0 not in self.strengths or 0.0 not in self.dependence or len(self.dependence) < 2:
            raise ValueError("strengths and dependence must hold 0.0 and dependence another number")


def run(settings: Config) -> xr.Dataset:
    """Trains on full laws and on drawn pairs, and works out every loss and floor anew from the recorded policies."""
    key = jax.random.key(settings.seed)
    world = RandomTarget(settings.n, beta=BETA, chosen_at=1.0).draw(jax.random.fold_in(key, 0))
    log_ref = np.asarray(world.log_ref[0], float)
    tables = _tables(settings, world, jax.random.fold_in(key, 1))
    laws = np.concatenate(list(tables.values()))
    steps, policies = _paths(settings, world, OBJECTIVES["dpo"], laws)
    paths = _split(BETA * (policies - log_ref), tables)
    losses = {name: _dpo(paths[name], tables[name][:, None]) for name in tables}
    floors = {name: np.asarray(dpo_floor(jnp.asarray(table))) for name, table in tables.items()}
    population = tables["apart"][0]
    return xr.Dataset(
        {
            **_objectives(settings, world, population),
            "plateau": (("strength", "record"), losses["strength"]),
            "plateau_floor": ("strength", floors["strength"]),
            "drawn_loss": (("repeat", "record"), losses["drawn"]),
            "drawn_population": (("repeat", "record"), _dpo(paths["drawn"], population)),
            "dependent_end": ("dependence", losses["dependent"][:, -1]),
            "dependent_floor": ("dependence", floors["dependent"]),
            **_minima(world, tables["dependent"]),
            "step": ("record", steps),
        },
        coords={"objective": list(OBJECTIVES), "strength": list(settings.strengths), "dependence": list(settings.dependence)},
        attrs={"beta": BETA, "pairs": settings.pairs, "expected": (settings.n - 1) / (2.0 * settings.pairs)},
    )


def _tables(settings: Config, world: Problem, key) -> dict[str, np.ndarray]:
    """Laws of (chosen, rejected): independent draws, weaker preferences, dependent draws, and finite data sets."""
    ref, way = (np.asarray(law[0], float) for law in (world.log_ref, world.log_target - world.log_ref))
    odd = np.asarray(normal(key, (settings.n, settings.n)), float)
    apart = _law((ref + way)[:, None] + ref)
    counts = np.random.default_rng(settings.seed).multinomial(settings.pairs, apart.ravel(), size=settings.repeats)
    return {
        "apart": apart[None],
        "strength": np.stack([_law((ref + strength * way)[:, None] + ref) for strength in settings.strengths]),
        "dependent": np.stack([_law(np.log(apart) + size * odd) for size in settings.dependence]),
        "drawn": counts.reshape(-1, *apart.shape) / settings.pairs,
    }


def _law(logits: np.ndarray) -> np.ndarray:
    table = np.exp(logits)
    return table / table.sum()


def _split(values: np.ndarray, tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows that belong to each group of tables."""
    ends = np.cumsum([len(table) for table in tables.values()])[:-1]
    return dict(zip(tables, np.split(values, ends), strict=True))


def _watch(problem, objective, log_policy, comparisons) -> dict:
    """The policies themselves: losses are worked out of them afterwards, without the library's own."""
    del problem, objective, comparisons
    return {"log_policy": log_policy}


def _joint(tables: np.ndarray, dtype) -> Joint:
    with np.errstate(divide="ignore"):
        return Joint(jnp.asarray(np.log(tables), dtype))


def _paths(settings: Config, world: Problem, objective, tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recorded steps, and policies at them for every law of (chosen, rejected), shape (laws, records, n).

    The laws are the prompts of one run, whose loss is their mean: the rate makes up for that.
    """
    many, rate = repeated(world, len(tables)), settings.learning_rate * len(tables)
    descent = train(
        many, objective, _joint(tables, world.log_ref.dtype), AsShown(), optimiser=Sgd(rate), steps=settings.steps,
        records=settings.records, metrics=_watch,
    )  # fmt: skip
    return descent.steps, np.asarray(descent.metrics["log_policy"], float).swapaxes(0, 1)


def _objectives(settings: Config, world: Problem, table: np.ndarray) -> dict:
    """Loss of every objective along its training on independent draws, and its floor."""
    losses = []
    for name, objective in OBJECTIVES.items():
        _, policies = _paths(settings, world, objective, table[None])
        losses.append(LOSSES[name](BETA * (policies[0] - np.asarray(world.log_ref[0], float)), table))
    floors = [
        float(dpo_floor(jnp.asarray(table))),
        float(bco_floor(world.log_chosen, world.log_rejected)[0]),
        float(kldo_floor(world.log_chosen, world.log_rejected)[0]),
    ]
    return {"loss": (("objective", "record"), losses), "floor": ("objective", floors)}


def _minima(world: Problem, tables: np.ndarray) -> dict:
    """DPO's minimum by the solver on every table, and what of the labels no scores say."""
    best = solve(repeated(world, len(tables)), OBJECTIVES["dpo"], _joint(tables, world.log_ref.dtype), AsShown())
    values = BETA * (np.asarray(best.log_policy, float) - np.asarray(world.log_ref[0], float))
    unexplained = [_unexplained(value, table) for value, table in zip(values, tables, strict=True)]
    return {"dependent_minimum": ("dependence", _dpo(values, tables)), "unexplained": ("dependence", unexplained)}


def _dpo(value: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Population DPO loss of values βh, shape (..., n), on a law of (chosen, rejected)."""
    return (table * np.logaddexp(0.0, value[..., None, :] - value[..., :, None])).sum((-2, -1))


def _bco(value: np.ndarray, table: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, -value) @ table.sum(1) + np.logaddexp(0.0, value) @ table.sum(0)


def _kldo(value: np.ndarray, table: np.ndarray) -> np.ndarray:
    return np.log(np.exp(value) @ table.sum(0)) - value @ table.sum(1)


LOSSES: dict[str, Callable] = {"dpo": _dpo, "bco[none]": _bco, "kldo": _kldo}


def _unexplained(value: np.ndarray, table: np.ndarray) -> float:
    """Mean divergence of a pair's label from the label that the scores give it: what DPO cannot learn (derived)."""
    total = 0.0
    for a in range(len(value)):
        for b in range(a):
            mass = table[a, b] + table[b, a]
            win, said = table[a, b] / mass, 1.0 / (1.0 + np.exp(value[b] - value[a]))
            total += mass * (win * np.log(win / said) + (1.0 - win) * np.log((1.0 - win) / (1.0 - said)))
    return total


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of C3."""
    excess = data["loss"] - data["floor"]
    rounding, met = by_dtype(1e-12, 1e-6), by_dtype(1e-10, 1e-5)
    plateau = data["plateau"] - data["plateau_floor"]
    gap = data["dependent_minimum"] - data["dependent_floor"]
    dependent = gap.where(data["dependence"] > 0, drop=True)
    floor = float(data["floor"].sel(objective="dpo"))
    none = plateau.sel(strength=0.0)
    return [
        above("no loss is below its floor on the population: least excess",
              [float(excess.min()), float(plateau.min())], -rounding),
        *(
            below(f"{name}: |loss - floor| at the end of training", abs(excess.sel(objective=name).isel(record=-1)), met)
            for name in data["objective"].values
        ),
        below("DPO on data without a preference is at its floor from the start: excess", abs(none), rounding),
        below("every strength of preference ends on its own floor: |excess|", abs(plateau.isel(record=-1)), met),
        below("dependent draws, trained: |loss - solver's minimum|", abs(data["dependent_end"] - data["dependent_minimum"]), met),
        below("dependent draws: |minimum - floor - mean divergence of labels from scores|", abs(gap - data["unexplained"]), met),
        # Wilks: n - 1 fitted numbers lower the mean loss on m pairs by (n - 1)/(2m), as m grows.
        above("drawn pairs: population's floor - mean loss on them ÷ (n - 1)/(2m)",
              (floor - data["drawn_loss"].isel(record=-1).mean()) / data.attrs["expected"], 0.5),
        above("drawn pairs, no policy beats the population's floor: least excess", data["drawn_population"] - floor, -rounding),
        must_break("loss at ln 2 means a floor at ln 2: excess at the start where there is a preference",
                   plateau.isel(record=0).where(data["strength"] > 0, drop=True), 10 * met),
        must_break("dependent draws reach the floor: minimum - floor", dependent, 100 * met),
    ]  # fmt: skip
