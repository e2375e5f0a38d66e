"""The staircase of rooms: a room imports only from lower steps."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "didsim"
STEPS = {
    -1: "refusal wording",
    0: "records simplex checks matrices provenance",
    0.5: "sequences",
    1: "did preferences policies worlds",
    2: "samplers allpairs",
    3: "objectives",
    3.5: "metrics",
    4: "landscape signal solvers explain iterated",
    4.5: "survey alignment",
    5: "dynamics",
    5.5: "triangle",
    6: "sweeps",
    7: "claims configs",
    8: "experiments exercises bench diagnose sweep_command sampler_command simplex_command verify_command",
    8.5: "commands report",
    9: "cli",
}
STEP = {room: step for step, rooms in STEPS.items() for room in rooms.split()}
SIDE = {"plotting"}  # draws data; knows none of the mathematics
FREE = {"__init__", "_version", "__main__"}


def imported(source: str, package: str) -> set[str]:
    """Dotted names under ``didsim`` that the source imports, inside functions too; ``package`` resolves relative imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            found |= {f"didsim.{alias.name}" for alias in node.names} if base == "didsim" else {base}
    return {name for name in found if name.split(".")[0] == "didsim"}


def complaints(room: str, source: str, package: str = "didsim") -> list[str]:
    """What is wrong with the imports of one file of a room."""
    if room in FREE:
        return []
    if room not in STEP and room not in SIDE:
        return [f"{room} has no step: add it to the table in tests/test_architecture.py"]
    wrong = []
    for name in sorted(imported(source, package)):
        target = name.removeprefix("didsim").strip(".").split(".")[0]
        allowed = target in {room, "_version", "__version__"} or STEP.get(target, 99) < STEP.get(room, -1)
        known = target in STEP or target in SIDE
        if not allowed and target in SIDE:
            allowed = STEP.get(room, -1) >= STEP["experiments"]
        if not allowed:
            wrong.append(f"{room} imports {name}, which is {'not below it' if known else 'no room'}")
    return wrong


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_downwards_only(path):
    inside = path.relative_to(ROOT)
    package = ".".join(["didsim", *inside.parts[:-1]])
    assert complaints(inside.parts[0].removesuffix(".py"), path.read_text(), package) == []


@pytest.mark.parametrize(
    ("room", "source", "complaint"),
    [
        ("simplex", "from didsim import sweeps", "simplex imports didsim.sweeps, which is not below it"),
        ("simplex", "def f():\n    import didsim.dynamics.run", "simplex imports didsim.dynamics.run, which is not below it"),
        ("simplex", "from didsim.numerics.checks import finite", "simplex imports didsim.numerics.checks, which is not below it"),
        ("samplers", "from .objectives import dpo", "samplers imports didsim.objectives, which is not below it"),
        ("samplers", "from . import sweeps", "samplers imports didsim.sweeps, which is not below it"),
        ("samplers", "import didsim", "samplers imports didsim, which is no room"),
        ("samplers", "from didsim import learned_policy", "samplers imports didsim.learned_policy, which is no room"),
        ("plotting", "from didsim import simplex", "plotting imports didsim.numerics.simplex, which is not below it"),
        ("metrics", "from didsim import plotting", "metrics imports didsim.plotting, which is not below it"),
        ("attic", "", "attic has no step: add it to the table in tests/test_architecture.py"),
    ],
)
def test_the_check_sees(room, source, complaint):
    assert complaints(room, source) == [complaint]


def test_the_check_lets_pass():
    assert (
        complaints("sweeps", "import jax\nfrom didsim import checks\nfrom didsim.sweeps.grid import Grid\nimport os.path") == []
    )
    assert complaints("objectives", "from .parts import dpo\nfrom ..samplers import Mix", "didsim.objectives") == []
    assert complaints("experiments", "from didsim.plotting import axes") == []
