"""Picture of the speed: cost of a step against the number of responses, cost of a run against the number of runs."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from didsim.plotting.colours import BLUE, GREY, ORANGE, RED
from didsim.plotting.drawing import end_labels, new_figure, styled

COLOURS = {"didsim": BLUE, "C": RED, "NumPy": GREY, "PyTorch": ORANGE}
SCALED = " scaled"  # label of a rival's times that were not measured but continued by N²: dashed


@styled
def draw(per_step: Mapping[str, Mapping[int, float]], per_run: Mapping[str, Mapping[int, float]]) -> Figure:
    """Seconds by label and size: per exact gradient against responses, per run against runs; empty labels are left out."""
    figure, (steps, runs) = new_figure(2.7, [1.0, 1.0])
    _lines(steps, per_step)
    steps.set_xlabel("responses N")
    steps.set_ylabel("seconds per exact gradient")
    steps.set_title("a  one step (dashed: measured at smaller N, × N²)")
    _lines(runs, per_run)
    runs.set_xlabel("runs at once")
    runs.set_ylabel("seconds per run")
    runs.set_title("b  one run of many")
    return figure


def _lines(ax: Axes, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Log-log lines with labels at their ends."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ends: dict[str, float] = {}
    for label, points in curves.items():
        if not points:
            continue
        name = label.removesuffix(SCALED)
        sizes = np.array(sorted(points))
        seconds = np.array([points[size] for size in sizes])
        line, mark = ("--", "") if label.endswith(SCALED) else ("-", "o")
        ax.plot(sizes, seconds, color=COLOURS.get(name, GREY), linestyle=line, marker=mark)
        ends[name] = seconds[-1]
    right = max((max(points) for points in curves.values() if points), default=1)
    end_labels(ax, float(right), [(float(y), name, COLOURS.get(name, GREY)) for name, y in ends.items()])
