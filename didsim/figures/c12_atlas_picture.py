"""Picture of C12: a heat map of one column's width, objectives by family against departures."""

import itertools

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from didsim.figures.c12_atlas import best, solved_everywhere
from didsim.landscape.atlas import MARKS, Kind, main_kind
from didsim.plotting import BLACK, GREY, name_of, styled

COLUMN = 85.0 / 25.4  # inches
ROW, HEAD, FOOT = 0.115, 1.05, 0.68
SMALL = 5.0
FEW = 16  # objectives
FULL = 0.5  # change of the lacking value at which the colour is full
DARKEST = 2.0  # lacking value of the matched column at which grey is black


@styled
def draw(data: xr.Dataset) -> Figure:
    """Change of the lacking value against the matched column, in colour; the matched column itself in grey; marks for kinds."""
    shown = data.sel(departure=~data["control"].astype(bool))
    names = list(dict.fromkeys(shown["family"].values))
    shown = shown.isel(objective=np.argsort([names.index(one) for one in shown["family"].values], kind="stable"))
    height = HEAD + ROW * shown.sizes["objective"] + FOOT
    figure = Figure(figsize=(COLUMN, height))
    figure.set_layout_engine("none")
    few = shown.sizes["objective"] <= FEW  # the whole atlas has long names, and numbers in smaller letters
    left, width = (0.17, 0.68) if few else (0.3, 0.535)
    ax = figure.add_axes((left, FOOT / height, width, 1.0 - (HEAD + FOOT) / height))
    values = shown["gap"].median("world").values
    first = list(shown["departure"].values).index("matched")
    change = values - values[:, [first]]
    _paint(ax, change, values[:, first], first)
    _mark(ax, shown, few=few)
    _label(ax, shown)
    _scale(figure, height, left, width)
    return figure


def _paint(ax: Axes, change: np.ndarray, matched: np.ndarray, first: int) -> None:
    rows, columns = change.shape
    ax.set_facecolor("white")
    for i, j in np.argwhere(np.isnan(change)):
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1.0, 1.0, fill=False, hatch="////", edgecolor=GREY, alpha=0.5, linewidth=0.0))
    coloured = np.ma.masked_invalid(change)
    coloured[:, first] = np.ma.masked
    ax.imshow(coloured, cmap="RdBu_r", norm=Normalize(-FULL, FULL), aspect="auto", interpolation="nearest")
    own = np.ma.masked_all((rows, columns))
    own[:, first] = np.ma.masked_invalid(matched)
    ax.imshow(own, cmap="Greys", norm=Normalize(0.0, DARKEST), aspect="auto", interpolation="nearest")
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def _mark(ax: Axes, shown: xr.Dataset, *, few: bool) -> None:
    """Lacking value in percent of the reference's with a letter for the kind of end; white on dark cells, the best framed."""
    values = shown["gap"].median("world")
    change = values - values.sel(departure="matched")
    first, solved = best(shown), solved_everywhere(shown)
    for i, objective in enumerate(shown["objective"].values):
        for j, column in enumerate(shown["departure"].values):
            cell = {"objective": objective, "departure": column}
            value = float(values.sel(cell))
            kind = main_kind(shown["kind"].sel(cell).values) if bool(solved.sel(cell)) else Kind.UNSOLVED
            mark = MARKS[kind].replace("*", "∗")
            dark = abs(float(change.sel(cell))) > 0.65 * FULL or (column == "matched" and value > 0.6 * DARKEST)
            text = mark if np.isnan(value) else f"{100 * value:.0f}{mark}"
            colour = "white" if dark else BLACK
            size = SMALL if few else SMALL - (0.5 if len(text) < 4 else 1.2)
            ax.text(j, i, text, ha="center", va="center", fontsize=size, color=colour)
            if bool(first.sel(cell)):
                ax.add_patch(Rectangle((j - 0.46, i - 0.44), 0.92, 0.88, fill=False, edgecolor=BLACK, linewidth=0.8))


def _label(ax: Axes, shown: xr.Dataset) -> None:
    rows, columns = shown["objective"].values, shown["title"].values
    ax.set_yticks(range(len(rows)), [name_of(row) for row in rows], fontsize=SMALL)
    ax.set_xticks(range(len(columns)), columns, fontsize=SMALL + 0.5, rotation=90)
    ax.xaxis.tick_top()
    ax.tick_params(length=0, pad=1.5)
    ax.spines[:].set_visible(False)
    # Families are parted by lines and named on the right.
    family = shown["family"].values
    edges = [0, *(k for k in range(1, len(rows)) if family[k] != family[k - 1]), len(rows)]
    for low, high in itertools.pairwise(edges):
        if low:
            ax.axhline(low - 0.5, color=BLACK, linewidth=0.4)
        ax.text(len(columns) - 0.35, 0.5 * (low + high) - 0.5, family[low], fontsize=SMALL, color=GREY, va="center")


def _scale(figure: Figure, height: float, left: float, width: float) -> None:
    """The colours' scale and what the marks mean, below."""
    bar = figure.add_axes((left, (FOOT - 0.16) / height, width, 0.07 / height))
    bar.imshow(np.linspace(-FULL, FULL, 201)[None], cmap="RdBu_r", aspect="auto", extent=(-FULL, FULL, 0.0, 1.0))
    bar.set_yticks([])
    words = [f"better: ≤ −{100 * FULL:g} %", "as matched", f"worse: ≥ {100 * FULL:g} %"]
    bar.set_xticks([-FULL, 0.0, FULL], words, fontsize=SMALL)
    bar.tick_params(length=1.5, pad=1.0)
    text = "Numbers: lacking value, % of the reference's; frame: least (ties too; RLHF, ? apart).\n"
    text += "Colour: change against matched, whose own value is grey, 0 (white) to 200 % (black).\n"
    text += "∗ reaches π*   s a set of minima   n no minimum   - not defined   ? not solved in every world"
    figure.text(0.02, 0.08 / height, text, fontsize=SMALL, va="bottom")
