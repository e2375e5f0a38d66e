"""Where does every objective end under every departure from the matched world?

A row is an objective with its numbers set so that it aims at π*, where it can: its β is the data's (or the learner's, if that
is the departure), its η is 1/β.  A column is a departure.  Every cell is solved in the same random worlds.
"""

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from didsim.landscape.atlas import cells
from didsim.landscape.atlas.cells import Kind
from didsim.landscape.atlas.departures import DEPARTURES, Case, Departure, matched
from didsim.landscape.atlas.ends import Ends, reads_reward, solve_cells, with_rewards
from didsim.landscape.atlas.expansions import Laws
from didsim.landscape.atlas.store import Store
from didsim.landscape.solvers import Status
from didsim.numerics import checks, simplex
from didsim.numerics.compilation import quickly
from didsim.numerics.errors import ArgumentError
from didsim.numerics.traces import jit
from didsim.objectives import OBJECTIVES, Dpo, Objective
from didsim.policies import Table
from didsim.worlds import Problem, RandomReward, World

FORMAT = 1
STARTS = 3  # of an objective that is not convex
WORLD = RandomReward(n=8, reference_scale=1.0, reward_scale=1.0, beta=0.5)
Told = Callable[[str], Any]


@dataclasses.dataclass(frozen=True)
class Grid:
    """The worlds of an atlas under some departures, in one batch: cells are departures times worlds.

    Attributes:
        departures: names of the columns.
        worlds: number of worlds.
        cases: what is shown in each cell and how it is judged; rewards shown are those fitted to the labels.
        laws: what the learner can say.
        no_reward: cells whose labels no finite reward explains, shape (cells,).
    """

    departures: tuple[str, ...]
    worlds: int
    cases: Case
    laws: Laws
    no_reward: np.ndarray


def chart(
    objectives: Iterable[str] | None = None,
    departures: Iterable[str] | None = None,
    *,
    world: World = WORLD,
    worlds: int = 8,
    seed: int = 0,
    store: Path | None = None,
    told: Told = lambda name: None,
) -> xr.Dataset:
    """The atlas: ends of objectives under departures, in several worlds each.

    Args:
        objectives: names of rows, all registered ones if missing, one's own among them.
        departures: names of columns; all but the controls if missing.
        world: law of the matched worlds, with one prompt.
        worlds: how many are drawn.
        seed: of the draws.
        store: file in which cells are kept and looked up.
        told: called with the name of each row that is done.

    Returns:
        Dataset over (objective, departure, world) with the measures, ``kind``, ``residual`` and ``agreeing``, and over
        (objective, departure) the ``reason`` where there is no number, empty elsewhere.

    Raises:
        ArgumentError: a name that is none, a number out of range, or a store of another atlas.

    Example:
        >>> from didsim.landscape import atlas
        >>> data = atlas.chart(["dpo"], ["matched", "flipped"], worlds=2)
        >>> [str(atlas.Kind(kind)) for kind in data["kind"].values[0, :, 0]]
        ['reaches π*', 'own end']
    """
    rows = _names(objectives, OBJECTIVES)
    names = columns() if departures is None else _names(departures, DEPARTURES)
    checks.whole("worlds", worlds, least=1)
    header = {"format": FORMAT, "world": repr(world), "worlds": worlds, "seed": checks.seed(seed)}
    kept = Store(store, header)
    grids: dict[tuple[str, ...], Grid] = {}
    with jax.enable_x64(True):
        for name in rows:
            missing = tuple(one for one in names if (name, one) not in kept.cells)
            if missing:
                if missing not in grids:
                    grids[missing] = lay_out({one: departure(one) for one in missing}, world, worlds, seed)
                kept.add(row(name, grids[missing]))
            told(name)
    return _dataset(rows, names, kept, worlds)


