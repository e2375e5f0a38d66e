"""Is a sweep its single runs: the same numbers, labelled, compiled once per combination of choices?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import didsim
from didsim import metrics, objectives, preferences, samplers, worlds
from didsim.dynamics import Adam, Run, Sgd
from didsim.dynamics.run import execute, run_key
from didsim.sweeps import drawn_worlds, grid, sweep
from didsim.sweeps.axes import replace_path

RUN = Run(
    worlds.RandomReward(n=5, prompts=2, beta=0.5),
    objectives.Dpo(0.5),
    samplers.Uniform(),
    preferences.BradleyTerry(),
    optimiser=Sgd(2.0),
    steps=20,
    records=6,
)


@pytest.fixture(scope="module")
def betas():
    """A sweep over β in blocks of two, and what it told of its progress."""
    seen = []
    axes = {"objective.beta": [0.3, 1.0]}
    data = sweep(RUN, axes, seeds=3, width=2, progress=lambda done, total: seen.append((done, total)))
    return data, seen


def test_every_cell_equals_its_single_run():
    single = jax.jit(execute)
    data = sweep(RUN, {"objective.beta": [0.3, 1.0], "optimiser.learning_rate": [0.5, 2.0, 4.0]}, seeds=[3, 7], width=5)
    for b, beta in enumerate([0.3, 1.0]):
        for r, rate in enumerate([0.5, 2.0, 4.0]):
            for s, seed in enumerate([3, 7]):
                one = replace_path(replace_path(RUN, "objective.beta", beta), "optimiser.learning_rate", rate)
                path = single(one, run_key(seed))
                cell = data.isel(beta=b, learning_rate=r, seed=s)
                np.testing.assert_allclose(cell["loss"], path.metrics["loss"], rtol=1e-13)
                np.testing.assert_allclose(cell["log_policy"], path.log_policy, rtol=1e-12)


def test_zipped_axes_move_together():
    betas = ("objective.beta", "world.beta")
    data = sweep(RUN, {betas: [0.3, 1.0], "world.reward_scale": [0.0, 1.0]}, seeds=2, width=4)
    assert dict(data["value_gap"].sizes) == {"beta": 2, "reward_scale": 2, "seed": 2, "record": 6}
    tied = sweep(RUN, {betas: [(0.3, 0.3), (1.0, 1.0)], "world.reward_scale": [1.0]}, seeds=2, width=4)
    np.testing.assert_allclose(tied["loss"].isel(reward_scale=0), data["loss"].isel(reward_scale=1), rtol=1e-13)


def test_choices_are_labelled_and_each_is_traced_once():
    traces = []

    def counting(*arguments):
        traces.append(1)
        return metrics.measure(*arguments)

    run = replace_path(replace_path(RUN, "metrics", counting), "world.n", 6)
    run = replace_path(run, "world.prompts", 3)
    choices = {"uniform": samplers.Uniform(), "reference": samplers.ReferencePairs(), "on-policy": samplers.OnPolicy()}
    data = sweep(run, {"sampler": choices, "objective.beta": [0.1, 0.2, 0.5, 1.0, 2.0]}, seeds=8, width=8)
    assert dict(data["loss"].sizes) == {"sampler": 3, "beta": 5, "seed": 8, "record": 6}
    assert list(data["sampler"].values) == list(choices)
    assert data["log_policy"].sizes["prompt"] == 3
    assert data["log_policy"].sizes["response"] == 6
    assert len(traces) == 3


def test_array_axes_and_block_width_do_not_change_results():
    blocks = [np.array([0, 0, 0, -1, -1]), np.array([0, 0, 1, 1, 1])]
    run = replace_path(RUN, "sampler", samplers.Blocks(jnp.asarray(blocks[0])))
    wide, narrow = (sweep(run, {"sampler.block": blocks}, seeds=3, width=w) for w in (6, 4))
    np.testing.assert_allclose(wide["log_policy"], narrow["log_policy"], rtol=1e-13)
    unseen = wide["log_policy"].isel(block=0, response=slice(3, None)).diff("response")
    reference = sweep(run, seeds=3)["log_policy"].isel(response=slice(3, None)).diff("response")
    np.testing.assert_allclose(unseen, reference, atol=1e-12)


def test_seeds_share_their_world_across_other_axes(betas):
    data, _ = betas
    np.testing.assert_array_equal(data["value"].isel(beta=0, record=0), data["value"].isel(beta=1, record=0))
    assert len(np.unique(data["value_gap"].isel(beta=0, record=0))) == 3


def test_failed_cells_are_data():
    data = sweep(RUN, {"world.reward_scale": [1.0, 1e308]}, seeds=2)
    assert set(data["status"].sel(reward_scale=1e308).values) == {didsim.Status.NOT_FINITE}
    assert set(data["status"].sel(reward_scale=1.0).values) == {didsim.Status.OUT_OF_STEPS}


@pytest.mark.slow
def test_drawn_worlds_are_those_of_the_sweep():
    run = replace_path(RUN, "world.prompts", 1)
    data = sweep(run, seeds=[2, 5])
    stacked = drawn_worlds(run, [2, 5])
    gap = stacked.beta * jnp.sum(jnp.exp(stacked.log_ref) * (stacked.log_ref - stacked.log_target), -1)
    np.testing.assert_allclose(data["value_gap"].isel(record=0), gap, rtol=1e-12)


def test_progress_counts_blocks(betas):
    _, seen = betas
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_units_and_provenance(betas):
    data, _ = betas
    assert data["loss"].attrs["units"] == "nats"
    assert data.attrs["dtype"] == "float64"
    assert data.attrs["jax"] == jax.__version__


@pytest.mark.parametrize(
    ("axes", "seeds", "message"),
    [
        ({"objective.bta": [1.0]}, 1, r"axes \(Dpo field\).*'bta'.*Did you mean 'beta'"),
        ({"smapler": [samplers.Uniform()]}, 1, "Did you mean 'sampler'"),
        ({"objective.beta": []}, 1, "at least one value"),
        (
            {"objective.beta": [0.5, 2.0, 0.5]},
            1,
            "`objective.beta` each value once, but gives 0.5 more",
        ),
        ({"sampler": [samplers.Uniform(), samplers.Uniform()]}, 1, "`sampler` each value once, but gives uniform more than once"),
        ({("objective.beta", "world.beta"): [(1.0, 2.0), (1.0, 2.0)]}, 1, "`objective.beta` each value once, but gives 1.0"),
        ({"objective.beta": [1.0, -1.0]}, 1, "`beta` must be positive and finite, but is -1"),
        ({("objective.beta", "world.beta"): [(1.0, 2.0, 3.0)]}, 1, "must give 2 entries"),
        ({"objective.beta.x": [1.0]}, 1, "has no fields"),
        ({"steps": [10, 20]}, 1, "recorded steps"),
        ({}, 0, "`seeds` must be an integer of at least 1, but is 0"),
        ({}, [], "at least one seed"),
        ({}, [-1], "`seeds` must be an integer of at least 0"),
        ({}, [2**32], "below 4294967296"),
    ],
)
def test_bad_sweeps_are_refused(axes, seeds, message):
    with pytest.raises(didsim.ArgumentError, match=message):
        sweep(RUN, axes, seeds=seeds)


def test_values_that_come_twice_can_be_told_apart():
    """By another number that moves along, by the parts of what has one name, or by names of one's own."""
    apart = (
        {("objective.beta", "world.beta"): [(1.0, 2.0), (1.0, 3.0)]},
        {"objective": [objectives.Dpo(0.5), objectives.Dpo(1.0)]},
    )
    for axes in (*apart, {"objective.beta": {"one": 1.0, "other": 1.0}}):
        assert grid(RUN, axes).axes[0].values[0] is not None


def test_grid_numbers_lanes_row_by_row():
    cells = grid(RUN, {"objective.beta": [0.1, 0.2], "sampler": [samplers.Uniform(), samplers.OnPolicy()]}, seeds=3)
    assert (cells.size, len(cells.programs())) == (6, 2)
    values, seeds = cells.run_values(np.array([0, 2, 3, 5]))
    np.testing.assert_array_equal(values["objective.beta"], [0.1, 0.1, 0.2, 0.2])
    np.testing.assert_array_equal(seeds, [0, 2, 0, 2])


@pytest.mark.slow
def test_custom_optimisers_can_be_an_axis():
    data = sweep(RUN, {"optimiser": {"sgd": Sgd(1.0), "adam": Adam(0.1)}}, seeds=1)
    assert data["loss"].sel(optimiser="adam").shape == (1, 6)
