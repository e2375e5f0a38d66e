"""Do all verdicts of the figures hold, and does each of them see numbers that are wrong?"""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_figures import numbers, slow

from didsim.figures import FIGURES, above, below, must_break
from didsim.figures import c9_over_optimisation as over_optimisation
from didsim.figures.a8_pairs import _others_rank
from didsim.figures.c12_atlas import best
from didsim.landscape.atlas import Kind

ROOT = Path(__file__).parents[2]

EACH = [slow(id) for id in FIGURES]


@pytest.mark.parametrize("id", EACH)
def test_all_verdicts_hold_and_there_are_controls(results, id):
    _, _, verdicts = results[id]
    assert [v.name for v in verdicts if not v.ok] == []
    assert any(v.control for v in verdicts)
    assert all(np.isfinite(v.value) for v in verdicts)


def test_spoiled_data_fails_the_verdicts():
    """Every verdict can fail: the same check on numbers of another world is not ok."""
    data = xr.load_dataset(ROOT / "figures" / f"{FIGURES['B1'].stem}.nc")
    assert all(v.ok for v in numbers("B1").verdicts(data))
    spoiled = data.assign(
        predicted=data["predicted"] + 1e-4, kappa=1.0 / data["kappa"], nullity=data["nullity"] + 1,
        odds_ratio=data["odds_ratio"] * 1.01, set_error=data["set_error"] + 1e-3,
    )  # fmt: skip
    failed = {v.name for v in numbers("B1").verdicts(spoiled) if not v.ok}
    assert len(failed) == 6


@pytest.mark.parametrize(
    ("id", "name", "spoil", "failures"),
    [
        slow("A1", "end_misfit", lambda v: v + 1e-3, 2),
        slow("A1", "end_strength", lambda v: v * 1.01, 1),
        slow("A1", "bpo_error", lambda v: v**1.05, 1),
        slow("A1", "bpo_jsd", lambda v: v + 1e-4, 1),
        slow("A2", "ratio_error", lambda v: v + 1.0, 1),
        slow("A2", "angle_off_line", lambda v: v + 1e-4, 1),
        slow("A4", "jsd", lambda v: v + 1e-3, 1),
        slow("A5", "chosen", lambda v: v + 0.05, 4),
        slow("A6", "sign_gap", lambda v: -v, 1),
        slow("A6", "slope", lambda v: -v, 2),
        slow("A6", "path_did", lambda v: v[..., ::-1], 1),
        slow("A6", "jsd_target", lambda v: v[::-1], 2),
        slow("A7", "tail_jackknife", lambda v: v[::-1], 2),
        slow("A7", "tail_b", lambda v: v - 3.0, 1),
        slow("A7", "pair_bias", lambda v: v[:, ::-1] * 0.0, 1),
        slow("A7", "token_error", lambda v: v + 0.1, 1),
        slow("A8", "rank_correlation", lambda v: v[:, ::-1], 2),
        slow("A8", "first_zero", lambda v: v[[0, 2, 1]], 3),
        slow("A8", "other_pairs_rank", lambda v: v + 0.5, 1),
        slow("B1", "all_pairs_root", lambda v: v + 1e-2, 1),
        slow("B1", "all_pairs_ratio", lambda v: v[::-1], 3),
        slow("B1", "all_pairs_kept", lambda v: v[::-1], 1),
        slow("B2", "realised", lambda v: v - 5.0, 2),
        slow("B2", "band_chosen", lambda v: v[:, ::-1], 1),
        slow("B2", "band_ratio", lambda v: v[::-1], 1),
        slow("B2", "flip_error", lambda v: v[::-1], 2),
        slow("C1", "pair_margin", lambda v: v[:, ::-1], 2),
        slow("C3", "loss", lambda v: v - 1e-3, 4),
        slow("C3", "dependent_minimum", lambda v: v + 1e-3, 2),
        slow("C4", "at_stated", lambda v: v + 1e-3, 2),
        slow("C4", "by_count", lambda v: v[::-1], 2),
        slow("C6", "error", lambda v: v[:, [1, 0, 2]], 1),
        slow("C6", "wrong", lambda v: v[::-1], 2),
        slow("C7", "ratio", lambda v: v + 0.5, 1),
        slow("C7", "worth", lambda v: v[[0, 2, 1]], 2),
        slow("C9", "slope", lambda v: -v, 3),
        slow("C9", "turn_found", lambda v: v * 1.001, 1),
        slow("C5", "hypo", lambda v: v * 0.9, 1),
        slow("C8", "kl_comal", lambda v: v[:, ::-1], 2),
        slow("C10", "recursion", lambda v: v + 1e-3, 1),
        slow("C11", "credit", lambda v: v * 0.9, 2),
    ],
)
def test_verdicts_see_a_spoiled_variable(results, id, name, spoil, failures):
    _, data, _ = results[id]
    spoiled = data.assign({name: (data[name].dims, spoil(data[name].values))})
    assert sum(not verdict.ok for verdict in numbers(id).verdicts(spoiled)) >= failures


