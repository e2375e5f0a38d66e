"""How do results lie on disk?

A store is a Zarr v3 folder.  Every variable is one array ``(program, lane, …)`` whose chunks are exactly the blocks;
``block_status`` says of every block whether it is still to do, done or failed, and is written after the block's data.
So a process may die at any moment, others may write beside it, and whoever comes next does what is still to do.
"""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr
from google_crc32c import value as crc32c
from zarr.errors import GroupNotFoundError

from didsim.numerics import checks
from didsim.sweeps.header import FORMAT, Header

TO_DO, DONE, FAILED = 0, 1, 2
RESERVED = ("block_status", "block_message", "seed", "step")
MESSAGE_BYTES = 1000
CHECKSUM_BYTES = 4
ANEW = "compute the sweep anew with --overwrite (in Python: overwrite=True)"


@dataclass(frozen=True)
class Store:
    """A sweep on disk, as it is."""

    path: Path
    header: Header
    group: zarr.Group
    variables: dict[str, zarr.Array]

    def statuses(self) -> np.ndarray:
        """Status of every block: 0 to do, 1 done, 2 failed."""
        array = _array(self.group, "block_status", self.path)
        try:
            return np.asarray(array[:]).reshape(-1)
        except Exception:  # what a broken chunk raises is Zarr's affair
            return np.asarray([self._status(array, block) for block in range(self.header.blocks)])

    def set_status(self, blocks: Any, status: int) -> None:
        """Writes the status of blocks."""
        array = _array(self.group, "block_status", self.path)
        for block in blocks:
            array[divmod(block, self.header.per_program)] = status

    def write(self, block: int, results: dict[str, np.ndarray]) -> None:
        """Writes the data of one block and then that it is done."""
        place = self._place(block)
        for name, array in self.variables.items():
            array[place] = results[name][None]
        self.set_status([block], DONE)

    def forget(self, blocks: Any) -> None:
        """Makes blocks to do again; their chunks go, since a damaged one could not even be written into."""
        status_file = self._status_files()
        for block in blocks:
            _delete(status_file(block))
            for name in self.variables:
                _delete(self.chunk_file(name, block))

    def fail(self, block: int, error: BaseException) -> None:
        """Writes that a block could not be computed, and why."""
        text = f"{type(error).__name__}: {error}".encode()[:MESSAGE_BYTES]
        _array(self.group, "block_message", self.path)[divmod(block, self.header.per_program)] = np.frombuffer(
            text.ljust(MESSAGE_BYTES, b"\0"), np.uint8
        )
        self.set_status([block], FAILED)

    def message(self, block: int) -> str:
        """Why a failed block failed."""
        raw = np.asarray(_array(self.group, "block_message", self.path)[divmod(block, self.header.per_program)])
        return raw.tobytes().rstrip(b"\0").decode(errors="replace")

    def read(self, name: str, block: int) -> np.ndarray:
        """One variable of one done block, runs first.

        Raises:
            ArgumentError: its chunk is missing or damaged.
        """
        fault = self._fault(name, block)
        if fault:
            self._refuse(name, block, fault)
        try:
            return np.asarray(self.variables[name][self._place(block)])[0]
        except Exception as error:  # a checksum, a codec or the file system; all mean that the chunk is lost
            self._refuse(name, block, f"damaged ({str(error).partition('. Stored')[0]})")

    def labels(self, name: str) -> np.ndarray:
        """Coordinate ``seed`` or ``step``; it is data, and no chunk of it may be missing.

        Raises:
            ArgumentError: it is missing or damaged.
        """
        array = _array(self.group, name, self.path)
        chunks = itertools.product(*(range(-(-size // chunk)) for size, chunk in zip(array.shape, array.chunks, strict=True)))
        for place in chunks:
            fault = _damage(self.path / name / array.metadata.encode_chunk_key(place))
            if fault:
                raise _no_sweep(f"in {self.path} the array `{name}` is {fault}")
        try:
            return np.asarray(array[:])
        except Exception as error:  # what a broken chunk raises is Zarr's affair
            fault = str(error).partition(". Stored")[0]
            raise _no_sweep(f"in {self.path} the array `{name}` is damaged ({fault})") from None

    def check_chunks(self) -> None:
        """Reads the chunks of all done blocks and their checksums, some gigabytes a second: they are counted as done.

        Raises:
            ArgumentError: a chunk is missing, damaged or of the wrong size, or a folder stands where one is to be.
        """
        status_file = self._status_files()
        for block, status in enumerate(self.statuses().tolist()):
            if status_file(block).is_dir():
                self._refuse("block_status", block, "no file")
            for name in self.variables:
                path = self.chunk_file(name, block)
                fault = self._fault(name, block) or _damage(path) if status == DONE else "no file" if path.is_dir() else ""
                if fault:
                    self._refuse(name, block, fault)

    def chunk_file(self, name: str, block: int) -> Path:
        """File of one variable of one block."""
        array = self.variables[name]
        place = (*divmod(block, self.header.per_program), *(0 for _ in array.shape[2:]))
        return self.path / name / array.metadata.encode_chunk_key(place)

    def _status_files(self) -> Callable[[int], Path]:
        """File of the status of a block."""
        key = _array(self.group, "block_status", self.path).metadata.encode_chunk_key
        return lambda block: self.path / "block_status" / key(divmod(block, self.header.per_program))

    def _place(self, block: int) -> tuple[slice, slice]:
        program, place = divmod(block, self.header.per_program)
        start = place * self.header.width
        return slice(program, program + 1), slice(start, min(start + self.header.width, self.header.lanes))

    def _fault(self, name: str, block: int) -> str:
        """What is wrong with a chunk as far as its size tells; empty if nothing."""
        array = self.variables[name]
        wanted = int(np.prod(array.chunks)) * array.dtype.itemsize + CHECKSUM_BYTES
        path = self.chunk_file(name, block)
        try:
            size = path.stat().st_size
        except OSError as error:
            return "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
        if not path.is_file():
            return "no file"
        return "" if size == wanted else f"truncated or overlong ({size} bytes instead of {wanted})"

    def _status(self, array: zarr.Array, block: int) -> int:
        try:
            return int(np.asarray(array[divmod(block, self.header.per_program)]))
        except Exception as error:
            self._refuse("block_status", block, f"damaged ({str(error).partition('. Stored')[0]})")

    def _refuse(self, name: str, block: int, fault: str) -> NoReturn:
        raise checks.ArgumentError(
            f"Argument `out` must hold whole chunks, but in {self.path} variable `{name}`, block {block} is {fault}. "
            f"Recompute only this block: didsim sweep FILE --out {self.path} --redo {block} (in Python: redo=[{block}])."
        )


def open_store(path: Path) -> Store:
    """The store at a path.

    Raises:
        ArgumentError: there is none, or what makes it a store is missing.
    """
    if not path.is_dir():
        raise _no_sweep(f"at {path} there is {'a file' if path.exists() else 'nothing'}", cure="")
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        attrs: dict[str, Any] = dict(group.attrs)
    except (FileNotFoundError, GroupNotFoundError):
        raise _no_sweep(f"{path} has no zarr.json") from None
    except (json.JSONDecodeError, ValueError, KeyError, TypeError, OSError) as error:
        raise _no_sweep(f"{path}/zarr.json is damaged: {error}", cure="") from None
    for name, field in Header.__dataclass_fields__.items():
        if name not in attrs and field.default is MISSING:
            raise _no_sweep(f"{path}/zarr.json lacks the attribute `{name}`")
    if attrs["format"] != FORMAT:
        raise checks.ArgumentError(f"Argument `out` must be a sweep of format {FORMAT}, but {path} has format {attrs['format']}.")
    for name in RESERVED:
        _array(group, name, path)
    header = Header(**{name: attrs[name] for name in Header.__dataclass_fields__ if name in attrs})
    if header.layout_hash and header.layout_hash != header.layout():
        raise _no_sweep(f"{path}/zarr.json is damaged: its hash does not match its axes and sizes")
    # Whether chunks of nothing but fill values are written is no part of the metadata; a block of runs that all diverged is one.
    with zarr.config.set({"array.write_empty_chunks": True}):
        variables = {name: _array(group, name, path) for name in header.variables}
    return Store(path, header, group, variables)


def _damage(path: Path) -> str:
    """What is wrong with the bytes of a chunk, whose last four are the CRC-32C of the others; empty if nothing."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        return "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
    wanted, held = raw[-CHECKSUM_BYTES:], crc32c(raw[:-CHECKSUM_BYTES]).to_bytes(CHECKSUM_BYTES, "little")
    return "" if held == wanted else "damaged (the checksum does not match)"


def _delete(path: Path) -> None:
    """Removes a chunk, or a folder that stands in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _array(group: zarr.Group, name: str, path: Path) -> zarr.Array:
    try:
        array = group[name]
    except KeyError:
        fault = f"{path} has no array `{name}`"
    except Exception as error:  # what Zarr raises for broken metadata depends on how it is broken
        fault = f"{path}/{name}/zarr.json is damaged: {error}"
    else:
        assert isinstance(array, zarr.Array)
        return array
    raise _no_sweep(fault)


def _no_sweep(fault: str, cure: str = f"; {ANEW}") -> checks.ArgumentError:
    return checks.ArgumentError(f"Argument `out` must be the folder of a sweep, but {fault}{cure}.")
