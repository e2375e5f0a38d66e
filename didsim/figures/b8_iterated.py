"""B8: where do rounds lead when reference and data follow the policy, for cyclic and for transitive preferences?

Each round is solved exactly, its reference ``π_t^a π_0^{1-a}``, its pairs from ``λ π_t + (1-λ) π_0``.  On a three-cycle the
uniform policy turns unstable at ``a² + c²b²λ²/3 = 1`` with ``b = 1/τ`` for IPO and ``4/β`` for DPO (S12); beyond it the
rounds turn for ever.  Transitive preferences never turn: they settle, or run into a corner where nothing holds them.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from pydantic import Field

from didsim.dynamics import iterated
from didsim.dynamics.iterated.endings import Fate
from didsim.dynamics.iterated.maps import OBJECTIVES, Iteration
from didsim.figures.settings import Seed, config
from didsim.figures.verdicts import Verdict, below, by_dtype, must_break
from didsim.numerics import simplex
from didsim.numerics.traces import jit

SHOWN = ((0.6, 0.5), (0.6, 1.0))  # power and mixing of the paths drawn
KINDS = ("cyclic", "transitive")
WINDOW = 128
EDGE = 1.004  # modulus at which turning times are compared with the linear prediction


@config
class Config:
    """Numbers of B8; the configuration is this project's own.

    ``n`` is the number of responses of the random preference matrices on which the contraction bound is tried; the maps
    have three.  ``slope`` is b, the same for both objectives: τ = 1/b and β = 4/b.
    """

    FAST: ClassVar[dict] = {"grid": 13, "rounds": 600, "matrices": 32}

    n: int = Field(6, ge=3, le=200)
    seed: Seed = 0
    advantage: float = Field(0.4, gt=0, lt=0.5)
    slope: float = Field(6.0, gt=0, le=50)
    grid: int = Field(31, ge=5, le=200)
    rounds: int = Field(1000, ge=600)
    clear: float = Field(0.03, gt=0, lt=0.2)
    matrices: int = Field(128, ge=2)


def run(settings: Config) -> xr.Dataset:
    """Fate of every cell of the map for both objectives and both kinds of preference, with what theory predicts."""
    powers = mixings = np.linspace(0.0, 1.0, settings.grid)
    maps = _maps(settings, powers, mixings)
    modulus, _ = iterated.cycle_multiplier(jnp.asarray(powers[:, None]), jnp.asarray(mixings), settings.advantage, settings.slope)
    edge_powers, edge_mixings = map(jnp.asarray, _edge(settings))
    _, angle = iterated.cycle_multiplier(edge_powers, edge_mixings, settings.advantage, settings.slope)
    return maps.assign(
        modulus=(("power", "mixing"), np.asarray(modulus)),
        edge_predicted=("edge", 2.0 * np.pi / np.asarray(angle)),
        **_misplaced(settings, maps, powers, mixings),
        **_contraction(settings),
    ).assign_attrs(advantage=settings.advantage, slope=settings.slope, clear=settings.clear)


def verdicts(data: xr.Dataset) -> list[Verdict]:
    """What must come out of B8."""
    clear = abs(data["modulus"] - 1.0) > data.attrs["clear"]
    cyclic, transitive = data.sel(preference="cyclic"), data.sel(preference="transitive")
    wrong = ((cyclic["fate"] != Fate.CONVERGED) != (data["modulus"] > 1.0)) & clear
    corner = data.sel(power=1.0, mixing=1.0)
    off = abs(data["jacobian_modulus"] - data["modulus"])
    late = abs(data["edge_turning"] / data["edge_predicted"] - 1.0)
    return [
        *(
            below(f"{name}, three-cycle: cells off the predicted side of the boundary", wrong.sel(objective=name).sum(), 0.0)
            for name in data["objective"].values
        ),
        below("multipliers at the uniform point, autodiff against closed form", off, by_dtype(1e-10, 1e-4)),
        below("rounds per turn just beyond the boundary: |measured/predicted - 1|", late, 0.03),
        below("transitive preferences: cells that turn", (transitive["fate"] == Fate.CYCLE).sum(), 0.0),
        below("reference and pairs wholly renewed: entropy of the end, nats", corner["entropy"], 0.05 * np.log(3.0)),
        below("contraction bound below one: largest step ratio ÷ bound", data["ratio"], 1.0 + by_dtype(1e-9, 1e-3)),
        below("contraction bound below one: distance of the ends of two starts", data["apart"], by_dtype(1e-9, 1e-4)),
        must_break("three-cycles never turn: cells that turn", (cyclic["fate"] == Fate.CYCLE).sum(("power", "mixing")), 0.5),
        must_break("boundary with half the slope b: cells on the wrong side", data["wrong_half"], 0.5),
        must_break("DPO's boundary with IPO's b = 1/β: cells on the wrong side", data["wrong_link"], 0.5),
        must_break("contraction above the bound too: distance of the ends on the three-cycle", data["apart_beyond"], 1e-3),
    ]


def transitive(advantage: float) -> np.ndarray:
    """Bradley-Terry preferences of three responses whose neighbours win with probability ``½ + c``."""
    step = np.log((0.5 + advantage) / (0.5 - advantage))
    reward = step * np.array([1.0, 0.0, -1.0])
    return 1.0 / (1.0 + np.exp(reward[None] - reward[:, None]))


def _temperature(name: str, slope: float) -> float:
    return (1.0 if name == "ipo" else 4.0) / slope


def _preferences(settings: Config) -> jax.Array:
    """Both kinds of preference matrix, in the order of `KINDS`."""
    return jnp.stack([iterated.three_cycle(settings.advantage), jnp.asarray(transitive(settings.advantage))])


def _maps(settings: Config, powers: np.ndarray, mixings: np.ndarray) -> xr.Dataset:
    """Endings over (objective, preference, power, mixing), turning times along the edge, and two paths of IPO."""
    edge_powers, edge_mixings = _edge(settings)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(powers, mixings, indexing="ij")])
    cells = np.concatenate([grid, [edge_powers, edge_mixings], np.array(SHOWN).T], axis=1)
    names = OBJECTIVES
    flat = simplex.uniform(3)
    first = jnp.log(jnp.asarray([0.36, 0.33, 0.31], flat.dtype))

    def one(name: str, preference, power, mixing):
        iteration = Iteration(preference, flat, power, mixing, _temperature(name, settings.slope), name)
        path = iterated.iterate(iteration, first, settings.rounds)
        return iterated.ending(path, window=WINDOW), jnp.max(jnp.abs(iterated.multipliers(iteration, flat))), jnp.exp(path)

    @jit
    def everything(preferences, power, mixing):
        over_cells = [jax.vmap(lambda p, a, m, name=name: one(name, p, a, m), (None, 0, 0)) for name in names]
        found = [jax.vmap(cell, (0, None, None))(preferences, power, mixing) for cell in over_cells]
        return [(ends, modulus, paths[:, -len(SHOWN) :]) for ends, modulus, paths in found]

    parts = everything(_preferences(settings), *(jnp.asarray(axis, flat.dtype) for axis in cells))
    return xr.concat(
        [_labelled(part, powers, mixings) for part in parts], xr.DataArray(list(names), dims="objective", name="objective")
    )


def _labelled(part: tuple, powers: np.ndarray, mixings: np.ndarray) -> xr.Dataset:
    """One objective's cells back on the grid; those after it are the edge and the shown paths, three-cycle only."""
    ends, modulus, paths = part
    shape, count = (powers.size, mixings.size), powers.size * mixings.size
    fields = {name: np.asarray(getattr(ends, name)) for name in ends._fields}
    return xr.Dataset(
        {
            **{name: (("preference", "power", "mixing"), value[:, :count].reshape(-1, *shape)) for name, value in fields.items()},
            "jacobian_modulus": (("power", "mixing"), np.asarray(modulus)[0, :count].reshape(shape)),
            "edge_turning": ("edge", fields["turning"][0, count : -len(SHOWN)]),
            "path": (("shown", "time", "response"), np.asarray(paths)[0]),
        },
        coords={"preference": list(KINDS), "power": powers, "mixing": mixings},
    )


