"""Many runs in, one labelled dataset out."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from didsim.dynamics import Run
from didsim.dynamics.labels import inner_dims, provenance, variable_attrs
from didsim.dynamics.run import run_key, run_world
from didsim.numerics import checks
from didsim.numerics.memory import check_bytes
from didsim.numerics.promotion import usual_promotion
from didsim.numerics.traces import jit
from didsim.sweeps.axes import Axes, Grid, grid
from didsim.sweeps.blocks import Results, compute, result_shapes
from didsim.sweeps.labels import coordinate, moments
from didsim.sweeps.stream import Streaming, stream
from didsim.sweeps.view import dataset
from didsim.sweeps.width import MEMORY, default_width, given_width
from didsim.worlds import Problem

Progress = Callable[[int, int], None]


@usual_promotion()
def sweep(
    run: Run,
    axes: Axes | None = None,
    *,
    seeds: int | Sequence[int] = 1,
    width: int | None = None,
    memory: int = MEMORY,
    progress: Progress | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    overwrite: bool = False,
    redo: Sequence[int] = (),
    executor: Any = None,
) -> xr.Dataset:
    """Runs every combination of axis values and seeds, compiled once per combination of choices.

    Args:
        run: the run that the axes vary.
        axes: dotted path of a field, or a tuple of paths that move together, to its values: a sequence, or a mapping
            from label to value.  Numbers and arrays become a batch in one program; objects and static fields (objective,
            sampler, sizes, steps) become one program each.
        seeds: how many seeds (0, 1, …), or which.  A seed fixes the world and the drawn pairs, whatever the other axes
            are.
        width: runs per block; that of the store on disk, or chosen from the grid and ``memory``, if missing.
        memory: bytes that a block may take, for choosing the width.
        progress: called with (blocks done, blocks in all) after every block.
        out: folder for the results, written block by block; kept in memory if missing.
        resume: go on with what ``out`` already holds of this sweep.
        overwrite: delete what ``out`` holds, if it is a sweep.
        redo: numbers of blocks to compute again.
        executor: ``concurrent.futures.Executor`` or Dask client whose workers compute the blocks, one device each; they
            must see the folder ``out``.

    Returns:
        Dataset with one dimension per axis, ``seed``, ``record`` for what changes in time, ``prompt`` and ``response``
        for final policies; names (`didsim.metrics`), units and provenance in the attributes.  With ``out`` it is opened
        lazily, and blocks that could not be computed are NaN (-1 in integers) and counted in the attribute ``blocks_failed``.

    Raises:
        ArgumentError: an unknown path, a value that is not allowed, runs whose results differ in shape, or a folder that
            is no store, is damaged or holds another sweep.
        BrokenExecutor: the executor's workers died; the same call goes on where they stopped.

    Example:
        >>> import didsim
        >>> run = didsim.Run(didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo(beta=0.5), steps=50, records=5)
        >>> data = didsim.sweep(run, {("objective.beta", "world.beta"): [0.5, 1.0]}, seeds=3)
        >>> dict(data["jsd_target"].sizes)
        {'beta': 2, 'seed': 3, 'record': 5}
    """
    cells = grid(run, axes or {}, seeds)
    checks.whole("memory", memory, least=1, below=2**63)
    if out is not None:
        how = Streaming(Path(out), width, memory, resume, overwrite, tuple(redo), executor)
        return dataset(stream(cells, how, progress))
    if executor is not None or len(redo):
        raise checks.ArgumentError("Argument `out` must be given with `executor` or `redo`, but is missing.")
    block_width = default_width(cells, memory) if width is None else given_width(cells, width)
    programs = cells.programs()
    steps = moments(programs)
    per_program = -(-cells.size // block_width)
    total = per_program * len(programs)
    check_bytes(
        "axes",
        f"{cells.size * cells.count:,} runs in memory",
        cells.size * sum(_bytes_per_run(one) for one in result_shapes(cells, block_width)),
    )
    began = time.perf_counter()
    parts: list[Results] = []
    for block, results in compute(cells, range(total), block_width):
        if isinstance(results, Exception):
            raise results
        parts.append(results)
        if progress is not None:
            progress(block + 1, total)
    starts = range(0, total, per_program)
    joined = [{name: np.concatenate([p[name] for p in parts[a : a + per_program]]) for name in parts[a]} for a in starts]
    return assemble(cells, steps, joined, seconds=time.perf_counter() - began)


def _bytes_per_run(shapes: dict[str, jax.ShapeDtypeStruct]) -> int:
    return sum(math.prod(one.shape) * np.dtype(one.dtype).itemsize for one in shapes.values())


@usual_promotion()
def drawn_worlds(run: Run, seeds: int | Sequence[int]) -> Problem:
    """The problems that a run draws for the given seeds, as the prompts of one problem, for solving them all at once.

    Raises:
        ArgumentError: the run's world has more than one prompt, or a bad seed.
    """
    chosen = grid(run, {}, seeds).seeds
    worlds = jit(jax.vmap(lambda seed: run_world(run, run_key(seed))))(np.asarray(chosen, np.uint32))
    if worlds.log_ref.shape[1] != 1:
        raise checks.ArgumentError(f"Argument `run` must have one prompt per world, but has {worlds.log_ref.shape[1]}.")
    flat = {name: getattr(worlds, name)[:, 0] for name in Problem.__dataclass_fields__ if name not in ("log_prompts", "beta")}
    even = np.full(len(chosen), -np.log(len(chosen)))
    return Problem(**flat, log_prompts=jax.numpy.asarray(even, worlds.log_ref.dtype), beta=worlds.beta[0])


def assemble(cells: Grid, steps: np.ndarray, results: list[Results], *, seconds: float) -> xr.Dataset:
    """Dataset of a grid from the variables of every program, each with runs first; shapes that differ are left out."""
    names = [axis.name for axis in (*cells.choices, *cells.numbers)]
    dims = (*(axis.name for axis in cells.axes), "seed")
    order = [*(names.index(name) for name in dims[:-1]), len(names)]  # programs come first, and the axes as they were given
    lead = tuple(len(axis.values) for axis in cells.choices) + cells.shape
    variables = {}
    for name in results[0]:
        pieces = [result[name] for result in results if name in result]
        if len(pieces) < len(results) or len({piece.shape for piece in pieces}) > 1:
            continue
        value = np.stack(pieces).reshape(*lead, *pieces[0].shape[1:])
        inner = inner_dims(name, value.ndim - len(lead))
        ordered = value.transpose(*order, *range(len(lead), value.ndim))
        variables[name] = xr.Variable((*dims, *inner), ordered, variable_attrs(name))
    coords = {axis.name: (axis.name, coordinate(axis.labels)) for axis in cells.axes}
    return xr.Dataset(
        variables,
        coords={**coords, "seed": list(cells.seeds), "step": ("record", steps)},
        attrs={**provenance(), "seconds": round(seconds, 3)},
    )
