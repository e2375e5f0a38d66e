"""What the pages and notebooks show is what a user may rely on: every didsim name in their Python is a public one."""

import ast
import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import didsim

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")])


def python_of(path: Path) -> str:
    """The Python that a page or notebook shows, without the magic of notebooks."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        parts = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    else:
        parts = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    return re.sub(r"^(\s*)%.*$", r"\1pass", "\n".join(parts), flags=re.M)


def private(source: str) -> list[str]:
    """Names of this package that the source takes from where they are not public."""
    tree, rooms, wrong = ast.parse(source), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wrong += [alias.name for alias in node.names if alias.name.startswith("didsim.")]
            rooms |= {alias.asname or alias.name: didsim for alias in node.names if alias.name == "didsim"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "didsim":
            home = _room(str(node.module))
            for alias in node.names:
                if home is None or alias.name not in _public(home):
                    wrong.append(f"{node.module}.{alias.name}")
                elif isinstance(found := getattr(home, alias.name), ModuleType):
                    rooms[alias.asname or alias.name] = found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (home := _of(node.value, rooms)) and node.attr not in _public(home):
            wrong.append(f"{home.__name__}.{node.attr}")
    return wrong


def _room(name: str) -> ModuleType | None:
    """The module, if it is the package or a public room under its own name."""
    _, _, room = name.partition(".")
    return importlib.import_module(name) if not room or room in didsim.__all__ else None


def _public(module: ModuleType) -> set[str]:
    """What a room exports; where it has no list, what is its own and not underscored."""
    own = {name for name, one in vars(module).items() if getattr(one, "__module__", "").startswith("didsim")}
    return set(getattr(module, "__all__", {name for name in own if not name.startswith("_")}))


def _of(node: ast.expr, rooms: dict[str, ModuleType]) -> ModuleType | None:
    """The module of this package that an expression stands for."""
    if isinstance(node, ast.Name):
        return rooms.get(node.id)
    if isinstance(node, ast.Attribute) and (home := _of(node.value, rooms)):
        found = getattr(home, node.attr, None)
        return found if isinstance(found, ModuleType) and found.__name__.startswith("didsim") else None
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_use_public_names_alone(path):
    assert private(python_of(path)) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from didsim.figures.a6_entropy_picture import draw", "didsim.figures.a6_entropy_picture.draw"),
        ("from didsim.figures import make", "didsim.figures.make"),
        ("from didsim import checks", "didsim.checks"),
        ("import didsim.did", "didsim.did"),
        ("import didsim\ndidsim.did.estimators", "didsim.did.estimators"),
        ("from didsim import plotting as p\ndef f():\n    p.drawing.save()", "didsim.plotting.drawing"),
    ],
)
def test_the_check_sees(source, name):
    assert private(source) == [name]


def test_the_check_lets_pass():
    assert private("import didsim\nfrom didsim import did\nfrom didsim.figures import below\ndid.log_did\ndidsim.solve") == []
    assert private("import numpy.linalg\nfrom pathlib import Path\nPath.home") == []
