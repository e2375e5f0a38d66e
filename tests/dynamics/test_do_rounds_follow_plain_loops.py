"""Do rounds of training follow a NumPy loop: data drawn once or now and then, stale and replayed, under moving references?"""

import functools

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import oracles
import population_oracles
import pytest
from contracts import assert_close, assert_round_trip
from sampling import sampled
from training_cases import watch

from didsim.dynamics import (
    Adam,
    FixedReference,
    GeometricAverage,
    IteratedReference,
    NoReference,
    ParameterAverage,
    ProjectedGradient,
    Rounds,
    Run,
    Sgd,
    train,
)
from didsim.dynamics.references import REFERENCES
from didsim.dynamics.run import execute, run_key
from didsim.landscape.solvers import Status
from didsim.numerics.checks import ArgumentError
from didsim.objectives import Dpo, IpoSum
from didsim.objectives.comparisons import draw_pairs
from didsim.policies import LogLinear, Table
from didsim.samplers import OnPolicy, Uniform
from didsim.sweeps import sweep
from didsim.worlds import Given, problem
from didsim.worlds.preferences import Bernoulli, BradleyTerry

P, N, BETA, RATE = 2, 4, 0.7, 1.5
RNG = np.random.default_rng(71)
LOG_REF = oracles.normalize(RNG.standard_normal((P, N)))
REWARD = RNG.standard_normal((P, N))
BT = oracles.bradley_terry(REWARD)
FEATURES = RNG.standard_normal((P, N, 2))


@functools.cache
def world():
    return problem(LOG_REF, reward=REWARD, beta=BETA)


def trained(rounds, *, steps=6, policy=None, **settings):
    settings = {"optimiser": Sgd(RATE), "steps": steps, "records": 50, "metrics": watch, **settings}
    run = train(world(), Dpo(BETA), OnPolicy(), BradleyTerry(), policy=policy, rounds=rounds, **settings)
    return np.asarray(run.metrics["log_policy"]), run


def slope(logits, log_ref, shown):
    """Gradient of DPO's loss in the logits, the mean over prompts, at a reference and a law of shown pairs."""
    found = []
    for row, ref, reward, law, wins in zip(logits, log_ref, REWARD, shown, BT, strict=True):
        ordered = population_oracles.chosen_rejected_law(law, wins)
        found.append(
            population_oracles.value_and_gradient("dpo", row, oracle.World(ref, reward, np.ones(N)), ordered, beta=BETA)[1]
        )
    return np.array(found) / P


def on_policy(log_policy):
    return np.exp(log_policy)[:, :, None] * np.exp(log_policy)[:, None, :]


def by_hand(count, inner, *, move=lambda old, new: old, start=LOG_REF, age=0, depth=1, restart=False):
    """The same rounds in NumPy; ``move`` maps the reference's and the policy's logits to the next reference's logits."""
    logits, ref, path = LOG_REF.copy(), start, [LOG_REF]
    laws = [on_policy(LOG_REF)] * (age + depth)
    for _ in range(count):
        if restart:
            logits = ref.copy()
        laws = [on_policy(oracles.normalize(logits)), *laws[:-1]]
        used = laws[age:]
        for _ in range(inner):
            logits = logits - RATE * np.mean([slope(logits, ref, law) for law in used], axis=0)
            path.append(oracles.normalize(logits))
        ref = oracles.normalize(move(ref, oracles.normalize(logits)))
    return np.array(path)


