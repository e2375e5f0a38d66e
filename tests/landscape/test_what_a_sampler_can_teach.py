"""What can a sampler teach?  Every number of a survey against loops, and against trained and simulated behaviour."""

import functools
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close
from tolerance import tolerance

from didsim import landscape, samplers
from didsim.landscape.survey import LARGEST_DENSE, mixture_components, survey
from didsim.numerics.checks import ArgumentError
from didsim.worlds import problem

N = 6
BETA, ACCURACY = 0.5, 0.02
BLOCK = (0, 0, 1, 1, 1, -1)
REWARDS = (0.3, -1.0, 0.8, 0.1, 1.5, -0.4)


@functools.cache
def given() -> SimpleNamespace:
    return SimpleNamespace(reward=np.array(REWARDS), ref=oracles.log_laws(2, (1, N), widest=1.0)[0])


def world(beta=BETA):
    return problem(given().ref, reward=given().reward, beta=beta)


def edges(matrix) -> np.ndarray:
    """Weights of the Hessian at the optimum, pair by pair."""
    weight = np.zeros((N, N))
    for a in range(N):
        for b in range(N):
            win = 1 / (1 + np.exp(given().reward[b] - given().reward[a]))
            weight[a, b] = (a != b) * BETA**2 * (matrix[a, b] + matrix[b, a]) * win * (1 - win)
    return weight


def groups(weight) -> list[set[int]]:
    found = [{a} for a in range(N)]
    for a, b in np.argwhere(weight > 0):
        one, two = (next(g for g in found if x in g) for x in (a, b))
        if one is not two:
            one |= two
            found.remove(two)
    return found


CASES = {
    "best-of-base": lambda: samplers.BestOfBase(k=3),
    "blocks": lambda: samplers.Blocks(jnp.asarray(BLOCK)),
    "on-policy": lambda: samplers.OnPolicy(),
    "best-worst": lambda: samplers.SAMPLERS["best_worst"](k=3),
}


@functools.cache
def surveyed(case):
    return survey(world(), CASES[case](), accuracy=ACCURACY)


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow if case == "best-worst" else ()) for case in CASES])
def test_numbers_are_those_of_the_graph(case):
    found = surveyed(case)
    target = np.exp(oracles.normalize(given().ref + given().reward / BETA))
    matrix = np.asarray(CASES[case]().pair_law(world(), jnp.log(target)[None]).matrix())[0]
    weight = edges(matrix)
    sets = groups(weight)
    values = np.linalg.eigvalsh(np.diag(weight.sum(1)) - weight)
    inverse = np.linalg.pinv(np.diag(weight.sum(1)) - weight, rcond=1e-12)
    pairs = [(a, b) for g in sets for a in g for b in g if a != b]
    resistance = np.mean([inverse[a, a] + inverse[b, b] - 2 * inverse[a, b] for a, b in pairs])
    lonely = [a for g in sets if len(g) == 1 for a in g]
    wanted = {
        "open_directions": len(sets),
        "components": sum(len(g) > 1 for g in sets),
        "unseen_reference": np.exp(given().ref)[lonely].sum(),
        "unseen_target": target[lonely].sum(),
        "undetermined": 1 - max(target[list(g)].sum() for g in sets),
        "smallest": values[len(sets)],
        "largest": values[-1],
        "condition": values[-1] / values[len(sets)],
        "step": 2 / (values[-1] + values[len(sets)]),
        "rate": (values[-1] - values[len(sets)]) / (values[-1] + values[len(sets)]),
        "information": sum(weight.sum(1)) / 2,
        "margin_error": np.sqrt(resistance),
        "pairs": np.ceil(resistance / ACCURACY**2),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name)[0], value, rtol=1e-9, atol=1e-14, err_msg=name)
    assert bool(found.resolved[0])
    assert np.asarray(found.shown[0]).tolist() == [a not in lonely for a in range(N)]


@pytest.mark.parametrize("case", ["best-of-base", "blocks"])
def test_descent_keeps_what_the_survey_promises(case):
    """NumPy gradient descent at the step named: it ends as far below the best value, at the rate named."""
    found = surveyed(case)
    matrix = np.asarray(CASES[case]().pair_law(world(), jnp.asarray(given().ref)[None]).matrix())[0]
    both = matrix + matrix.T
    win = oracles.bradley_terry(given().reward)
    logits, trail = np.array(given().ref), []
    for _ in range(40 * int(found.steps[0])):
        margin = BETA * ((logits - given().ref)[:, None] - (logits - given().ref)[None])
        force = BETA * both * (win - 1 / (1 + np.exp(-margin)))
        logits = logits + float(found.step[0]) * force.sum(1)
        trail.append(np.abs(force.sum(1)).max())
    policy, target = (np.exp(oracles.normalize(x)) for x in (logits, given().ref + given().reward / BETA))
    assert abs(BETA * oracles.kl(policy, target) - float(found.value_gap[0])) < 1e-10
    inside = [t for t in trail if 1e-11 < t < 1e-5]
    rate = (inside[-1] / inside[0]) ** (1 / (len(inside) - 1))
    assert abs(rate / float(found.rate[0]) - 1) < 0.02
    assert abs(rate / float(found.rate[0]) ** 2 - 1) > 0.02
    assert 0.0 <= float(found.steps[0]) - np.log(ACCURACY) / np.log(float(found.rate[0])) < 1.0


