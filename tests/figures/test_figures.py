"""Figures drawn small, their verdicts, and what a verdict does with bad numbers."""

import importlib

import numpy as np
import pytest

import didsim
from didsim.figures.catalogue import FIGURES
from didsim.figures.settings import configure, to_toml
from didsim.figures.verdicts import above, below, must_break
from didsim.plotting.style import _spread, save

SMALL = {
    "A1": {"n": "8", "seeds": "2"},
    "A2": {"n": "9", "seeds": "2", "stops": "5"},
    "A3": {"n": "8", "seeds": "2", "steps": "3000"},
    "A4": {"n": "6", "seeds": "3"},
    "A5": {"n": "8", "points": "6", "steps": "1500", "strayed": "4"},
    "A6": {"n": "64", "seeds": "2", "references": "3000", "trained_n": "8", "chosen_at": "0.0,0.5"},
    "A7": {"n": "64", "seeds": "2", "samples": "32,128", "draws": "16384", "resamples": "50", "bootstrapped": "50"},
    "A8": {"length": "3", "small_length": "3", "starts": "2", "pairs": "128", "inits": "2", "steps": "600"},
    "B1": {"n": "12", "seeds": "2", "graphs": "16"},
    "B2": {"n": "4", "cases": "2000", "grid": "5"},
    "B3": {"n": "12", "seeds": "4", "grid": "7", "best_of": "1,4,16"},
    "B4": {"n": "8", "seeds": "8", "steps": "1500"},
    "B5": {"n": "10", "seeds": "4", "steps": "60", "small": "8", "sets": "192"},
    "B6": {"n": "20", "seeds": "8", "pairs": "64", "sampled_steps": "800"},
    "B7": {"n": "6", "worlds": "24"},
    "B8": {"n": "4", "grid": "9", "matrices": "8"},
    "C1": {"n": "6", "seeds": "2", "betas": "0.5,1,2", "steps": "3000", "records": "50"},
    "C2": {"n": "8", "repeats": "40"},
}


QUICK = {"A3", "A4", "B1", "B3"}  # the others take ten seconds to a minute each to compile
EACH = [pytest.param(id, marks=() if id in QUICK else pytest.mark.slow) for id in FIGURES]


class Results(dict):
    """Config, dataset and verdicts of each figure, run small when first asked for."""

    def __missing__(self, id):
        module = importlib.import_module(f"didsim.figures.{FIGURES[id].module}")
        config = configure(module.Config, SMALL[id], fast=True, seed=None)
        data = module.run(config)
        self[id] = config, data, module.verdicts(data)
        return self[id]


@pytest.fixture(scope="module")
def results():
    return Results()


@pytest.mark.parametrize("id", EACH)
def test_all_verdicts_hold_and_there_are_controls(results, id):
    _, _, verdicts = results[id]
    assert [v.name for v in verdicts if not v.ok] == []
    assert any(v.control for v in verdicts)
    assert all(np.isfinite(v.value) for v in verdicts)


@pytest.mark.parametrize("id", EACH)
def test_pictures_come_from_the_dataset_alone(results, id, tmp_path):
    _, data, _ = results[id]
    figure = importlib.import_module(FIGURES[id].picture).draw(data)
    figure.savefig(tmp_path / "figure.png")
    drawn = [line for ax in figure.axes for line in ax.get_lines()]
    assert any(line.get_linestyle() in ("--", (0, (0.6, 0.3))) or line.is_dashed() for line in drawn)
    assert all(ax.get_title("left") or ax.get_ylabel() for ax in figure.axes)


def test_pictures_are_reproducible(results, tmp_path):
    _, data, _ = results["B1"]
    draw = importlib.import_module("didsim.figures.b1_support_picture").draw
    for end in ("svg", "png"):
        for name in ("one", "two"):
            save(draw(data), tmp_path / f"{name}.{end}")
        assert (tmp_path / f"one.{end}").read_bytes() == (tmp_path / f"two.{end}").read_bytes()
    width = int.from_bytes((tmp_path / "one.png").read_bytes()[16:20], "big")
    assert width == 1400  # 7 inches at the 200 dots of the style
    assert "<text" not in (tmp_path / "one.svg").read_text()  # outlines: the same letters on every machine


@pytest.mark.parametrize("id", EACH)
def test_configs_write_themselves(results, id):
    config, _, _ = results[id]
    text = to_toml(config)
    name, value = next(iter(SMALL[id].items()))
    assert f"{name} = {value}\n" in text