def lay_out(departures: Mapping[str, Departure], world: World, worlds: int, seed: int) -> Grid:
    """All cases of some departures, by name, as one batch, with rewards fitted to the labels shown.

    A name decides what is drawn: one departure at several strengths has the same noise.
    """

    def one(key):
        base = matched(world.draw(jax.random.fold_in(key, 0)))
        own = [jax.random.fold_in(key, zlib.crc32(name.encode()) >> 1) for name in departures]
        return [(each.apply(k, base), each.policy(k, base.problem)) for each, k in zip(departures.values(), own, strict=True)]

    keys = jax.random.split(jax.random.key(seed), worlds)
    built = jit(jax.vmap(one), compiler_options=quickly())(keys)
    cases = jax.tree.map(lambda *parts: np.concatenate([np.asarray(part) for part in parts]), *[case for case, _ in built])
    if cases.problem.log_ref.shape[1] != 1:
        raise ArgumentError(f"Argument `world` must have one prompt, but has {cases.problem.log_ref.shape[1]}.")
    laws = Laws([(policy, case.problem) for case, policy in built])
    rewards, no_reward = _fitted_rewards(cases)
    return Grid(tuple(departures), worlds, with_rewards(cases, rewards), laws, no_reward)


def columns() -> list[str]:
    """Names of the registered departures, without the controls."""
    return [name for name in DEPARTURES if not departure(name).control]


def departure(name: str) -> Departure:
    """A registered departure; where a class is registered, with its defaults."""
    part = DEPARTURES[name]
    return part() if isinstance(part, type) else part


def row(name: str, grid: Grid) -> list[dict[str, Any]]:
    """All cells of one objective, as plain records."""
    try:
        objective = aimed(OBJECTIVES[name], grid.cases)
        ends, undefined = _ends(objective, grid)
        found = cells.measured(ends, grid.cases, undefined)
        why = cells.NO_REWARD if undefined.any() else ""
    except ArgumentError as error:
        found, why = _nothing(len(grid.no_reward)), str(error)
    size = grid.worlds
    return [
        {
            "objective": name,
            "departure": column,
            "reason": why if (found["kind"][k * size : (k + 1) * size] == Kind.UNDEFINED).any() else "",
            **{key: value[k * size : (k + 1) * size] for key, value in found.items()},
        }
        for k, column in enumerate(grid.departures)
    ]


def aimed(kind: type[Objective], cases: Case) -> Objective:
    """An objective with its numbers at their defaults but for those that make it aim at π*, stacked over the cells.

    Raises:
        ArgumentError: it has numbers without a default, or cannot be had for responses of this number.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    n = cases.ordered.shape[-1]
    sizes = {"vocabulary": 2, "length": max(n.bit_length() - 1, 1)} if {"vocabulary", "length"} <= {*fields} else {}
    for name, field in fields.items():
        if field.default is field.default_factory is dataclasses.MISSING and name not in {"beta", "eta", *sizes}:
            raise ArgumentError(
                f"Argument `{name}` of {kind.__name__} must have a default for the atlas to set it, but has none."
            )

    def one(beta: Any) -> Objective:
        return kind(**sizes, **{name: aim for name, aim in {"beta": beta, "eta": 1.0 / beta}.items() if name in fields})

    return jax.vmap(one)(cases.beta)


def _ends(objective: Objective, grid: Grid) -> tuple[Ends, np.ndarray]:
    """Ends of one row, and which of its cells are not defined because they need a reward that is not there."""
    undefined = grid.no_reward & (grid.no_reward.any() and reads_reward(objective, grid.cases))
    return solve_cells(objective, grid.cases, grid.laws, starts=1 if objective.convex else STARTS), undefined


def _fitted_rewards(cases: Case) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood Bradley-Terry reward of the pairs shown, centred, and where there is none.

    What looks at rewards is shown these: the reward model of two-stage training.  On matched data they are the true ones.
    Source: derived, DPO against a uniform reference at β = 1 is the likelihood.
    """
    flat = jax.vmap(_flat)(cases)
    ends = solve_cells(jax.vmap(Dpo)(jnp.ones(len(cases.beta))), flat, Laws([(Table(), flat.problem)]), starts=1)
    reward = ends.params[:, : cases.ordered.shape[-1]]
    exists = (ends.status == Status.CONVERGED) | (ends.status == Status.NOT_UNIQUE)
    fitted = np.where(exists[:, None], reward - reward.mean(-1, keepdims=True), np.asarray(cases.problem.reward)[:, 0])
    return fitted[:, None], ~exists


