"""Training runs against plain NumPy loops, their statuses, their contracts, and the ends that theory predicts for them."""

import dataclasses

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import optax
import oracles
import pytest
from contracts import assert_close, assert_round_trip, stack
from tolerance import tolerance

from didsim import simplex
from didsim.dynamics import Adam, Run, Sgd, record_steps, train
from didsim.dynamics.metrics import UNITS, measure
from didsim.dynamics.run import execute, run_key
from didsim.landscape.solvers import Status
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, Dpo, IpoSum, SimPo, population
from didsim.samplers import ChosenRejected, Joint, OnPolicy, Product, Restrict, Uniform
from didsim.worlds import Given, problem
from didsim.worlds.preferences import AsShown, Bernoulli, BradleyTerry

P, N = 2, 5
RNG = np.random.default_rng(31)
LOG_REF, CHOSEN, REJECTED = oracles.normalize(RNG.standard_normal((3, P, N)))
REWARD = RNG.standard_normal((P, N))
LENGTHS = RNG.integers(1, 4, (P, N)).astype(float)
SHARES = np.array([0.7, 0.3])
PROBLEM = problem(
    LOG_REF,
    reward=REWARD,
    beta=0.7,
    lengths=LENGTHS,
    log_prompts=np.log(SHARES),
    log_chosen=CHOSEN,
    log_rejected=REJECTED,
)
WORLDS = [oracle.World(*rows) for rows in zip(LOG_REF, REWARD, LENGTHS, strict=True)]
SHOWN = RNG.dirichlet(np.ones(N * N), P).reshape(P, N, N)
PAIRS = Joint(jnp.log(jnp.asarray(SHOWN)))
BT = oracles.bradley_terry(REWARD)
STEPS = 8
NUMBERS = {
    "dpo": {"beta": 0.7},
    "kto": {"beta": 0.8, "desirable": 1.3, "undesirable": 0.7},
    "orpo": {"odds_weight": 0.7},
    "slic": {"margin": 0.8, "nll_weight": 0.3},
}


def make(name):
    return OBJECTIVES[name](**NUMBERS[name])


def watch(world, objective, log_policy, comparisons):
    return {"log_policy": log_policy}


MEASURE = jax.jit(measure)


def every_step(name, sampler=PAIRS, **settings):
    """Log-policies at every step of a short run, and the run."""
    run = train(PROBLEM, make(name), sampler, BradleyTerry(), steps=STEPS, records=50, metrics=watch, **settings)
    assert np.array_equal(run.steps, np.arange(STEPS + 1))
    return run.metrics["log_policy"], run


def gradient(name, logits, shown=SHOWN):
    slopes = []
    for row, world, pairs, wins in zip(logits, WORLDS, shown, BT, strict=True):
        law = oracle.chosen_rejected_law(pairs, wins)
        slopes.append(oracle.value_and_gradient(name, row, world, law, **NUMBERS[name])[1])
    return SHARES[:, None] * np.array(slopes)


def by_hand(name, move, shown=lambda logits: SHOWN):
    """The same run in NumPy: ``move(step, gradient, memory)`` gives the update and the new memory."""
    logits, memory, path = LOG_REF.copy(), None, [LOG_REF]
    for k in range(STEPS):
        update, memory = move(k, gradient(name, logits, shown(logits)), memory)
        logits = logits + update
        path.append(oracles.normalize(logits))
    return np.array(path)


def sgd(rate):
    return lambda k, slope, memory: (-rate * slope, None)


def cosine(rate):
    return lambda k, slope, memory: (-rate * 0.5 * (1 + np.cos(np.pi * k / STEPS)) * slope, None)


def adam(rate):
    def move(k, slope, memory):
        first, second = (np.zeros_like(slope), np.zeros_like(slope)) if memory is None else memory
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        step = (first / (1 - 0.9 ** (k + 1))) / (np.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8)
        return -rate * step, (first, second)

    return move


@pytest.mark.parametrize("name", sorted(NUMBERS))
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
    assert np.abs(got - by_hand("dpo", sgd(2.0), lambda logits: shown(LOG_REF))).max() > 1e-4