def _edge(settings: Config) -> tuple[np.ndarray, np.ndarray]:
    """Powers, and the mixings at which the multiplier's modulus is just above one, where the linear angle still holds."""
    powers = np.linspace(0.0, 0.9, 10)
    mixings = np.sqrt(3.0 * (EDGE**2 - powers**2)) / (settings.advantage * settings.slope)
    return powers[mixings <= 1.0], mixings[mixings <= 1.0]


def _misplaced(settings: Config, maps: xr.Dataset, powers: np.ndarray, mixings: np.ndarray) -> dict:
    """Cells on the wrong side of a boundary drawn with the wrong slope: half of it, or IPO's for DPO."""

    def count(slope: float, objective: str) -> xr.DataArray:
        modulus, _ = iterated.cycle_multiplier(jnp.asarray(powers[:, None]), jnp.asarray(mixings), settings.advantage, slope)
        turns = maps["fate"].sel(preference="cyclic", objective=objective) != Fate.CONVERGED
        wrong = (turns != (np.asarray(modulus) > 1.0)) & (np.abs(np.asarray(modulus) - 1.0) > settings.clear)
        return wrong.sum(("power", "mixing"))

    half = xr.concat([count(0.5 * settings.slope, str(name)) for name in maps["objective"].values], "objective")
    return {"wrong_half": half.reset_coords(drop=True), "wrong_link": count(settings.slope / 4.0, "dpo").reset_coords(drop=True)}


