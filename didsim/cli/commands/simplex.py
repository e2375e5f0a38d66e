"""What does `didsim simplex` do once it is understood?"""

from pathlib import Path
from typing import Any

from didsim.figures import triangle
from didsim.numerics import checks
from didsim.objectives import Objective
from didsim.plotting import triangles as picture
from didsim.samplers import Sampler
from didsim.sweeps.toml import build_named

OBJECTIVES = ("dpo", "simpo", "ipo[sum]", "orpo:odds_weight=1.0")
SAMPLERS = {"uniform": "uniform", "reference": "reference", "on_policy": "on_policy", "last never shown": "blocks:block=0/0/-1"}
PLAIN = {".png": {"Software": None}, ".svg": {"Date": None}}  # nothing in the file that changes from day to day
STILL, MOVING = tuple(PLAIN), (".html", ".gif")


def simplex(command: Any) -> int:
    """Draws the triangles of every objective under every sampler, or one run as an animation, and prints where runs end."""
    _check_out(command.out, command.overwrite)
    moves = command.out.suffix in MOVING
    objectives, samplers = _objectives(command, moves), _samplers(command, moves)
    if moves and (len(objectives) > 1 or len(samplers) > 1):
        raise checks.ArgumentError("Argument `--out` must end in .png or .svg for several objectives or samplers.")
    world = triangle.three_responses(command.beta, command.reference, command.reward)
    data = triangle.gallery(world, objectives, samplers, divisions=command.divisions)
    if moves:
        _animate(data.isel(objective=0, sampler=0), command.out)
    else:
        picture.gallery(data).savefig(command.out, dpi=200, metadata=PLAIN[command.out.suffix])
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


def _animate(one: Any, out: Path) -> None:
    title = f"{one['objective'].item()}, pairs: {one['sampler'].item()}"
    moving = picture.animation(one, title=title)
    if out.suffix == ".html":
        out.write_text(picture.player(moving, title), encoding="utf-8")
    else:
        picture.save_gif(moving, out)


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix not in (*STILL, *MOVING):
        raise checks.ArgumentError(f"Argument `--out` must end in one of {', '.join((*STILL, *MOVING))}, but is {out}.")
    if out.exists() and not overwrite:
        raise checks.ArgumentError(f"Argument `--out` must not exist already, but {out} does; use --overwrite.")
    if not out.parent.is_dir():
        raise checks.ArgumentError(f"Argument `--out` must lie in a folder that exists, but {out.parent} does not.")


def _objectives(command: Any, moves: bool) -> dict[str, Objective]:
    words = command.objective or (OBJECTIVES[:1] if moves else OBJECTIVES)
    return {_label(word): build_named("objective", word, "--objective", beta=command.beta) for word in words}


def _samplers(command: Any, moves: bool) -> dict[str, Sampler]:
    given = {word: word for word in command.sampler} or ({"uniform": "uniform"} if moves else SAMPLERS)
    return {name: build_named("sampler", word, "--sampler") for name, word in given.items()}


def _label(word: str) -> str:
    """The bare name of the objectives drawn by default, whose numbers the documentation gives."""
    return word.partition(":")[0] if word in OBJECTIVES else word