@jax.jit
def _one_step(seeds, sampler):
    labels = Bernoulli(BradleyTerry())
    run = Run(Given(PROBLEM), make("dpo"), sampler, labels, optimiser=Sgd(1.0), steps=1, pairs=8, metrics=watch)
    return jax.vmap(lambda seed: execute(run, run_key(seed)).params)(seeds)


def test_sampled_steps_are_the_exact_one_on_average():
    moves = np.asarray(_one_step(np.arange(4000), PAIRS)) - LOG_REF
    error = moves.std(0) / np.sqrt(len(moves))
    assert np.abs((moves.mean(0) + gradient("dpo", LOG_REF)) / error).max() < 4.5
    flat = np.full((P, N, N), 1 / N**2)
    assert np.abs((moves.mean(0) + gradient("dpo", LOG_REF, flat)) / error).max() > 8.0  # control: other pairs


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


# Metrics.


def metrics_by_hand(world, log_policy, laws):
    """Every metric of one prompt, by loops."""
    p, ref, target = (np.exp(a) for a in (log_policy, world["ref"], world["target"]))
    ratio = log_policy - world["ref"]
    pairs = [(a, b, laws[a, b]) for a in range(N) for b in range(N)]
    value = sum(p * world["reward"]) - 0.7 * oracles.kl(p, ref)
    best = sum(target * world["reward"]) - 0.7 * oracles.kl(target, ref)
    return {
        "loss": oracle.value_and_gradient("dpo", log_policy, world["world"], laws, beta=0.7)[0],
        "jsd_target": oracles.jsd(p, target),
        "kl_target": oracles.kl(target, p),
        "kl_ref": oracles.kl(p, ref),
        "entropy": oracles.entropy(p),
        "did_entropy": oracles.entropy(oracles.did(p, ref)),
        "value": value,
        "value_gap": best - value,
        "accuracy": sum(w * (1.0 if ratio[a] > ratio[b] else 0.5 if a == b else 0.0) for a, b, w in pairs),
        "margin": sum(w * (ratio[a] - ratio[b]) for a, b, w in pairs),
        "chosen_change": sum(w * ratio[a] for a, b, w in pairs),
        "rejected_change": sum(w * ratio[b] for a, b, w in pairs),
        "best_mass": p[max(range(N), key=lambda y: target[y])],
    }


def test_metrics_by_hand():
    log_policy = oracles.normalize(np.random.default_rng(1).standard_normal((P, N)))
    comparisons = population(PROBLEM, PAIRS, BradleyTerry(), PROBLEM.log_ref)
    got = MEASURE(PROBLEM, make("dpo"), jnp.asarray(log_policy), comparisons)
    rows = []
    for x in range(P):
        world = {"ref": LOG_REF[x], "target": np.asarray(PROBLEM.log_target)[x], "reward": REWARD[x], "world": WORLDS[x]}
        rows.append(metrics_by_hand(world, log_policy[x], oracle.chosen_rejected_law(SHOWN[x], BT[x])))
    assert sorted(got) == sorted(UNITS) == sorted(rows[0])
    for name, value in got.items():
        np.testing.assert_allclose(value, SHARES @ [row[name] for row in rows], atol=tolerance(), err_msg=name)
        assert abs(value - np.mean([row[name] for row in rows])) > 1e-5, name  # control: the prompt law matters


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_at_the_reference(dtype):
    """Normalised once more, log-ratios are zero to rounding only: all margins are ties, not coin flips."""
    world = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), problem(oracles.log_laws(4, (40, N)), reward=np.zeros(N)))
    comparisons = population(world, Uniform(), BradleyTerry(), world.log_ref)
    got = MEASURE(world, make("dpo"), simplex.normalize(world.log_ref + 3.0), comparisons)
    assert np.any(simplex.normalize(world.log_ref + 3.0) != world.log_ref)
    for name in ("kl_ref", "margin", "chosen_change", "rejected_change"):
        np.testing.assert_allclose(got[name], 0.0, atol=tolerance(dtype))
    wanted = [0.5, np.log(N), np.log(2)]
    np.testing.assert_allclose([got["accuracy"], got["did_entropy"], got["loss"]], wanted, atol=tolerance(dtype))


