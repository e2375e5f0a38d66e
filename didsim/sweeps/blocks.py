"""How is a block of lanes computed?

One program per combination of choices: the run is vmapped over a fixed number W of lanes, and the last block is padded
by repeating its first lane, so that every block has the same width and the same bits whoever computes it.  Several
devices compute one block each at a time.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from didsim import checks
from didsim.dynamics import Run, execute, run_key
from didsim.sweeps.grid import Grid, replace_path

CACHE_BYTES = 4 * 2**20
MOST_LANES = 1024
MEMORY = 2**30
TEMPORARIES = 8  # pair arrays that one lane holds at once: values, links and their derivatives
Results = dict[str, np.ndarray]


def default_width(grid: Grid, memory: int = MEMORY) -> int:
    """Lanes per block: as many as keep the dense pair arrays of a block in cache, at least 1, at most 1,024.

    It follows from the grid and ``memory`` (bytes a block may take) alone, never from the machine, because other widths
    give other last bits.
    """
    needs = max(_lane_bytes(run) for run in grid.programs())
    fitting = min(max(1, CACHE_BYTES // needs, 1), max(1, memory // (TEMPORARIES * needs)), MOST_LANES, grid.lanes)
    blocks = -(-grid.lanes // fitting)
    return -(-grid.lanes // blocks)


def block_lanes(grid: Grid, block: int, width: int) -> tuple[int, np.ndarray]:
    """Program and lanes of a block; blocks are numbered program by program."""
    program, place = divmod(block, -(-grid.lanes // width))
    return program, np.arange(place * width, min((place + 1) * width, grid.lanes))


def compute(
    grid: Grid, blocks: Sequence[int], width: int, devices: Sequence[jax.Device] | None = None
) -> Iterator[tuple[int, Results | Exception]]:
    """Results of the given blocks by variable name, lane first, in order; or the exception that stopped a block.

    The next group of blocks (one per device) is under way while the caller stores the last.
    """
    mesh = _mesh(tuple(devices or jax.local_devices()))
    under_way: tuple[list[int], Any] | None = None
    for group in _groups(grid, blocks, width, mesh.size):
        following = group, _start(grid, group, width, mesh)
        if under_way is not None:
            yield from _finish(grid, *under_way, width, mesh)
        under_way = following
    if under_way is not None:
        yield from _finish(grid, *under_way, width, mesh)


def result_shapes(grid: Grid, width: int) -> list[dict[str, jax.ShapeDtypeStruct]]:
    """Shape (without the lanes) and dtype of every variable, for every program; nothing is computed."""
    mesh, per_program = _mesh(tuple(jax.local_devices())), -(-grid.lanes // width)
    shapes = []
    for place, run in enumerate(grid.programs()):
        values, seeds, paths = _arguments(grid, [place * per_program] * mesh.size, width)
        traced = _group.eval_shape(run, values, seeds, paths=paths, mesh=mesh)
        shapes.append({name: jax.ShapeDtypeStruct(value.shape[1:], value.dtype) for name, value in traced.items()})
    return shapes


# The same shard_map body serves one device and many: its bits were compared for meshes of 1, 2 and 4 and with plain vmap.
# Sending one program to each device instead would compile once per device, seconds each.
@functools.partial(jax.jit, static_argnames=("paths", "mesh"))
def _group(run: Run, values: tuple, seeds: jax.Array, *, paths: tuple[str, ...], mesh: Mesh) -> dict[str, jax.Array]:
    def one(run, lane_values, seed):
        for path, value in zip(paths, lane_values, strict=True):
            run = replace_path(run, path, value)
        trajectory = execute(run, run_key(seed))
        return {
            **trajectory.metrics,
            "log_policy": trajectory.log_policy,
            "gradient_norm": trajectory.gradient_norm,
            "steps_taken": trajectory.steps_taken,
            "status": trajectory.status,
        }

    body = jax.vmap(one, in_axes=(None, 0, 0))
    # Without collectives there is nothing for the replication check to find.
    spread = jax.shard_map(body, mesh=mesh, in_specs=(P(), P("run"), P("run")), out_specs=P("run"), check_vma=False)
    return spread(run, values, seeds)


@functools.lru_cache(maxsize=8)
def _mesh(devices: tuple[jax.Device, ...]) -> Mesh:
    return Mesh(np.asarray(devices), ("run",), axis_types=(AxisType.Auto,))


def _groups(grid: Grid, blocks: Sequence[int], width: int, size: int) -> Iterator[list[int]]:
    """Blocks of one program each, as many as there are devices."""
    by_program: dict[int, list[int]] = {}
    for block in blocks:
        by_program.setdefault(block_lanes(grid, block, width)[0], []).append(block)
    for same in by_program.values():
        yield from (same[start : start + size] for start in range(0, len(same), size))


def _start(grid: Grid, group: list[int], width: int, mesh: Mesh) -> Any:
    """Arrays that are being computed, or the exception; devices without a block of their own repeat the last."""
    try:
        run = grid.programs()[block_lanes(grid, group[0], width)[0]]
        values, seeds, paths = _arguments(grid, group + group[-1:] * (mesh.size - len(group)), width)
        return _group(run, values, seeds, paths=paths, mesh=mesh)
    except checks.ArgumentError:
        raise
    except Exception as error:  # whatever a block fails with, the others go on
        return error


def _finish(grid: Grid, group: list[int], arrays: Any, width: int, mesh: Mesh) -> Iterator[tuple[int, Results | Exception]]:
    try:
        fetched = arrays if isinstance(arrays, Exception) else {name: np.asarray(value) for name, value in arrays.items()}
    except Exception as error:
        fetched = error
    if isinstance(fetched, Exception) and len(group) > 1:
        for block in group:  # one by one, to find the block at fault
            yield from _finish(grid, [block], _start(grid, [block], width, mesh), width, mesh)
        return
    for place, block in enumerate(group):
        lanes = len(block_lanes(grid, block, width)[1])
        own = slice(place * width, place * width + lanes)
        yield block, fetched if isinstance(fetched, Exception) else {name: value[own] for name, value in fetched.items()}


def _arguments(grid: Grid, blocks: Sequence[int], width: int) -> tuple[tuple, np.ndarray, tuple[str, ...]]:
    lanes = [block_lanes(grid, block, width)[1] for block in blocks]
    padded = np.concatenate([np.pad(own, (0, width - len(own)), constant_values=own[0]) for own in lanes])
    values, seeds = grid.lane_values(padded)
    dtype = jnp.zeros(()).dtype
    arrays = tuple(np.asarray(v, dtype if np.issubdtype(v.dtype, np.floating) else None) for v in values.values())
    return arrays, seeds, tuple(values)


def _lane_bytes(run: Run) -> int:
    """Memory of one lane's dense pair array, or of its sampled pairs."""
    world = jax.eval_shape(run.world.draw, jax.random.key(0))
    prompts, n = world.log_ref.shape
    pair_entries = n * n if run.pairs is None else run.pairs
    return prompts * pair_entries * world.log_ref.dtype.itemsize
