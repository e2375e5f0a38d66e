"""How does a sweep get to disk, block by block, over interruptions and many workers?"""

import contextlib
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from didsim.dynamics.labels import float_dtype
from didsim.numerics import checks, files
from didsim.numerics.memory import spelled_bytes
from didsim.sweeps import hosts
from didsim.sweeps.axes import Grid
from didsim.sweeps.blocks import compute, result_shapes
from didsim.sweeps.creation import create_store
from didsim.sweeps.header import FORMAT, Header
from didsim.sweeps.identity import config_hash, describe, first_difference, same_sweep
from didsim.sweeps.labels import coordinate, full_provenance, moments
from didsim.sweeps.pool import compute_in
from didsim.sweeps.store import DONE, FAILED, TO_DO, Store, open_store
from didsim.sweeps.width import MEMORY, default_width, given_width


@dataclass(frozen=True)
class Streaming:
    """How a sweep uses its store: see `didsim.sweep`."""

    out: Path
    width: int | None = None
    memory: int = MEMORY
    resume: bool = True
    overwrite: bool = False
    redo: Sequence[int] = ()
    executor: Any = None


def stream(cells: Grid, how: Streaming, progress: Any = None) -> Store:
    """Computes what a store still lacks and writes it there; returns the store.

    Raises:
        ArgumentError: the store belongs to another sweep, is damaged, cannot be written, or another process is writing it.
        BrokenExecutor: the executor's workers died; the same call goes on where they stopped.
    """
    if how.out.name in ("", ".."):
        raise checks.ArgumentError(f"Argument `out` must be the name of a folder, but is {how.out}.")
    with contextlib.suppress(OSError):  # it is refused below
        how.out.parent.mkdir(parents=True, exist_ok=True)
    lock = files.locked(how.out.with_name(f".{how.out.name}.lock")) if hosts.is_first() else contextlib.nullcontext(True)
    with lock as alone:
        return _completed(_prepare_together(cells, how, alone=alone), cells, how, progress)


def _completed(store: Store, cells: Grid, how: Streaming, progress: Any) -> Store:
    """The store with all of its blocks computed."""
    header = store.header
    to_do = hosts.own_share(np.flatnonzero(store.statuses() == TO_DO).tolist())
    hosts.wait_for_all("share")  # nobody writes before everybody has read what is to do
    done = header.blocks - len(to_do)
    _report(progress, done, header.blocks)
    for _ in _executed(cells, store, to_do, how.executor):
        done += 1
        _report(progress, done, header.blocks)
    hosts.wait_until(lambda: not np.any(store.statuses() == TO_DO))
    return store


def failures(store: Store) -> dict[int, str]:
    """Blocks that could not be computed, with the reason."""
    return {block: store.message(block) for block in np.flatnonzero(store.statuses() == FAILED).tolist()}


