"""How do a run and a sweep become curves?  Names and units come from the dataset, colours from what a line means.

`trajectory` draws runs against the step, `sweep` any number of a sweep against any of its axes.  What is drawn is solid, what
is predicted for it dashed; several seeds are their median and the central 95 % of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from didsim.numerics.errors import ArgumentError, did_you_mean
from didsim.plotting.colours import colour_of, colours_of, shades
from didsim.plotting.drawing import axes_or_new, styled
from didsim.plotting.lines import Line, axis_label, columns, curves, finish, finish_axis, finish_steps, height, is_number
from didsim.plotting.names import axis_of, name_of


@styled
def trajectory(
    run: Any,
    metrics: str | Sequence[str],
    *,
    predicted: float | Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Metrics of one run, or of several runs by name, against the step.

    Args:
        run: what `didsim.train` returns, the dataset of such a run, or a dict of them; a dataset with the dimension ``seed``
            is drawn as the median and the central 95 %.
        metrics: name of a recorded metric, or several of one unit; `didsim.metrics` says what there is.
        predicted: where the lines are predicted to end, drawn dashed: one number, or a dict of them by run or metric.
        ax: axes to draw on, new ones if missing.

    Raises:
        ArgumentError: what is given is no run, has no such metric, or the metrics differ in their units.

    Example:
        >>> import jax.numpy as jnp
        >>> import didsim
        >>> world = didsim.problem(jnp.log(jnp.array([0.5, 0.3, 0.2])), reward=jnp.array([0.0, 1.0, 2.0]), beta=0.5)
        >>> run = didsim.train(world, didsim.objectives.Dpo(beta=0.5), steps=50)
        >>> ax = didsim.plotting.trajectory(run, ["chosen_change", "rejected_change"])
        >>> print(ax.get_xlabel(), [text.get_text() for text in ax.texts])
        step ['rejected', 'chosen']
    """
    runs = {str(name): _dataset("run", one) for name, one in (run.items() if isinstance(run, dict) else [("", run)])}
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for argument, given in (("run", runs), ("metrics", names)):
        if not given:
            raise ArgumentError(f"Argument `{argument}` must hold at least one, but is empty.")
    if len(runs) > 1 and len(names) > 1:
        raise ArgumentError(
            f"Argument `metrics` must be one for several runs, but is {', '.join(names)}: give each its own axes."
        )
    if left := [axis for data in runs.values() for axis in _axes(data)]:
        raise ArgumentError(f"Argument `run` must have no axes, but has {left[0]}: didsim.plotting.sweep draws those.")
    found = {(one, metric): _at("metrics", data, metric, "step", None) for one, data in runs.items() for metric in names}
    head, tails = _names(list(found.values())[: len(names)])
    given = dict(zip(found, colours_of(runs).values(), strict=True)) if len(runs) > 1 else {}
    lines = [
        Line(name_of(one) or tails[metric], values.values, given.get((one, metric)) or colour_of(one or metric), said)
        for (one, metric), values in found.items()
        for said in [predicted.get(one or metric) if isinstance(predicted, Mapping) else predicted]
    ]
    ax = axes_or_new(ax, height(lines))
    for values, line in zip(found.values(), lines, strict=True):
        curves(ax, np.asarray(values["step"].values), [line])
    finish_steps(ax)
    return finish(ax, max(float(one["step"].max()) for one in runs.values()), lines, head)


