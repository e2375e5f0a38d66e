"""Do pictures of laws, and of what was predicted, show the numbers given?"""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from didsim import plotting
from didsim.numerics.errors import ArgumentError
from didsim.plotting import MEANING

LAWS = {"π_ref": [0.5, 0.3, 0.2], "π*": [[0.2, 0.3, 0.5]]}


def test_bars_are_the_laws():
    ax = plotting.law(LAWS, ["a", "b", "c"])
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [0.5, 0.3, 0.2, 0.2, 0.3, 0.5])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [r"$\pi_{\mathrm{ref}}$", r"$\pi^*$"]
    assert to_rgb(ax.patches[0].get_facecolor()) == to_rgb(MEANING["π_ref"])
    assert plotting.law([0.5, 0.5]).get_legend() is None


def test_many_responses_are_steps():
    masses = np.arange(1.0, 41.0) / 820.0
    ax = plotting.law({"π*": masses})
    np.testing.assert_allclose(ax.patches[0].get_data().values, masses)


def test_measured_lies_over_predicted():
    seen = xr.DataArray([1.0, 2.0, np.nan], attrs={"long_name": "JSD(π*‖π)", "units": "nats"})
    ax = plotting.compare(seen, [1.0, 2.5, 3.0])
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1.0, 1.0], [2.5, 2.0]])
    assert ax.lines[1].get_linestyle() == "--"
    assert ax.texts[0].get_text() == "largest difference: 0.5"
    assert ax.get_ylabel() == r"JSD($\pi^*$‖$\pi$), measured  [nats]"


def test_the_map_shows_who_falls():
    place, beta = np.meshgrid([0.0, 2.0], [0.5, 1.0])
    ax = plotting.displacement_map(place, beta, place - 0.5, place - beta - 0.5, 0.5)
    discs = [line for line in ax.lines if line.get_fillstyle() == "left"]
    assert [tuple(line.get_xydata()[0]) for line in discs] == list(zip(place.ravel(), beta.ravel(), strict=True))
    fallen, risen = (to_rgb(disc.get_markerfacecolor()) for disc in discs[:2])
    assert fallen[0] > fallen[2]  # red
    assert risen[2] > risen[0]  # blue
    assert len(ax.get_figure().axes) == 2  # its key beside it
    given = Figure().subplots()
    assert plotting.displacement_map(place, beta, place, place, 0.5, given) is given
    assert len(given.get_figure().axes) == 1


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.law({"π*": np.log([0.5, 0.5])}), r"`laws` must hold probabilities.*π\* holds -0.693"),
        (lambda: plotting.law([0.5, 0.4]), "sums to 0.9"),
        (lambda: plotting.law([0.5, np.nan]), "`laws` must hold probabilities"),
        (lambda: plotting.law(np.full((2, 2), 0.5)), r"of one prompt, but has shape \(2, 2\)"),
        (lambda: plotting.law({"a": [1.0], "b": [0.5, 0.5]}), r"one number of responses, but has \[1, 2\]"),
        (lambda: plotting.law({}), "one number of responses"),
        (lambda: plotting.law([0.5, 0.5], ["a"]), "`names` must name all 2 responses, but names 1"),
        (lambda: plotting.compare([1.0], [1.0, 2.0]), r"`predicted` must have the shape \(1,\)"),
        (lambda: plotting.compare({"a": [1.0]}, {"b": [1.0]}), "names of `measured`"),
        (lambda: plotting.compare([np.nan], [1.0]), "`measured` must have a finite number"),
        (lambda: plotting.displacement_map([0.0], [1.0, 2.0], [0.0], [0.0], 0.5), r"`beta` must have finite numbers of shape"),
        (lambda: plotting.displacement_map([0.0], [1.0], [np.inf], [0.0], 0.5), "`chosen` must have finite numbers"),
    ],
)
def test_bad_input_is_one_line(draw, message):
    with pytest.raises(ArgumentError, match=message) as error:
        draw()
    assert "\n" not in str(error.value)


def test_the_style_is_the_house_style_within():
    with plotting.style():
        inside = Figure().subplots().spines["top"].get_visible()
    assert (inside, Figure().subplots().spines["top"].get_visible()) == (False, True)