# Records, stops and statuses.


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
    short = train(PROBLEM, make("dpo"), PAIRS, BradleyTerry(), steps=STEPS, records=3, optimiser=Sgd(2.0))
    path = by_hand("dpo", sgd(2.0))
    assert list(short.steps) == [0, 1, STEPS]
    for moment, entropy in zip(short.steps, short.metrics["entropy"], strict=True):
        np.testing.assert_allclose(entropy, SHARES @ oracles.rows(oracles.entropy, np.exp(path[moment])), atol=tolerance())


@pytest.mark.parametrize("settings", [{}, {"pairs": 3}])
def test_seeing_every_step_changes_nothing(settings):
    """A run that looks at every step is another program: the same path."""
    run = Run(Given(PROBLEM), make("dpo"), PAIRS, BradleyTerry(), optimiser=Adam(0.1), steps=30, metrics=watch, **settings)
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


def test_a_run_stops_when_the_gradient_is_small():
    settings = {"steps": 400, "records": 20, "optimiser": Sgd(4.0), "metrics": watch}
    run = train(PROBLEM, make("dpo"), PAIRS, BradleyTerry(), stop_below=1e-3, **settings)
    logits, taken = LOG_REF.copy(), 0
    while np.linalg.norm(gradient("dpo", logits)) > 1e-3:
        logits, taken = logits - 4.0 * gradient("dpo", logits), taken + 1
    assert Status(int(run.status)) == Status.CONVERGED
    assert run.steps_taken == taken < 400
    assert_close(run.params, logits, atol=1e-12)
    np.testing.assert_allclose(run.gradient_norm, np.linalg.norm(gradient("dpo", logits)), atol=tolerance())
    after = run.metrics["log_policy"][np.asarray(run.steps) >= taken]
    assert np.all(np.asarray(after) == np.asarray(run.log_policy))
    full = train(PROBLEM, make("dpo"), PAIRS, BradleyTerry(), stop_below=0.0, **settings)
    assert Status(int(full.status)) == Status.OUT_OF_STEPS
    assert full.steps_taken == 400


def test_a_diverging_rate_is_not_called_an_answer():
    settings = {"optimiser": Sgd(1e3), "steps": 300, "metrics": watch}
    run = train(PROBLEM, IpoSum(beta=0.1), PAIRS, BradleyTerry(), **settings)
    assert Status(int(run.status)) == Status.NOT_FINITE
    settings["optimiser"] = Sgd(0.5)
    assert Status(int(train(PROBLEM, IpoSum(beta=0.1), PAIRS, BradleyTerry(), **settings).status)) == Status.OUT_OF_STEPS


# Contracts.


def run_of(beta, stop_below=0.0):
    return Run(Given(PROBLEM), Dpo(beta=beta), PAIRS, BradleyTerry(), optimiser=Sgd(2.0), steps=STEPS, stop_below=stop_below)


def test_many_runs_at_once_are_the_runs():
    """Over β, seeds and early stops: every lane of the batch ends where it would alone."""
    cases = [(0.5, 1, 0.0), (0.7, 2, 0.03), (2.0, 3, 0.1)]
    runs = [run_of(jnp.asarray(beta), jnp.asarray(stop)) for beta, _, stop in cases]
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

    def go(beta=0.5, rate=0.1, world=PROBLEM, sampler=PAIRS, **settings):
        train(world, Dpo(beta=beta), sampler, BradleyTerry(), optimiser=Sgd(rate), steps=3, metrics=counted, **settings)

    go()
    once = len(traces)
    for settings in ({"beta": 0.6}, {"rate": 0.2}, {"seed": 3}, {"world": problem(LOG_REF, reward=-REWARD)}):
        go(**settings)
    assert len(traces) == once
    go(sampler=Uniform())
    assert len(traces) == 2 * once
    go(pairs=2)
    assert len(traces) == 3 * once
    for stop_below in (0.1, 0.2):
        go(stop_below=stop_below)
    assert len(traces) == 4 * once


