"""What does a person type?  Commands as typed dataclasses; nothing heavy is imported before one runs."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from didsim._version import __version__

Words = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Reproduce:
    """Draw figures of the papers' claims and check their verdicts.

    Without an ID all figures are drawn.  Exit code 0: all verdicts ok, 1: one failed, 2: bad usage.
    """

    ids: tyro.conf.Positional[tuple[str, ...]] = ()
    """Figures to draw, as `didsim list` names them."""
    fast: bool = False
    """Small settings for a quick look."""
    out: Path = Path("figures")
    """Folder for pictures, data, configs and manifests."""
    set: Annotated[tyro.conf.UseAppendAction[Words], tyro.conf.arg(metavar="[ID.]NAME=VALUE")] = ()
    """Change numbers of the configs; lists as 1,2,3."""
    seed: int | None = None
    """Seed of every figure, 0 to 2^32-1."""
    x64: bool = True
    """Double precision, or single with --no-x64."""
    overwrite: bool = False
    """Replace figures that are there already."""
    jobs: int | None = None
    """Figures drawn side by side, each in a process of its own; as many as there are cores."""


@dataclass(frozen=True)
class List:
    """List the figures: what each claims, where from, and how to draw it."""


@dataclass(frozen=True)
class Objectives:
    """List the objectives: reward, link, whether convex, and where each population loss is least."""

    json: Path | None = None
    """File for the rows."""
    overwrite: bool = False
    """Replace the file if it is there."""


@dataclass(frozen=True)
class Info:
    """Print versions, devices and precision."""


@dataclass(frozen=True)
class Train:
    """Train one policy as a TOML file says and print how it ended."""

    config: tyro.conf.Positional[Path]
    """TOML file with tables world, objective, sampler, labels, policy, optimiser, rule."""
    out: Path | None = None
    """File for the recorded metrics (.nc)."""
    seed: int = 0
    """Seed of the world and the drawn pairs, 0 to 2^32-1."""
    x64: bool = True
    """Double precision, or single with --no-x64."""
    overwrite: bool = False
    """Replace the output file."""


@dataclass(frozen=True)
class Sweep:
    """Train over every combination of axes and seeds that a TOML file names.

    With --out the results go to disk block by block; starting again goes on where the last start ended.  Exit code 0: all
    computed, 1: a block failed or workers died, 2: bad usage.
    """

    config: tyro.conf.Positional[Path]
    """TOML file as for train, with a table axes and a number or list seeds."""
    out: Path | None = None
    """Folder for the results (a Zarr store); without it a short table is printed."""
    resume: bool = True
    """Go on with what the folder already holds, or refuse with --no-resume."""
    redo: tuple[int, ...] = ()
    """Blocks to compute again."""
    width: int | None = None
    """Runs per block; chosen from the sweep, or as the folder has it."""
    workers: int | None = None
    """Processes that compute blocks side by side on this machine."""
    coordinator: str | None = None
    """host:port of process 0, when several hosts share the sweep."""
    num_processes: int | None = None
    """How many processes share the sweep."""
    process_id: int | None = None
    """Which of them this is, from 0."""
    x64: bool = True
    """Double precision, or single with --no-x64."""
    overwrite: bool = False
    """Delete the sweep that the folder holds and start anew."""


@dataclass(frozen=True)
class Sampler:
    """Say what a sampler can and cannot teach, how fast, and from how many pairs.

    For DPO on a table with Bradley-Terry labels.  One sampler is reported in words, several as a table.  Files are .npy, or
    text with commas.
    """

    sampler: tuple[str, ...] = ()
    """Names, with numbers as best_of_base:k=8; a choice of them if neither this nor --pairs is given."""
    pairs: Path | None = None
    """Your own law of pairs: probabilities, n × n, first response on the row."""
    reward: Path | None = None
    """Your own rewards, n numbers; standard normal if missing."""
    reference: Path | None = None
    """Your own reference law: n probabilities; uniform if missing."""
    beta: float = 1.0
    """Inverse temperature of the implicit reward."""
    accuracy: float = 0.01
    """Share of the error, and error in nats, that steps and pairs are counted for."""
    n: int = 20
    """Responses, where no reward is given."""
    seed: int = 0
    """Seed of the reward, where none is given."""
    json: Path | None = None
    """File for all numbers."""
    x64: bool = True
    """Double precision, or single with --no-x64."""
    overwrite: bool = False
    """Replace the file of numbers."""


@dataclass(frozen=True)
class Bench:
    """Measure the speed against C, NumPy, plain XLA and PyTorch, in one run on this machine.

    Rivals that are not installed are left out, with a note.
    """

    quick: bool = False
    """Fewer and smaller sizes, under a minute."""
    json: Path | None = None
    """File for the rows."""
    out: Path | None = None
    """Folder for rows, manifest and picture."""


@dataclass(frozen=True)
class Verify:
    """Put the claims of the theory to the test: random instances, and each hypothesis left out in turn.

    Without a CLAIM all are judged.  Exit code 0: each holds and fails without what it needs, 1: one does not, 2: bad usage.
    """

    claims: tyro.conf.Positional[tuple[str, ...]] = ()
    """Claims by id (D7.best-rejected) or group (D7)."""
    instances: int = 10_000
    """Random instances per claim."""
    attack: bool = False
    """Climb every residual on purpose, and try other numbers of responses."""
    certify: bool = False
    """Enclose the worst instances in ball arithmetic; needs python-flint."""
    seed: int = 0
    """Seed of the instances, 0 to 2^32-1."""
    dtype: str = "float64"
    """Precision, float64 or float32."""
    json: Path | None = None
    """File for the findings."""
    counterexamples: Path | None = None
    """File for the smallest instance on which each control fails; they are printed as well."""


@dataclass(frozen=True)
class Program:
    """The exact laboratory for preference-optimisation theory."""

    command: Annotated[
        Reproduce | List | Objectives | Info | Train | Sweep | Sampler | Bench | Verify, tyro.conf.arg(name="")
    ] = field()


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 ok, 1 a check failed, 2 usage."""
    words = sys.argv[1:] if words is None else words
    if words and words[0] in ("--version", "-V"):
        return _version()
    config = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)
    command = tyro.cli(Program, args=words, prog="didsim", config=config).command
    _tell_the_compiler(quick=getattr(command, "fast", False))
    from didsim import commands  # after parsing: importing JAX takes a second, help should not

    return commands.run(command)


def _tell_the_compiler(*, quick: bool) -> None:
    """Options of XLA's CPU compiler, left alone where the user has set them.

    A training loop of up to 16 KiB becomes one function: a third less time a step for few responses.  Quick looks are
    compiled without optimisation: their time is compilation.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    wanted = {"xla_backend_extra_options": "xla_cpu_small_while_loop_byte_threshold=16384"}
    if quick:
        wanted["xla_backend_optimization_level"] = "0"
    os.environ["XLA_FLAGS"] = " ".join(
        [flags, *(f"--{name}={value}" for name, value in wanted.items() if name not in flags)]
    ).strip()


def _version() -> int:
    import jax

    devices = jax.devices()
    print(f"didsim {__version__} (jax {jax.__version__}, {len(devices)} × {devices[0].device_kind})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
