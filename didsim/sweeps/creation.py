"""How is an empty store made?  Whole or not at all: beside its place, and moved there when it is complete."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from didsim.dynamics.labels import inner_dims, variable_attrs
from didsim.numerics import checks
from didsim.sweeps.header import Header
from didsim.sweeps.store import MESSAGE_BYTES, RESERVED, Store, open_store


def create_store(
    path: Path, header: Header, shapes: dict[str, jax.ShapeDtypeStruct], seeds: tuple[int, ...], steps: np.ndarray
) -> Store:
    """Makes an empty store, whole or not at all.

    Raises:
        ArgumentError: the folder cannot be written, or a metric has a name that the store needs.
    """
    for name in shapes:
        if name in RESERVED:
            raise checks.ArgumentError(f"Argument `metrics` must not use the name `{name}`, which the store needs.")
    scratch = path.with_name(f".{path.name}.new")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        group = zarr.create_group(scratch, zarr_format=3, attributes=asdict(replace(header, layout_hash=header.layout())))
        for name, shape in shapes.items():
            _create_variable(group, name, shape, header)
        grid = (header.programs, header.per_program)
        kept: dict[str, Any] = {"compressors": [Crc32cCodec()], "fill_value": 0}
        group.create_array("block_status", shape=grid, chunks=(1, 1), dtype="uint8", dimension_names=("program", "block"), **kept)
        message = {"shape": (*grid, MESSAGE_BYTES), "chunks": (1, 1, MESSAGE_BYTES), "dtype": "uint8"}
        group.create_array("block_message", dimension_names=("program", "block", "byte"), **message, **kept)
        for name, dim, values in (("seed", "seed", np.asarray(seeds, np.int64)), ("step", "record", steps)):
            group.create_array(name, data=values, compressors=[Crc32cCodec()], dimension_names=(dim,))
        scratch.rename(path)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise checks.ArgumentError(
            f"Argument `out` must be a folder that can be written, but {path} is not: {error.strerror}."
        ) from None
    return open_store(path)


def _create_variable(group: zarr.Group, name: str, shape: jax.ShapeDtypeStruct, header: Header) -> None:
    dtype = np.dtype(shape.dtype)
    group.create_array(
        name,
        shape=(header.programs, header.lanes, *shape.shape),
        chunks=(1, header.width, *(max(1, size) for size in shape.shape)),
        dtype=dtype,
        fill_value=np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else 0,
        compressors=[Crc32cCodec()],  # doubles hardly compress; a checksum finds flipped bits
        dimension_names=("program", "lane", *inner_dims(name, len(shape.shape))),
        attributes={**variable_attrs(name)},
        config={"write_empty_chunks": True},  # so that a chunk that is not there is a chunk that was lost
    )
