"""Which rows does a log hold?  JSON lines, JSON, CSV, TSV or Parquet become named columns that remember where each row stood."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from didsim.diagnose.names import meant
from didsim.numerics.errors import ArgumentError

Place = tuple[int, Any]
NESTED = 8  # levels of objects within a row that are spread over its columns
GIVEN = Path("rows")  # what messages call rows that come from no file


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
    """Rows of a ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file; a row of lists is one row per entry.

    A ``.json`` file is an array of rows, an object of columns, or an object that holds either at any depth, as transformers'
    ``trainer_state.json`` does under ``log_history``: the one with most columns that are understood is taken.  What pandas
    writes with ``to_json`` is such an array or object too.

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
    if not _is_file(path):
        raise LogError(f"Argument `LOGS` must be a readable file, but {path} is not.")
    ending = path.suffix.lower()
    if ending not in READERS:
        raise LogError(f"Argument `LOGS` must end in {', '.join(READERS)}, but is {path.name}.")
    unit = "row" if ending in (".json", ".parquet") else "line"
    return _columns(path, unit, READERS[ending](path))


def rows_given(frame: Any) -> Rows:
    """Rows of a pandas data frame, of anything else with ``to_dict("records")``, of dicts in a list, or of a dict of columns.

    Raises:
        LogError: it is none of them, is empty, or a row holds lists of unequal length.

    Example:
        >>> from didsim.diagnose.reading import rows_given
        >>> rows_given([{"step": 0, "loss": 0.69}, {"step": 10, "loss": 0.61}]).columns
        {'step': [0, 10], 'loss': [0.69, 0.61]}
    """
    if hasattr(frame, "to_dict"):
        frame = frame.to_dict("records")
    if isinstance(frame, Mapping):
        frame = [{name: value.tolist() if hasattr(value, "tolist") else value for name, value in frame.items()}]
    if not isinstance(frame, (list, tuple)):
        raise LogError(f"Argument `log` must be a file, a data frame or a list of rows, but is {type(frame).__name__}.")
    return _columns(GIVEN, "row", enumerate(frame, 1))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _columns(path: Path, unit: str, places: Iterator[Place] | enumerate) -> Rows:
    rows = [entry for place in places for entry in _spread(path, unit, *place)]
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


def _object(pairs: list[tuple[str, Any]]) -> Any:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LogError(f"names in an object must differ, but {twice!r} is there twice.")
    return _frame(made)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)  # once for all lines: making one takes longer than reading a line


def _loads(text: str, where: str) -> Any:
    """The JSON value of a text, in which no object names an entry twice."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise LogError(f"{where}: JSON must be nested less deeply.") from None
    except json.JSONDecodeError:
        raise
    except LogError as error:
        raise LogError(f"{where}: {error}") from None
    except ValueError:  # Python's limit on the digits of an integer
        raise LogError(f"{where}: an integer must have at most 4,300 digits, but one has more.") from None


def _frame(made: dict[str, Any]) -> Any:
    """An object as it is, or as a list where it is one by numbers or columns with data, as pandas writes frames and series."""
    names: Any = made.get("columns")
    data: Any = made.get("data")
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if texts and isinstance(data, list) and all(isinstance(row, list) and len(row) == len(names) for row in data):
        return [dict(zip(names, row, strict=True)) for row in data]
    numbered = bool(made) and all(name.isascii() and name.isdecimal() for name in made)
    return list(made.values()) if numbered else made


def _json_lines(path: Path) -> Iterator[Place]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                row = _loads(line, f"{path.name}, line {number}")
            except json.JSONDecodeError as error:
                hint = "; is the file cut off?" if error.pos >= len(line.rstrip()) - 1 or "Unterminated" in error.msg else ""
                raise LogError(
                    f"{path.name}, line {number}: a line must be one JSON object, but is not ({error.msg}){hint}"
                ) from None
            yield number, row


def _json(path: Path) -> Iterator[Place]:
    try:
        whole = _loads(_text(path) or "[]", path.name)
    except json.JSONDecodeError as error:
        raise LogError(f"{path.name}, line {error.lineno}: the file must be JSON, but is not ({error.msg}).") from None
    rows = _history(whole) if isinstance(whole, dict) else whole
    if not isinstance(rows, list):
        raise LogError(f"{path.name}: the file must hold an array of rows, but holds {type(rows).__name__}.")
    yield from enumerate(rows, 1)


def _history(whole: dict[str, Any]) -> list[Any]:
    """The rows in an object: of all arrays of rows, and objects of columns, in it the one with most columns understood."""
    best, most, queue = [whole], (0, 0), [whole]
    while queue:
        inside = queue.pop(0)
        queue += [value for value in inside.values() if isinstance(value, dict)]
        lists = {name: value for name, value in inside.items() if isinstance(value, list)}
        made = [value for value in lists.values() if value and all(isinstance(row, dict) for row in value)]
        known = {name: value for name, value in lists.items() if meant(name) and value and not isinstance(value[0], dict)}
        made += [[known]] if known else []
        for rows in made:
            size = len(next(iter(known.values()))) if rows == [known] else len(rows)
            score = len({meaning for row in rows for name in row if (meaning := meant(name))}), size
            best, most = (rows, score) if score > most else (best, most)
    return best if most[0] >= 2 else whole.get("log_history", [whole])


def _table(path: Path) -> Iterator[Place]:
    lines = _text(path).splitlines(keepends=True)
    head = lines[0] if lines else ""
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    between = usual if usual in head else next((mark for mark in "\t;" if mark in head), usual)
    reader = csv.reader(lines, strict=True, delimiter=between)
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


READERS: dict[str, Callable[[Path], Iterator[Place]]] = {
    ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json, ".csv": _table, ".tsv": _table, ".parquet": _parquet,
}  # fmt: skip


def _spread(path: Path, unit: str, number: int, row: Any) -> Iterator[Place]:
    """The row itself, or one row per entry where it holds lists: a batch, or a whole file by columns."""
    if not isinstance(row, dict):
        raise LogError(f"{path.name}, {unit} {number}: a row must be a JSON object, but is {type(row).__name__}.")
    row = dict(_flat(path, unit, number, row))
    sizes = {name: len(value) for name, value in row.items() if isinstance(value, list)}
    if len(set(sizes.values())) > 1:
        (one, first), (other, second) = next((a, b) for a in sizes.items() for b in sizes.items() if a[1] != b[1])
        raise LogError(
            f"{path.name}, {unit} {number}: lists of a row must be equally long, but {one!r} has {first} entries and "
            f"{other!r} {second}."
        )
    for place in range(next(iter(sizes.values()), 1)):
        yield number, {name: value[place] if name in sizes else value for name, value in row.items()}


def _flat(path: Path, unit: str, number: int, row: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Entries of a row, those of objects within it under joined names: ``{"rewards": {"chosen": 1}}`` is ``rewards/chosen``."""
    if depth > NESTED:
        raise LogError(f"{path.name}, {unit} {number}: a row must be nested at most {NESTED} levels deep, but is deeper.")
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{inner}", entry) for inner, entry in _flat(path, unit, number, value, depth + 1))
        else:
            yield str(name), value
