"""The house: the rooms that CONTRIBUTING.md lists, each importing from lower floors only."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "didsim"
ROW = re.compile(r"^\| *(\S+) *\| *`(\w+)` *\|", flags=re.M)
FREE = {"__init__", "__main__"}  # the front door opens every room
DRAWING = 8  # the lowest floor that draws
DRAWN_UPON = (
    "didsim.numerics.errors",
    "didsim.numerics.lazy",
)  # all that the side room may import: how to say no, and late names


def floors(page: str) -> dict[str, str]:
    """Room to floor, as the table says; a room that stands there twice keeps both."""
    found: dict[str, str] = {}
    for floor, room in ROW.findall(page.partition("\n## Rooms\n")[2].partition("\n## ")[0]):
        found[room] = f"{found[room]} and {floor}" if room in found else floor
    return found


def faults_of_table(table: dict[str, str], rooms: set[str]) -> list[str]:
    """What is wrong with the table itself, given the rooms that there are."""
    wrong = [f"{room} has no floor" for room in sorted(rooms - table.keys())]
    wrong += [f"{room} has a floor but is no room" for room in sorted(table.keys() - rooms)]
    wrong += [f"{room} stands on floor {floor}" for room, floor in table.items() if not (floor.isdigit() or floor == "side")]
    return wrong


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


def complaints(table: dict[str, str], room: str, source: str, package: str = "didsim") -> list[str]:
    """What is wrong with the imports of one file of a room."""
    wrong = []
    for name in sorted(imported(source, package)):
        target = name.removeprefix("didsim").strip(".").split(".")[0]
        if target != room and not _is_below(table, room, target, name):
            wrong.append(f"{room} imports {name}, which is {'not below it' if target in table else 'no room'}")
    return wrong


def _is_below(table: dict[str, str], room: str, target: str, name: str) -> bool:
    here, there = table[room], table.get(target)
    if here == "side":
        return name.startswith(DRAWN_UPON)
    if there == "side":
        return int(here) >= DRAWING
    return there is not None and int(there) < int(here)


TABLE = floors((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_the_table_names_every_room_once_on_a_whole_floor():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"} - FREE - {"__pycache__"}
    assert faults_of_table(TABLE, rooms) == []
    assert len(rooms) <= 15


def test_rooms_import_downwards_only():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0].removesuffix(".py") not in FREE:
            wrong += complaints(
                TABLE, inside.parts[0], path.read_text(encoding="utf-8"), ".".join(["didsim", *inside.parts[:-1]])
            )
    assert wrong == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("| 1 | `attic` | a |", "attic has a floor but is no room"),
        ("", "did has no floor"),
        ("| 1 | `did` | a |\n| 2 | `did` | a |", "did stands on floor 1 and 2"),
        ("| 0.5 | `did` | a |", "did stands on floor 0.5"),
        ("| −1 | `did` | a |", "did stands on floor −1"),
    ],
)
def test_the_check_sees_faults_of_the_table(page, fault):
    assert fault in faults_of_table(floors(f"\n## Rooms\n\n{page}\n\n## Style\n"), {"did"})


@pytest.mark.parametrize(
    ("room", "source", "complaint"),
    [
        ("numerics", "from didsim import sweeps", "numerics imports didsim.sweeps, which is not below it"),
        (
            "numerics",
            "def f():\n    import didsim.dynamics.run",
            "numerics imports didsim.dynamics.run, which is not below it",
        ),
        ("did", "from didsim.worlds import problem", "did imports didsim.worlds, which is not below it"),
        ("teaching", "from didsim.figures import make", "teaching imports didsim.figures, which is not below it"),
        ("samplers", "from .objectives import dpo", "samplers imports didsim.objectives, which is not below it"),
        ("samplers", "from . import sweeps", "samplers imports didsim.sweeps, which is not below it"),
        ("samplers", "import didsim", "samplers imports didsim, which is no room"),
        ("samplers", "from didsim import __version__", "samplers imports didsim.__version__, which is no room"),
        ("samplers", "from didsim import learned_policy", "samplers imports didsim.learned_policy, which is no room"),
        ("plotting", "from didsim.numerics import simplex", "plotting imports didsim.numerics, which is not below it"),
        ("plotting", "from didsim import did", "plotting imports didsim.did, which is not below it"),
        ("dynamics", "from didsim import plotting", "dynamics imports didsim.plotting, which is not below it"),
    ],
)
def test_the_check_sees(room, source, complaint):
    assert complaints(TABLE, room, source) == [complaint]


def test_the_check_lets_pass():
    inner = "import jax\nfrom didsim.numerics import checks\nfrom didsim.sweeps.axes import Grid\nimport os.path"
    assert complaints(TABLE, "sweeps", inner) == []
    assert complaints(TABLE, "objectives", "from .parts import dpo\nfrom ..samplers import Mix", "didsim.objectives") == []
    assert complaints(TABLE, "figures", "from didsim.plotting import axes") == []
    assert complaints(TABLE, "plotting", "from didsim.numerics.errors import ArgumentError") == []