def test_single_precision():
    def narrow(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)

    settings = {"steps": STEPS, "records": 50, "optimiser": Sgd(2.0), "stop_below": 1e-9}
    run = train(narrow(PROBLEM), make("dpo"), narrow(PAIRS), BradleyTerry(), **settings)
    wide = train(PROBLEM, make("dpo"), PAIRS, BradleyTerry(), **settings)
    for mine, theirs in zip(jax.tree.leaves(run), jax.tree.leaves(wide), strict=True):
        if theirs.dtype == jnp.float64:
            assert mine.dtype == jnp.float32
            np.testing.assert_allclose(mine, theirs, atol=tolerance(np.float32, condition=10.0))


# Where runs end.  Chosen and rejected draws of one geodesic (D4): π_w = π_ref, π_l ∝ π_ref (π_ref/π*)^β.

TRUE_BETA = 0.7
POWER = problem(LOG_REF, reward=REWARD, beta=TRUE_BETA)


def end_of(objective):
    run = train(POWER, objective, steps=3000, optimiser=Sgd(6.0 / 0.7), records=2, stop_below=1e-13)
    assert Status(int(run.status)) == Status.CONVERGED
    return np.asarray(run.log_policy)


def test_dpo_training_reaches_the_target():
    """D5, and its control: at β' ≠ β it ends on the geodesic at β/β', which is not π*."""
    target = np.asarray(POWER.log_target)
    np.testing.assert_allclose(end_of(Dpo(beta=TRUE_BETA)), target, atol=1e-10)
    for wrong in (0.5, 1.0):
        end = end_of(Dpo(beta=wrong))
        np.testing.assert_allclose(end, oracles.normalize(LOG_REF + TRUE_BETA / wrong * (target - LOG_REF)), atol=1e-10)
        assert np.abs(end - target).max() > 0.1


def test_simpo_training_ends_at_the_differential_information():
    """D6: the reference-free reward learns π*/π_ref, not π*."""
    end, target = end_of(SimPo(beta=TRUE_BETA)), np.asarray(POWER.log_target)
    np.testing.assert_allclose(end, oracles.normalize(target - LOG_REF), atol=1e-10)
    assert np.abs(end - target).max() > 0.1


# Errors.

NOWHERE = Restrict(Product(jnp.log(jnp.eye(N)[0]), jnp.log(jnp.eye(N)[1])), jnp.arange(N) > 2)
ERRORS = {
    "steps": ({"steps": 0}, "Argument `steps` must be an integer of at least 1, but is 0."),
    "records": ({"records": 1}, "Argument `records` must be an integer of at least 2, but is 1."),
    "stop": ({"stop_below": -1.0}, "Argument `stop_below` must be finite and at least 0, but is -1."),
    "pairs": ({"pairs": 0}, "Argument `pairs` must be an integer of at least 1, but is 0."),
    "negative seed": ({"seed": -1}, "Argument `seed` must be an integer of at least 0 and below 4294967296, but is -1."),
    "long seed": ({"seed": 2**32}, "Argument `seed` must be an integer of at least 0 and below 4294967296, but is 4294967296."),
    "labels alone": ({"labels": AsShown()}, "Argument `sampler` must be given when the other of sampler and labels is."),
    "sampler alone": ({"sampler": ChosenRejected()}, "Argument `labels` must be given when the other of sampler and labels is."),
    "no pairs": (
        {"sampler": NOWHERE, "labels": BradleyTerry()},
        "Argument `sampler` must give every prompt a pair law of total probability 1, but Restrict gives nan.",
    ),
}


@pytest.mark.parametrize("case", sorted(ERRORS))
def test_bad_arguments_are_named(case):
    settings, message = ERRORS[case]
    with pytest.raises(ArgumentError) as raised:
        train(PROBLEM, Dpo(), **settings)
    assert str(raised.value) == message


@pytest.mark.parametrize("kind", [Sgd, Adam])
def test_bad_optimisers_are_named(kind):
    with pytest.raises(ArgumentError, match=r"Argument `learning_rate` must be positive and finite, but is 0\."):
        kind(0.0)
    with pytest.raises(
        ArgumentError, match=r"Argument `decay` must be one of cosine, none, but is 'cosin'\. Did you mean 'cosine'\?"
    ):
        kind(0.1, "cosin")
