"""What does a person type?  Commands as typed dataclasses; nothing heavy is imported before one runs."""

import contextlib
import difflib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args

import tyro

from didsim.numerics.version import __version__

Words = tuple[tuple[str, ...], ...]
T = TypeVar("T")
WORDS = {Path | None: "PATH", int | None: "INT", float | None: "FLOAT", str | None: "STR"}


@dataclass_transform(frozen_default=True)
def command(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass whose help shows no default where that is nothing, on or off."""
    kinds = cls.__annotations__
    for name, kind in kinds.items():
        default: Any = getattr(cls, name, 0)
        if (default is None or isinstance(default, bool)) and not hasattr(kind, "__metadata__"):
            kinds[name] = Annotated[kind, tyro.conf.arg(metavar=WORDS.get(kind), help_behavior_hint="")]
    return dataclass(frozen=True)(cls)


@command
class Reproduce:
    """Draw figures of the papers' claims and check their verdicts."""

    ids: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[ID ...]", help_behavior_hint="")] = ()
    """Figures to draw, as `didsim list` names them; all if none is named."""
    fast: bool = False
    """Draw small, for a quick look."""
    out: Path = Path("figures")
    """Folder for pictures, data, configs and manifests."""
    set: Annotated[tyro.conf.UseAppendAction[Words], tyro.conf.arg(metavar="[ID.]NAME=VALUE")] = ()
    """Change numbers of the configs; lists as 1,2,3."""
    seed: int | None = None
    """Seed of every figure, 0 to 2^32-1; each has its own if missing."""
    x64: bool = True
    """Single precision; double is the default."""
    overwrite: bool = False
    """Replace figures of another config that are there already."""
    jobs: int | None = None
    """Figures drawn side by side, each in a process of its own; as many as there are cores."""


@command
class List:
    """List the figures: what each claims, and where from."""


@command
class Objectives:
    """List the objectives: reward, link, and where each population loss is least."""

    json: Path | None = None
    """File for the rows."""
    overwrite: bool = False
    """Replace the file if it is there."""


@command
class Info:
    """Print versions, devices and precision."""


@command
class Train:
    """Train one policy as a TOML file says and print how it ended."""

    config: tyro.conf.Positional[Path]
    """TOML file with tables world, objective, sampler, labels, policy, optimiser, rule."""
    out: Path | None = None
    """File for the recorded metrics (.nc)."""
    seed: int = 0
    """Seed of the world and the drawn pairs, 0 to 2^32-1."""
    x64: bool = True
    """Single precision; double is the default."""
    overwrite: bool = False
    """Replace the output file."""


@command
class Sweep:
    """Train over every combination of axes and seeds that a TOML file names."""

    config: tyro.conf.Positional[Path]
    """TOML file as for train, with a table axes and a number or list seeds."""
    out: Path | None = None
    """Folder for the results (a Zarr store), which the same command completes if stopped; a short table if missing."""
    resume: bool = False
    """Go on with what the folder holds: done anyway, this only says that it is meant."""
    no_resume: bool = False
    """Refuse a folder that holds results already, instead of going on with it."""
    redo: Annotated[tuple[int, ...], tyro.conf.arg(metavar="BLOCK ...", help_behavior_hint="")] = ()
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
    """Single precision; double is the default."""
    overwrite: bool = False
    """Delete the sweep that the folder holds and start anew."""


@command
class Sampler:
    """Say what a sampler teaches DPO, how fast, and from how many pairs."""

    sampler: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME ...]", help_behavior_hint="")] = ()
    """Samplers, with numbers as best_of_base:k=8; a choice of them if neither a name nor --pairs is given."""
    pairs: Path | None = None
    """Your own law of pairs: probabilities, n × n, first response on the row; .npy, or text with commas, as all files here."""
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
    """Single precision; double is the default."""
    overwrite: bool = False
    """Replace the file of numbers."""


@command
class Simplex:
    """Draw losses over three responses: exact gradient, runs and all minimisers."""

    out: Path
    """File; .png and .svg show every objective under every sampler, .html and .gif one run as it goes."""
    objective: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="")] = ()
    """Names, with numbers as cdpo:smoothing=0.2; dpo, simpo, ipo[sum] and orpo if none is given."""
    sampler: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="")] = ()
    """Names, with numbers as blocks:block=0/0/-1 (the last is never shown); a choice of them if none is given."""
    beta: float = 0.5
    """Inverse temperature of the world, and of the objectives that have one and do not say theirs."""
    reference: tuple[float, float, float] = (0.15, 0.7, 0.15)
    """Reference law."""
    reward: tuple[float, float, float] = (0.0, 0.4, 1.0)
    """True rewards."""
    divisions: int = 10
    """Fineness of the field of arrows."""
    x64: bool = True
    """Single precision; double is the default."""
    overwrite: bool = False
    """Replace the file."""


