"""How does an end move as a departure grows, and how far does its derivative at the matched world predict it?

The end is where the gradient vanishes, ``g(θ, s) = 0``, so ``θ'(s) = -H⁺ ∂g/∂s`` with the exact Hessian there (implicit function
theorem; derived).  The prediction is the policy ``θ(0) + s θ'(0)``, judged exactly as the solved ends are: where the matched
end is π* itself, its lack of value is then right to second order in s.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from didsim.landscape.atlas import cells
from didsim.landscape.atlas.departures import DEPARTURES
from didsim.landscape.atlas.ends import gradient_at, solve_cells, step_against
from didsim.landscape.atlas.grid import STARTS, WORLD, Grid, aimed, departure, lay_out
from didsim.numerics import checks
from didsim.numerics.errors import ArgumentError
from didsim.objectives import OBJECTIVES
from didsim.worlds import World

SHIFT = 1e-4  # of the strength, as a share of the largest: its error is of the order of its square


class _Start(NamedTuple):
    """The matched end of every world and how it moves: parameters, their derivative by the strength."""

    params: np.ndarray
    slope: np.ndarray


def curves(
    objective: str, column: str, strengths: Sequence[float], *, world: World = WORLD, worlds: int = 8, seed: int = 0
) -> xr.Dataset:
    """All measures of an objective's end along one departure's strength, solved and predicted from the matched world.

    Args:
        objective: a registered objective.
        column: a registered departure that has a dial.
        strengths: values of its dial.
        world: law of the matched worlds.
        worlds: how many are drawn.
        seed: of the draws.

    Returns:
        Dataset over (strength, world) with every measure and, beside it, ``<measure>_predicted``, and with ``kind``.

    Raises:
        ArgumentError: a name that is none, a departure without a dial, or fewer than one strength.

    Example:
        >>> from didsim import atlas
        >>> data = atlas.curves("dpo", "flipped", [0.0, 0.01], worlds=1)
        >>> bool(abs(data["gap"] - data["gap_predicted"]).max() < 1e-4)
        True
    """
    name, column = OBJECTIVES.spelled(objective), DEPARTURES.spelled(column)
    part = departure(column)
    if not part.dial or not len(strengths):
        raise ArgumentError(f"Argument `column` must have a dial, with strengths,, but is {column}, {list(strengths)}.")
    values = checks.finite("strengths", np.asarray(strengths, float))
    shift = SHIFT * max(float(np.max(np.abs(values - part.nothing))), 1e-3)
    shift = -shift if values.max() <= part.nothing and values.min() < part.nothing else shift
    near = [part.nothing + k * shift for k in range(3)]
    with jax.enable_x64(True):
        grids = [lay_out({column: replace(part, **{part.dial: one})}, world, worlds, seed) for one in (*near, *values)]  # type: ignore[type-var]
        start = _tangent(name, grids[:3], shift)
        found = [_judged(name, grid, start, float(value) - part.nothing) for grid, value in zip(grids[3:], values, strict=True)]
    return xr.Dataset(
        {key: (("strength", "world"), np.stack([one[key] for one in found])) for key in found[0]},
        coords={"strength": values, "world": np.arange(worlds)},
        attrs={"objective": name, "departure": column, "dial": part.dial},
    )


def _tangent(name: str, grids: Sequence[Grid], shift: float) -> _Start:
    """Matched ends, and their derivative from that of the gradient at rest, by a one-sided difference of second order."""
    objectives = [aimed(OBJECTIVES[name], grid.cases) for grid in grids]
    ends = solve_cells(objectives[0], grids[0].cases, grids[0].laws, starts=1 if objectives[0].convex else STARTS)
    here, one, two = (gradient_at(o, g.cases, g.laws, ends.params) for o, g in zip(objectives, grids, strict=True))
    moved = (4.0 * one - two - 3.0 * here) / (2.0 * shift)
    return _Start(ends.params, step_against(objectives[0], grids[0].cases, grids[0].laws, ends.params, moved))


def _judged(name: str, grid: Grid, start: _Start, strength: float) -> dict[str, np.ndarray]:
    """Measures at one strength, of the solved end and of the predicted one."""
    objective = aimed(OBJECTIVES[name], grid.cases)
    ends = solve_cells(objective, grid.cases, grid.laws, starts=1 if objective.convex else STARTS)
    nothing = np.zeros(grid.worlds, bool)
    solved = cells.measured(ends, grid.cases, nothing)
    law, _ = grid.laws.at(np.arange(grid.worlds), start.params + strength * start.slope)
    guess = cells.measured(replace(ends, log_policy=law), grid.cases, nothing)
    return {
        "kind": solved["kind"],
        **{key: solved[key] for key in cells.MEASURES},
        **{f"{key}_predicted": guess[key] for key in cells.MEASURES},
    }