def _flat(case: Case) -> Case:
    """The same pairs against a uniform reference."""
    return replace(case, problem=replace(case.problem, log_ref=simplex.normalize(jnp.zeros_like(case.problem.log_ref))))


def _nothing(count: int) -> dict[str, np.ndarray]:
    empty = {name: np.full(count, np.nan) for name in ("residual", *cells.MEASURES)}
    return {"kind": np.full(count, int(Kind.UNDEFINED)), "agreeing": np.zeros(count, int), **empty}


def _dataset(rows: list[str], columns: list[str], kept: Store, worlds: int) -> xr.Dataset:
    names = ("kind", "residual", "agreeing", *cells.MEASURES)
    found = {name: np.array([[kept.cells[one, other][name] for other in columns] for one in rows]) for name in names}
    data = xr.Dataset(
        {name: (("objective", "departure", "world"), value) for name, value in found.items()},
        coords={"objective": rows, "departure": columns, "world": np.arange(worlds)},
    )
    reasons = [[kept.cells[one, other]["reason"] for other in columns] for one in rows]
    data["reason"] = ("objective", "departure"), np.array(reasons, dtype=object).astype(str)
    titles = [departure(name).title for name in columns]
    controls = [departure(name).control for name in columns]
    data = data.assign_coords(title=("departure", titles), control=("departure", controls))
    for name, words in cells.MEASURES.items():
        data[name].attrs["long_name"] = words
    return data


def _names(given: Iterable[str] | None, known: Any) -> list[str]:
    return list(known) if given is None else list(dict.fromkeys(known.spelled(name) for name in given))


def solved(data: xr.Dataset) -> xr.DataArray:
    """Cells that have a residual below 1e-8 or a reason in words."""
    return (data["residual"] < cells.GOOD) | (data["kind"] == Kind.UNDEFINED)


def closed_forms(
    objectives: Iterable[str], departures: Iterable[str], *, world: World = WORLD, worlds: int = 8, seed: int = 0
) -> xr.DataArray:
    """``gap`` of the law that an objective's own closed form gives, where pairs are still independent draws; NaN elsewhere.

    Arguments as for `chart`; its cells must equal these, though nothing is solved here.
    """
    rows, names = _names(objectives, OBJECTIVES), _names(departures, DEPARTURES)
    with jax.enable_x64(True):
        grid = lay_out({name: departure(name) for name in names}, world, worlds, seed)
        values = [[_closed_gap(OBJECTIVES[name], grid, k) for k in range(len(names))] for name in rows]
    shape = (len(rows), len(names), worlds)
    return xr.DataArray(
        np.reshape(values, shape), dims=("objective", "departure", "world"), coords={"objective": rows, "departure": names}
    )


def _closed_gap(kind: type[Objective], grid: Grid, column: int) -> np.ndarray:
    """The closed form's gap in every world of a column."""
    here = slice(column * grid.worlds, (column + 1) * grid.worlds)
    nothing = np.full(grid.worlds, np.nan)
    case = jax.tree.map(lambda leaf: leaf[here], grid.cases)
    problem = case.problem
    product = np.exp(problem.log_chosen)[..., :, None] * np.exp(problem.log_rejected)[..., None, :]
    if not grid.laws.is_free[here].all() or np.max(np.abs(product - case.ordered)) > 1e-12:
        return nothing
    # Worlds as prompts of one problem.
    names = ("log_ref", "log_target", "reward", "log_chosen", "log_rejected", "lengths")
    prompts = {name: jnp.asarray(getattr(problem, name)[:, 0]) for name in names}
    many = Problem(**prompts, log_prompts=jnp.zeros(grid.worlds), beta=jnp.asarray(problem.beta[0]))
    try:
        law = jax.tree.map(lambda leaf: leaf[0], aimed(kind, case)).minimiser(many)
    except ArgumentError:
        return nothing
    target, reference = (np.asarray(one)[:, 0] for one in (case.truth.log_target, case.truth.log_ref))
    return nothing if law is None else cells.value_gap(np.asarray(law), target, reference)
