"""How is a block of runs computed?

One program per combination of choices: the run is vmapped over a fixed number W of them, and the last block is padded
by repeating its first run, so that every block has the same width and the same bits whoever computes it.  Several
devices compute one block each at a time.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from didsim.dynamics import Run
from didsim.dynamics.run import execute, run_key
from didsim.numerics import checks
from didsim.sweeps.axes import Grid, replace_path

Results = dict[str, np.ndarray]


def block_runs(grid: Grid, block: int, width: int) -> tuple[int, np.ndarray]:
    """Program and run numbers of a block; blocks are numbered program by program."""
    program, place = divmod(block, -(-grid.size // width))
    return program, np.arange(place * width, min((place + 1) * width, grid.size))


def compute(
    grid: Grid, blocks: Sequence[int], width: int, devices: Sequence[Any] | None = None
) -> Iterator[tuple[int, Results | Exception]]:
    """Results of the given blocks by variable name, runs first, in order; or the exception that stopped a block.

    The next group of blocks (one per device) is under way while the caller stores the last.
    """
    work = _Work(grid, tuple(grid.programs()), width, _mesh(tuple(devices or jax.local_devices())))
    under_way: tuple[list[int], Any] | None = None
    for group in work.groups(blocks):
        following = group, work.start(group)
        if under_way is not None:
            yield from work.finish(*under_way)
        under_way = following
    if under_way is not None:
        yield from work.finish(*under_way)


def result_shapes(grid: Grid, width: int) -> list[dict[str, jax.ShapeDtypeStruct]]:
    """Shape (without the runs) and dtype of every variable, for every program; nothing is computed."""
    mesh, per_program = _mesh(tuple(jax.local_devices())), -(-grid.size // width)
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
    def one(run, run_values, seed):
        for path, value in zip(paths, run_values, strict=True):
            run = replace_path(run, path, value)
        return execute(run, run_key(seed)).variables

    body = jax.vmap(one, in_axes=(None, 0, 0))
    # Without collectives there is nothing for the replication check to find.
    spread = jax.shard_map(body, mesh=mesh, in_specs=(P(), P("run"), P("run")), out_specs=P("run"), check_vma=False)
    return spread(run, values, seeds)


@functools.lru_cache(maxsize=8)
def _mesh(devices: tuple[Any, ...]) -> Mesh:
    return Mesh(np.asarray(devices), ("run",), axis_types=(AxisType.Auto,))


@dataclass(frozen=True)
class _Work:
    """What every block of one call shares."""

    grid: Grid
    programs: tuple[Run, ...]
    width: int
    mesh: Mesh

    def groups(self, blocks: Sequence[int]) -> Iterator[list[int]]:
        """Blocks of one program each, as many as there are devices."""
        by_program: dict[int, list[int]] = {}
        for block in blocks:
            by_program.setdefault(block_runs(self.grid, block, self.width)[0], []).append(block)
        for same in by_program.values():
            yield from (same[start : start + self.mesh.size] for start in range(0, len(same), self.mesh.size))

    def start(self, group: list[int]) -> Any:
        """Arrays being computed, or the exception; devices without a block of their own repeat the last."""
        try:
            run = self.programs[block_runs(self.grid, group[0], self.width)[0]]
            values, seeds, paths = _arguments(self.grid, group + group[-1:] * (self.mesh.size - len(group)), self.width)
            return _group(run, values, seeds, paths=paths, mesh=self.mesh)
        except checks.ArgumentError:
            raise
        except Exception as error:  # whatever a block fails with, the others go on
            return error

    def finish(self, group: list[int], arrays: Any) -> Iterator[tuple[int, Results | Exception]]:
        """Each block's share of the arrays, waiting for them; a group that failed is tried block by block."""
        try:
            fetched = arrays if isinstance(arrays, Exception) else {name: np.asarray(value) for name, value in arrays.items()}
        except Exception as error:
            fetched = error
        if isinstance(fetched, Exception) and len(group) > 1:
            for block in group:
                yield from self.finish([block], self.start([block]))
            return
        for place, block in enumerate(group):
            runs = len(block_runs(self.grid, block, self.width)[1])
            own = slice(place * self.width, place * self.width + runs)
            yield block, fetched if isinstance(fetched, Exception) else {name: value[own] for name, value in fetched.items()}


def _arguments(grid: Grid, blocks: Sequence[int], width: int) -> tuple[tuple, np.ndarray, tuple[str, ...]]:
    runs = [block_runs(grid, block, width)[1] for block in blocks]
    padded = np.concatenate([np.pad(own, (0, width - len(own)), constant_values=own[0]) for own in runs])
    values, seeds = grid.run_values(padded)
    dtype = jnp.zeros(()).dtype
    arrays = tuple(np.asarray(v, dtype if np.issubdtype(v.dtype, np.floating) else None) for v in values.values())
    return arrays, seeds, tuple(values)