def test_a_best_loss_would_fail_the_verdict_that_there_is_none():
    data = xr.load_dataset(ROOT / "figures" / f"{FIGURES['C12'].stem}.nc")

    def ranked(data):
        (found,) = [v for v in numbers("C12").verdicts(data) if "best most often" in v.name]
        return found

    assert ranked(data).ok
    matched = data["gap"].sel(departure="matched", drop=True).broadcast_like(data["gap"]).transpose(*data["gap"].dims)
    spoiled = ranked(data.assign(gap=matched, kind=data["kind"] * 0))
    assert (spoiled.ok, spoiled.value) == (False, 0.0)


def test_what_is_not_solved_in_every_world_is_not_the_least():
    data = xr.load_dataset(ROOT / "figures" / f"{FIGURES['C12'].stem}.nc")
    first = best(data)
    assert first.sel(departure="matched", objective=["dpo", "kldo"]).all()  # ties
    assert not first.sel(objective="rlhf").any()
    kind = data["kind"].copy()
    kind.loc[{"departure": "matched", "objective": "dpo", "world": data["world"][0]}] = Kind.UNSOLVED
    assert not best(data.assign(kind=kind)).sel(departure="matched", objective="dpo")


def test_verdicts_take_the_worst_and_never_pass_nan():
    assert below("x", [0.0, 2.0], 1.0).ok is False
    assert above("x", [0.0, 2.0], 1.0).ok is False
    assert must_break("x", [2.0, 3.0], 1.0).ok is True
    assert must_break("x", [0.5, 3.0], 1.0).ok is False
    assert not below("x", np.nan, 1.0).ok
    assert not above("x", np.nan, 1.0).ok


def test_a_verdict_prints_as_one_line():
    assert repr([below("error", [0.0, 2.0], 1.0)]) == "[Verdict(FAILED error: 2 ≤ 1)]"


@pytest.mark.parametrize("levels", [3, 50], ids=["with ties", "without"])
def test_scores_of_other_pairs_rank_as_the_proof_says(levels):
    """Spearman's correlation of each score with every other pair's fall, one product at a time, is -ρ/(n - 1) on average."""
    draw = np.random.default_rng(levels)
    score, fall = draw.integers(0, levels, 40).astype(float), draw.normal(size=40)
    kept = np.arange(40) % 4 > 0
    ranks = [[np.sum(x < one) + np.sum(x == one) / 2 for one in x] for x in (score[kept], fall[kept])]
    a, b = (np.array(rank) - np.mean(rank) for rank in ranks)
    own = sum(a * b) / np.sqrt(sum(a * a) * sum(b * b))
    np.testing.assert_allclose(_others_rank(score, fall, kept), -own / (len(a) - 1), rtol=1e-10, atol=1e-15)


@pytest.mark.slow  # as is what else C9 computes
@pytest.mark.parametrize("error", [0.1, 30.0])
def test_the_integral_of_a_lost_value_is_exact_for_proxies_of_any_error(error, monkeypatch):
    world, gold = over_optimisation._drawn(over_optimisation.Config(error=error, n=6, worlds=8))

    def worst() -> float:
        gap = over_optimisation._gap(world, gold)
        return float(np.max(np.abs(gap["lost"][1] / gap["lost_predicted"][1] - 1.0)))

    assert worst() < 1e-11
    monkeypatch.setattr(over_optimisation, "NATS", 1e9)  # control: one panel
    assert (worst() > 1e-8) == (error > 1.0)
