"""How does a loss move every policy over three responses?  The field is one descent step, runs end on the solution set."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from sampling import sampled
from tolerance import tolerance

import didsim
from didsim import triangle
from didsim.figures.triangle.dataset import default_labels
from didsim.figures.triangle.field import inner_points
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Aot, Dpo, IpoSum, Kto, Orpo, SimPo
from didsim.samplers import Blocks, ChosenRejected, OnPolicy, ReferencePairs, Uniform
from didsim.worlds.preferences import AsShown, BradleyTerry

BETA = 0.5
REF, REWARD = np.array([0.15, 0.7, 0.15]), np.array([0.0, 0.4, 1.0])


def normalised(weights):
    return weights / weights.sum()


def target():
    return normalised(REF * np.exp(REWARD / BETA))


def evidence():
    return normalised(np.exp(REWARD / BETA))


# One class of sampler for three kinds of data: its numbers are leaves, so that each program is compiled once.
def all_pairs():
    return Blocks(jnp.array([0, 0, 0]))


def last_unseen():
    return Blocks(jnp.array([0, 0, -1]))


def all_unseen():
    return Blocks(jnp.array([0, 1, 2]))


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def descended(law, shown, step, reward):
    """One step of gradient descent on free logits, pair by pair; ``reward`` gives margins and their slope β."""
    slope = np.zeros(3)
    for a in range(3):
        for b in range(3):
            margin = reward(law)[a] - reward(law)[b]
            pull = BETA * shown[a, b] * (sigmoid(REWARD[a] - REWARD[b]) - sigmoid(margin))
            slope[a] -= pull
            slope[b] += pull
    logits = np.log(law) - step * slope
    return np.exp(logits) / np.exp(logits).sum()


REWARDS = {
    "dpo": (Dpo, lambda law: BETA * np.log(law / REF)),
    "simpo": (SimPo, lambda law: BETA * np.log(law)),
}
SHOWN = {
    "uniform": (Uniform, lambda law: np.full((3, 3), 1 / 9)),
    "reference": (ReferencePairs, lambda law: np.outer(REF, REF)),
    "on-policy": (OnPolicy, lambda law: np.outer(law, law)),
    "last unseen": (last_unseen, lambda law: np.outer([0.5, 0.5, 0.0], [0.5, 0.5, 0.0])),
}


# The quick ones: DPO on fixed pairs, SimPO on its own draws.
@pytest.mark.parametrize(("sampler", "objective"), sampled(itertools.product(SHOWN, REWARDS), 5))
def test_the_field_is_one_descent_step(world, objective, sampler):
    points, step = inner_points(5), 1e-5
    (one, reward), (pairs, shown) = REWARDS[objective], SHOWN[sampler]
    found = np.asarray(triangle.motion(world, one(BETA), pairs(), BradleyTerry(), points))
    forth, back = (np.array([descended(law, shown(law), way, reward) for law in points]) for way in (step, -step))
    np.testing.assert_allclose(found, (forth - back) / (2 * step), atol=1e-10)
    assert abs(found.sum(-1)).max() < 1e-16
    assert abs(found).max() > 1e-3


@pytest.mark.slow  # runs end where they must, and the field is one step by hand
def test_the_field_is_what_training_does(world):
    """One step of the library's own training, from the reference."""
    parts = (IpoSum(BETA), ReferencePairs(), BradleyTerry())
    run = didsim.train(world, *parts, optimiser=didsim.dynamics.Sgd(1e-6), steps=1)
    rate = (np.exp(run.log_policy[0]) - REF) / 1e-6
    np.testing.assert_allclose(triangle.motion(world, *parts, REF[None])[0], rate, atol=1e-5)


@pytest.mark.parametrize("kind", [Dpo, SimPo, IpoSum, Orpo, Kto], ids=lambda kind: kind.name)
def test_edges_and_corners_have_a_value(world, kind):
    border = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
    moved = np.asarray(triangle.motion(world, kind(1.0 if kind is Orpo else BETA), OnPolicy(), BradleyTerry(), border))
    assert np.isfinite(moved).all()
    assert abs(moved[border == 0]).max() < 1e-12  # a response without mass gets none, so the field stays inside
    assert abs(moved.sum(-1)).max() < 1e-12


def line_by_hand(law):
    return [[*law[:2] / law[:2].sum(), 0.0], [0.0, 0.0, 1.0]]


def test_solution_sets_by_hand(world):
    labels = BradleyTerry()
    point = triangle.solution_set(world, Dpo(BETA), all_pairs(), labels)
    line = triangle.solution_set(world, Dpo(BETA), last_unseen(), labels)
    whole = triangle.solution_set(world, Dpo(BETA), all_unseen(), labels)
    assert [int(found.dimension) for found in (point, line, whole)] == [0, 1, 2]
    np.testing.assert_allclose(point.ends, [target(), target()], atol=1e-9)
    np.testing.assert_allclose(line.ends, line_by_hand(target()), atol=1e-9)
    assert triangle.distance(line, jnp.asarray(target())) < 1e-9 < 1e-2 < triangle.distance(line, jnp.asarray(evidence()))
    assert float(triangle.distance(whole, jnp.asarray(target()))) == 0.0
    moved = line.ends.mean(0) + 0.1 * np.array([line.ends[0, 1], -line.ends[0, 0], 0.0]) / np.linalg.norm(line.ends[0])
    assert 0.01 < float(triangle.distance(line, moved)) <= 0.1 + tolerance(np.float64)


