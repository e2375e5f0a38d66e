"""The triangle of three responses: the field is one descent step, runs end on the solution set, edges hold no NaN."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import didsim
from didsim import cli, triangle
from didsim.figures.triangle.dataset import default_labels
from didsim.figures.triangle.field import inner_points
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Aot, Dpo, IpoSum, Kto, Orpo, SimPo
from didsim.plotting import triangles as picture
from didsim.samplers import Blocks, ChosenRejected, OnPolicy, ReferencePairs, Uniform
from didsim.worlds.preferences import AsShown, BradleyTerry

BETA = 0.5
REF, REWARD = np.array([0.15, 0.7, 0.15]), np.array([0.0, 0.4, 1.0])
TARGET = REF * np.exp(REWARD / BETA) / np.sum(REF * np.exp(REWARD / BETA))
EVIDENCE = np.exp(REWARD / BETA) / np.sum(np.exp(REWARD / BETA))
# One class of sampler for three kinds of data: its numbers are leaves, so that each program is compiled once.
ALL_PAIRS = Blocks(jnp.array([0, 0, 0]))
LAST_UNSEEN = Blocks(jnp.array([0, 0, -1]))
ALL_UNSEEN = Blocks(jnp.array([0, 1, 2]))


@pytest.fixture(scope="module")
def world():
    return triangle.three_responses(BETA)


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
    "dpo": (Dpo(BETA), lambda law: BETA * np.log(law / REF)),
    "simpo": (SimPo(BETA), lambda law: BETA * np.log(law)),
}
SHOWN = {
    "uniform": (Uniform(), lambda law: np.full((3, 3), 1 / 9)),
    "reference": (ReferencePairs(), lambda law: np.outer(REF, REF)),
    "on-policy": (OnPolicy(), lambda law: np.outer(law, law)),
    "last unseen": (LAST_UNSEEN, lambda law: np.outer([0.5, 0.5, 0.0], [0.5, 0.5, 0.0])),
}


@pytest.mark.parametrize("objective", REWARDS)
@pytest.mark.parametrize("sampler", SHOWN)
def test_the_field_is_one_descent_step(world, objective, sampler):
    points, step = inner_points(5), 1e-5
    (one, reward), (pairs, shown) = REWARDS[objective], SHOWN[sampler]
    found = np.asarray(triangle.motion(world, one, pairs, BradleyTerry(), points))
    forth, back = (np.array([descended(law, shown(law), way, reward) for law in points]) for way in (step, -step))
    np.testing.assert_allclose(found, (forth - back) / (2 * step), atol=1e-10)
    assert abs(found.sum(-1)).max() < 1e-16
    assert abs(found).max() > 1e-3


def test_the_field_is_what_training_does(world):
    """One step of the library's own training, from the reference."""
    parts = (IpoSum(BETA), ReferencePairs(), BradleyTerry())
    run = didsim.train(world, *parts, optimiser=didsim.dynamics.Sgd(1e-6), steps=1)
    rate = (np.exp(run.log_policy[0]) - REF) / 1e-6
    np.testing.assert_allclose(triangle.motion(world, *parts, REF[None])[0], rate, atol=1e-5)


@pytest.mark.parametrize("objective", [Dpo(BETA), SimPo(BETA), IpoSum(BETA), Orpo(1.0), Kto(BETA)], ids=lambda one: one.name)
def test_edges_and_corners_have_a_value(world, objective):
    border = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
    moved = np.asarray(triangle.motion(world, objective, OnPolicy(), BradleyTerry(), border))
    assert np.isfinite(moved).all()
    assert abs(moved[border == 0]).max() < 1e-12  # a response without mass gets none, so the field stays inside
    assert abs(moved.sum(-1)).max() < 1e-12


def test_solution_sets_by_hand(world):
    labels = BradleyTerry()
    point = triangle.solution_set(world, Dpo(BETA), ALL_PAIRS, labels)
    line = triangle.solution_set(world, Dpo(BETA), LAST_UNSEEN, labels)
    free = triangle.solution_set(world, SimPo(BETA), LAST_UNSEEN, labels)
    whole = triangle.solution_set(world, Dpo(BETA), ALL_UNSEEN, labels)
    assert [int(found.dimension) for found in (point, line, free, whole)] == [0, 1, 1, 2]
    np.testing.assert_allclose(point.ends, [TARGET, TARGET], atol=1e-9)
    for found, law in ((line, TARGET), (free, EVIDENCE)):
        np.testing.assert_allclose(found.ends, [[*law[:2] / law[:2].sum(), 0.0], [0.0, 0.0, 1.0]], atol=1e-9)
    assert triangle.distance(line, jnp.asarray(TARGET)) < 1e-9 < 1e-2 < triangle.distance(free, jnp.asarray(TARGET))
    assert float(triangle.distance(whole, jnp.asarray(TARGET))) == 0.0
    moved = line.ends.mean(0) + 0.1 * np.array([line.ends[0, 1], -line.ends[0, 0], 0.0]) / np.linalg.norm(line.ends[0])
    assert 0.01 < float(triangle.distance(line, moved)) <= 0.1


def test_losses_without_a_minimiser_inside(world):
    for objective, sampler in ((Orpo(1.0), LAST_UNSEEN), (Aot(BETA), Uniform())):
        found = triangle.solution_set(world, objective, sampler, BradleyTerry())
        assert int(found.dimension) == -1
        assert np.isnan(triangle.distance(found, jnp.asarray(TARGET)))


