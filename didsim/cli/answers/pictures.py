"""What is drawn of a run and of a sweep, and from which file?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from didsim import plotting
from didsim.numerics.errors import ArgumentError, did_you_mean
from didsim.plotting.drawing import new_figure, save

PANELS = ("loss", ("kl_target", "kl_ref"), ("chosen_change", "rejected_change"), "accuracy", "entropy")


def draw_run(data: xr.Dataset, file: Path) -> None:
    """Four panels: loss, distances from target and reference, changes of chosen and rejected responses, accuracy."""
    shown = [one for one in PANELS if not isinstance(one, str) or np.isfinite(data.get(one, np.nan)).any()][:4]
    figure, axes = new_figure(4.2, [1.0, 1.0], rows=2)
    for ax, metrics in zip(axes, shown, strict=True):
        plotting.trajectory(data, metrics, ax=ax)
    save(figure, file)


def draw_sweep(data: xr.Dataset, y: str, x: str, hue: str | None, file: Path) -> None:
    """One number of a run or a sweep, against the step or an axis."""
    figure = plotting.sweep(data, y, x, hue).get_figure(root=True)
    assert figure is not None
    save(figure, file)


def read_results(path: Path) -> xr.Dataset:
    """Dataset of a run's file or of a sweep's folder.

    Raises:
        ArgumentError: it is neither.
    """
    if path.is_dir():
        from didsim.sweeps import open_sweep  # needs JAX, which a file does not

        return open_sweep(path)
    try:
        with xr.open_dataset(path, engine="scipy") as opened:
            return opened.load()
    except Exception as error:  # a damaged file fails in as many ways as there are bytes in its header
        why = " ".join(str(error).split())[:120]
        what = "a file of train --out or a folder of sweep --out"
        raise ArgumentError(f"Argument `STORE` must be {what}, but {path} is not: {why}.") from None


def select(data: xr.Dataset, words: Sequence[str]) -> xr.Dataset:
    """The part of a sweep at which axes have the values asked for, each as ``beta=0.5``.

    Raises:
        ArgumentError: no such axis or value, or a word without ``=``.
    """
    for word in words:
        name, given, value = word.partition("=")
        if not given:
            raise ArgumentError(f"Argument `--at` must be AXIS=VALUE, but is {word!r}.")
        axes = [str(dim) for dim in data.dims if dim in data.coords]
        labels = [_shown(one) for one in data[did_you_mean("--at", name, axes)].values]
        data = data.isel({name: labels.index(did_you_mean(f"--at {name}", _shown(value), labels))})
    return data


def _shown(value: Any) -> str:
    """A number in its shortest spelling, and any other word as it is."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)