@pytest.mark.slow
def test_the_solution_set_without_a_reference(world):
    free = triangle.solution_set(world, SimPo(BETA), last_unseen(), BradleyTerry())
    assert int(free.dimension) == 1
    np.testing.assert_allclose(free.ends, line_by_hand(evidence()), atol=1e-9)
    assert triangle.distance(free, jnp.asarray(target())) > 1e-2


@pytest.mark.parametrize(("kind", "beta", "sampler"), sampled([(Aot, BETA, Uniform), (Orpo, 1.0, last_unseen)], 2))
def test_losses_without_a_minimiser_inside(world, kind, beta, sampler):
    found = triangle.solution_set(world, kind(beta), sampler(), BradleyTerry())
    assert int(found.dimension) == -1
    assert np.isnan(triangle.distance(found, jnp.asarray(target())))


def test_default_labels():
    assert isinstance(default_labels(ChosenRejected()), AsShown)
    assert isinstance(default_labels(Uniform()), BradleyTerry)


def test_runs_end_on_the_solution_set(portraits):
    assert portraits["solution_dimension"].values.tolist() == [[0, 1], [0, 1]]
    assert float(portraits["gap"].max()) < 1e-7
    ends = portraits["path"].isel(record=-1)
    np.testing.assert_allclose(ends.sel(objective="dpo", sampler="all"), np.tile(target(), (4, 1)), atol=1e-7)
    apart = ends.sel(objective="dpo", sampler="last never shown").values
    assert abs(apart[1:] - apart[0]).max() > 0.1  # on a line, where one ends depends on where one starts


@pytest.mark.slow
def test_runs_without_a_reference_end_on_their_solution_set(world, samplers):
    found = triangle.gallery(world, {"simpo": SimPo(BETA)}, samplers, divisions=5)
    assert found["solution_dimension"].values.tolist() == [[0, 1]]
    assert float(found["gap"].max()) < 1e-7
    ends = found["path"].isel(record=-1).sel(objective="simpo", sampler="all")
    np.testing.assert_allclose(ends, np.tile(evidence(), (4, 1)), atol=1e-7)
    assert_laws(found)


def assert_laws(found):
    for name in ("path", "point_law", "ref_law", "target_law", "did_law"):
        np.testing.assert_allclose(found[name].sum("response"), 1.0, atol=1e-12)
    assert not any(bool(found[name].isnull().any()) for name in ("path", "motion"))


def test_the_run_from_the_reference_keeps_its_component_sums(portraits):
    """Where on the line gradient descent ends (S2), by hand."""
    end = portraits["path"].sel(objective="dpo", sampler="last never shown").values[0, -1]
    logits = np.log(REF) + np.array([REWARD[0] - REWARD[:2].mean(), REWARD[1] - REWARD[:2].mean(), 0.0]) / BETA
    np.testing.assert_allclose(end, np.exp(logits) / np.exp(logits).sum(), atol=1e-7)


def test_masses_of_all_three_sum_to_one(portraits):
    assert_laws(portraits)
    third = portraits["path"].sel(objective="dpo", sampler="last never shown").isel(start=0, response=2)
    assert float(third[-1]) < float(third[0]) - 0.02  # here the unseen response loses mass though no pair shows it


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: inner_points(2), "`divisions` must be an integer of at least 3"),
        (lambda w: triangle.three_responses(0.5, (0.5, 0.5)), "`reference` must be three numbers"),
        (lambda w: triangle.three_responses(0.5, (0.5, 0.3, 0.3)), "`reference` must sum to 1"),
        (lambda w: triangle.three_responses(-1.0), "`beta` must be positive"),
        (lambda w: triangle.motion(w, Dpo(0.5), Uniform(), BradleyTerry(), np.array([[0.5, 0.5]])), "`points` must have shape"),
        (lambda w: triangle.motion(w, Dpo(0.5), Uniform(), BradleyTerry(), np.array([[1.5, -0.5, 0.0]])), "`points` must be in"),
        (lambda w: triangle.follow(w, Dpo(0.5), Uniform(), BradleyTerry(), [[1.0, 0.0, 0.0]]), "`starts` must be positive"),
        (lambda w: triangle.gallery(w, {}, {"uniform": Uniform()}), "`objectives` must name at least one"),
    ],
)
def test_bad_arguments_are_named(world, call, message):
    with pytest.raises(ArgumentError, match=f"Argument {message}"):
        call(world)


def test_other_sizes_are_refused():
    wide = didsim.problem(jnp.log(jnp.full(4, 0.25)), reward=jnp.arange(4.0))
    with pytest.raises(ArgumentError, match="must have one prompt and three responses"):
        triangle.portrait(wide, Dpo(0.5), Uniform())
