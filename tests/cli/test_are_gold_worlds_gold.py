"""Gold worlds, read back with NumPy alone: optimum, value, divergence, spectrum, and no slope where an objective ends."""

import json
import math
from dataclasses import fields

import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import population_oracles
import pytest

from didsim import cli
from didsim.cli.golden import worlds
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives import OBJECTIVES

ELSEWHERE = {"kldo", "auxdpo", "multinomial", "plackett-luce", "gvpo"}


@pytest.fixture(scope="module")
def gold():
    return json.loads(worlds.SHIPPED.read_text(encoding="utf-8"))["worlds"]


def of_laws(gold):
    """Worlds whose pairs are drawn from chosen and rejected laws; the others say which pairs are shown and who wins."""
    return {name: one for name, one in gold.items() if "chosen" in one}


def pair_law(one):
    """Law of (chosen, rejected)."""
    if "chosen" in one:
        return np.outer(one["chosen"], one["rejected"])
    return population_oracles.chosen_rejected_law(np.array(one["pairs"]), np.array(one["wins"]))


def test_optimum_value_and_divergence(gold):
    assert len(gold) == 25
    for name, one in of_laws(gold).items():
        mass = np.array(one["reference"]) * np.exp(np.array(one["reward"]) / one["beta"])
        target = np.array(one["target"])
        np.testing.assert_allclose(target, mass / mass.sum(), atol=1e-15, err_msg=name)
        np.testing.assert_allclose(one["value"], one["beta"] * math.log(mass.sum()), atol=1e-14)
        np.testing.assert_allclose(one["divergence"], np.sum(target * np.log(target / one["reference"])), atol=1e-14)


