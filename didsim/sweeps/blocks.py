"""How is a block of runs computed?

One program per combination of choices: the run is vmapped over a fixed number W of them, and the last block is padded
by repeating its first run, so that every block has the same width and the same bits whoever computes it.  Several
devices compute one block each at a time, each by the same program compiled for itself.
"""

import functools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from didsim.dynamics import Run
from didsim.dynamics.labels import float_dtype
from didsim.dynamics.run import execute, is_short, run_key
from didsim.numerics import checks
from didsim.numerics.compilation import lightly
from didsim.numerics.traces import jit
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

    Every device has a block under way, and the next one waiting, while the caller stores the last.
    """
    chosen = tuple(devices or jax.local_devices())
    work = _Work(grid, tuple(grid.programs()), width)
    under_way: deque[tuple[int, Any]] = deque()
    for place, block in enumerate(blocks):
        under_way.append((block, work.start(block, chosen[place % len(chosen)])))
        if len(under_way) == 2 * len(chosen):
            yield work.finish(*under_way.popleft())
    while under_way:
        yield work.finish(*under_way.popleft())


def result_shapes(grid: Grid, width: int) -> list[dict[str, jax.ShapeDtypeStruct]]:
    """Shape (without the runs) and dtype of every variable, for every program; nothing is computed."""
    per_program = -(-grid.size // width)
    shapes = []
    for place, run in enumerate(grid.programs()):
        values, seeds, paths = _arguments(grid, place * per_program, width)
        leaves, build = jax.tree.flatten((run, values, seeds))
        shapes.append(_shapes(build, tuple(map(jax.typeof, leaves)), paths))
    return shapes


@functools.lru_cache(maxsize=256)  # JAX's own answer takes three times as long
def _shapes(build: Any, kinds: tuple, paths: tuple[str, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    found = _block.eval_shape(*jax.tree.unflatten(build, kinds), paths=paths)
    return {name: jax.ShapeDtypeStruct(value.shape[1:], value.dtype) for name, value in found.items()}


# The same program for one device, compiled for each: one program spread over several devices is another program to the
# compiler, and rounds otherwise (1e-16 to 2e-14 were seen for one run per block).
def _runs(run: Run, values: tuple, seeds: jax.Array, *, paths: tuple[str, ...]) -> dict[str, jax.Array]:
    def one(run, run_values, seed):
        for path, value in zip(paths, run_values, strict=True):
            run = replace_path(run, path, value)
        return execute(run, run_key(seed)).variables

    return jax.vmap(one, in_axes=(None, 0, 0))(run, values, seeds)


_block = jit(_runs, static_argnames=("paths",))
_short_block = jit(_runs, static_argnames=("paths",), compiler_options=lightly())


@dataclass(frozen=True)
class _Work:
    """What every block of one call shares."""

    grid: Grid
    programs: tuple[Run, ...]
    width: int

    @functools.cached_property
    def shapes(self) -> list[dict[str, jax.ShapeDtypeStruct]]:
        return result_shapes(self.grid, self.width)

    def start(self, block: int, device: Any) -> Any:
        """Arrays being computed on a device, or the exception."""
        try:
            program = block_runs(self.grid, block, self.width)[0]
            run = self.programs[program]
            values, seeds, paths = _arguments(self.grid, block, self.width)
            arguments = (run, values, seeds)
            if len(jax.local_devices()) > 1:  # where there is one device, naming it takes longer than a small block
                arguments = jax.device_put(arguments, device)
            short = is_short(run, self.shapes[program]["log_policy"].shape[-1])
            return (_short_block if short else _block)(*arguments, paths=paths)
        except checks.ArgumentError:
            raise
        except Exception as error:  # whatever a block fails with, the others go on
            return error

    def finish(self, block: int, arrays: Any) -> tuple[int, Results | Exception]:
        """The block's own runs, waiting for them."""
        if isinstance(arrays, Exception):
            return block, arrays
        runs = len(block_runs(self.grid, block, self.width)[1])
        try:
            return block, {name: np.asarray(value)[:runs] for name, value in arrays.items()}
        except Exception as error:
            return block, error


def _arguments(grid: Grid, block: int, width: int) -> tuple[tuple, np.ndarray, tuple[str, ...]]:
    own = block_runs(grid, block, width)[1]
    padded = np.pad(own, (0, width - len(own)), constant_values=own[0])
    values, seeds = grid.run_values(padded)
    dtype = float_dtype()
    arrays = tuple(np.asarray(v, dtype if np.issubdtype(v.dtype, np.floating) else None) for v in values.values())
    return arrays, seeds, tuple(values)