def _report(progress: Any, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _executed(cells: Grid, store: Store, to_do: list[int], executor: Any) -> Iterable[int]:
    """Computes blocks here or in an executor, writes them, and yields their numbers as they come."""
    if executor is not None:
        yield from compute_in(executor, cells, store, to_do)
        return
    for block, results in compute(cells, to_do, store.header.width):
        if isinstance(results, Exception):
            store.fail(block, results)
        else:
            store.write(block, results)
        yield block


def _prepare_together(cells: Grid, how: Streaming, *, alone: bool) -> Store:
    """The store, made by the first process where there are several; every process checks it."""
    fault: checks.ArgumentError | None = None
    if hosts.is_first():
        try:
            if not alone:
                raise checks.ArgumentError(f"Argument `out` must be no other process's, but {how.out} is being written by one.")
            _prepare(cells, how)
        except checks.ArgumentError as error:
            fault = error  # the others wait: meet them first, they will find the same fault
    hosts.wait_for_all("store")
    if fault is not None:
        raise fault
    store = open_store(how.out)
    _check(store, cells, how.width)
    return store


def _prepare(cells: Grid, how: Streaming) -> None:
    steps = moments(cells.programs())
    if how.out.exists() and not (how.out.is_dir() and not any(how.out.iterdir())):
        if how.overwrite:
            _remove(how.out)
        elif not how.resume:
            raise checks.ArgumentError(f"Argument `out` must not exist without resume, but {how.out} does; resume or overwrite.")
        else:
            _resume(cells, how)
            return
    lines = describe(cells)
    width = default_width(cells, how.memory) if how.width is None else given_width(cells, how.width)
    axes = []
    for axis in cells.axes:
        labels = coordinate(axis.labels)
        axes.append({"name": axis.name, "labels": labels.tolist(), "dtype": labels.dtype.str, "is_choice": axis.is_choice})
    shapes = _common_shapes(result_shapes(cells, width))
    _check_disk(how.out, cells, shapes)
    header = Header(
        format=FORMAT,
        config_hash=config_hash(lines),
        config=lines,
        dtype=float_dtype(),
        width=width,
        programs=len(cells.programs()),
        lanes=cells.size,
        variables=sorted(shapes),
        axes=axes,
        provenance=full_provenance(),
    )
    _check_redo(how.redo, header)
    create_store(how.out, header, shapes, cells.seeds, steps)


def _resume(cells: Grid, how: Streaming) -> None:
    store = open_store(how.out)
    _check(store, cells, how.width)
    _check_coordinates(store, cells)
    _check_redo(how.redo, store.header)
    for left in how.out.rglob("*.partial"):  # what killed processes were writing
        left.unlink(missing_ok=True)
    store.forget(how.redo)
    statuses = store.statuses()
    store.set_status(np.flatnonzero((statuses != DONE) & (statuses != TO_DO)).tolist(), TO_DO)
    store.check_chunks()


def _check(store: Store, cells: Grid, width: int | None) -> None:
    """Refuses a store of another sweep, saying what differs."""
    header, lines = store.header, describe(cells)
    if config_hash(header.config) == header.config_hash and same_sweep(lines, header.config):
        lines = header.config
    rows = [("dtype", float_dtype(), header.dtype), ("config hash", config_hash(lines), header.config_hash)]
    rows += [("block width", width, header.width)] if width is not None else []
    for name, mine, theirs in rows:
        if mine != theirs:
            where = f" ({first_difference(lines, header.config)})" if name == "config hash" else ""
            raise checks.ArgumentError(
                f"Argument `out` must hold a sweep of {name} {mine}, but {store.path} has {name} {theirs}{where}; "
                "choose another folder, or overwrite."
            )


def _check_coordinates(store: Store, cells: Grid) -> None:
    for name, mine in (("seed", cells.seeds), ("step", moments(cells.programs()))):
        if not np.array_equal(store.labels(name), mine):
            raise checks.ArgumentError(
                f"Argument `out` must hold the `{name}` of this sweep, but {store.path} holds others; choose another folder, or "
                "overwrite."
            )


def _check_redo(redo: Sequence[int], header: Header) -> None:
    for block in redo:
        checks.whole("redo", block, least=0, below=header.blocks)


def _common_shapes(shapes: list[dict[str, jax.ShapeDtypeStruct]]) -> dict[str, jax.ShapeDtypeStruct]:
    """Variables that all programs have in one shape; the others are left out, as in memory."""
    common = {}
    for name, first in shapes[0].items():
        alike = [one[name] for one in shapes if name in one and one[name].shape == first.shape]
        if len(alike) == len(shapes):
            common[name] = jax.ShapeDtypeStruct(first.shape, np.result_type(*(one.dtype for one in alike)))
    return common


def _check_disk(out: Path, cells: Grid, shapes: dict[str, jax.ShapeDtypeStruct]) -> None:
    """Refuses what will not fit on the disk before anything is computed."""
    size = cells.count * cells.size * sum(math.prod(one.shape) * np.dtype(one.dtype).itemsize for one in shapes.values())
    try:
        free = shutil.disk_usage(out.resolve().parent).free
    except OSError:  # whoever makes the folder says what is wrong with its place
        return
    if size > free:
        raise checks.ArgumentError(
            f"Argument `out` must have room for the results of {cells.count * cells.size:,} runs, {spelled_bytes(size)}, but at "
            f"{out.parent} {spelled_bytes(free)} are free."
        )


def _remove(path: Path) -> None:
    """Deletes a sweep, and refuses to delete anything else."""
    if not (path / "zarr.json").is_file():
        raise checks.ArgumentError(f"Argument `out` must be the folder of a sweep to be overwritten, but {path} is not.")
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise checks.ArgumentError(f"Argument `out` must be writable, but {path} is not: {error.strerror}.") from None