@styled
def sweep(
    data: xr.Dataset,
    y: str,
    x: str = "step",
    hue: str | None = None,
    *,
    predicted: xr.DataArray | float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One number of a sweep against the step or one of its axes, a line for every value of another axis.

    The median over the seeds, with their central 95 % shaded or, over an axis of names, as a bar.  Against an axis it is the
    number at the end of the runs.

    Args:
        data: dataset of `didsim.sweep` or `didsim.sweeps.open_sweep`, finished or not.
        y: name of a number that the runs have, such as ``"value_gap"``; `didsim.metrics` says which there are.
        x: ``"step"`` or name of an axis.
        hue: name of the axis that colours tell apart; the only axis left if missing.
        predicted: drawn dashed: one number, or an array over ``x``, over ``hue`` or over both.
        ax: axes to draw on, new ones if missing.

    Raises:
        ArgumentError: no such number or axis, an axis that is left over, or no finite number.

    Example:
        >>> import didsim
        >>> run = didsim.Run(didsim.worlds.RandomReward(n=4), didsim.objectives.Dpo(beta=0.5), steps=20)
        >>> data = didsim.sweep(run, {"objective.beta": [0.25, 1.0]}, seeds=3)
        >>> ax = didsim.plotting.sweep(data, "kl_ref")
        >>> print(len(ax.lines), ax.texts[0].get_text())
        2 $\\beta$ = 1
    """
    data = _dataset("data", data)
    axes = _axes(data)
    for name, given, allowed in (("x", x, ["step", *axes]), ("hue", hue, [one for one in axes if one != x])):
        if given is not None:
            did_you_mean(name, given, allowed)
    hue = hue or next((one for one in axes if one != x), None)
    if left := [one for one in axes if one not in (x, hue)]:
        raise ArgumentError(
            f"Argument `data` must have no axes besides x and hue, but has {', '.join(left)}: choose one value of each, "
            f"as data.isel({{{left[0]!r}: 0}}) does."
        )
    values = _at("y", data, y, x, hue)
    lines = [
        Line(label, (values if hue is None else values.isel({hue: place})).values, colour, _predicted(predicted, x, hue, place))
        for place, (label, colour) in enumerate(_hues(data, hue))
    ]
    ax = axes_or_new(ax, height(lines))
    places = np.asarray(data[x].values)
    if is_number(places):
        curves(ax, places, lines)
        finish_steps(ax) if x == "step" else finish_axis(ax, places, x)
        end = float(places.max())
    else:
        columns(ax, [name_of(one) for one in places], lines)
        end = float(len(places) - 1)
        ax.set_xlabel(axis_label(x))
    return finish(ax, end, lines, _label(values.attrs))


def _dataset(argument: str, given: Any) -> xr.Dataset:
    """The dataset of a run, or the one given."""
    if isinstance(given, xr.Dataset) and "step" in given.coords and "record" in given["step"].dims:
        return given
    if isinstance(given, xr.Dataset):
        raise ArgumentError(f"Argument `{argument}` must have the coordinate step along record, but has not.")
    if isinstance(given, xr.DataArray) or not callable(getattr(given, "to_dataset", None)):
        what = "a run as didsim.train returns it, its dataset or a dict of them" if argument == "run" else "a sweep's dataset"
        raise ArgumentError(f"Argument `{argument}` must be {what}, but is {type(given).__name__}.")
    return given.to_dataset()


def _axes(data: xr.Dataset) -> list[str]:
    """The axes of a sweep but its seeds."""
    return [str(dim) for dim in data.dims if dim in data.coords and dim not in ("seed", "record", "prompt", "response")]


def _at(argument: str, data: xr.Dataset, name: str, x: str, hue: str | None) -> xr.DataArray:
    """The numbers to be drawn: a seed axis first, the line's axis last."""
    places = "record" if x == "step" else x
    wanted = {"seed", "record", hue, places}
    known = [str(one) for one in data.data_vars if set(data[one].dims) <= wanted and (x != "step" or "record" in data[one].dims)]
    found = data[did_you_mean(argument, name, known)]
    if x != "step" and "record" in found.dims:
        found = found.isel(record=-1)
    found = found.expand_dims([dim for dim in ("seed", places) if dim not in found.dims])
    found = found.transpose(*([] if hue is None else [hue]), "seed", places)
    numbers = np.asarray(found.values)
    kept = np.isfinite(numbers) & ~((numbers < 0) & np.issubdtype(numbers.dtype, np.integer))  # -1: a cell that is not done
    if not kept.any():
        raise ArgumentError(f"Argument `{argument}` must have a finite number, but {name} has none.")
    return found.copy(data=np.where(kept, numbers.astype(float), np.nan))


def _names(found: Sequence[xr.DataArray]) -> tuple[str, dict[str, str]]:
    """Label of the y axis and of each metric: what all names begin with stands at the axis."""
    units = {str(one.name): _unit(one.attrs) for one in found}
    if len(set(units.values())) > 1:
        said = ", ".join(f"{name} [{unit or 'no unit'}]" for name, unit in units.items())
        raise ArgumentError(f"Argument `metrics` must name numbers of one unit, but has {said}: draw them on axes of their own.")
    if len(found) == 1:
        return _label(found[0].attrs), {str(found[0].name): ""}
    split = {str(one.name): str(one.attrs.get("long_name", one.name)).rpartition(", ") for one in found}
    heads = {head for head, _, _ in split.values()}
    if len(heads) == 1 and heads != {""}:
        return _label({"long_name": heads.pop(), "units": units.popitem()[1]}), {name: tail for name, (*_, tail) in split.items()}
    whole = {name: "".join(parts) for name, parts in split.items()}
    return units.popitem()[1], whole


def _unit(attrs: Mapping) -> str:
    units = str(attrs.get("units", ""))
    return "" if units in ("1", "probability") else units


def _label(attrs: Mapping) -> str:
    """Long name with its unit."""
    unit = _unit(attrs)
    return f"{attrs.get('long_name', '')}  [{unit}]" if unit else str(attrs.get("long_name", ""))


def _predicted(given: xr.DataArray | float | None, x: str, hue: str | None, place: int) -> np.ndarray | float | None:
    """What is predicted for the line of one hue."""
    if not isinstance(given, xr.DataArray):
        return given
    if left := [str(dim) for dim in given.dims if dim not in (x, hue)]:
        raise ArgumentError(f"Argument `predicted` must lie over x and hue alone, but has {', '.join(left)}.")
    one = given.isel({hue: place}) if hue in given.dims else given
    return np.asarray(one.values) if one.ndim else float(one)


def _hues(data: xr.Dataset, hue: str | None) -> list[tuple[str, str]]:
    """Label and colour of every line: shades for numbers, of which the outer ones carry the name, else what the name means."""
    if hue is None:
        return [("", colour_of("measured"))]
    values = data[hue].values
    if not is_number(values):
        return [(name_of(name), colour) for name, colour in zip(values, colours_of(values).values(), strict=True)]
    words = [f"{axis_of(hue)[0]} = {one:g}" if place in (0, len(values) - 1) else f"{one:g}" for place, one in enumerate(values)]
    return list(zip(words, shades(len(values)), strict=True))
