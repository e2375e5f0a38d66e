"""Can every picture be read at the width of a column, and does each colour mean what it means elsewhere?

Drawn from the committed data: nothing is computed.
"""

import ast
import importlib
from pathlib import Path

import pytest
import reading
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from didsim.figures import FIGURES
from didsim.plotting import MEANING, shades, styled

ROOT = Path(__file__).parents[2]
COLUMN = 85 / 25.4  # inches
QUICK = {"B1"}
DRAWN = [
    pytest.param(id, marks=[] if id in QUICK else [pytest.mark.slow])
    for id, entry in FIGURES.items()
    if (ROOT / "figures" / f"{entry.stem}.nc").exists()
]


def drawn(id: str) -> Figure:
    with xr.open_dataset(ROOT / "figures" / f"{FIGURES[id].stem}.nc", engine="scipy") as data:
        return importlib.import_module(FIGURES[id].picture).draw(data.load())


@pytest.mark.parametrize("id", DRAWN)
def test_pictures_are_readable(id):
    figure = drawn(id)
    assert reading.clashes(figure) == []
    assert reading.plain_symbols(figure) == []
    assert reading.statement_numbers(figure) == []
    assert reading.smallest_letters(figure) * COLUMN / figure.get_figwidth() >= 5.0  # points
    known = {*MEANING.values(), "#FFFFFF", *(one.upper() for count in range(2, 12) for one in shades(count))}
    assert [one for one in reading.colours(figure) - known if not is_tint(one)] == []


def is_tint(colour: str) -> bool:
    """Whether a colour is one of the dictionary's mixed with white."""
    return any(_mix(to_rgb(colour), to_rgb(one)) for one in set(MEANING.values()))


def _mix(colour: tuple, whole: tuple) -> bool:
    darkest = whole.index(min(whole))
    share = (1 - colour[darkest]) / (1 - whole[darkest])
    return share <= 1 and all(abs(c - 1 + share * (1 - w)) < 0.006 for c, w in zip(colour, whole, strict=True))


def test_the_eye_sees_what_is_wrong():
    @styled
    def bad():
        figure = Figure(figsize=(5, 2))
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], color="#123456")
        ax.text(0.5, 0.5, "over a curve")
        ax.text(0.52, 0.5, "on one another", fontsize=3)
        ax.set(
            title="D7: a number",
            xlabel="a label far too long for the picture that it is to stand below, and then some more of it",
        )
        return figure

    figure = bad()
    assert any("on one another" in one for one in reading.clashes(figure))
    assert any("cut off" in one for one in reading.clashes(figure))
    assert reading.statement_numbers(figure) == ["D7: a number"]
    assert reading.smallest_letters(figure) == 3
    assert reading.colours(figure) == {"#123456"}
    assert not is_tint("#123456")
    assert reading.written_over(figure)
    figure.axes[0].set_ylabel("π_ref")
    assert reading.plain_symbols(figure) == ["π_ref"]


@pytest.mark.parametrize("file", sorted((ROOT / "didsim" / "figures").glob("*_picture.py")), ids=lambda file: file.stem)
def test_colours_are_taken_by_their_meaning(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not named & {"BLUE", "ORANGE", "GREEN", "RED", "SKY", "PINK", "INDIGO", "WINE", "OLIVE", "TEAL", "PURPLE", "BROWN"}
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [one for one in constants if one.startswith("#")]
