"""What does a run measure, and at which of its steps?"""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import population_oracles
import pytest
from objective_cases import NUMBERS, make
from problem_cases import BETA, SHARES, N, P, given
from scipy.optimize import brentq
from tolerance import tolerance
from training_cases import STEPS, by_hand, measured, sgd

from didsim import simplex
from didsim.dynamics import Sgd, record_steps, train
from didsim.dynamics.metrics import LONG_NAMES, UNITS
from didsim.landscape import loss_floor
from didsim.objectives import OBJECTIVES, population
from didsim.samplers import Uniform
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry


def along(direction, ref, wanted):
    """Law ``π_ref e^{γR}`` with a given mean of R, and its γ."""

    def law(gamma):
        weight = np.exp(ref + gamma * direction)
        return weight / weight.sum()

    gamma = brentq(lambda g: law(g) @ direction - wanted, -100.0, 100.0, xtol=1e-13)
    return law(gamma), gamma


def ranked(values, pairs):
    return sum(w * (1.0 if values[a] > values[b] else 0.5 if a == b else 0.0) for a, b, w in pairs)


def metrics_by_hand(world, log_policy, laws):
    """Every metric of one prompt, by loops."""
    p, ref, target = (np.exp(a) for a in (log_policy, world["ref"], world["target"]))
    ratio = log_policy - world["ref"]
    pairs = [(a, b, laws[a, b]) for a in range(N) for b in range(N)]
    direction = world["chosen"] - world["rejected"]
    fit, gamma = along(direction, world["ref"], sum(p * direction))
    shown = laws + laws.T
    chance = [[laws[a, b] / shown[a, b] if shown[a, b] > 0 else 0.5 for b in range(N)] for a in range(N)]
    value = sum(p * world["reward"]) - BETA * oracles.kl(p, ref)
    best = sum(target * world["reward"]) - BETA * oracles.kl(target, ref)
    return {
        "loss": population_oracles.value_and_gradient("dpo", log_policy, world["world"], laws, **NUMBERS["dpo"])[0],
        "jsd_target": oracles.jsd(p, target),
        "kl_target": oracles.kl(target, p),
        "kl_ref": oracles.kl(p, ref),
        "entropy": oracles.entropy(p),
        "did_entropy": oracles.entropy(oracles.did(p, ref)),
        "value": value,
        "value_gap": best - value,
        "floor": sum(w * np.log(1.0 + laws[b, a] / w) for a, b, w in pairs if w > 0),
        "misfit": oracles.kl(p, fit),
        "gamma": gamma,
        "ranking_accuracy": ranked(log_policy, pairs),
        "ranking_accuracy_target": ranked(world["target"], pairs),
        "exploitability": max(sum(chance[a][b] * p[b] for b in range(N)) for a in range(N)) - 0.5,
        "accuracy": sum(w * (1.0 if ratio[a] > ratio[b] else 0.5 if a == b else 0.0) for a, b, w in pairs),
        "margin": sum(w * (ratio[a] - ratio[b]) for a, b, w in pairs),
        "chosen_change": sum(w * ratio[a] for a, b, w in pairs),
        "rejected_change": sum(w * ratio[b] for a, b, w in pairs),
        "best_mass": p[max(range(N), key=lambda y: target[y])],
    }


def test_metrics_by_hand():
    log_policy = oracles.normalize(np.random.default_rng(1).standard_normal((P, N)))
    comparisons = population(given().problem, given().pairs, BradleyTerry(), given().problem.log_ref)
    got = measured(given().problem, make("dpo"), jnp.asarray(log_policy), comparisons)
    rows = []
    for x in range(P):
        world = {
            "ref": given().ref[x],
            "target": np.asarray(given().problem.log_target)[x],
            "chosen": np.asarray(given().problem.log_chosen)[x],
            "rejected": np.asarray(given().problem.log_rejected)[x],
            "reward": given().reward[x],
            "world": given().worlds[x],
        }
        rows.append(
            metrics_by_hand(world, log_policy[x], population_oracles.chosen_rejected_law(given().shown[x], given().soft[x]))
        )
    for row in rows:
        row["excess"] = row["loss"] - row["floor"]
    assert sorted(got) == sorted(UNITS) == sorted(LONG_NAMES) == sorted(rows[0])
    for name, value in got.items():
        np.testing.assert_allclose(value, SHARES @ [row[name] for row in rows], atol=tolerance(), err_msg=name)
        assert abs(value - np.mean([row[name] for row in rows])) > 1e-5, name  # control: the prompt law matters