def test_margins_are_as_wrong_as_the_survey_says():
    """Maximum likelihood from simulated coin flips, z-score of the mean squared error of the log-margins (S7)."""
    found, pairs, runs = surveyed("on-policy"), 20_000, 200
    target = np.exp(oracles.normalize(given().ref + given().reward / BETA))
    rng = np.random.default_rng(1)
    shown = np.outer(target, target)
    win = oracles.bradley_terry(given().reward)
    errors = []
    truth = given().reward - given().reward.mean()
    for _ in range(runs):
        counts = rng.multinomial(pairs, shown.ravel() / shown.sum()).reshape(N, N)
        won = rng.binomial(counts, win)
        wins, both = won + (counts - won).T, counts + counts.T
        implicit = truth.copy()
        for _ in range(8):  # Newton
            chance = oracles.bradley_terry(implicit)
            force = wins - both * chance
            np.fill_diagonal(force, 0.0)
            weight = both * chance * (1 - chance)
            np.fill_diagonal(weight, 0.0)
            implicit = implicit + np.linalg.pinv(np.diag(weight.sum(1)) - weight) @ force.sum(1)
        gap = (implicit - truth)[:, None] - (implicit - truth)[None]
        errors.append((gap / BETA)[~np.eye(N, dtype=bool)] ** 2)
    each = np.mean(errors, axis=1)
    wanted = float(found.margin_error[0]) ** 2 / pairs
    noise = each.std() / np.sqrt(runs)
    assert abs(each.mean() - wanted) < 5 * noise + 0.02 * wanted  # the next order in 1/pairs is about a per cent
    assert abs(each.mean() - 2 * wanted) > 5 * noise


def test_signal_is_taken_at_the_reference():
    at_target = survey(problem(world().log_target, reward=given().reward, beta=BETA), samplers.OnPolicy()).signal
    assert abs(float(surveyed("on-policy").signal[0] - at_target[0])) > 0.01


def test_nothing_compared():
    lonely = samplers.Product(*[jnp.asarray(oracles.log(np.eye(N)[0]))] * 2)
    found = survey(world(), lonely)
    assert int(found.components[0]) == 0
    assert int(found.open_directions[0]) == N
    assert bool(jnp.isnan(found.smallest[0]))
    assert not bool(found.resolved[0])
    assert float(found.value_gap[0]) > 0.01


def test_pairs_too_rare_to_count_teach_nothing():
    found = survey(world(), samplers.BestOfBoth(k=300.0))
    assert not bool(found.resolved[0])
    assert float(found.steps[0]) == float(found.pairs[0]) == float(found.condition[0]) == np.inf
    assert float(found.rate[0]) == 1.0


def test_mix_r_takes_one_step():
    found = survey(world(), samplers.MixR())
    assert float(found.steps[0]) == 1.0
    assert abs(float(found.condition[0]) - 1.0) < tolerance(condition=10.0)
    assert float(survey(world(), samplers.Uniform()).steps[0]) > 1.0


def test_components_of_mixtures_need_no_matrix():
    rng = np.random.default_rng(7)
    many = 500
    sides = rng.random((2, many, 3, 9)) < rng.uniform(0.05, 0.4, (2, many, 3, 1))
    sides[..., 0] |= ~sides.any(-1)
    weights = rng.random((many, 3)) * (rng.random((many, 3)) < 0.8) + 1e-9 * (np.arange(3) == 0)
    logs = [jnp.asarray(oracles.log(side / side.sum(-1, keepdims=True))) for side in sides]
    law = samplers.ProductMixture(jnp.asarray(weights / weights.sum(-1, keepdims=True)), *logs)
    wanted = landscape.components(landscape.comparison_graph(law.matrix()))
    assert_close(mixture_components(law), wanted)
    assert len(np.unique(np.asarray(landscape.component_count(wanted)))) > 5


def test_dense_laws_have_a_limit():
    n = LARGEST_DENSE + 1
    big = problem(np.full(n, -np.log(n)), reward=np.zeros(n))
    with pytest.raises(ArgumentError, match="must have at most 2048 responses for Blocks, whose law is dense, but has 2049"):
        survey(big, samplers.Blocks(jnp.zeros(n, int)))


@pytest.mark.slow
def test_large_problems_agree_with_small_ones(monkeypatch):
    n = 64
    rng = np.random.default_rng(3)
    big = problem(oracles.normalize(rng.standard_normal(n)), reward=rng.standard_normal(n), beta=0.7)
    small = survey(big, samplers.BestOfBase(k=2))
    monkeypatch.setattr("didsim.landscape.survey.LARGEST_DENSE", 8)
    large = survey(big, samplers.BestOfBase(k=2))
    for name in ("smallest", "largest", "rate", "information", "undetermined", "value_gap", "signal", "open_directions"):
        np.testing.assert_allclose(getattr(large, name), getattr(small, name), rtol=1e-6, atol=1e-9, err_msg=name)
    assert bool(jnp.isnan(large.pairs[0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: survey(world(), samplers.Uniform(), beta=0.0), "`beta` must be positive and finite, but is 0"),
        (lambda: survey(world(), samplers.Uniform(), accuracy=0.0), "`accuracy` must be positive and finite, but is 0"),
        (lambda: survey(world(), samplers.Uniform(), accuracy=1.0), r"`accuracy` must be in \[0, 1\), but is 1"),
        (
            lambda: survey(world(), samplers.Product(jnp.full(N, -1.0), jnp.full(N, -1.0))),
            r"`log_first` must be normalised \(total probability 1\), but a law in it sums to 2.20728",
        ),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call()
