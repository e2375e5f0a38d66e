"""`didsim simplex`: losses over three responses, seen whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from didsim.cli import known
from didsim.cli.command import Command, Overwrite, Single, command, words
from didsim.numerics import files
from didsim.numerics.errors import ArgumentError

if TYPE_CHECKING:
    from didsim.objectives import Objective
    from didsim.samplers import Sampler

OBJECTIVES = ("dpo", "simpo", "ipo[sum]", "orpo:odds_weight=1.0")
SAMPLERS = {"uniform": "uniform", "reference": "reference", "on_policy": "on_policy", "last never shown": "blocks:block=0/0/-1"}
STILL = {".png": {"Software": None}, ".svg": {"Date": None}}  # nothing in the file that changes from day to day
MOVING = (".html", ".gif")


@command
class Simplex(Command):
    """Draw losses over three responses: exact gradient, runs and all minimisers."""

    out: Path
    """File; .png and .svg show every objective under every sampler, .html and .gif one run as it goes."""
    objective: Annotated[tuple[str, ...], words("NAME ...")] = ()
    """Names, with numbers as cdpo:smoothing=0.2; dpo, simpo, ipo[sum] and orpo if none is given."""
    sampler: Annotated[tuple[str, ...], words("NAME ...")] = ()
    """Names, with numbers as blocks:block=0/0/-1 (the last is never shown); a choice of them if none is given."""
    beta: float = 0.5
    """Inverse temperature of the world, and of the objectives that have one and do not say theirs."""
    reference: tuple[float, float, float] = (0.15, 0.7, 0.15)
    """Reference law."""
    reward: tuple[float, float, float] = (0.0, 0.4, 1.0)
    """True rewards."""
    divisions: int = 10
    """Fineness of the field of arrows."""
    single: Single = False
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses names and files before JAX is imported."""
        files.ends_in("--out", self.out, (*STILL, *MOVING))
        files.writable("--out", self.out, overwrite=self.overwrite)
        known.check_parts("objective", "objectives", self.objective)
        known.check_parts("sampler", "samplers", self.sampler)

    def run(self) -> int:
        """Draws the triangles of every objective under every sampler, or one run as an animation, and prints where runs end."""
        from didsim.figures import triangle

        moves = self.out.suffix in MOVING
        objectives, samplers = _objectives(self, moves), _samplers(self, moves)
        if moves and (len(objectives) > 1 or len(samplers) > 1):
            raise ArgumentError("Argument `--out` must end in .png or .svg for several objectives or samplers.")
        world = triangle.three_responses(self.beta, self.reference, self.reward)
        data = triangle.gallery(world, objectives, samplers, divisions=self.divisions)
        files.write("--out", self.out, lambda file: _draw(data, file, moves=moves))
        print("\n".join(_endings(data)))
        return 0


def _endings(data: Any) -> list[str]:
    """Lines that say where the run from the reference ended, and where the loss is least."""
    kinds = {0: "one minimiser", 1: "a line of minimisers", 2: "every policy is a minimiser", -1: "no minimiser inside"}
    lines = []
    for objective in data["objective"].values:
        for sampler in data["sampler"].values:
            one = data.sel(objective=objective, sampler=sampler)
            law = " ".join(f"{mass:.4f}" for mass in one["path"].values[0, -1])
            off = f", {float(one['gap'][0]):.1g} from it" if int(one["solution_dimension"]) in (0, 1) else ""
            lines.append(f"{objective:10s} {sampler:18s} ends at {law}; {kinds[int(one['solution_dimension'])]}{off}")
    return lines


def _draw(data: Any, file: Path, *, moves: bool) -> None:
    from didsim.plotting import triangles

    if not moves:
        triangles.gallery(data).savefig(file, dpi=200, metadata=STILL[file.suffix])
        return
    one = data.isel(objective=0, sampler=0)
    title = f"{one['objective'].item()}, pairs: {one['sampler'].item()}"
    moving = triangles.animation(one, title=title)
    if file.suffix == ".html":
        file.write_text(triangles.player(moving, title), encoding="utf-8")
    else:
        triangles.save_gif(moving, file)


def _objectives(command: Simplex, moves: bool) -> "dict[str, Objective]":
    from didsim.sweeps.toml import build_named

    words = command.objective or (OBJECTIVES[:1] if moves else OBJECTIVES)
    return {_label(word): build_named("objective", word, "--objective", beta=command.beta) for word in words}


def _samplers(command: Simplex, moves: bool) -> "dict[str, Sampler]":
    from didsim.sweeps.toml import build_named

    given = {word: word for word in command.sampler} or ({"uniform": "uniform"} if moves else SAMPLERS)
    return {name: build_named("sampler", word, "--sampler") for name, word in given.items()}


def _label(word: str) -> str:
    """The bare name of the objectives drawn by default, whose numbers the documentation gives."""
    return word.partition(":")[0] if word in OBJECTIVES else word