@command
class Bench:
    """Measure the speed against C, NumPy, plain XLA and PyTorch."""

    quick: bool = False
    """Fewer and smaller sizes, under a minute; rivals that are not installed are left out, with a note."""
    json: Path | None = None
    """File for the rows."""
    out: Path | None = None
    """Folder for rows, manifest and picture."""


@command
class Verify:
    """Put the theory's claims to the test, and leave out each hypothesis in turn."""

    claims: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[CLAIM ...]", help_behavior_hint="")] = ()
    """Claims by id (D7.best-rejected) or group (D7); all if none is named."""
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


@command
class Report:
    """Put all results on one page: figures, verdicts, data, ledger, speed and origin."""

    figures: Path = Path("figures")
    """Folder with the results of `didsim reproduce`, and of `didsim bench --out` if it was run."""
    ledger: Path | None = None
    """File of `didsim verify --json`; ledger.json in that folder if there is one."""
    out: Path = Path("report.html")
    """File for the page."""
    overwrite: bool = False
    """Replace the page if it is there."""


@command
class Diagnose:
    """Say what the preference logs of a real DPO run show, and which known faults."""

    logs: tyro.conf.Positional[Path]
    """One pair a row at two steps or more, .jsonl, .json, .csv or .parquet; or a trainer_state.json, which answers less."""
    beta: float | None = None
    """Inverse temperature of the run; from the log, where it says."""
    drawn: str = "unknown"
    """Responses known to be draws from the reference: chosen, rejected, both or unknown."""
    level: float = 0.95
    """Coverage of the intervals."""
    step: str | None = None
    """Column of the training step, where columns do not have TRL's names."""
    example: str | None = None
    """Column that names the pair."""
    chosen: str | None = None
    """Column of log π of the chosen response, summed over its tokens."""
    rejected: str | None = None
    """... of the rejected one."""
    ref_chosen: str | None = None
    """... of the chosen one under the reference."""
    ref_rejected: str | None = None
    """... of the rejected one under the reference."""
    chosen_length: str | None = None
    """Column of the tokens of the chosen response."""
    rejected_length: str | None = None
    """... of the rejected one."""
    score_chosen: str | None = None
    """Column of the true reward of the chosen response, where there is one."""
    score_rejected: str | None = None
    """... of the rejected one."""
    json: Path | None = None
    """File for all numbers."""
    html: Path | None = None
    """File for a page with pictures."""
    overwrite: bool = False
    """Replace the files if they are there."""


Command = Reproduce | List | Verify | Report | Diagnose | Objectives | Sampler | Simplex | Train | Sweep | Bench | Info
COMMANDS: tuple[type, ...] = get_args(Command)


@dataclass(frozen=True)
class Program:
    """The exact laboratory for preference-optimisation theory.

    Try `didsim list`, `didsim reproduce A5 --fast` or `didsim verify D7`.  Exit code 0: all is well, 1: a check failed,
    2: bad usage.
    """

    command: Annotated[Command, tyro.conf.arg(name="")] = field()


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 ok, 1 a check failed, 2 usage."""
    words = sys.argv[1:] if words is None else words
    if words and words[0] in ("--version", "-V"):
        return _version()
    _refuse_unknown(words)
    command = tyro.cli(Program, args=words, prog="didsim", config=CONFIG).command
    if isinstance(command, Report):
        from didsim.cli.report import report  # reads files alone: no JAX

        return report(command)
    _tell_the_compiler(quick=getattr(command, "fast", False))
    from didsim.cli import run_commands  # after parsing: importing JAX takes a second, help should not

    return run_commands.run(command)


CONFIG = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


def _refuse_unknown(words: list[str]) -> None:
    """Help for no command at all; one line for one that there is not, with the nearest that there is."""
    if not words:
        with contextlib.suppress(SystemExit):
            tyro.cli(Program, args=["--help"], prog="didsim", config=CONFIG)
        sys.exit(2)
    known = [kind.__name__.lower() for kind in COMMANDS]
    if not words[0].startswith("-") and words[0] not in known:
        near = difflib.get_close_matches(words[0], known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        print(f"error: Argument `command` must be one of {', '.join(known)}, but is {words[0]!r}.{hint}", file=sys.stderr)
        sys.exit(2)


def _tell_the_compiler(*, quick: bool) -> None:
    """Options of XLA's CPU compiler, left alone where the user has set them.

    A training loop of up to 16 KiB becomes one function: a third less time a step for few responses.  Vectors as wide as
    the processor has them: a third to a half less time for sums over pairs.  Quick looks are compiled without
    optimisation: their time is compilation.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    wanted = {
        "xla_backend_extra_options": "xla_cpu_small_while_loop_byte_threshold=16384",
        "xla_cpu_prefer_vector_width": "512",
    }
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
