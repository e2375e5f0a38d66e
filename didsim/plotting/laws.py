"""How do laws, and what theory says of numbers, look beside each other?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from didsim.numerics.errors import ArgumentError
from didsim.plotting.colours import GREY, colours_of
from didsim.plotting.drawing import PREDICTED, axes_or_new, note, styled
from didsim.plotting.lines import DECADES
from didsim.plotting.names import name_of

MOST_BARS = 12  # responses, beyond which a law is a line
OFF = 1e-3  # from one, at which masses are no law


@styled
def law(laws: Any, names: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Laws of one prompt beside each other: a group of bars for every response, or lines where there are many.

    Args:
        laws: probabilities of all responses, shape (n,) or (1, n), or a dict of such laws by name.
        names: of the responses; their numbers if missing.
        ax: axes to draw on, new ones if missing.

    Raises:
        ArgumentError: these are no probabilities, or the laws or names differ in their number of responses.

    Example:
        >>> from didsim import plotting
        >>> ax = plotting.law({"π_ref": [0.5, 0.3, 0.2], "π*": [0.2, 0.3, 0.5]}, ["a", "b", "c"])
        >>> len(ax.patches)
        6
    """
    masses = {str(name): _masses(str(name), one) for name, one in (laws if isinstance(laws, Mapping) else {"": laws}).items()}
    count = len(next(iter(masses.values()), ()))
    if not count or any(len(one) != count for one in masses.values()):
        raise ArgumentError(
            f"Argument `laws` must have one number of responses, but has {[len(one) for one in masses.values()]}."
        )
    named = [str(name) for name in (range(count) if names is None else names)]
    if len(named) != count:
        raise ArgumentError(f"Argument `names` must name all {count} responses, but names {len(named)}.")
    ax = axes_or_new(ax, 2.2)
    (_bars if count <= MOST_BARS else _outlines)(ax, masses, named)
    top = max(float(one.max()) for one in masses.values())
    ax.set(ylabel="probability", ylim=(0.0, 1.35 * top))  # room for the names above
    if any(masses):
        ax.legend(loc="upper center", ncols=2)
    return ax


@styled
def compare(measured: Any, predicted: Any, *, ax: Axes | None = None) -> Axes:
    """What was measured against what was predicted for it: on the dashed diagonal the two agree.

    Args:
        measured: numbers of any shape, or a dict of them by name; a data array brings its long name and unit.
        predicted: the numbers predicted, of the same shape, with the same names.
        ax: axes to draw on, new ones if missing.

    Raises:
        ArgumentError: the two differ in names or shapes, or no place has two finite numbers.

    Example:
        >>> from didsim import plotting
        >>> ax = plotting.compare([1.0, 2.0, 3.0], [1.0, 2.0, 3.25])
        >>> print(ax.texts[0].get_text())
        largest difference: 0.25
    """
    found = _pairs(measured, predicted)
    ax = axes_or_new(ax, 3.2)
    for (name, (said, seen)), colour in zip(
        found.items(), colours_of(name or "measured" for name in found).values(), strict=True
    ):
        ax.plot(said, seen, "o", color=colour, alpha=0.7, markeredgewidth=0.0, label=name_of(name))
    every = np.concatenate([np.ravel(pair) for pair in found.values()])
    low, high = float(every.min()), float(every.max())
    if low > 0 and high / low >= DECADES:
        ax.set(xscale="log", yscale="log")
    ax.plot([low, high], [low, high], zorder=0, **PREDICTED)
    words = _words(measured)
    ax.set(xlabel=words.format("predicted"), ylabel=words.format("measured"))
    off = max(float(np.abs(seen - said).max()) for said, seen in found.values())
    note(ax, 0.98, 0.03, f"largest difference: {off:.2g}", ha="right", color=GREY)
    if any(found):
        ax.legend(loc="upper left")
    return ax


def _masses(name: str, given: Any) -> np.ndarray:
    """A law as one row, refused if it is none."""
    one = np.asarray(given, float)
    flat = one[0] if one.ndim == 2 and len(one) == 1 else one
    what = f"{name} " if name else ""
    if flat.ndim != 1:
        raise ArgumentError(f"Argument `laws` must be laws of one prompt, but {what}has shape {one.shape}.")
    if not (flat >= 0).all() or abs(flat.sum() - 1.0) > OFF:
        fault = f"holds {flat.min():.3g}" if not (flat >= 0).all() else f"sums to {flat.sum():.6g}"
        raise ArgumentError(f"Argument `laws` must hold probabilities, as np.exp makes of log-probabilities, but {what}{fault}.")
    return flat


def _bars(ax: Axes, masses: Mapping[str, np.ndarray], names: list[str]) -> None:
    width = 0.8 / len(masses)
    for place, ((name, one), colour) in enumerate(zip(masses.items(), _colours(masses), strict=True)):
        where = np.arange(len(names)) + (place - 0.5 * (len(masses) - 1)) * width
        ax.bar(where, one, width=0.92 * width, color=colour, label=name_of(name))
    ax.set_xticks(np.arange(len(names)), names)


def _outlines(ax: Axes, masses: Mapping[str, np.ndarray], names: list[str]) -> None:
    """Steps, as bars without their sides; responses by number."""
    for (name, one), colour in zip(masses.items(), _colours(masses), strict=True):
        ax.stairs(one, np.arange(len(one) + 1) - 0.5, color=colour, linewidth=1.1, label=name_of(name))
    shown = np.unique(np.linspace(0, len(names) - 1, 6).astype(int))
    ax.set_xticks(shown, [names[place] for place in shown])
    ax.set_xlabel("response")


def _colours(masses: Mapping[str, np.ndarray]) -> list[str]:
    return list(colours_of(name or "measured" for name in masses).values())


def _pairs(measured: Any, predicted: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name what is predicted and what was measured, where both are finite."""
    seen, said = (dict(one) if isinstance(one, Mapping) else {"": one} for one in (measured, predicted))
    if not seen or list(map(str, seen)) != list(map(str, said)):
        raise ArgumentError(f"Argument `predicted` must have the names of `measured`, but has {list(said)} for {list(seen)}.")
    found = {}
    for (name, one), other in zip(seen.items(), said.values(), strict=True):
        pair = np.asarray(other, float), np.asarray(one, float)
        if pair[0].shape != pair[1].shape:
            raise ArgumentError(
                f"Argument `predicted` must have the shape {pair[1].shape} of `measured`, but has {pair[0].shape}."
            )
        both = np.isfinite(pair[0]) & np.isfinite(pair[1])
        if not both.any():
            raise ArgumentError("Argument `measured` must have a finite number where `predicted` has, but has none.")
        found[str(name)] = pair[0][both], pair[1][both]
    return found


def _words(measured: Any) -> str:
    """What the axes say, with a place for which of the two they are."""
    first = next(iter(measured.values())) if isinstance(measured, Mapping) else measured
    attrs = getattr(first, "attrs", {})
    name, units = attrs.get("long_name"), attrs.get("units", "1")
    return (f"{name}, {{}}" if name else "{}") + ("" if units == "1" else f"  [{units}]")
