"""How is a block of lanes computed?

One program per combination of choices: the run is vmapped over a fixed number W of lanes, and the last block is padded
by repeating its first lane, so that every block has the same width and the same bits whoever computes it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from didsim.dynamics import Run, Trajectory, execute, run_key
from didsim.sweeps.grid import Grid, replace_path

CACHE_BYTES = 4 * 2**20
MOST_LANES = 1024


def default_width(grid: Grid) -> int:
    """Lanes per block: as many as keep the dense pair arrays of a block in cache, at least 1, at most 1,024."""
    needs = max(_lane_bytes(run) for run in grid.programs())
    fitting = min(max(1, CACHE_BYTES // needs), MOST_LANES, grid.lanes)
    blocks = -(-grid.lanes // fitting)
    return -(-grid.lanes // blocks)


def run_block(grid: Grid, run: Run, lanes: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """Results of the given lanes (at most ``width``) of one program, by variable name, lane first."""
    padded = np.concatenate([lanes, np.full(width - len(lanes), lanes[0])])
    values, seeds = grid.lane_values(padded)
    dtype = jnp.zeros(()).dtype
    arrays = tuple(jnp.asarray(v, dtype if np.issubdtype(v.dtype, np.floating) else None) for v in values.values())
    trajectory = _block(run, arrays, jnp.asarray(seeds), paths=tuple(values))
    return {name: np.asarray(value)[: len(lanes)] for name, value in _variables(trajectory).items()}


@functools.partial(jax.jit, static_argnames=("paths",))
def _block(run: Run, values: tuple, seeds: jax.Array, *, paths: tuple[str, ...]) -> Trajectory:
    def one(lane_values, seed):
        lane_run = run
        for path, value in zip(paths, lane_values, strict=True):
            lane_run = replace_path(lane_run, path, value)
        return execute(lane_run, run_key(seed))

    return jax.vmap(one)(values, seeds)


def _variables(trajectory: Trajectory) -> dict[str, jax.Array]:
    """What a sweep keeps of a trajectory; parameters are left behind."""
    return {
        **trajectory.metrics,
        "log_policy": trajectory.log_policy,
        "gradient_norm": trajectory.gradient_norm,
        "steps_taken": trajectory.steps_taken,
        "status": trajectory.status,
    }


def _lane_bytes(run: Run) -> int:
    """Memory of one lane's dense pair array, or of its sampled pairs."""
    world = jax.eval_shape(run.world.draw, jax.random.key(0))
    prompts, n = world.log_ref.shape
    pair_entries = n * n if run.pairs is None else run.pairs
    return prompts * pair_entries * world.log_ref.dtype.itemsize