CASES = {
    "offline": (Rounds(), {"count": 1, "inner": 6}),
    "refreshed": (Rounds(2), {"count": 3, "inner": 2}),
    "iterated": (Rounds(2, IteratedReference()), {"count": 3, "inner": 2, "move": lambda ref, new: new}),
    "average": (Rounds(3, ParameterAverage(0.3)), {"count": 2, "inner": 3, "move": lambda ref, new: 0.7 * ref + 0.3 * new}),
    "geometric": (Rounds(2, GeometricAverage(0.4)), {"count": 3, "inner": 2, "move": lambda ref, new: 0.6 * LOG_REF + 0.4 * new}),
    "none": (Rounds(3, NoReference()), {"count": 2, "inner": 3, "start": np.full((P, N), -np.log(N))}),
    "stale": (Rounds(1, age=2), {"count": 6, "inner": 1, "age": 2}),
    "replay": (Rounds(2, depth=3), {"count": 3, "inner": 2, "depth": 3}),
    "restart": (
        Rounds(2, GeometricAverage(0.5), restart=True),
        {"count": 3, "inner": 2, "move": lambda ref, new: 0.5 * (LOG_REF + new), "restart": True},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rounds_step_by_step(case):
    rounds, how = CASES[case]
    got, run = trained(rounds)
    assert np.array_equal(run.steps, np.arange(7))
    assert_close(got, by_hand(**how))
    others = [by_hand(**CASES[other][1]) for other in CASES if other != case]
    assert min(np.abs(got - path).max() for path in others) > 1e-6


def test_rounds_of_one_step_are_online_training():
    assert_close(trained(Rounds(1))[0], trained(None)[0])


def test_every_schedule_is_a_case():
    assert {type(rounds.reference) for rounds, _ in CASES.values()} == set(REFERENCES.values())


def test_a_data_set_drawn_once_is_fitted_exactly():
    """Offline training ends at the minimiser of the empirical loss of the very pairs that were drawn."""
    settings = {"pairs": 200, "seed": 3, "rounds": Rounds(), "metrics": watch}
    run = train(world(), Dpo(BETA), Uniform(), Bernoulli(BradleyTerry()), optimiser=Adam(0.1, "cosine"), steps=800, **settings)
    key = jax.random.fold_in(jax.random.split(run_key(3))[1], 1)
    drawn = draw_pairs(key, world(), Uniform(), Bernoulli(BradleyTerry()), world().log_ref, 200)
    for x in range(P):
        theta = np.zeros(N)
        for _ in range(40):
            slope_, bend = np.zeros(N), np.full((N, N), 1.0 / N)
            for a, b, win in zip(*(np.asarray(part[x]) for part in (drawn.first, drawn.second, drawn.win)), strict=True):
                chance = 1 / (1 + np.exp(theta[b] - theta[a]))
                slope_[a] += win - chance
                slope_[b] -= win - chance
                edge = np.eye(N)[a] - np.eye(N)[b]
                bend += chance * (1 - chance) * np.outer(edge, edge)
            theta = theta + np.linalg.solve(bend, slope_)
        best = oracles.normalize(LOG_REF[x] + theta / BETA)
        assert_close(np.asarray(run.log_policy[x]), best, atol=1e-6)
        assert np.abs(best - np.asarray(world().log_target[x])).max() > 1e-2


def test_drawn_rounds_are_the_population_on_average():
    """Over many seeds the mean first step on drawn, replayed pairs is the exact one."""
    base = Run(
        Given(world()), Dpo(BETA), OnPolicy(), Bernoulli(BradleyTerry()), optimiser=Sgd(1e-3), steps=1, records=2, metrics=watch,
        pairs=50, rounds=Rounds(1, depth=2),
    )  # fmt: skip
    ends = jax.jit(jax.vmap(lambda seed: execute(base, run_key(seed)).params))(jnp.arange(2000))
    moved = (np.asarray(ends) - LOG_REF) / 1e-3
    exact = -slope(LOG_REF, LOG_REF, on_policy(LOG_REF))
    z = (moved.mean(0) - exact) / (moved.std(0) / np.sqrt(len(moved)))
    assert np.abs(z).max() < 4.5
    assert np.abs((moved.mean(0) - 1.3 * exact) / (moved.std(0) / np.sqrt(len(moved)))).max() > 4.5


@pytest.mark.slow
def test_a_policy_with_features_keeps_its_own_start():
    """The reference of the reward moves, the policy's own part does not; in a log-linear class both averages agree."""
    policy = LogLinear(jnp.asarray(FEATURES))
    soft, run = trained(Rounds(2, ParameterAverage(1.0)), policy=policy)
    hard, _ = trained(Rounds(2, IteratedReference()), policy=policy)
    fixed, _ = trained(Rounds(2, FixedReference()), policy=policy)
    assert_close(soft, hard)
    assert np.abs(hard - fixed).max() > 1e-3
    logits = LOG_REF + np.einsum("xnd,d->xn", FEATURES, np.asarray(run.params))
    assert_close(np.asarray(run.log_policy), oracles.normalize(logits))


def test_iterated_ipo_follows_its_closed_form():
    """With the inner problem solved, a round of IPO on pairs from π_t is ``π_ref e^{Pπ_t/τ}`` (S12)."""
    _, run = trained_ipo(Rounds(2000, IteratedReference()), steps=4000)
    log_policy = LOG_REF
    for _ in range(2):
        log_policy = oracles.normalize(log_policy + np.einsum("xab,xb->xa", BT, np.exp(log_policy)) / 2.0)
    assert_close(np.asarray(run.log_policy), log_policy, atol=1e-8)


def trained_ipo(rounds, steps):
    run = train(
        world(), IpoSum(2.0), OnPolicy(), BradleyTerry(), optimiser=Sgd(1.0), steps=steps, records=4, metrics=watch, rounds=rounds
    )
    return np.asarray(run.metrics["log_policy"]), run


@pytest.mark.slow
def test_projected_gradients_go_through_rounds():
    policy = LogLinear(jnp.asarray(FEATURES) + 1.0)
    got, _ = trained(Rounds(1), rule=ProjectedGradient(), policy=policy)
    assert_close(got, trained(None, rule=ProjectedGradient(), policy=policy)[0])
    assert np.abs(got - trained(Rounds(1), policy=policy)[0]).max() > 1e-4


def test_a_settled_round_stops_and_the_next_goes_on():
    _, run = trained(Rounds(2000, IteratedReference()), steps=4000, stop_below=1e-3)
    assert run.status == Status.CONVERGED
    assert run.gradient_norm <= 1e-3
    assert 2 < run.steps_taken < 4000
    path = np.asarray(run.metrics["log_policy"])
    middle = int(np.searchsorted(run.steps, 2000))
    assert np.abs(path[-1] - path[middle]).max() > 1e-2  # the second round had its own way to go
    _, short = trained(Rounds(2, IteratedReference()), steps=4, stop_below=1e-3)
    assert short.status == Status.OUT_OF_STEPS


@pytest.mark.slow
def test_rounds_are_axes_of_a_sweep():
    run = Run(
        Given(world()), Dpo(BETA), OnPolicy(), BradleyTerry(), optimiser=Sgd(RATE), steps=6, records=50,
        rounds=Rounds(2, GeometricAverage(0.0)),
    )  # fmt: skip
    data = sweep(run, {"rounds.reference.power": [0.0, 0.4]}, seeds=2)
    assert data["value_gap"].dims == ("power", "seed", "record")
    assert list(data["step"].values) == list(range(7))
    for power, case in ((0.0, "refreshed"), (0.4, "geometric")):
        assert_close(data["log_policy"].sel(power=power).isel(seed=1).values, by_hand(**CASES[case][1])[-1])


def test_contracts():
    for rounds, _ in CASES.values():
        assert_round_trip(rounds)


ERRORS = {
    "inner": (lambda: Run(Given(world()), Dpo(), steps=10, rounds=Rounds(3)), "`inner` must divide the run's 10 steps, but is 3"),
    "inner size": (lambda: Rounds(0), "`inner` must"),
    "age": (lambda: Rounds(1, age=-1), "`age` must"),
    "depth": (lambda: Rounds(1, depth=0), "`depth` must"),
    "rate": (lambda: ParameterAverage(1.5), "`rate` must"),
    "power": (lambda: GeometricAverage(-0.1), "`power` must"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_arguments_are_named(case):
    make, message = ERRORS[case]
    with pytest.raises(ArgumentError, match=message.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    "reference",
    sampled([ParameterAverage(0.3), FixedReference(), IteratedReference()], 3),
    ids=lambda one: type(one).__name__,
)
def test_a_log_linear_policy_restarts_where_a_table_does(reference):
    """With one feature a response it is a table whose parameters do not say where it is: it starts at zero."""
    world = problem(LOG_REF[:1], reward=np.arange(N, dtype=float))
    settings = {"optimiser": Sgd(0.7), "steps": 9, "records": 10, "metrics": watch}
    rounds = Rounds(3, reference, restart=True)
    runs = [train(world, Dpo(beta=0.5), policy=policy, rounds=rounds, **settings) for policy in (Table(), LogLinear(jnp.eye(N)))]
    assert_close(runs[1].log_policy, runs[0].log_policy)
    onwards = train(world, Dpo(beta=0.5), rounds=Rounds(3, reference), **settings)
    assert np.abs(onwards.log_policy - runs[0].log_policy).max() > 1e-6 or isinstance(reference, IteratedReference)


@pytest.mark.parametrize("reference", [GeometricAverage(0.5), NoReference()], ids=lambda one: type(one).__name__)
def test_no_restart_at_a_law_that_no_parameters_have(reference):
    world = problem(LOG_REF[:1], reward=np.arange(N, dtype=float))
    rounds = Rounds(3, reference, restart=True)
    with pytest.raises(ArgumentError, match=r"Argument `restart` must be False where \w+ is the reference of LogLinear, .*True"):
        train(world, Dpo(beta=0.5), policy=LogLinear(jnp.eye(N)), steps=9, rounds=rounds)