def test_spectrum_under_uniform_pairs(gold):
    """The Laplacian of DPO at its optimum, ``β² μ_ab σ'(r_a - r_b)`` on every unordered pair shown both ways."""
    for name, one in of_laws(gold).items():
        reward = np.array(one["reward"])
        weight = np.array([[oracle.sigmoid(a - b) * oracle.sigmoid(b - a) for b in reward] for a in reward])
        weight = 2 * one["beta"] ** 2 * weight / len(reward) ** 2
        np.fill_diagonal(weight, 0.0)
        values = np.linalg.eigvalsh(np.diag(weight.sum(1)) - weight)
        found = one["uniform_pairs"]
        np.testing.assert_allclose(found["lambda_2"], values[1], rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(found["kappa"], values[-1] / values[1], rtol=1e-9, err_msg=name)


def test_no_slope_where_an_objective_ends(gold):
    """Loss and gradient of the double loops at every end; a law beside it has a slope."""
    seen = 0
    for name, one in gold.items():
        world = oracle.World(np.log(one["reference"]), np.array(one["reward"]), np.array(one["lengths"]))
        law = pair_law(one)
        for label, end in one["ends"].items():
            if label in ELSEWHERE:
                continue
            kind = OBJECTIVES[label]
            defaults = {field.name: field.default for field in fields(kind)}
            numbers = {key: value for key, value in defaults.items() if isinstance(value, int | float) and key != "width"}
            numbers |= {"beta": one["beta"]} if "beta" in defaults else {}
            logits = np.log(end["law"])
            value, slope = population_oracles.value_and_gradient(label, logits, world, law, **numbers)
            assert np.abs(slope).max() < 1e-9, (name, label)
            np.testing.assert_allclose(value, end["loss"], rtol=1e-10, atol=1e-12, err_msg=f"{name} {label}")
            _, beside = population_oracles.value_and_gradient(label, logits + 0.1 * np.arange(len(law)), world, law, **numbers)
            assert np.abs(beside).max() > 1e2 * np.abs(slope).max()
            seen += 1
    assert seen > 200


def test_where_objectives_without_a_pair_oracle_end(gold):
    """KLDO and AuxDPO over a table end where DPO does; objectives of whole rankings, drawn by the reward, at the optimum."""
    for name, one in of_laws(gold).items():
        dpo = one["ends"]["dpo"]
        for label in ELSEWHERE & one["ends"].keys():
            end = one["ends"][label]
            wanted = dpo["law"] if label in ("kldo", "auxdpo") else one["target"]
            np.testing.assert_allclose(end["law"], wanted, atol=1e-9, err_msg=f"{name} {label}")
            assert end["residual"] < 1e-9
        chosen, rejected = (np.array(one[key]) for key in ("chosen", "rejected"))
        value = one["beta"] * np.log(np.array(dpo["law"]) / one["reference"])
        kldo = math.log(rejected @ np.exp(value)) - chosen @ value  # Donsker and Varadhan's bound, which is -KL here
        np.testing.assert_allclose(one["ends"]["kldo"]["loss"], kldo, atol=1e-12)
        np.testing.assert_allclose(kldo, -chosen @ np.log(chosen / rejected), atol=1e-10)
        np.testing.assert_allclose(one["ends"]["auxdpo"]["loss"], dpo["loss"], atol=1e-12)
        assert abs(one["ends"]["gvpo"]["loss"]) < 1e-20
    assert np.abs(np.array(gold["misled"]["ends"]["kldo"]["law"]) - gold["misled"]["target"]).max() > 0.1


def test_dpo_ends_at_the_optimum_of_matched_worlds_alone(gold):
    for name in ("matched", "matched_skewed", "weak_reference", "sharp_reference", "ties", "length_biased"):
        np.testing.assert_allclose(gold[name]["ends"]["dpo"]["law"], gold[name]["target"], atol=1e-10)
    for name in ("off_power_law", "misled"):
        one = gold[name]
        assert np.abs(np.array(one["ends"]["dpo"]["law"]) - one["target"]).max() > 0.01
        mass = np.array(one["reference"]) * (np.array(one["chosen"]) / one["rejected"]) ** (1 / one["beta"])
        np.testing.assert_allclose(one["ends"]["dpo"]["law"], mass / mass.sum(), atol=1e-10)


def test_worlds_of_sequences(gold):
    """Responses are those of the space in its order; the reference multiplies next-token laws, rewards and lengths add up."""
    space = SequenceSpace(vocabulary=3, length=2, ends=True)
    one = gold["sequences"]
    assert [row + [2] * (2 - len(row)) for row in one["tokens"]] == space.tokens().tolist()
    assert one["lengths"] == [len(row) for row in one["tokens"]] == space.lengths().tolist()
    next_token = np.exp(space.next_log_probs(jnp.log(jnp.array(one["reference"]))))
    np.testing.assert_allclose(next_token, [[0.5, 0.3, 0.2], [0.25, 0.25, 0.5], [0.6, 0.2, 0.2]], atol=1e-6)
    assert one["reward"] == [sum([0.0, 0.5, 0.125][token] for token in row) for row in one["tokens"]]
    assert len(one["ends"]) > 20
    assert gold["sequences_off"]["ends"].keys() == one["ends"].keys()


def test_worlds_of_given_pairs(gold):
    """Who wins in a circle has no reward; what is never compared keeps its sum of logits; rare pairs lead to the optimum."""
    wins = np.array(gold["cyclic"]["wins"])
    assert wins[0, 1] > 0.5
    assert wins[1, 2] > 0.5
    assert wins[2, 0] > 0.5
    apart = gold["two_components"]
    assert np.array(apart["pairs"])[:2, 2:].sum() == np.array(apart["pairs"])[2:, :2].sum() == 0
    moved = np.log(np.array(apart["ends"]["dpo"]["law"]) / apart["reference"])
    np.testing.assert_allclose(moved[:2].sum() - moved[2:].sum(), 0.0, atol=1e-9)
    np.testing.assert_allclose(gold["rare_pairs"]["ends"]["dpo"]["law"], gold["rare_pairs"]["target"], atol=1e-9)
    assert np.abs(np.array(apart["ends"]["dpo"]["law"]) - apart["target"]).max() > 0.01


def test_the_file_is_written(tmp_path, capsys):
    out = tmp_path / "worlds.json"
    assert cli.main(["worlds", "--out", str(out)]) == 0
    assert "25 worlds" in capsys.readouterr().out
    assert out.read_text(encoding="utf-8") == worlds.SHIPPED.read_text(encoding="utf-8")
    assert cli.main(["worlds", "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
