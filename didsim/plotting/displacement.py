"""Who falls and who rises?  The map of displacement: where the chosen law lies, and β, decide."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from didsim.numerics.errors import ArgumentError
from didsim.plotting.colours import BLACK, GREY, colour_of
from didsim.plotting.drawing import LETTERS, beside, new_figure, styled

FALLEN, RISEN = (np.array(to_rgb(colour_of(name))) for name in ("falls", "rises"))


@styled
def displacement_map(place: Any, beta: Any, chosen: Any, rejected: Any, critical_beta: float, ax: Axes | None = None) -> Axes:
    """Regions where chosen and rejected responses lose likelihood, and a disc for every run or limit (D10).

    Left half of a disc: the chosen change, right half: the rejected one; red falls, blue rises.  Dashed: where one is zero,
    at ``place = β_c`` for the chosen and ``place = β_c + β`` for the rejected law.

    Args:
        place: of the chosen law on the path from π_ref, at 0, to π*, at 1; any shape.
        beta: inverse temperature, so that the rejected law lies at ``place - beta``.
        chosen: mean change of log-likelihood of chosen responses, nats.
        rejected: of rejected ones.
        critical_beta: the place at which the change is zero, `didsim.did.critical_beta`.
        ax: axes to draw on; new ones, with the key beside them, if missing.

    Raises:
        ArgumentError: the shapes differ, or a number is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from didsim import did, plotting
        >>> ref, target = jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.log(jnp.array([0.2, 0.3, 0.5]))
        >>> place, beta = jnp.meshgrid(jnp.linspace(-0.5, 2.0, 6), jnp.linspace(0.2, 1.5, 6))
        >>> moved = did.path_displacement(ref, target, place, beta)
        >>> root = float(did.critical_beta(ref, target))
        >>> ax = plotting.displacement_map(place, beta, moved.chosen, moved.rejected, root)
        >>> print(ax.get_xlabel())
        $a$: place of the chosen law
    """
    given = {"place": place, "beta": beta, "chosen": chosen, "rejected": rejected}
    place, beta, chosen, rejected = (_numbers(name, one, np.shape(place)) for name, one in given.items())
    root = float(critical_beta)
    if ax is None:
        ax, key = new_figure(3.4, [3.0, 1.0])[1]
        displacement_key(key)
    rows = max(2, round(np.sqrt(len(place))))
    pad = 0.5 * np.ptp(place) / rows, 0.5 * np.ptp(beta) / rows
    left, right, low, high = place.min() - pad[0], place.max() + pad[0], beta.min() - pad[1], beta.max() + pad[1]
    _regions(ax, root, (left, right, low, high))
    reach = float(np.quantile(np.abs(np.concatenate([chosen, rejected])), 0.6))
    size = 128.0 / rows
    for x, y, fell, rose in zip(place, beta, chosen, rejected, strict=True):
        ax.plot(
            x, y, "o", markersize=size, fillstyle="left", markeredgewidth=0.3, markeredgecolor="white",
            markerfacecolor=_colour(fell / reach), markerfacecoloralt=_colour(rose / reach),
        )  # fmt: skip
    ax.plot([0, 0], [low, high], color=BLACK, linewidth=0.9)
    ax.plot([low, high], [low, high], color=BLACK, linewidth=0.9)
    ax.plot([root, root], [low, high], color=BLACK, linestyle="--", linewidth=1.3)
    ax.plot([root + low, root + high], [low, high], color=BLACK, linestyle="--", linewidth=1.3)
    ax.plot([root], [root], "o", color=BLACK, markerfacecolor="white", markersize=5, zorder=5)
    ax.set(xlim=(left, right), ylim=(low, high))
    ax.set(xlabel=r"$a$: place of the chosen law", ylabel=r"$\beta$: the rejected law is at $a - \beta$")
    for x, text in (
        (0.0, r"$\pi_\mathrm{ref} = \pi_w$"), (root, r"$\beta_c$"), (min(high, right), r"$\pi_\mathrm{ref} = \pi_l$"),
    ):  # fmt: skip
        beside(ax, (x, high), text, (0, 3), ha="center")
    return ax


def displacement_key(ax: Axes) -> Axes:
    """What discs, tints and lines of the map say, on axes of their own."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    rows = (
        (0.93, FALLEN, FALLEN, "left half:\nchosen,\nright half:\nrejected"),
        (0.69, FALLEN, FALLEN, "red: falls"),
        (0.61, RISEN, RISEN, "blue: rises"),
    )
    for height, left, right, text in rows:
        half = {"markerfacecolor": left, "markerfacecoloralt": right} if height < 0.9 else {"markerfacecolor": GREY}
        ax.plot(0.06, height, "o", markersize=9, fillstyle="left", markeredgewidth=0.6, markeredgecolor=GREY, clip_on=False,
                **{"markerfacecoloralt": "white", **half})  # fmt: skip
        ax.text(0.22, height + (0.02 if height > 0.9 else 0), text, va="top" if height > 0.9 else "center", fontsize=LETTERS)
    for height, tint, text in ((0.45, FALLEN, "both fall:\n$\\Lambda'(a) < 0$"), (0.29, None, "chosen rises,\nrejected falls"),
                               (0.13, RISEN, "both rise:\n$\\Lambda'(a-\\beta) > 0$")):  # fmt: skip
        face, alpha = ("white", None) if tint is None else (tint, 0.16)
        ax.add_patch(Rectangle((0.0, height - 0.035), 0.13, 0.07, linewidth=0, clip_on=False, facecolor=face, alpha=alpha))
        ax.add_patch(Rectangle((0.0, height - 0.035), 0.13, 0.07, linewidth=0.5, edgecolor=GREY, fill=False, clip_on=False))
        ax.text(0.22, height, text, va="center", fontsize=LETTERS)
    ax.plot([-0.04, 0.17], [0.0, 0.0], color=BLACK, linestyle="--", linewidth=1.3, clip_on=False)
    ax.text(0.22, 0.0, "predicted", va="center", fontsize=LETTERS)
    return ax


def _numbers(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of one shape, in a row."""
    one = np.asarray(given, float)
    if one.shape != shape or not np.isfinite(one).all():
        fault = f"has shape {one.shape}" if one.shape != shape else "has others"
        raise ArgumentError(f"Argument `{name}` must have finite numbers of shape {shape}, but {fault}.")
    return one.ravel()


def _colour(change: float) -> np.ndarray:
    """White where nothing changes, towards red for a fall and blue for a rise."""
    share = 0.25 + 0.75 * abs(np.tanh(change))
    return 1.0 - share * (1.0 - (FALLEN if change < 0 else RISEN))


def _regions(ax: Axes, root: float, box: tuple[float, float, float, float]) -> None:
    """The regions between the zero contours, tinted."""
    left, right, low, high = box
    ax.fill_betweenx([low, high], [left, left], [root, root], color=FALLEN, alpha=0.16, linewidth=0)
    ax.fill_betweenx([low, high], [root + low, root + high], [right, right], color=RISEN, alpha=0.16, linewidth=0,
                     where=[True, True])  # fmt: skip
