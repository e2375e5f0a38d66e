"""Every command with words for which it is quick, the files it writes, and those it reads."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import trainer_logs as made
import xarray as xr

from didsim.cli import COMMANDS
from didsim.cli.bench import suite
from didsim.figures import make
from didsim.figures.verdicts import below

RUN = 'steps = 5\nrecords = 2\n[world]\nname = "random_target"\nn = 4\n[objective]\nname = "dpo"\nbeta = 0.5\n'
SWEEP = f'seeds = 2\n{RUN}[axes]\n"objective.beta" = [0.5, 1.0]\n'


@dataclass(frozen=True)
class Case:
    """Words of a command.

    Attributes:
        words: with which it is quick; ``{read}`` is the folder of `given`.
        code: how it ends.
        writes: its options for files, with the ending of each.
        folders: its options for folders.
        reads: its arguments that are files, each with the words that name one.
        jax: whether it needs JAX.
        prints: whether it prints anything.
    """

    words: tuple[str, ...]
    code: int = 0
    writes: tuple[tuple[str, str], ...] = ()
    folders: tuple[str, ...] = ()
    reads: tuple[tuple[str, ...], ...] = ()
    jax: bool = True
    prints: bool = True


ONE_POINT = {"here": {1: 1.0}}  # a curve of a benchmark
LAW = ("--pairs", "--reward", "--reference")
CASES = {
    "reproduce": Case(("B1", "--fast", "--out", "{read}/figures"), folders=("--out",)),
    "list": Case((), jax=False),
    "verify": Case(("D1.event", "--instances", "100"), writes=(("--json", ".json"), ("--counterexamples", ".json"))),
    "report": Case(("--figures", "{read}/results", "--out", "{read}/x.html", "--overwrite"), 1, (("--out", ".html"),), jax=False),
    "diagnose": Case(("{read}/log.json",), 1, (("--json", ".json"), ("--html", ".html")), reads=(("",),)),
    "objectives": Case((), writes=(("--json", ".json"),), jax=False),
    "atlas": Case(("--objective", "dpo", "--departure", "matched", "--worlds", "1"), folders=("--out",)),
    "golden": Case(("--out", "{read}/golden.json", "--overwrite"), writes=(("--out", ".json"),), prints=False),
    "worlds": Case(("--out", "{read}/worlds.json", "--overwrite"), writes=(("--out", ".json"),)),
    "sampler": Case(("uniform", "--n", "3"), writes=(("--json", ".json"),), reads=tuple((option,) for option in LAW)),
    "simplex": Case(
        ("--objective", "dpo", "--sampler", "uniform", "--divisions", "3", "--out", "{read}/x.svg", "--overwrite"),
        writes=(("--out", ".svg"), ("--out", ".png"), ("--out", ".html"), ("--out", ".gif")),
    ),
    "playground": Case(("--out", "{read}/play.html", "--overwrite"), writes=(("--out", ".html"),), jax=False),
    "train": Case(("{read}/run.toml",), writes=(("--out", ".nc"), ("--plot", ".png")), reads=(("",),)),
    "sweep": Case(("{read}/sweep.toml",), folders=("--out",), reads=(("",),)),
    "plot": Case(
        ("{read}/run.nc", "loss", "--out", "{read}/y.png", "--overwrite"),
        writes=(("--out", ".png"), ("--out", ".svg"), ("--out", ".pdf")),
        reads=(("",),),
        jax=False,
    ),
    "bench": Case(("--quick",), writes=(("--json", ".json"),), folders=("--out",)),
    "info": Case(()),
}
assert list(CASES) == [kind.__name__.lower() for kind in COMMANDS]


def given(folder):
    """Fills a folder with what the commands read, and returns it."""
    (folder / "results").mkdir()  # of which all but the verdicts is missing
    shutil.copy(Path(__file__).parent.parent / "figures" / "summary.json", folder / "results")
    (folder / "run.toml").write_text(RUN)
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "log.json").write_text(json.dumps(made.styled(made.rows(chosen=made.learned(-8.0), rejected=made.learned(-12.0)))))
    numbers = xr.Dataset({"loss": ("record", [0.7, 0.5])}, {"step": ("record", [0, 5])})
    numbers.to_netcdf(folder / "run.nc", engine="scipy")
    return folder


def spelled(name, folder, *more, without=()):
    """The words of a command, with the folder's name put in and some options, with their values, left out."""
    words = [name]
    skip = False
    for word in CASES[name].words:
        if skip or word in without:
            skip = word in without
            continue
        words.append(word.replace("{read}", str(folder)))
    return [*words, *more]


def make_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the two commands that take minutes answer at once, with one verdict and no measurement."""
    monkeypatch.setattr(make, "make", lambda job, out: make.Outcome(job.entry, [below("x", 0.0, 1.0)], 0.1))
    monkeypatch.setattr(suite, "measure", lambda plan, told: suite.Measured([], ONE_POINT, ONE_POINT))
