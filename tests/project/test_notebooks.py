"""Every notebook has the house form: short, executed, with a check, a picture under each slider and an exercise."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pytest

from didsim.teaching import EXERCISES

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WIDTH = 88  # of a line of code
SECTIONS = ("Question", "Statement", "What breaks it", "Exercise")
PLACES = re.compile(r"(?<![\w:/.])/(home|root|work|tmp|usr|opt|var|Users|content)/")


def complaints(notebook, number: str) -> list[str]:
    """What in a notebook is not of the house form."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    sources = ["\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith("%")) for cell in code]
    trees = [ast.parse(_closed(source)) for source in sources]
    return [*_opening(notebook, code), *_length(code, trees), *_outputs(notebook, code), *_content(notebook, code, trees, number)]


def _closed(source: str) -> str:
    """Source whose last line may have lost its body, a line with a magic."""
    return source + "\n    pass" if source.rstrip().endswith(":") or re.search(r":\s+#[^\n]*$", source) else source


def _opening(notebook, code) -> list[str]:
    first = notebook.cells[0]
    found = []
    if first.cell_type != "markdown" or not re.match(r"# .+\n\n\*Before: .+ Time: about \d+ minutes", first.source):
        found.append("the first cell must be the title, what comes before it, and how long it takes")
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    titles = re.findall(r"^## (.*)$", words, flags=re.M)
    found += [f"no section “{name}”" for name in SECTIONS if not any(title.startswith(name) for title in titles)]
    if re.search(r"`[^`\n]*[α-ωΑ-Ω∝≤≥][^`\n]*`", re.sub(r"`[^`\n]*(?:didsim|[=\"]True|\")[^`\n]*`", "", words)):
        found.append("a formula that is not in TeX")
    if "find_spec" not in code[0].source or "%pip install" not in code[0].source or "jax" in _commands(code[0].source):
        found.append("the first code cell must install didsim where it is missing, and leave JAX alone")
    return found


def _commands(source: str) -> str:
    return re.sub("#.*", "", source)


def _length(code, trees) -> list[str]:
    found = [] if 5 <= len(code) <= 12 else [f"{len(code)} code cells, must be 5 to 12"]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)):
        if sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) > 6:  # itself and five
            found.append(f"{node.name} has more than five statements")
    found += [f"a line of code over {WIDTH}: {line}" for cell in code for line in cell.source.splitlines() if len(line) > WIDTH]
    return found


def _outputs(notebook, code) -> list[str]:
    found = []
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("not executed from top to bottom")
    kinds = [(output.output_type, output.get("name")) for cell in code for output in cell.outputs]
    if any(kind == "error" or name == "stderr" for kind, name in kinds):
        found.append("an error or a warning among the outputs")
    if PLACES.search(json.dumps(notebook)):
        found.append("a path of somebody's machine")
    return found


def _content(notebook, code, trees, number: str) -> list[str]:
    found = []
    if not any(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree)):
        found.append("no assert")
    asked = re.findall(r'check\(\s*"([^"]+)"', "\n".join(cell.source for cell in code))
    if not asked or not all(id in EXERCISES and id.startswith(number) for id in asked):
        found.append(f"no exercise, or one that is not known as {number}.x: {asked}")
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found += [f"no text of exercise {id}" for id in asked if id in EXERCISES and EXERCISES[id].question not in words]
    for place, cell in enumerate(code):
        if "interact(" in cell.source and not any(_has_picture(other) for other in code[place + 1 : place + 2]):
            found.append("a slider without a picture in the cell after it")
    if not any(_has_picture(cell) for cell in code):
        found.append("no picture")
    return found


def _has_picture(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_house_form(path):
    assert re.fullmatch(r"\d\d(-[a-z0-9]+)+\.ipynb", path.name)
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert complaints(notebook, path.name[:2]) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_tidied(path):
    """What is committed is what refresh.py writes: nothing of a machine, a time or a live widget."""
    notebook = nbformat.read(path, as_version=4)
    before = json.dumps(notebook, sort_keys=True)
    _refresh().tidy(notebook)
    assert json.dumps(notebook, sort_keys=True) == before


def test_every_exercise_is_asked():
    asked = {id for path in NOTEBOOKS for id in re.findall(r'check\(\s*\\"([^"]+)\\"', path.read_text(encoding="utf-8"))}
    assert asked == set(EXERCISES)


def _refresh():
    spec = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _good():
    """A notebook of the house form in the fewest cells."""
    text, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    install = 'from importlib.util import find_spec\nif find_spec("didsim") is None:  # JAX stays\n    %pip install -q didsim'
    sources = [install, "x = 1", "assert x", "interact(f, x=1)", "plot()", 'check("01.a", None)']
    cells = [code(source, execution_count=place) for place, source in enumerate(sources, 1)]
    cells[4].outputs = [nbformat.v4.new_output("display_data", data={"image/png": "AAAA"})]
    sections = "\n\n".join(f"## {name}" for name in SECTIONS)
    first = text(f"# Title\n\n*Before: nothing. Time: about 9 minutes.*\n\n{sections}\n\n- {EXERCISES['01.a'].question}")
    return nbformat.v4.new_notebook(cells=[first, *cells])


def test_the_check_lets_a_good_notebook_pass():
    assert complaints(_good(), "01") == []


def _spoil_title(cells):
    cells[0].source = cells[0].source.replace("Time", "Hour")


def _spoil_section(cells):
    cells[0].source = cells[0].source.replace("## Statement", "Statement")


def _spoil_text(cells):
    cells[0].source = cells[0].source.replace(EXERCISES["01.a"].question, "Guess.")


def _spoil_formula(cells):
    cells[0].source += "\n\nHere `π ∝ q`."


def _spoil_width(cells):
    cells[2].source = "x = 1  # " + "long " * 20


def _spoil_install(cells):
    cells[1].source += " jax"


def _spoil_length(cells):
    cells.extend(cells[2:3] * 8)


def _spoil_function(cells):
    cells[2].source = "def long(x):\n" + "    x += 1\n" * 6


def _spoil_assert(cells):
    cells[3].source = "print(x)"


def _spoil_exercise(cells):
    cells[6].source = 'check("77.q", None)'


def _spoil_picture(cells):
    cells[5].outputs = []


def _spoil_order(cells):
    cells[2].execution_count = 9


def _spoil_outputs(cells):
    cells[2].outputs = [nbformat.v4.new_output("stream", name="stderr", text="Warning: at sixes")]


def _spoil_paths(cells):
    cells[2].source = 'open("/home/me/data.csv")'


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_spoil_title, "how long it takes"),
        (_spoil_section, "no section “Statement”"),
        (_spoil_text, "no text of exercise 01.a"),
        (_spoil_formula, "not in TeX"),
        (_spoil_width, "a line of code over 88"),
        (_spoil_install, "leave JAX alone"),
        (_spoil_length, "must be 5 to 12"),
        (_spoil_function, "long has more than five statements"),
        (_spoil_assert, "no assert"),
        (_spoil_exercise, "77.q"),
        (_spoil_picture, "a slider without a picture"),
        (_spoil_order, "from top to bottom"),
        (_spoil_outputs, "an error or a warning"),
        (_spoil_paths, "somebody's machine"),
    ],
)
def test_the_check_sees(spoil, said):
    notebook = _good()
    spoil(notebook.cells)
    assert said in " ".join(complaints(notebook, "01"))
