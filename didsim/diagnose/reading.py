"""Which rows does a log hold?  JSON lines, JSON, CSV or Parquet become named columns that remember where each row stood."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from didsim.numerics.checks import ArgumentError

Place = tuple[int, Any]


class LogError(ArgumentError):
    """A log cannot be read or is not allowed; one line that names the file, the place in it and what is expected."""


@dataclass(frozen=True)
class Rows:
    """Rows of a log as raw columns.

    Attributes:
        path: the file.
        columns: values by column name, None where a row has no such entry.
        places: line or row number in the file of each row, from 1.
        unit: "line" or "row": what ``places`` count.
    """

    path: Path
    columns: dict[str, list[Any]]
    places: list[int]
    unit: str

    def where(self, index: int) -> str:
        """File and place of a row, as error messages name them."""
        return f"{self.path.name}, {self.unit} {self.places[index]}"

    def __len__(self) -> int:
        return len(self.places)


def read_rows(path: Path) -> Rows:
    """Rows of a ``.jsonl``, ``.json``, ``.csv`` or ``.parquet`` file; a row of lists is one row per entry.

    A ``.json`` file is an array of rows, an object of columns, or an object with ``log_history`` as transformers'
    ``trainer_state.json`` has it.

    Raises:
        LogError: the file is missing, empty, of another kind, not UTF-8, cut off, or a row holds lists of unequal length.

    Example:
        >>> import pathlib, tempfile
        >>> from didsim.diagnose.reading import read_rows
        >>> file = pathlib.Path(tempfile.mkdtemp(), "log.csv")
        >>> _ = file.write_text("step,loss\\n0,0.69\\n10,0.61\\n")
        >>> rows = read_rows(file)
        >>> rows.columns["loss"], rows.where(1)
        (['0.69', '0.61'], 'log.csv, line 3')
    """
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    if not path.is_file():
        raise LogError(f"Argument `LOGS` must be a readable file, but {path} is not.")
    if path.suffix.lower() not in readers:
        raise LogError(f"Argument `LOGS` must end in {', '.join(readers)}, but is {path.name}.")
    unit = "line" if path.suffix.lower() in (".jsonl", ".ndjson", ".csv") else "row"
    rows = [entry for place in readers[path.suffix.lower()](path) for entry in _spread(path, unit, *place)]
    if not rows:
        raise LogError(f"Argument `LOGS` must hold at least one row, but {path.name} is empty.")
    names = dict.fromkeys(name for _, row in rows for name in row)
    columns = {name: [row.get(name) for _, row in rows] for name in names}
    return Rows(path, columns, [number for number, _ in rows], unit)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise LogError(f"{path.name}, line {line}: a log must be UTF-8 text, but byte {error.start + 1} is not.") from None
    except OSError as error:
        raise LogError(f"Argument `LOGS` must be a readable file, but {path} is not ({error.strerror}).") from None


def _json_lines(path: Path) -> Iterator[Place]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                hint = "; is the file cut off?" if error.pos >= len(line.rstrip()) - 1 or "Unterminated" in error.msg else ""
                raise LogError(
                    f"{path.name}, line {number}: a line must be one JSON object, but is not ({error.msg}){hint}"
                ) from None
            yield number, row


def _json(path: Path) -> Iterator[Place]:
    try:
        whole = json.loads(_text(path) or "[]")
    except json.JSONDecodeError as error:
        raise LogError(f"{path.name}, line {error.lineno}: the file must be JSON, but is not ({error.msg}).") from None
    rows = whole.get("log_history", [whole]) if isinstance(whole, dict) else whole
    if not isinstance(rows, list):
        raise LogError(f"{path.name}: the file must hold an array of rows, but holds {type(rows).__name__}.")
    yield from enumerate(rows, 1)


def _csv(path: Path) -> Iterator[Place]:
    reader = csv.reader(_text(path).splitlines(keepends=True), strict=True)
    try:
        yield from _fields(path, reader)
    except csv.Error as error:
        raise LogError(f"{path.name}, line {reader.line_num}: the file must be CSV, but is not ({error}).") from None


def _fields(path: Path, reader: Any) -> Iterator[Place]:
    names = next(reader, [])
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LogError(f"{path.name}, line 1: column names must differ, but {twice!r} is there twice.")
    for fields in reader:
        if fields and len(fields) != len(names):
            raise LogError(
                f"{path.name}, line {reader.line_num}: a line must have {len(names)} fields, as line 1, but has {len(fields)}."
            )
        if fields:
            yield reader.line_num, {name: field or None for name, field in zip(names, fields, strict=True)}


def _parquet(path: Path) -> Iterator[Place]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise LogError("Reading Parquet needs pyarrow, which is not installed; `pip install pyarrow` brings it.") from None
    try:
        rows = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise LogError(f"{path.name}: the file must be Parquet, but is not ({str(error).splitlines()[0]}).") from None
    yield from enumerate(rows, 1)


def _spread(path: Path, unit: str, number: int, row: Any) -> Iterator[Place]:
    """The row itself, or one row per entry where it holds lists: a batch, or a whole file by columns."""
    if not isinstance(row, dict):
        raise LogError(f"{path.name}, {unit} {number}: a row must be a JSON object, but is {type(row).__name__}.")
    sizes = {name: len(value) for name, value in row.items() if isinstance(value, list)}
    if len(set(sizes.values())) > 1:
        (one, first), (other, second) = next((a, b) for a in sizes.items() for b in sizes.items() if a[1] != b[1])
        raise LogError(
            f"{path.name}, {unit} {number}: lists of a row must be equally long, but {one!r} has {first} entries and "
            f"{other!r} {second}."
        )
    for place in range(next(iter(sizes.values()), 1)):
        yield number, {name: value[place] if name in sizes else value for name, value in row.items()}
