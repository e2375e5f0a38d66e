"""Which rows does a log hold?  JSON lines, JSON, CSV, TSV or Parquet become named columns that remember where each row stood."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from didsim.diagnose.histories import NESTED, history, meaning_of, plain_list
from didsim.diagnose.names import OF_ONE_PAIR
from didsim.numerics.errors import ArgumentError

Place = tuple[int, Any]
UNNAMED: Mapping[str, str] = {}
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


def read_rows(path: Path, named: Mapping[str, str] = UNNAMED) -> Rows:
    """Rows of a ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file; a row of lists is one row per entry.

    A ``.json`` file is an array of rows, an object of columns, or holds either at any depth, as transformers'
    ``trainer_state.json`` does under ``log_history``: the one with most columns that are understood is taken.  What pandas
    writes with ``to_json`` is such an array or object too.  Lists count in columns that are understood or ``named``, their
    meanings by name; in others they are one value of the row, a text's tags for example.

    Raises:
        LogError: the file is missing, empty, of another kind, not UTF-8, cut off, or holds several runs; or a row holds lists
            that are empty, of unequal length, or beside single values of the same kind.

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
    places = _json(path, named) if ending == ".json" else READERS[ending](path)
    return _columns(path, unit, places, named)


def rows_given(frame: Any, named: Mapping[str, str] = UNNAMED) -> Rows:
    """Rows of a pandas data frame, of anything else with ``to_dict("records")``, of dicts in a list, or of a dict of columns.

    Raises:
        LogError: it is none of them, is empty, names a column twice, or a row holds lists that ``read_rows`` refuses.

    Example:
        >>> from didsim.diagnose.reading import rows_given
        >>> rows_given([{"step": 0, "loss": 0.69}, {"step": 10, "loss": 0.61}]).columns
        {'step': [0, 10], 'loss': [0.69, 0.61]}
    """
    if hasattr(frame, "to_dict"):
        frame = _records(frame)
    if isinstance(frame, Mapping):
        frame = [dict(frame)]
    if not isinstance(frame, (list, tuple)):
        raise LogError(f"Argument `log` must be a file, a data frame or a list of rows, but is {type(frame).__name__}.")
    rows = [{name: _listed(value) for name, value in row.items()} if isinstance(row, Mapping) else row for row in frame]
    return _columns(GIVEN, "row", enumerate(rows, 1), named)


def _listed(value: Any) -> Any:
    """An array as a list, anything else as it is."""
    return value.tolist() if getattr(value, "ndim", 0) else value


def _records(frame: Any) -> Any:
    """The rows of a data frame, those of an index that has a name under that name."""
    columns, index = list(getattr(frame, "columns", ())), getattr(frame, "index", None)
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise LogError(f"{GIVEN.name}: column names must differ, but {twice!r} is there twice.")
    called = [name for name in getattr(index, "names", ()) if name is not None]
    return (frame.reset_index() if called and not {*called} & {*columns} else frame).to_dict("records")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _columns(path: Path, unit: str, places: Iterator[Place] | enumerate, named: Mapping[str, str]) -> Rows:
    rows = [entry for place in places for entry in _spread(path, unit, named, *place)]
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
    return _frame(_distinct(pairs))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these entries, if no two have one name."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LogError(f"names in an object must differ, but {twice!r} is there twice.")
    return made


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


def _json(path: Path, named: Mapping[str, str] = UNNAMED) -> Iterator[Place]:
    try:
        whole = _loads(_text(path) or "[]", path.name)
    except json.JSONDecodeError as error:
        raise LogError(f"{path.name}, line {error.lineno}: the file must be JSON, but is not ({error.msg}).") from None
    rows, rivals = history(whole, named) if isinstance(whole, (dict, list)) else (whole, [])
    if rivals:
        raise LogError(f"{path.name}: a log must be of one run, but {' and '.join(rivals)} hold one each; give one of them.")
    if not isinstance(rows, list):
        raise LogError(f"{path.name}: the file must hold an array of rows, but holds {type(rows).__name__}.")
    yield from enumerate(rows, 1)


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


def _spread(path: Path, unit: str, named: Mapping[str, str], number: int, row: Any) -> Iterator[Place]:
    """The row itself, or one row per entry where it holds lists: a batch, or a whole file by columns."""
    where = f"{path.name}, {unit} {number}"
    if not isinstance(row, dict):
        raise LogError(f"{where}: a row must be a JSON object, but is {type(row).__name__}.")
    entries = list(_flat(path, unit, number, row))
    try:
        row = _distinct(entries)
    except LogError as error:
        raise LogError(f"{where}: {error}") from None
    size = _entries(where, row, named)
    if size is None:
        yield number, row
        return
    lists = {name for name, value in row.items() if isinstance(value, list) and len(value) == size}
    for place in range(size):
        yield number, {name: value[place] if name in lists else value for name, value in row.items()}


def _entries(where: str, row: dict[str, Any], named: Mapping[str, str]) -> int | None:
    """How many entries the lists of a row have in columns that count; None where there are no such lists."""
    counts = {
        name: value for name, value in row.items() if isinstance(value, list) and meaning_of(name, named) and plain_list(value)
    }
    if not counts:
        return None
    (one, first), *others = ((name, len(value)) for name, value in counts.items())
    if 0 in map(len, counts.values()):
        empty = next(name for name, value in counts.items() if not value)
        raise LogError(f"{where}: a list must have at least one entry, but {empty!r} has none.")
    other, second = next(((name, size) for name, size in others if size != first), (one, first))
    if second != first:
        raise LogError(f"{where}: lists of a row must be equally long, but {one!r} has {first} entries and {other!r} {second}.")
    paired = {name: name in counts for name, value in row.items() if _of_one_pair(name, named) and value is not None}
    if len({*paired.values()}) > 1:
        listed, single = (next(name for name, is_list in paired.items() if is_list is kind) for kind in (True, False))
        raise LogError(f"{where}: column {single!r} must be a list, one entry a pair, as {listed!r} is, but is one value.")
    return first


def _of_one_pair(name: str, named: Mapping[str, str]) -> bool:
    return (known := meaning_of(name, named)) is not None and known.meaning in OF_ONE_PAIR


def _flat(path: Path, unit: str, number: int, row: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Entries of a row, those of objects within it under joined names: ``{"rewards": {"chosen": 1}}`` is ``rewards/chosen``."""
    if depth > NESTED:
        raise LogError(f"{path.name}, {unit} {number}: a row must be nested at most {NESTED} levels deep, but is deeper.")
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{inner}", entry) for inner, entry in _flat(path, unit, number, value, depth + 1))
        else:
            yield str(name), value
