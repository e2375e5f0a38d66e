"""Picture of A3: log-margins along the path of policies, their collinearity, and the share of pairs in order."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting import BLACK, PREDICTED, band, colour_of, new_figure, styled
from didsim.plotting.drawing import GUIDE, beside, note


@styled
def draw(data: xr.Dataset) -> Figure:
    """Top: margins of pairs from π_l to π*, straight or bent; below: all increments, and the order of pairs over time."""
    figure, (line, bent, scatter, order) = new_figure(4.8, [1.0, 1.0], rows=2)
    _path(line, data, "power law", "a  power law: in line")
    _path(bent, data, "bent link", "b  bent link: signs only")
    for ax in (line, bent):
        ax.set_ylabel(r"log-margin less that of $\pi_\mathrm{ref}$  [nats]")
    note(line, 0.99, 0.03, "dashed: predicted\nfaint: training\n● data, ○ target", ha="right")
    _increments(scatter, data)
    _order(order, data)
    return figure


def _path(ax: Axes, data: xr.Dataset, link: str, title: str) -> None:
    """Margins minus those of π_ref: dashed the line from the data's margins to π*'s that is claimed; faint the training."""
    beta = data.attrs["beta"]
    one = data.sel(link=link).isel(seed=0)
    first, second = data["pair_first"].values, data["pair_second"].values

    def margin(values: np.ndarray) -> np.ndarray:
        return values[..., first] - values[..., second]

    aim, rejected, trained = margin(one["aim"].values), -margin(one["data"].values), margin(one["log_ratio"].values)
    place = one["place"].values
    shown = [*np.searchsorted(place, place[-1] * np.array([0.3, 0.6])), len(place) - 1]
    where = np.concatenate([[-beta, 0.0], place[shown]])
    rows = np.stack([rejected, np.zeros_like(aim), *trained[shown]])
    span = np.array([-beta, 1.0])
    for pair in range(rows.shape[1]):
        ax.plot(where[1:], rows[1:, pair], color=colour_of(link), linewidth=0.8, alpha=0.35)
        ax.plot(span, span * aim[pair], **{**PREDICTED, "linewidth": 0.7})
    ax.plot(np.full_like(aim, -beta), rejected, "o", color=colour_of(link), markersize=3)
    ax.plot(np.ones_like(aim), aim, "o", color=BLACK, markerfacecolor="white", markersize=3.5, markeredgewidth=0.7)
    for place, name in ((-beta, r"$\pi_l$"), (0.0, r"$\pi_\mathrm{ref}$"), (1.0, r"$\pi^*$")):
        ax.axvline(place, **GUIDE)
        beside(ax, (place, 1.0), name, (0, 2), xycoords=("data", "axes fraction"), ha="center")
    ax.set_title(title, pad=15)
    ax.set_xlabel(r"share of the way to $\pi^*$")


def _increments(ax: Axes, data: xr.Dataset) -> None:
    """Data margins M_w - M_l of all pairs of the first world against the margins M* - M_ref that should be learned."""
    beta = data.attrs["beta"]
    n = data.sizes["response"]
    first, second = np.triu_indices(min(n, 200), 1)
    reach = 0.0
    for link in ("bent link", "power law"):
        one = data.sel(link=link).isel(seed=0)
        x = one["aim"].values[first] - one["aim"].values[second]
        y = one["data"].values[first] - one["data"].values[second]
        sign = np.sign(x)
        ax.plot(x * sign, y * sign, ".", color=colour_of(link), markersize=2.2, rasterized=True)
        reach = max(reach, float(np.abs(x).max()))
        top = np.argmax(np.abs(x))
        beside(ax, (abs(x[top]), abs(y[top])), link, (-6, -3), ha="right", color=colour_of(link))
    ax.plot([0, reach], [0, beta * reach], **PREDICTED)
    beside(ax, (0.62 * reach, 0.62 * beta * reach), rf"slope $\beta$ = {beta:g}", (-10, -16))
    ax.set(
        xlabel=r"margin in $\log(\pi^*/\pi_\mathrm{ref})$  [nats]",
        ylabel=r"margin in $\log(\pi_w/\pi_l)$  [nats]",
        title="c  all pairs of one world",
    )


def _order(ax: Axes, data: xr.Dataset) -> None:
    """Share of pairs in the data's order while training, and the distance that order alone does not remove."""
    steps = np.maximum(data["step"].values, 0.7)[1:]
    distance = ax.twinx()
    for link in ("power law", "bent link"):
        one = data.sel(link=link).transpose("seed", "record", ...)
        band(ax, steps, one["ordered_share"].values[:, 1:], colour_of(link))
        band(distance, steps, np.maximum(one["jsd_target"].values[:, 1:], 1e-17), colour_of(link), linestyle=":")
    ax.set_xscale("log")
    distance.set(yscale="log", ylabel=r"JSD($\pi^*, \pi_\theta$)  [nats], dotted")
    distance.spines["right"].set_visible(True)
    ax.set(ylim=(None, 1.003))
    ax.set(xlabel="step", ylabel="share of pairs in order, solid", title="d  order comes early")
