"""What do the files of a results folder hold, and are they whole?

Each kind of row has a model here; reading one that does not fit raises `Damaged`, which names the file and says why in one
line.  Nothing here imports JAX: a report can be written where no device is.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator

T = TypeVar("T")


class Damaged(Exception):
    """A file is missing or does not hold what it should; the message names it."""


class VerdictRow(BaseModel):
    """One verdict: a measured value, its bound, and whether it keeps to it."""

    name: str
    value: float
    bound: float
    sense: Literal["<=", ">="]
    ok: bool
    control: bool = False

    @model_validator(mode="after")
    def _agrees(self) -> "VerdictRow":
        kept = self.value <= self.bound if self.sense == "<=" else self.value >= self.bound
        if kept != self.ok:
            raise ValueError(f"ok is {self.ok}, but {self.value:g} {self.sense} {self.bound:g} is {kept}")
        return self


class SummaryRow(BaseModel):
    """One figure's row of ``summary.json``."""

    id: str
    seconds: float
    verdicts: list[VerdictRow]


class Git(BaseModel):
    """Where the code stood; empty outside a repository."""

    commit: str = ""
    dirty: bool = False


class Origin(BaseModel):
    """What any manifest says of where its results come from."""

    didsim: str
    git: Git = Git()
    finished: str
    seconds: float
    seed: int | None = None
    dtype: str | None = None
    libraries: dict[str, str] = {}
    jax: str | None = None
    python: str | None = None
    platform: str | None = None
    devices: list[str] = []
    command: list[str] = []
    instances: int | None = None


class Manifest(Origin):
    """A figure's manifest."""

    config: str
    verdicts: list[VerdictRow]


class Machine(BaseModel):
    """What the speed was measured on."""

    cpu: str
    cores: int
    vectors: str
    load: list[float] = []
    devices: list[str]


class BenchManifest(Origin):
    """Manifest of the benchmarks."""

    machine: Machine


class BenchRow(BaseModel):
    """One benchmark: our seconds, the rival's, and the rival's in ours."""

    name: str
    ours_s: float
    rival_s: float | None = None
    ratio: float | None = None
    note: str = ""


class ExampleRow(BaseModel):
    """An instance on which a claim fails: fractions as text, as nested lists."""

    n: int
    values: dict[str, Any]
    residual: float


class ControlRow(BaseModel):
    """One hypothesis left out."""

    dropped: str
    needed: bool
    ok: bool
    instances: int
    failure_rate: float
    counterexample: ExampleRow | None = None


class ClaimRow(BaseModel):
    """One claim of the ledger and what came out of it."""

    id: str
    source: str
    statement: str
    formula: str = ""
    instances: int
    worst: float
    bound: float
    ok: bool
    controls: list[ControlRow] = []
    adversarial: float | None = None
    certified: list[str] = []
    counterexample: ExampleRow | None = None


class AtlasRow(BaseModel):
    """One cell of the atlas: medians over worlds with their intervals."""

    objective: str
    departure: str
    title: str
    kind: str
    worlds: int
    residual: float | None
    rank: int
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    jsd: float | None
    jsd_low: float | None
    jsd_high: float | None
    chosen_change: float | None
    chosen_change_low: float | None
    chosen_change_high: float | None
    misfit: float | None
    misfit_low: float | None
    misfit_high: float | None
    reason: str = ""


class AtlasColumn(BaseModel):
    """What a column of the atlas changes, and its numbers."""

    about: str = ""
    settings: str = ""


class AtlasManifest(Origin):
    """Manifest of the atlas: in which worlds it was solved, and what each column changes."""

    world: str
    worlds: int
    columns: dict[str, AtlasColumn] = {}


SUMMARY = TypeAdapter(list[SummaryRow]).validate_python
MANIFEST = TypeAdapter(Manifest).validate_python
ORIGIN = TypeAdapter(Origin).validate_python
BENCH = TypeAdapter(list[BenchRow]).validate_python
BENCH_MANIFEST = TypeAdapter(BenchManifest).validate_python
CLAIMS = TypeAdapter(list[ClaimRow]).validate_python
ATLAS = TypeAdapter(list[AtlasRow]).validate_python
ATLAS_MANIFEST = TypeAdapter(AtlasManifest).validate_python


def read(path: Path, check: Callable[[Any], T]) -> T:
    """The JSON of a file, checked.

    Raises:
        Damaged: it cannot be read, is not JSON, or does not hold what ``check`` asks for.
    """
    try:
        return check(json.loads(text(path)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Damaged(f"{path.name} is damaged: {where or 'the whole'}: {_lower(first['msg'])}.") from None
    except ValueError as error:
        raise Damaged(f"{path.name} is damaged: not JSON: {_lower(str(error))}.") from None


def text(path: Path) -> str:
    """The text of a file.

    Raises:
        Damaged: it cannot be read.
    """
    _refuse_endless(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Damaged(f"{path.name} is missing.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise Damaged(f"{path.name} cannot be read: {_lower(str(reason))}.") from None


def content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        Damaged: it cannot be read.
    """
    _refuse_endless(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path.name} is missing.") from None
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {_lower(str(error.strerror))}.") from None


def _refuse_endless(path: Path) -> None:
    """Refuses what may never end, a device or a pipe."""
    if path.exists() and not path.is_file():
        raise Damaged(f"{path.name} cannot be read: it is no file.")


def _lower(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line[:1].lower() + one_line[1:]
