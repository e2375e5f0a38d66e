"""How are blocks computed by an executor: a pool of processes, a Dask cluster, anything with ``submit``?

A task is a block number; the worker computes the block on its first device and writes it to the store itself, so little
travels and a worker may die at any time.
"""

import functools
import pickle
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

from didsim.numerics import checks
from didsim.numerics.promotion import usual_promotion
from didsim.sweeps.axes import Axis, Grid
from didsim.sweeps.blocks import compute
from didsim.sweeps.store import Store, open_store

IN_FLIGHT = 256


def compute_in(executor: Any, cells: Grid, store: Store, blocks: list[int]) -> Iterator[int]:
    """Numbers of the blocks as workers finish them; a block that raises is recorded as failed.

    Raises:
        ArgumentError: the executor forks, cannot submit, or the run cannot be pickled.
        BrokenExecutor: workers died and the executor does not replace them.
    """
    submit = _submitter(executor)
    payload = _pickled(cells)
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    settings = (bool(jax.config.read("jax_enable_x64")), precision)
    waiting = iter(blocks)
    done = 0

    def send(block: int):
        return submit(work, payload, str(store.path.resolve()), block, *settings)

    pending: dict[Any, int] = {}
    try:
        pending = {send(block): block for block in islice(waiting, IN_FLIGHT)}
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                block = pending.pop(future)
                error = future.exception()
                if isinstance(error, (BrokenExecutor, checks.ArgumentError)):
                    raise error
                if error is not None:
                    store.fail(block, error)
                pending |= {send(one): one for one in islice(waiting, 1)}
                done += 1
                yield block
    except BrokenExecutor as error:
        raise type(error)(
            f"The executor broke with {len(blocks) - done} of {len(blocks)} blocks to do ({error}); "
            f"start the same sweep again to go on with {store.path}."
        ) from error
    finally:
        for future in pending:
            future.cancel()


@usual_promotion()
def work(payload: bytes, path: str, block: int, x64: bool, precision: str | None) -> None:
    """One block, in a worker, in the precision of the sweep whatever the worker's own is."""
    with jax.enable_x64(x64), jax.default_matmul_precision(precision):
        store = open_store(Path(path))
        for _, results in compute(_unpickled(payload), [block], store.header.width, jax.local_devices()[:1]):
            if isinstance(results, Exception):
                raise results
            store.write(block, results)


def _submitter(executor: Any) -> Any:
    if hasattr(executor, "get_executor"):  # a Dask client
        executor = executor.get_executor(pure=False)
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and context is not None and context.get_start_method() == "fork":
        raise checks.ArgumentError(
            "Argument `executor` must not fork its processes, because JAX's threads do not survive that, but is a "
            "ProcessPoolExecutor that does; give it mp_context=multiprocessing.get_context('spawn')."
        )
    if not callable(getattr(executor, "submit", None)):
        raise checks.ArgumentError(f"Argument `executor` must have a method `submit`, but is {executor!r}.")
    return executor.submit


def _pickled(cells: Grid) -> bytes:
    """The grid as bytes, its arrays as numpy's; functions of the caller's script go along where cloudpickle is there."""
    try:
        from cloudpickle import dumps
    except ImportError:
        dumps = pickle.dumps

    def plain(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, tree)

    axes = tuple(
        Axis(a.name, a.paths, tuple(tuple(map(plain, row)) for row in a.values), a.labels, a.is_choice) for a in cells.axes
    )
    try:
        return dumps(Grid(plain(cells.run), axes, cells.seeds))
    except Exception as error:  # pickle raises whatever an object's own hooks raise
        raise checks.ArgumentError(
            f"Argument `run` must be picklable to travel to an executor, but is not: {error}. Metrics and link functions "
            "must be defined at the top level of a module, not inside another function or as a lambda."
        ) from None


@functools.lru_cache(maxsize=2)
def _unpickled(payload: bytes) -> Grid:
    """The same objects for every block, so that the program is compiled once."""
    return pickle.loads(payload)