def test_a_floor_is_known_for_logistic_margins_and_classifiers_alone():
    """BCO's and KLDO's from the two marginal laws; no loss with another link, or with a term beside it, has one."""
    world = given().problem
    comparisons = population(world, given().pairs, BradleyTerry(), world.log_ref)
    laws = np.asarray(comparisons.ordered)
    won, lost = laws.sum(2), laws.sum(1)
    jsd = SHARES @ [oracles.jsd(w, q) for w, q in zip(won, lost, strict=True)]
    kl = SHARES @ [oracles.kl(w, q) for w, q in zip(won, lost, strict=True)]
    dpo = np.where(laws > 0, laws * np.log1p(np.swapaxes(laws, 1, 2) / np.where(laws > 0, laws, 1.0)), 0.0).sum((1, 2)) @ SHARES
    wanted = {
        "dpo": dpo,
        "r-dpo": dpo,
        "dpo_norm": dpo,
        "bco[batch]": 2 * np.log(2) - 2 * jsd,
        "bco[none]": 2 * np.log(2) - 2 * jsd,
    }
    for name, floor in (wanted | {"kldo": -kl}).items():
        objective = make(name) if name in NUMBERS else OBJECTIVES[name]()
        found = loss_floor(objective, comparisons, N)
        assert float(SHARES @ np.asarray(found)) == pytest.approx(floor, abs=tolerance()), name
    for name in ("cdpo", "ipo[sum]", "cpo", "dpop", "simpo", "kto", "sft", "hinge"):
        assert loss_floor(make(name), comparisons, N) is None, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_at_the_reference(dtype):
    """Normalised once more, log-ratios are zero to rounding only: all margins are ties, not coin flips."""
    world = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), problem(oracles.log_laws(4, (40, N)), reward=np.zeros(N)))
    comparisons = population(world, Uniform(), BradleyTerry(), world.log_ref)
    got = measured(world, make("dpo"), simplex.normalize(world.log_ref + 3.0), comparisons)
    assert np.any(simplex.normalize(world.log_ref + 3.0) != world.log_ref)
    for name in ("kl_ref", "margin", "chosen_change", "rejected_change"):
        np.testing.assert_allclose(got[name], 0.0, atol=tolerance(dtype))
    wanted = [0.5, np.log(N), np.log(2)]
    np.testing.assert_allclose([got["accuracy"], got["did_entropy"], got["loss"]], wanted, atol=tolerance(dtype))


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 12345])
@pytest.mark.parametrize("records", [2, 3, 50])
def test_recorded_moments(steps, records):
    moments = record_steps(steps, records)
    assert moments[0] == 0
    assert moments[-1] == steps
    assert np.all(np.diff(moments) > 0)
    assert len(moments) <= records + 1
    if steps == 12345 and records == 50:
        assert len(moments) > 40
        late = np.diff(np.log(moments[20:]))
        assert late.max() / late.min() < 1.5  # evenly spaced on the log axis


def test_metrics_are_recorded_at_their_step():
    """Recording less often changes nothing but which moments are seen."""
    short = train(given().problem, make("dpo"), given().pairs, BradleyTerry(), steps=STEPS, records=3, optimiser=Sgd(2.0))
    path = by_hand("dpo", sgd(2.0))
    assert list(short.steps) == [0, 1, STEPS]
    for moment, entropy in zip(short.steps, short.metrics["entropy"], strict=True):
        np.testing.assert_allclose(entropy, SHARES @ oracles.rows(oracles.entropy, np.exp(path[moment])), atol=tolerance())