def test_spoiled_data_fails_the_verdicts(results):
    """Every verdict can fail: the same check on numbers of another world is not ok."""
    _, data, _ = results["B1"]
    module = importlib.import_module("didsim.figures.b1_support")
    spoiled = data.assign(
        predicted=data["predicted"] + 1e-4, kappa=1.0 / data["kappa"], nullity=data["nullity"] + 1,
        odds_ratio=data["odds_ratio"] * 1.01, set_error=data["set_error"] + 1e-3,
    )  # fmt: skip
    failed = {v.name for v in module.verdicts(spoiled) if not v.ok}
    assert len(failed) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "module", "name", "spoil", "failures"),
    [
        ("A6", "a6_entropy", "sign_gap", lambda v: -v, 1),
        ("A6", "a6_entropy", "slope", lambda v: -v, 2),
        ("A6", "a6_entropy", "path_did", lambda v: v[..., ::-1], 1),
        ("A6", "a6_entropy", "jsd_target", lambda v: v[::-1], 2),
        ("A7", "a7_estimator", "tail_jackknife", lambda v: v[::-1], 2),
        ("A7", "a7_estimator", "tail_b", lambda v: v - 3.0, 1),
        ("A7", "a7_estimator", "pair_bias", lambda v: v[:, ::-1] * 0.0, 1),
        ("A7", "a7_estimator", "token_error", lambda v: v + 0.1, 1),
    ],
)
def test_spoiled_entropies_fail_the_verdicts(results, id, module, name, spoil, failures):
    _, data, _ = results[id]
    spoiled = data.assign({name: (data[name].dims, spoil(data[name].values))})
    found = importlib.import_module(f"didsim.figures.{module}").verdicts(spoiled)
    assert sum(not v.ok for v in found) >= failures


@pytest.mark.parametrize(
    ("id", "variable", "shift", "failures"),
    [
        pytest.param("A2", "ratio_error", 1.0, 1, marks=pytest.mark.slow),
        ("A4", "jsd", 1e-3, 1),
        pytest.param("A5", "chosen", 0.05, 4, marks=pytest.mark.slow),
        pytest.param("B2", "realised", -5.0, 2, marks=pytest.mark.slow),
    ],
)
def test_verdicts_see_a_shifted_variable(results, id, variable, shift, failures):
    _, data, _ = results[id]
    module = importlib.import_module(f"didsim.figures.{FIGURES[id].module}")
    spoiled = data.assign({variable: data[variable] + shift})
    assert sum(not verdict.ok for verdict in module.verdicts(spoiled)) >= failures


def test_verdicts_take_the_worst_and_never_pass_nan():
    assert below("x", [0.0, 2.0], 1.0).ok is False
    assert above("x", [0.0, 2.0], 1.0).ok is False
    assert must_break("x", [2.0, 3.0], 1.0).ok is True
    assert must_break("x", [0.5, 3.0], 1.0).ok is False
    assert not below("x", np.nan, 1.0).ok
    assert not above("x", np.nan, 1.0).ok


def test_block_shares_are_checked():
    module = importlib.import_module("didsim.figures.b1_support")
    with pytest.raises(didsim.ArgumentError, match="blocks must"):
        configure(module.Config, {"blocks": "0.9,0.9"}, fast=True, seed=None)


@pytest.mark.parametrize(
    ("module", "changes", "message"),
    [
        ("a2_power_law", {"stops": "6"}, "stops must be odd"),
        ("a5_displacement", {"places": "1.0,0.5"}, "places must be two rising numbers"),
        ("a5_displacement", {"betas": "-0.5,1.0"}, "betas must be positive"),
    ],
)
def test_figures_refuse_numbers_without_meaning(module, changes, message):
    config = importlib.import_module(f"didsim.figures.{module}").Config
    with pytest.raises(didsim.ArgumentError, match=message):
        configure(config, changes, fast=True, seed=None)


def test_labels_are_spread_without_overlap():
    placed = _spread(np.array([0.1, 0.11, 0.12, 0.9, 0.91]), 0.06)
    assert np.all(np.diff(placed) >= 0.06 - 1e-12)
    assert placed.min() >= 0
    assert placed.max() <= 1
    both_ends = _spread(np.array([0.0, 0.01, 0.98, 0.99, 1.0]), 0.06)
    assert np.all(np.diff(both_ends) >= 0.06 - 1e-12)
    assert both_ends[0] >= 0.03  # half a label above the axis
    assert both_ends[-1] <= 1