def test_default_labels():
    assert isinstance(default_labels(ChosenRejected()), AsShown)
    assert isinstance(default_labels(Uniform()), BradleyTerry)


@pytest.fixture(scope="module")
def data(world):
    """DPO and SimPO, all pairs and without the last response."""
    samplers = {"all": ALL_PAIRS, "last never shown": LAST_UNSEEN}
    return triangle.gallery(world, {"dpo": Dpo(BETA), "simpo": SimPo(BETA)}, samplers, divisions=5)


def test_runs_end_on_the_solution_set(data):
    assert data["solution_dimension"].values.tolist() == [[0, 1], [0, 1]]
    assert float(data["gap"].max()) < 1e-7
    ends = data["path"].isel(record=-1)
    np.testing.assert_allclose(ends.sel(objective="dpo", sampler="all"), np.tile(TARGET, (4, 1)), atol=1e-7)
    np.testing.assert_allclose(ends.sel(objective="simpo", sampler="all"), np.tile(EVIDENCE, (4, 1)), atol=1e-7)
    apart = ends.sel(objective="dpo", sampler="last never shown").values
    assert abs(apart[1:] - apart[0]).max() > 0.1  # on a line, where one ends depends on where one starts


def test_the_run_from_the_reference_keeps_its_component_sums(data):
    """Where on the line gradient descent ends (S2), by hand."""
    end = data["path"].sel(objective="dpo", sampler="last never shown").values[0, -1]
    logits = np.log(REF) + np.array([REWARD[0] - REWARD[:2].mean(), REWARD[1] - REWARD[:2].mean(), 0.0]) / BETA
    np.testing.assert_allclose(end, np.exp(logits) / np.exp(logits).sum(), atol=1e-7)


def test_masses_of_all_three_sum_to_one(data):
    for name in ("path", "point_law", "ref_law", "target_law", "did_law"):
        np.testing.assert_allclose(data[name].sum("response"), 1.0, atol=1e-12)
    assert not any(bool(data[name].isnull().any()) for name in ("path", "motion"))
    third = data["path"].sel(objective="dpo", sampler="last never shown").isel(start=0, response=2)
    assert float(third[-1]) < float(third[0]) - 0.02  # here the unseen response loses mass though no pair shows it


def test_the_picture_shows_what_the_data_hold(data):
    figure = picture.gallery(data)
    panels = [ax for ax in figure.axes if ax.collections]
    assert len(panels) == 4
    dashed = [sum(line.get_linestyle() == "--" for line in ax.lines) for ax in panels]
    assert dashed == [0, 1, 0, 1]  # the line of minimisers, where there is one
    one = data.sel(objective="dpo", sampler="all")
    ax = picture.portrait(one)
    ends = picture.flat(one["path"].values[:, -1])
    drawn = np.array([line.get_xydata()[0] for line in ax.lines if len(line.get_xydata()) == 1])
    assert all(np.abs(drawn - end).max(1).min() < 1e-12 for end in ends)


def test_corners_in_the_plane():
    np.testing.assert_allclose(picture.flat(np.eye(3)), [[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])


def test_the_animation_shows_all_three_masses_and_fetches_nothing(data):
    one = data.sel(objective="dpo", sampler="last never shown")
    moving = picture.animation(one, title="a & b", frames=4)
    bars = [patch.get_height() for ax in moving._fig.axes for patch in ax.patches]
    np.testing.assert_allclose(bars, REF)
    page = picture.player(moving, "a & b")
    np.testing.assert_allclose(
        [patch.get_height() for ax in moving._fig.axes for patch in ax.patches], one["path"][0, -1], atol=2e-3
    )
    assert "a &amp; b" in page
    assert page.count("data:image/png;base64") == 4
    assert 'src="http' not in page and "href=" not in page  # noqa: PT018
    assert isinstance(moving._fig, Figure)


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "x.mp4"), "`--out` must end in one of .png, .svg, .html, .gif"),
        (("--out", "nowhere/x.png"), "must lie in a folder that exists"),
        (("--out", "x.html", "--objective", "dpo", "simpo"), "must end in .png or .svg for several"),
        (("--out", "x.png", "--objective", "dpoo"), "Did you mean 'dpo'"),
        (("--out", "x.png", "--objective", "dpo:beta"), "`--objective` must be name or name:field=number"),
        (("--out", "x.png", "--sampler", "unifrom"), "Did you mean 'uniform'"),
        (("--out", "x.png", "--beta", "-1"), "must be positive"),
    ],
)  # fmt: skip
def test_the_command_refuses(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["simplex", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_draws(tmp_path, capsys):
    file = tmp_path / "one.svg"
    words = ["simplex", "--objective", "dpo", "--sampler", "blocks:block=0/0/-1", "--divisions", "5", "--out", str(file)]
    assert cli.main(words) == 0
    assert "a line of minimisers" in capsys.readouterr().out
    assert "</svg>" in file.read_text(encoding="utf-8")
    assert cli.main(words) == 2
    assert "use --overwrite" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["html", "gif"])
def test_the_command_animates(tmp_path, ending):
    file = tmp_path / f"run.{ending}"
    assert cli.main(["simplex", "--out", str(file)]) == 0
    assert 50_000 < file.stat().st_size < 6_000_000
