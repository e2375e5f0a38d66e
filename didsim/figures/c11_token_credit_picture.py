"""Picture of C11: credit of every token as a heat map over responses, the way of one response, and the telescope."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, GREY, MEANING, PREDICTED, new_figure, styled
from didsim.plotting.drawing import beside, predicted_and_measured

LETTERS = "abcdef"


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: token by token for all responses, best and worst response; below: credit against advantage, and sums."""
    figure, (heat, way, tokens, sums) = new_figure(7.4, [1.0, 1.15], rows=2)
    order = np.argsort(-data["reward"].values)
    _heat(figure, heat, data.isel(response=order))
    _ways(way, data.isel(response=order))
    gains = data["value_summed"].diff("moment").values.ravel()
    _against(tokens, gains, data["credit"].values.ravel(), data["credit_early"].values.ravel())
    tokens.set(xlabel="advantage of the token", ylabel="credit of the token", title="c  credit is advantage")
    total = (data["reward"] - data["value_summed"].isel(moment=0)).values
    _against(sums, total, data["credit"].sum("token").values, data["credit_early"].sum("token").values)
    sums.set(xlabel=r"$r - V^*(\mathrm{start})$", ylabel="sum of the credits", title="d  they telescope")
    return figure


def _spelled(letters: np.ndarray) -> str:
    return "".join(LETTERS[int(letter)] for letter in letters)


def _heat(figure: Figure, ax: Axes, ranked: xr.Dataset) -> None:
    credit = ranked["credit"].values
    most = float(abs(credit).max())
    drawn = ax.imshow(credit, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    rows, columns = credit.shape
    if rows <= 32:
        for row in range(rows):
            for column in range(columns):
                shade = "white" if abs(credit[row, column]) > 0.5 * most else BLACK
                letter = LETTERS[int(ranked["letter"].values[row, column])]
                ax.text(column, row, letter, ha="center", va="center", fontsize=7.5, color=shade)
    ax.set(xticks=range(columns), xticklabels=[str(k + 1) for k in range(columns)], yticks=[])
    ax.set(xlabel="token", ylabel="responses, best reward at the top", title=r"a  credit $\beta\,\log\,\pi^*/\pi_\mathrm{ref}$")
    figure.colorbar(drawn, ax=ax, shrink=0.8, pad=0.03)


def _ways(ax: Axes, ranked: xr.Dataset) -> None:
    """Value before every token, dashed; the start's value and the credits added up, solid."""
    for row, name in ((0, "chosen"), (-1, "rejected")):
        one, colour = ranked.isel(response=row), MEANING[name]
        start = float(one["value_summed"][0])
        ax.step(
            np.arange(one.sizes["moment"]), np.concatenate([[start], start + np.cumsum(one["credit"].values)]),
            where="mid", color=colour,
        )  # fmt: skip
        ax.plot(np.arange(one.sizes["moment"]), one["value_summed"], **PREDICTED, marker="o", markersize=2.5)
        word = _spelled(one["letter"].values)
        where = (one.sizes["moment"] - 1, float(one["reward"]))
        beside(ax, where, f"{word}: $r$ = ${where[1]:.2f}$", (0, 5 if row == 0 else -10), ha="right", color=colour)
    ax.set_xticks(range(ranked.sizes["moment"]), ["start", *(str(k + 1) for k in range(ranked.sizes["token"]))])
    top, low = float(ranked["value_summed"].max()), float(ranked["value_summed"].min())
    ax.set_ylim(low - 0.15 * (top - low), top + 0.4 * (top - low))
    ax.set(xlabel="after token", ylabel=r"value $V^*$  [reward]", title="b  best and worst")
    predicted_and_measured(ax, measured="credits added up", predicted="V* at each prefix, dots", loc="upper left")


def _against(ax: Axes, wanted: np.ndarray, found: np.ndarray, early: np.ndarray) -> None:
    ends = np.array([wanted.min(), wanted.max()])
    ax.plot(ends, ends, **PREDICTED)
    ax.plot(wanted, early, "x", color=GREY, label="half-way there")
    ax.plot(wanted, found, "o", color=MEANING["dpo"], label="DPO's end", markersize=2.5)
    ax.legend(loc="upper left", handletextpad=0.2)
