"""Does training follow plain NumPy loops step by step, exact and sampled, alone and many at once?"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles
import pytest
from contracts import assert_close, assert_round_trip, stack
from objective_cases import make
from problem_cases import N, P, given, narrow
from sampling import sampled
from tolerance import tolerance
from training_cases import STEPS, by_hand, every_step, gradient, sgd, watch

from didsim.dynamics import Adam, Run, Sgd, train
from didsim.dynamics.metrics import measure
from didsim.dynamics.run import execute, run_key
from didsim.objectives import Dpo
from didsim.objectives.comparisons import COUNTED
from didsim.samplers import OnPolicy, Uniform
from didsim.worlds import Given, problem
from didsim.worlds.preferences import Bernoulli, BradleyTerry


def cosine(rate):
    return lambda k, slope, memory: (-rate * 0.5 * (1 + np.cos(np.pi * k / STEPS)) * slope, None)


def adam(rate):
    def move(k, slope, memory):
        first, second = (np.zeros_like(slope), np.zeros_like(slope)) if memory is None else memory
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        step = (first / (1 - 0.9 ** (k + 1))) / (np.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8)
        return -rate * step, (first, second)

    return move


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "slic"])
def test_plain_descent_step_by_step(name):
    got, _ = every_step(name, optimiser=Sgd(2.0))
    assert_close(got, by_hand(name, sgd(2.0)))
    assert np.abs(got - by_hand(name, sgd(2.02))).max() > 1e-4


@pytest.mark.parametrize(
    ("optimiser", "move"),
    [
        (Adam(0.1), adam(0.1)),
        (None, adam(0.02)),
        (Sgd(2.0, "cosine"), cosine(2.0)),
        (optax.sgd(2.0), sgd(2.0)),
    ],
    ids=["adam", "default", "cosine", "optax"],
)
def test_optimisers_step_by_step(optimiser, move):
    got, _ = every_step("dpo", optimiser=optimiser)
    # Adam divides by the root of a gradient that may be small: its updates are as exact as the gradient's signs.
    assert_close(got, by_hand("dpo", move), atol=1e-11)
    assert np.abs(got - by_hand("dpo", sgd(0.5))).max() > 1e-3


def test_on_policy_pairs_follow_the_policy():
    def shown(logits):
        policy = np.exp(oracles.normalize(logits))
        return policy[:, :, None] * policy[:, None, :]

    got, _ = every_step("dpo", OnPolicy(), optimiser=Sgd(2.0))
    assert_close(got, by_hand("dpo", sgd(2.0), shown))
    assert np.abs(got - by_hand("dpo", sgd(2.0), lambda logits: shown(given().ref))).max() > 1e-4


@partial(jax.jit, static_argnames="pairs")
def one_step(seeds, sampler, pairs):
    labels = Bernoulli(BradleyTerry())
    run = Run(Given(given().problem), make("dpo"), sampler, labels, optimiser=Sgd(1.0), steps=1, pairs=pairs, metrics=watch)
    return jax.vmap(lambda seed: execute(run, run_key(seed)).params)(seeds)


@pytest.mark.parametrize("pairs", [8, COUNTED * N**2])
def test_sampled_steps_are_the_exact_one_on_average(pairs):
    moves = np.asarray(one_step(np.arange(4000), given().pairs, pairs)) - given().ref
    error = moves.std(0) / np.sqrt(len(moves))
    assert np.abs((moves.mean(0) + gradient("dpo", given().ref)) / error).max() < 4.5
    flat = np.full((P, N, N), 1 / N**2)
    assert np.abs((moves.mean(0) + gradient("dpo", given().ref, flat)) / error).max() > 8.0  # control: other pairs


def test_a_seed_decides_a_run():
    settings = {"optimiser": Sgd(1.0), "pairs": 4}
    one, again, other = (every_step("dpo", seed=seed, **settings)[0] for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert np.abs(one[1] - other[1]).max() > 1e-3
    exact = [every_step("dpo", optimiser=Sgd(1.0), seed=seed)[0] for seed in (5, 6)]
    assert np.array_equal(*exact)
    # Every step draws anew: over steps too small to change the gradient, the moves still differ.
    steps = np.diff(every_step("dpo", optimiser=Sgd(1e-6), pairs=4)[0], axis=0)
    assert np.abs(steps[0] - steps[1]).max() > 0.1 * np.abs(steps[0]).max()


@pytest.mark.parametrize("settings", sampled([{"pairs": 3}, {}], 2))
def test_seeing_every_step_changes_nothing(settings):
    """A run that looks at every step is another program: the same path."""
    run = Run(
        Given(given().problem),
        make("dpo"),
        given().pairs,
        BradleyTerry(),
        optimiser=Adam(0.1),
        steps=30,
        metrics=watch,
        **settings,
    )
    few, all_seen = (dataclasses.replace(run, records=records) for records in (8, 900))
    assert (few.loops, all_seen.loops) == (2, 1)
    assert dataclasses.replace(all_seen, stop_below=0.0).loops == 2
    assert all_seen.moments == tuple(range(31))
    batched, keys = jax.jit(jax.vmap(execute, in_axes=(None, 0))), jax.vmap(run_key)(jnp.arange(3))
    sparse, dense = batched(few, keys), batched(all_seen, keys)
    assert_close(dense.metrics["log_policy"][:, list(few.moments)], sparse.metrics["log_policy"])
    for name in ("params", "log_policy", "gradient_norm", "steps_taken", "status"):
        assert_close(getattr(dense, name), getattr(sparse, name))
    assert_close(dense.metrics["log_policy"][:, -1], dense.log_policy)
    assert np.abs(np.diff(dense.metrics["log_policy"], axis=1)).max(axis=(2, 3)).min() > 1e-4  # every step moves


def run_of(beta, stop_below=0.0, metrics=measure):
    return Run(
        Given(given().problem),
        Dpo(beta=beta),
        given().pairs,
        BradleyTerry(),
        optimiser=Sgd(2.0),
        steps=STEPS,
        stop_below=stop_below,
        metrics=metrics,
    )


# All metrics of a run take long to compile.
METRICS = pytest.mark.parametrize("metrics", sampled([watch, measure], 2), ids=["watch", "all"])


@METRICS
def test_many_runs_at_once_are_the_runs(metrics):
    """Over β, seeds and early stops: every lane of the batch ends where it would alone."""
    cases = [(0.5, 1, 0.0), (0.7, 2, 0.03), (2.0, 3, 0.1)]
    runs = [run_of(jnp.asarray(beta), jnp.asarray(stop), metrics) for beta, _, stop in cases]
    keys = [run_key(seed) for _, seed, _ in cases]
    alone = jax.jit(execute)
    together = jax.jit(jax.vmap(execute))(stack(*runs), jnp.stack(keys))
    assert_close(together, stack(*[alone(run, key) for run, key in zip(runs, keys, strict=True)]))
    assert len(set(np.asarray(together.steps_taken))) > 1
    assert_round_trip(runs[0])
    assert_round_trip(alone(runs[0], keys[0]))


def test_one_trace_per_choice():
    traces = []

    def counted(world, objective, log_policy, comparisons):
        traces.append(1)
        return {"one": jnp.ones(())}

    def go(beta=0.5, rate=0.1, world=None, sampler=None, **settings):
        world = given().problem if world is None else world
        sampler = given().pairs if sampler is None else sampler
        train(world, Dpo(beta=beta), sampler, BradleyTerry(), optimiser=Sgd(rate), steps=3, metrics=counted, **settings)

    go()
    once = len(traces)
    for settings in ({"beta": 0.6}, {"rate": 0.2}, {"seed": 3}, {"world": problem(given().ref, reward=-given().reward)}):
        go(**settings)
    assert len(traces) == once
    go(sampler=Uniform())
    assert len(traces) == 2 * once
    go(pairs=2)
    assert len(traces) == 3 * once
    for stop_below in (0.1, 0.2):
        go(stop_below=stop_below)
    assert len(traces) == 4 * once


@METRICS
def test_single_precision(metrics):
    settings = {"steps": STEPS, "records": 50, "optimiser": Sgd(2.0), "stop_below": 1e-9, "metrics": metrics}
    run = train(narrow(given().problem), make("dpo"), narrow(given().pairs), BradleyTerry(), **settings)
    wide = train(given().problem, make("dpo"), given().pairs, BradleyTerry(), **settings)
    for mine, theirs in zip(jax.tree.leaves(run), jax.tree.leaves(wide), strict=True):
        if theirs.dtype == jnp.float64:
            assert mine.dtype == jnp.float32
            np.testing.assert_allclose(mine, theirs, atol=tolerance(np.float32, condition=10.0))
