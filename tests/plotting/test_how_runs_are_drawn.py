"""Do pictures of runs and sweeps show the numbers given, under their names and units, and is bad input one line?"""

import re
import warnings

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from didsim import plotting
from didsim.numerics.errors import ArgumentError
from didsim.plotting import MEANING, colours_of, shades

STEPS = np.array([0, 1, 10, 100])
ATTRS = {
    "loss": {"long_name": "loss", "units": "nats"},
    "jsd_target": {"long_name": "JSD(π*‖π)", "units": "nats"},
    "accuracy": {"long_name": "preference accuracy", "units": "probability"},
    "chosen_change": {"long_name": "change of log π, chosen", "units": "nats"},
    "rejected_change": {"long_name": "change of log π, rejected", "units": "nats"},
}


def run(scale=1.0):
    values = {name: ("record", scale * (rank + 1.0) / (1.0 + STEPS), ATTRS[name]) for rank, name in enumerate(ATTRS)}
    return xr.Dataset({**values, "log_policy": (("prompt", "response"), np.zeros((1, 3)))}, coords={"step": ("record", STEPS)})


def swept():
    """Axes of names and of numbers, five seeds; the number at the end is that of sampler, β and seed."""
    end = np.arange(2)[:, None, None] + 10.0 * np.arange(3)[:, None] + 100.0 * np.arange(5)
    values = end[..., None] + np.array([3.0, 2.0, 1.0, 0.0])
    return xr.Dataset(
        {"gap": (("sampler", "beta", "seed", "record"), values, {"long_name": "value gap", "units": "reward"})},
        coords={"sampler": ["uniform", "on_policy"], "beta": [0.1, 1.0, 10.0], "seed": range(5), "step": ("record", STEPS)},
    )


def texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]  # a leader has none


def drawn(ax):
    """Heights of all lines."""
    return [np.asarray(line.get_ydata()) for line in ax.lines]


