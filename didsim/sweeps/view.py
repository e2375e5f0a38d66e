"""How does a store on disk look like the dataset of a sweep in memory?  Chunks are read when their numbers are asked for."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from didsim.dynamics.labels import variable_attrs
from didsim.sweeps.store import DONE, FAILED, Store, open_store


def open_sweep(path: str | Path) -> xr.Dataset:
    """Dataset of a sweep on disk, opened lazily; finished or not.

    Args:
        path: folder that ``sweep(..., out=path)`` or ``didsim sweep --out`` wrote.

    Returns:
        Dataset with the dimensions, coordinates and units of the sweep in memory.  Cells of blocks that are not done are
        NaN, or -1 in integers; ``blocks``, ``blocks_done`` and ``blocks_failed`` in the attributes count them.

    Raises:
        ArgumentError: there is no store, or it is damaged; chunks are checked when they are read.
    """
    return dataset(open_store(Path(path)))


def dataset(store: Store) -> xr.Dataset:
    """Dataset of an open store."""
    header, statuses = store.header, store.statuses()
    names = [axis["name"] for axis in header.axes]
    variables = {}
    for name, array in store.variables.items():
        inner = (array.metadata.dimension_names or ())[2:]  # type: ignore[union-attr]
        lazy = indexing.LazilyIndexedArray(_Cells(store, name, statuses))
        variables[name] = xr.Variable((*names, "seed", *inner), lazy, variable_attrs(name))
    coords = {axis["name"]: (axis["name"], np.asarray(axis["labels"], axis["dtype"])) for axis in header.axes}
    counts = {"blocks": len(statuses), "blocks_done": int(np.sum(statuses == DONE))}
    return xr.Dataset(
        variables,
        coords={**coords, "seed": store.labels("seed"), "step": ("record", store.labels("step"))},
        attrs={
            **header.provenance,
            "config_hash": header.config_hash,
            "width": header.width,
            **counts,
            "blocks_failed": int(np.sum(statuses == FAILED)),
        },
    )


class _Cells(BackendArray):
    """One variable with an axis per axis of the grid, over an array with one axis of runs."""

    def __init__(self, store: Store, name: str, statuses: np.ndarray):
        self.store, self.name, self.statuses = store, name, statuses
        self.array = store.variables[name]
        self.sizes = [len(axis["labels"]) for axis in store.header.axes]
        lanes = math.prod(size for size, axis in zip(self.sizes, store.header.axes, strict=True) if not axis["is_choice"])
        self.sizes.append(store.header.lanes // lanes)
        self.is_choice = [*(axis["is_choice"] for axis in store.header.axes), False]
        self.shape = (*self.sizes, *self.array.shape[2:])
        self.dtype = self.array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple) -> np.ndarray:
        lead, inner = key[: len(self.sizes)], key[len(self.sizes) :]
        places = [np.atleast_1d(np.arange(size)[one]) for size, one in zip(self.sizes, lead, strict=True)]
        cells = self._read(self._ravel(places, choices=True), self._ravel(places, choices=False))
        for axis, one in enumerate(inner, start=len(self.sizes)):  # one axis at a time is what outer indexing means
            kept: Any = [one] if isinstance(one, (int, np.integer)) else one
            cells = cells[(slice(None),) * axis + (kept,)]
        dropped = tuple(axis for axis, one in enumerate(key) if isinstance(one, (int, np.integer)))
        return np.squeeze(cells, dropped)

    def _ravel(self, places: list[np.ndarray], *, choices: bool) -> np.ndarray:
        """Program numbers or run numbers of an outer product of places, broadcast to its shape."""
        number = np.zeros((1,) * len(places), int)
        for size, choice, open_place in zip(self.sizes, self.is_choice, np.ix_(*places), strict=True):
            if choice == choices:
                number = number * size + open_place
        return np.broadcast_to(number, tuple(map(len, places)))

    def _read(self, programs: np.ndarray, runs: np.ndarray) -> np.ndarray:
        header = self.store.header
        out = np.full((programs.size, *self.array.shape[2:]), self.array.fill_value, self.dtype)
        blocks = (programs * header.per_program + runs // header.width).reshape(-1)
        for block in np.unique(blocks).tolist():
            if self.statuses[block] == DONE:
                mine = np.flatnonzero(blocks == block)
                out[mine] = self.store.read(self.name, block)[runs.reshape(-1)[mine] % header.width]
        return out.reshape(*programs.shape, *self.array.shape[2:])