def _contraction(settings: Config) -> dict:
    """Two starts under random preference matrices where the bound is below one, and on a three-cycle beyond it."""
    random = np.random.default_rng(settings.seed)
    n, count = settings.n, settings.matrices
    upper = np.triu(random.uniform(0.0, 1.0, (count, n, n)), 1)
    tables = jnp.asarray(upper + np.tril(1.0 - np.swapaxes(upper, 1, 2), -1) + 0.5 * np.eye(n))
    powers, mixings = (jnp.asarray(random.uniform(0.1, 0.9, count)) for _ in range(2))
    targets = jnp.asarray(random.uniform(0.05, 0.95, count))
    anchors = simplex.normalize(jnp.asarray(random.normal(size=(count, n))))
    starts = simplex.normalize(jnp.asarray(random.normal(size=(2, count, n))))

    def one(table, anchor, power, mixing, target, first, second):
        # τ is chosen so that the bound takes any value between a and one.
        unit = Iteration(table, anchor, 0.0, mixing, 1.0)
        tau = iterated.contraction_factor(unit) / (target * (1.0 - power))
        iteration = Iteration(table, anchor, power, mixing, tau)
        paths = [simplex.clr(iterated.iterate(iteration, start, settings.rounds)) for start in (first, second)]
        gap = jnp.linalg.norm(paths[0] - paths[1], axis=-1)
        alive = gap[:-1] > 1e-5 * gap[0]
        ratio = jnp.max(jnp.where(alive, gap[1:] / jnp.where(alive, gap[:-1], 1.0), 0.0))
        bound = iterated.contraction_factor(iteration)
        # Contraction bounds the gap after all rounds; beyond rounding nothing may be left where the bound says so.
        return ratio / bound, jnp.where(bound**settings.rounds < 1e-14, gap[-1], 0.0)

    ratio, apart = jit(jax.vmap(one))(tables, anchors, powers, mixings, targets, *starts)
    beyond = Iteration(iterated.three_cycle(settings.advantage), simplex.uniform(3), 0.9, 1.0, 1.0 / settings.slope)
    ends = [iterated.iterate(beyond, simplex.normalize(jnp.asarray(v)), settings.rounds)[-1] for v in ([0.3, 0, 0], [0, 0.3, 0])]
    return {
        "ratio": ("matrix", np.asarray(ratio)),
        "apart": ("matrix", np.asarray(apart)),
        "apart_beyond": float(jnp.max(jnp.abs(jnp.exp(ends[0]) - jnp.exp(ends[1])))),
    }
