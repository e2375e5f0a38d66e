"""Where are cells kept, so that an interrupted atlas goes on where it stopped?

One file of lines of JSON: the first says which atlas it is, each other holds one cell with all its worlds.  A line is
written at once; one that was torn by an interruption is dropped when the file is opened again.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from didsim.numerics.errors import ArgumentError

Cell = dict[str, Any]


class Store:
    """Cells by (objective, departure), in a file if there is a path, in memory alone if not.

    Args:
        path: the file; it is made where it is not there.
        header: which atlas this is.

    Raises:
        ArgumentError: the file is another atlas, or none.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        self.path, self.cells = path, {}
        if path is None:
            return
        whole = self._read(path, header) if path.exists() else ""
        if not whole:
            self._write(path, json.dumps(header, ensure_ascii=False) + "\n", "w")
        elif len(whole) < path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(len(whole))

    def add(self, cells: list[Cell]) -> None:
        """Keeps cells."""
        self.cells |= {(one["objective"], one["departure"]): one for one in cells}
        if self.path is not None:
            text = "".join(json.dumps({k: _plain(v) for k, v in one.items()}, ensure_ascii=False) + "\n" for one in cells)
            self._write(self.path, text, "a")

    def _read(self, path: Path, header: dict[str, Any]) -> bytes:
        """The file's whole lines; their cells are taken in."""
        try:
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            first, *lines = [json.loads(line) for line in whole.splitlines()] or [header]
        except (OSError, ValueError) as error:
            raise ArgumentError(f"Argument `store` must be a file of an atlas, but {path} is not: {error}.") from None
        if first != header:
            other = next((key for key in header if not isinstance(first, dict) or first.get(key) != header[key]), "header")
            theirs = first.get(other, "absent") if isinstance(first, dict) else first
            raise ArgumentError(
                f"Argument `store` must be this atlas, but in {path} {other} is {theirs!r}, not {header.get(other)!r}."
            )
        for one in lines:
            self.cells[one["objective"], one["departure"]] = {k: _array(v) for k, v in one.items()}
        return whole

    def _write(self, path: Path, text: str, mode: str) -> None:
        try:
            with path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise ArgumentError(f"Argument `store` must be a file that can be written, but {path} is not: {error}.") from None


def _plain(value: Any) -> Any:
    """Arrays as lists; numbers that JSON does not have as words."""
    if not isinstance(value, np.ndarray):
        return value
    return [one if np.isfinite(one) else str(one) for one in value.tolist()]


def _array(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    whole = all(isinstance(one, int) for one in value)
    return np.array(value, int) if whole else np.array([float(one) for one in value])
