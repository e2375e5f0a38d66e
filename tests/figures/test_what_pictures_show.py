"""Do pictures come from the dataset alone, the same each time, with what is predicted dashed and no label on another?"""

import numpy as np
import pytest
from small_figures import picture, slow

from didsim.figures import FIGURES
from didsim.plotting.drawing import _spread, save

MAPS = {"C12"}  # colours and numbers in cells, of which none is predicted


@pytest.mark.parametrize("id", [slow(id) for id in FIGURES])
def test_pictures_come_from_the_dataset_alone(results, id, tmp_path):
    _, data, _ = results[id]
    figure = picture(id).draw(data)
    figure.savefig(tmp_path / "figure.png")
    if id in MAPS:
        return
    drawn = [line for ax in figure.axes for line in ax.get_lines()]
    assert any(line.get_linestyle() in ("--", (0, (0.6, 0.3))) or line.is_dashed() for line in drawn)
    panels = [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]
    places = [ax.get_subplotspec().get_topmost_subplotspec() for ax in panels]  # parts of a broken axis have one
    headed = [place for ax, place in zip(panels, places, strict=True) if ax.get_title("left") or ax.get_ylabel()]
    assert all(place in headed for place in places)


def test_pictures_are_reproducible(results, tmp_path):
    _, data, _ = results["B3"]
    for name in ("one", "two"):
        save(picture("B3").draw(data), *(tmp_path / f"{name}.{end}" for end in ("svg", "png")))
    for end in ("svg", "png"):
        assert (tmp_path / f"one.{end}").read_bytes() == (tmp_path / f"two.{end}").read_bytes()
    width = int.from_bytes((tmp_path / "one.png").read_bytes()[16:20], "big")
    assert width == 1400  # 7 inches at the 200 dots of the style
    assert "<text" not in (tmp_path / "one.svg").read_text()  # outlines: the same letters on every machine


def test_labels_are_spread_without_overlap():
    placed = _spread(np.array([0.1, 0.11, 0.12, 0.9, 0.91]), 0.06)
    assert np.all(np.diff(placed) >= 0.06 - 1e-12)
    assert placed.min() >= 0
    assert placed.max() <= 1
    both_ends = _spread(np.array([0.0, 0.01, 0.98, 0.99, 1.0]), 0.06)
    assert np.all(np.diff(both_ends) >= 0.06 - 1e-12)
    assert both_ends[0] >= 0.03  # half a label above the axis
    assert both_ends[-1] <= 1