def test_a_run_is_drawn_against_the_step():
    ax = plotting.trajectory(run(), "jsd_target")
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), STEPS)
    np.testing.assert_allclose(drawn(ax)[0], run()["jsd_target"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", r"JSD($\pi^*$‖$\pi$)  [nats]")
    assert ax.lines[0].get_color() == MEANING["jsd_target"]
    assert texts(ax) == []


def test_metrics_of_one_kind_share_their_name_at_the_axis():
    ax = plotting.trajectory(run(), ["chosen_change", "rejected_change"])
    assert ax.get_ylabel() == r"change of log $\pi$  [nats]"
    assert texts(ax) == ["chosen", "rejected"]
    assert [line.get_color() for line in ax.lines] == [MEANING["chosen"], MEANING["rejected"]]
    other = plotting.trajectory(run(), ["loss", "jsd_target"])
    assert other.get_ylabel() == "nats"
    assert texts(other) == ["loss", r"JSD($\pi^*$‖$\pi$)"]


def test_several_runs_are_named_and_their_predictions_dashed():
    ax = plotting.trajectory({"dpo": run(), "simpo": run(2.0)}, "accuracy", predicted={"simpo": 0.25})
    assert texts(ax) == ["DPO", "SimPO"]
    assert ax.get_ylabel() == "preference accuracy"  # a probability needs no unit
    solid = [line for line in ax.lines if line.get_linestyle() == "-"]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [line.get_color() for line in solid] == [MEANING["dpo"], MEANING["simpo"]]
    assert [(line.get_color(), line.get_ydata()[0]) for line in dashed] == [(MEANING["simpo"], 0.25)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["trained", "predicted"]


def test_a_sweep_is_the_median_over_seeds_with_its_band():
    ax = plotting.sweep(swept(), "gap", "beta", "sampler")
    np.testing.assert_allclose(drawn(ax), [[200.0, 210.0, 220.0], [201.0, 211.0, 221.0]])
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((10.0, 410.0))  # 2.5 % and 97.5 % of 0, 100, …, 400
    assert texts(ax) == ["uniform", "on-policy"]
    assert [line.get_color() for line in ax.lines] == list(colours_of(["uniform", "on_policy"]).values())
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == (r"$\beta$", "value gap  [reward]", "log")
    assert ax.get_title(loc="right") == "median and central 95 % of 5 seeds"


def test_numbers_get_shades_and_the_axis_that_is_left_is_the_hue():
    ax = plotting.sweep(swept().isel(sampler=0), "gap")
    assert texts(ax) == [r"$\beta$ = 0.1", "1", r"$\beta$ = 10"]
    assert [line.get_color() for line in ax.lines] == shades(3)
    np.testing.assert_allclose(drawn(ax)[2], [223.0, 222.0, 221.0, 220.0])


def test_over_names_there_are_points_with_bars():
    ax = plotting.sweep(swept(), "gap", "sampler", "beta", predicted=swept()["gap"].isel(record=-1).median("seed"))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["uniform", "on-policy"]
    assert sorted(float(one[0]) for one in drawn(ax)[:6]) == [200.0, 201.0, 210.0, 211.0, 220.0, 221.0]
    flat = {to_hex(one.get_color()[0]) for one in ax.collections}
    assert flat == set(shades(3))


def test_what_is_not_done_is_left_out():
    data = swept().where(swept()["beta"] != 1.0)
    data["gap"].attrs = swept()["gap"].attrs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plotting.sweep(data, "gap", "beta", "sampler")
        assert texts(plotting.sweep(data, "gap", "sampler", "beta")) == [r"$\beta$ = 0.1", r"$\beta$ = 10"]
    np.testing.assert_allclose(drawn(ax)[0], [200.0, 220.0])


def test_axes_given_are_drawn_on():
    one, other = Figure().subplots(1, 2)
    assert plotting.trajectory(run(), "loss", ax=one) is one
    assert plotting.sweep(swept(), "gap", "beta", ax=other) is other
    assert len(one.lines) == 1
    assert len(other.lines) == 2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.trajectory(run(), "jsd_targt"), "`metrics` must be one of accuracy, .*Did you mean 'jsd_target'"),
        (lambda: plotting.trajectory(run(), ["loss", "accuracy"]), r"loss \[nats\], accuracy \[no unit\]: draw them on axes"),
        (lambda: plotting.trajectory(run(), []), "`metrics` must hold at least one"),
        (lambda: plotting.trajectory({}, "loss"), "`run` must hold at least one"),
        (lambda: plotting.trajectory({"a": run(), "b": run()}, ["loss", "jsd_target"]), "one for several runs"),
        (lambda: plotting.trajectory(3.0, "loss"), "must be a run as didsim.train returns it.*but is float"),
        (lambda: plotting.trajectory(xr.Dataset(), "loss"), "must have the coordinate step"),
        (lambda: plotting.trajectory(swept(), "gap"), "has sampler: didsim.plotting.sweep draws those"),
        (lambda: plotting.trajectory(run(np.nan), "loss"), "must have a finite number, but loss has none"),
        (lambda: plotting.sweep(swept(), "gapp", "beta"), "`y` must be one of gap"),
        (lambda: plotting.sweep(swept(), "gap", "betta"), "`x` must be one of beta, sampler, step"),
        (lambda: plotting.sweep(swept(), "gap", "beta", "beta"), "`hue` must be one of sampler"),
        (lambda: plotting.sweep(swept(), "gap"), "no axes besides x and hue, but has beta"),
        (lambda: plotting.sweep(swept(), "gap", "beta", predicted=swept()["gap"]), "`predicted` must lie over x and hue"),
    ],
)
def test_bad_input_is_one_line(draw, message):
    with pytest.raises(ArgumentError, match=message) as error:
        draw()
    assert re.match(r"Argument `\w+` must ", str(error.value))
    assert "\n" not in str(error.value)
