"""How does a figure get from its config to files on disk, whole or not at all?"""

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import jax
import xarray as xr

from didsim.figures.catalogue import FIGURES, Entry, chosen
from didsim.figures.manifest import manifest, repeats
from didsim.figures.settings import configure, field_names, split_settings, to_toml
from didsim.figures.verdicts import Verdict
from didsim.numerics import checks, files
from didsim.numerics.processes import asked_for, cores, process_pool
from didsim.numerics.promotion import usual_promotion
from didsim.plotting.drawing import save

ENDINGS = (".svg", ".png", ".nc", ".toml", ".manifest.json")


@dataclass(frozen=True)
class Job:
    """One figure to draw: its entry and its resolved config."""

    entry: Entry
    config: object


@dataclass(frozen=True)
class Outcome:
    """What came out of one figure."""

    entry: Entry
    verdicts: list[Verdict]
    seconds: float

    def to_json(self) -> dict:
        """Row of ``summary.json``."""
        rows = [verdict.to_json() for verdict in self.verdicts]
        return {"id": self.entry.id, "seconds": round(self.seconds, 3), "verdicts": rows}


def plan(ids: Sequence[str], *, fast: bool, settings: Sequence[str], seed: int | None) -> list[Job]:
    """Figures to draw with their configs, everything checked before anything runs.

    Raises:
        ArgumentError: an unknown figure or setting, or a value that a config does not allow.
    """
    # Which figures, and which settings each of them has.
    wanted_figures = chosen(ids)
    modules = {entry.id: importlib.import_module(entry.numbers) for entry in wanted_figures}
    known = {id: field_names(module.Config) for id, module in modules.items()}

    # Every setting must be one of the figure it names, or of some figure.
    parts = split_settings(settings)
    for figure, name, _ in parts:
        if figure is not None:
            checks.did_you_mean("--set", figure, known)
        names = known[figure] if figure is not None else sorted({name for fields in known.values() for name in fields})
        checks.did_you_mean("--set", name, names)

    # A setting without a figure goes to all that have it.
    jobs = []
    for entry in wanted_figures:
        wanted = {name: text for figure, name, text in parts if figure in (None, entry.id) and name in known[entry.id]}
        jobs.append(Job(entry, configure(modules[entry.id].Config, wanted, fast=fast, seed=seed)))
    return jobs


def check_folder(out: Path, jobs: Sequence[Job], *, overwrite: bool) -> None:
    """Refuses to run over files that are there, unless they hold the same figure: then nothing is lost.

    Raises:
        ArgumentError: a figure's files exist, with another config or precision, and ``overwrite`` is off;
            or one of them cannot be replaced.
    """
    for name in ("summary.json", *(job.entry.stem + end for job in jobs for end in ENDINGS)):
        if (out / name).exists():
            files.writable("--out", out / name, overwrite=True)
    if overwrite:
        return
    new = [job for job in jobs if not repeats(out / f"{job.entry.stem}.manifest.json", to_toml(job.config))]
    there = [job.entry.stem + end for job in new for end in ENDINGS if (out / (job.entry.stem + end)).exists()]
    if there:
        raise checks.ArgumentError(
            f"Argument `--out` must not hold another {there[0]} already, but {out} does; use --overwrite or another folder."
        )


@usual_promotion()
def make(job: Job, out: Path) -> Outcome:
    """Runs one figure and writes its files; an interruption leaves older files as they were."""
    began = time.perf_counter()
    numbers = importlib.import_module(job.entry.numbers)

    # Numbers, whether they hold, and the picture of them.
    data: xr.Dataset = numbers.run(job.config)
    verdicts: list[Verdict] = numbers.verdicts(data)
    picture = importlib.import_module(job.entry.picture).draw(data)
    seconds = time.perf_counter() - began

    # All files beside their places first, then each into its place at once.
    text = to_toml(job.config)
    record = manifest(text, getattr(job.config, "seed", 0), seconds, [v.to_json() for v in verdicts])
    with files.scratch_folder(out) as scratch:
        stem = scratch / job.entry.stem
        save(picture, f"{stem}.svg", f"{stem}.png")
        _for_disk(data).to_netcdf(f"{stem}.nc", engine="scipy")
        Path(f"{stem}.toml").write_text(text, encoding="utf-8")
        Path(f"{stem}.manifest.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        for end in ENDINGS:
            os.replace(f"{stem}{end}", out / f"{job.entry.stem}{end}")
    return Outcome(job.entry, verdicts, seconds)


def make_all(jobs: Sequence[Job], out: Path, side_by_side: int | None) -> Iterator[Outcome]:
    """Makes figures in processes of their own, as many side by side as there are cores if not said, as they are done.

    Nearly all of a figure's time is compilation, which uses one core.

    Raises:
        ArgumentError: fewer than one at once.
    """
    wanted = cores() if side_by_side is None else asked_for("--jobs", side_by_side)
    if min(wanted, len(jobs)) == 1:
        yield from (make(job, out) for job in jobs)
        return
    settings = bool(jax.config.read("jax_enable_x64")), sys.argv
    pool = process_pool(min(wanted, len(jobs)), _settle, settings)
    try:
        queue = sorted(jobs, key=lambda job: not job.entry.heavy)
        for done in as_completed([pool.submit(make, job, out) for job in queue]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _settle(double: bool, words: list[str]) -> None:
    """Gives a new process the precision and the command line of the one that started it; the latter is for the manifests."""
    jax.config.update("jax_enable_x64", double)
    sys.argv = words


def write_summary(out: Path, outcomes: Sequence[Outcome]) -> None:
    """``summary.json``: a list with one row per figure, rows of other figures already there kept."""
    path = out / "summary.json"
    rows = {row["id"]: row for row in _old_rows(path)}
    rows.update({outcome.entry.id: outcome.to_json() for outcome in outcomes})
    files.write_json("--out", path, [rows[id] for id in [*FIGURES, *sorted(rows.keys() - FIGURES)] if id in rows])


def _old_rows(path: Path) -> list[dict]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [row for row in rows if isinstance(row, dict) and "id" in row]
    except (OSError, ValueError):
        return []


def _for_disk(data: xr.Dataset) -> xr.Dataset:
    """The dataset in the types that netCDF 3 knows, without how long it took: the manifest says that."""
    data = data.drop_attrs(deep=False).assign_attrs({name: value for name, value in data.attrs.items() if name != "seconds"})
    changed = {name: value.astype("int32") for name, value in data.variables.items() if value.dtype.kind in "bui"}
    return data.assign({k: v for k, v in changed.items() if k in data.data_vars}).assign_coords(
        {k: v for k, v in changed.items() if k in data.coords}
    )
