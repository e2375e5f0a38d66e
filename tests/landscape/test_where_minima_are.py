"""Where are the exact minima?  Against SciPy on the NumPy losses, closed forms, linear programmes and certificates."""

import functools

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import oracles
import population_oracles
import pytest
from contracts import assert_close
from sampling import picked, sampled
from scipy.optimize import brentq, linprog, minimize, root
from solver_cases import KINKED, NEAR, NUMBERS, SMOOTH, STARTS, N, P, given, laws, make, run, soft, statuses
from tolerance import tolerance

from didsim.landscape.solvers import solve
from didsim.landscape.solvers.krylov import newton_krylov
from didsim.objectives import OBJECTIVES, Dpo, IpoSum, SimPo
from didsim.samplers import Joint, Uniform
from didsim.samplers.data import Data
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry, PreferenceMatrix


def scipy_minimum(name, world, law, start):
    """Quasi-Newton on value and gradient, then a root of the gradient; the mean logit is fixed to zero."""

    def both(logits):
        return population_oracles.value_and_gradient(name, logits, world, law, **NUMBERS[name])

    rough = minimize(both, start, jac=True, method="BFGS", options={"gtol": 1e-6})
    found = root(lambda logits: both(logits)[1] + logits.mean(), rough.x - rough.x.mean(), tol=1e-14)
    return both(found.x)[0], oracle.log_softmax(found.x)


# The others of these have closed forms below or are solved by the same code.
@pytest.mark.parametrize("name", picked(SMOOTH, ["simpo"]))
def test_minimiser_is_scipys(name):
    got = soft(name)
    assert statuses(got) == {"CONVERGED"}
    assert np.all(got.undetermined == 0)
    assert np.all(got.step < 1e-6)
    assert np.all(got.gradient_norm < 1e-6)
    for x, law in enumerate(laws()):
        value, log_policy = scipy_minimum(name, given().worlds[x], law, given().ref[x])
        np.testing.assert_allclose(got.log_policy[x], log_policy, atol=NEAR)
        np.testing.assert_allclose(got.value[x], value, atol=tolerance(condition=10.0))
        beside = population_oracles.value_and_gradient(
            name, log_policy + 1e-3 * np.arange(N), given().worlds[x], law, **NUMBERS[name]
        )[0]
        assert beside > value + 1e-9 or name == "kto"  # control: the check tells a point 1e-3 away


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orpo", "simpo", "exo_pair"])
def test_no_start_of_scipys_does_better(name):
    got, law = soft(name), laws()[0]
    for start in np.random.default_rng(1).standard_normal((6, N)):
        value, log_policy = scipy_minimum(name, given().worlds[0], law, given().ref[0] + start)
        np.testing.assert_allclose(log_policy, got.log_policy[0], atol=NEAR)
        np.testing.assert_allclose(value, got.value[0], atol=tolerance(condition=10.0))


@pytest.mark.parametrize("name", sampled(["simpo", "exo_pair", "orpo", "rlhf"], 2))
def test_starts_agree(name):
    assert np.all(soft(name).agreeing == STARTS)
    start = jnp.asarray(oracles.normalize(np.random.default_rng(2).standard_normal((P, N))))
    other = run(make(name), start=start, seed=17)
    np.testing.assert_allclose(other.log_policy, soft(name).log_policy, atol=NEAR)


# Kinked losses: a linear programme and certificates.


def hinge_programme(law, beta):
    """Least ``Σ ν_ab max(0, 1 - β(h_a - h_b))``: variables h and the slack of every pair."""
    pairs = [(a, b) for a in range(N) for b in range(N) if law[a, b] > 0]
    rows = np.zeros((len(pairs), N + len(pairs)))
    for k, (a, b) in enumerate(pairs):
        rows[k, a] -= beta
        rows[k, b] += beta
        rows[k, N + k] = -1.0
    cost = np.r_[np.zeros(N), [law[pair] for pair in pairs]]
    bounds = [(None, None)] * N + [(0, None)] * len(pairs)
    return linprog(cost, A_ub=rows, b_ub=-np.ones(len(pairs)), bounds=bounds, method="highs").fun


def value_by_hand(name, log_policy, x, law):
    return population_oracles.value_and_gradient(name, np.asarray(log_policy), given().worlds[x], law, **NUMBERS[name])[0]


@pytest.mark.parametrize("wins", ["soft", "hard", "beaten"])
def test_hinge_reaches_the_linear_programme(wins):
    wins = getattr(given(), wins)
    got = run(make("hinge"), given().flat, wins)
    for x, law in enumerate(laws(given().flat, wins)):
        least = hinge_programme(law, NUMBERS["hinge"]["beta"])
        np.testing.assert_allclose(value_by_hand("hinge", got.log_policy[x], x, law), least, atol=1e-8)
        np.testing.assert_allclose(got.value[x], least, atol=1e-8)
        assert value_by_hand("hinge", given().ref[x], x, law) > least + 1e-3


def test_hinge_face_of_minimisers():
    """With hard labels any policy with all margins above one is a minimiser: nothing is determined, and it says so."""
    got = run(make("hinge"), given().flat, given().hard)
    assert statuses(got) == {"NOT_UNIQUE"}
    assert np.all(got.undetermined == N - 1)
    law = laws(given().flat, given().hard)[0]
    stretched = given().ref[0] + 2 * (got.log_policy[0] - given().ref[0])
    assert np.abs(stretched - got.log_policy[0]).max() > 1.0
    np.testing.assert_allclose(value_by_hand("hinge", stretched, 0, law), got.value[0], atol=tolerance())


@pytest.mark.parametrize("name", sampled(KINKED, 3))
@pytest.mark.parametrize("wins", ["soft", "beaten"])
def test_kinked_minima_are_certified(name, wins):
    wins = getattr(given(), wins)
    got = run(make(name), given().shown, wins)
    for x, law in enumerate(laws(given().shown, wins)):
        certificate = functools.partial(
            population_oracles.least_subgradient, name, world=given().worlds[x], law=law, **NUMBERS[name]
        )
        assert certificate(np.asarray(got.log_policy[x])) < 1e-5
        assert certificate(np.asarray(got.log_policy[x]) + 0.01 * np.arange(N)) > 1e-3
        np.testing.assert_allclose(value_by_hand(name, got.log_policy[x], x, law), got.value[x], atol=1e-8)


# Closed forms.


def test_dpo_learns_the_reference_times_the_likelihood_ratio():
    """D5 on the default data, at any β."""
    for beta in (0.05, 0.7, 5.0):
        got = solve(given().problem, Dpo(beta=beta))
        wanted = oracles.normalize(given().ref + given().log_ratio / beta)
        np.testing.assert_allclose(got.log_policy, wanted, atol=tolerance(condition=1e3 / beta))
        assert np.abs(got.log_policy - oracles.normalize(given().ref + given().log_ratio / (1.1 * beta))).max() > 1e-3


def test_dpo_learns_the_target_from_bradley_terry_labels():
    """S6: whatever pairs are shown.  Off-scale labels break it."""
    for shown in (given().shown, given().flat):
        np.testing.assert_allclose(run(Dpo(beta=0.7), shown).log_policy, given().problem.log_target, atol=NEAR)
    cold = run(Dpo(beta=0.7), wins=oracles.bradley_terry(given().reward / 2))
    assert np.abs(cold.log_policy - given().problem.log_target).max() > 0.1


def test_other_labels_make_the_sampler_choose():
    """S6's other half: labels that no reward explains are projected, and the pair law decides how."""
    cycle = 0.7 * given().soft + 0.3 * np.roll(np.roll(given().soft, 1, 1), 1, 2)
    cycle[:, range(N), range(N)] = 0.5
    ends = [run(Dpo(beta=0.7), shown, cycle).log_policy for shown in (given().shown, given().flat)]
    assert np.abs(ends[0] - ends[1]).max() > 0.01


def as_shown(log_chosen, log_rejected):
    """The same law of (chosen, rejected) as a symmetric pair law and a preference matrix."""
    law = np.exp(log_chosen)[:, :, None] * np.exp(log_rejected)[:, None, :]
    back = np.swapaxes(law, 1, 2)
    return (law + back) / 2, law / (law + back)


def test_simpo_learns_the_did_at_equal_lengths():
    """D6: the reward β log π_θ learns (π_w/π_l)^{1/β}, which is not π_ref times it."""
    for beta in (0.5, 2.0):
        short = problem(given().ref, reward=given().reward, beta=0.7, **given().law)
        got = run(SimPo(beta=beta), *as_shown(given().chosen, given().rejected), world=short)
        assert statuses(got) == {"CONVERGED"}
        np.testing.assert_allclose(got.log_policy, oracles.normalize(given().log_ratio / beta), atol=NEAR)
        assert np.abs(got.log_policy - oracles.normalize(given().ref + given().log_ratio / beta)).max() > 0.1


def test_simpo_at_any_lengths():
    """Rewards β log π/n match log(π_w/π_l) up to the constant that normalises: log π = n (s/β + c)."""
    beta = 2.0
    got = run(SimPo(beta=beta), *as_shown(given().chosen, given().rejected))
    for x in range(P):
        ratio = given().log_ratio[x] / beta
        n = given().lengths[x]
        constant = brentq(lambda c, ratio=ratio, n=n: np.exp(n * (ratio + c)).sum() - 1, -50, 50, xtol=1e-15)
        np.testing.assert_allclose(got.log_policy[x], n * (ratio + constant), atol=NEAR)


def test_sft_learns_the_chosen_law():
    np.testing.assert_allclose(
        run(make("sft"), *as_shown(given().chosen, given().rejected)).log_policy, given().chosen, atol=NEAR
    )


@pytest.mark.parametrize("beta", [0.05, 0.2, 2.0])
def test_rlhf_learns_the_tilted_reference(beta):
    """Peaked policies (gaps of e^60) included."""
    got = run(OBJECTIVES["rlhf"](beta=beta))
    assert statuses(got) == {"CONVERGED"}
    np.testing.assert_allclose(got.log_policy, oracles.normalize(given().ref + given().reward / beta), atol=1e-6)
    free_energy = -beta * np.log(np.exp(given().ref + given().reward / beta).sum(-1))
    np.testing.assert_allclose(got.value, free_energy, atol=tolerance(condition=10.0))


def test_ipo_is_weighted_least_squares():
    got = soft("ipo[sum]")
    goal = 1 / (2 * NUMBERS["ipo[sum]"]["beta"])
    for x, law in enumerate(laws()):
        rows = [np.sqrt(law[a, b]) * (np.eye(N)[a] - np.eye(N)[b]) for a in range(N) for b in range(N)]
        ratio = np.linalg.lstsq(np.array(rows), goal * np.sqrt(law).ravel(), rcond=None)[0]
        np.testing.assert_allclose(got.log_policy[x], oracles.normalize(given().ref[x] + ratio), atol=NEAR)


def test_ipo_on_independent_draws():
    """S12: π_ref e^{Pν/τ}, so the sampler moves the optimum even of a free table."""
    tau, nu = 0.3, np.exp(given().chosen)
    shown = nu[:, :, None] * nu[:, None, :]
    got = run(IpoSum(beta=tau), shown)
    wanted = oracles.normalize(given().ref + np.einsum("xab,xb->xa", given().soft, nu) / tau)
    np.testing.assert_allclose(got.log_policy, wanted, atol=NEAR)
    assert np.abs(run(IpoSum(beta=tau), given().flat).log_policy - wanted).max() > 0.1


# Sizes, precision, prompts.


@pytest.mark.parametrize("n", [2, 200])
def test_any_number_of_responses(n):
    rng = np.random.default_rng(n)
    ref, chosen, rejected = oracles.normalize(rng.standard_normal((3, 1, n)))
    got = solve(problem(ref, reward=np.zeros(n), log_chosen=chosen, log_rejected=rejected), Dpo(beta=0.5))
    assert statuses(got) == {"CONVERGED"}
    np.testing.assert_allclose(got.log_policy, oracles.normalize(ref + 2 * (chosen - rejected)), atol=NEAR)


@pytest.mark.parametrize("name", ["dpo", "hinge", "orpo"])
def test_single_precision(name):
    def narrow(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)

    got = solve(narrow(given().problem), make(name), Joint(narrow(np.log(given().shown))), PreferenceMatrix(narrow(given().soft)))
    assert got.log_policy.dtype == got.value.dtype == jnp.float32
    assert statuses(got) == {"CONVERGED"}
    # A kinked loss is rounded at 1e-3 in single precision.
    np.testing.assert_allclose(got.log_policy, soft(name).log_policy, atol=2e-2 if name in KINKED else 2e-4)


@pytest.mark.parametrize("name", sampled(["simpo", "exo_pair"], 2))
def test_prompts_are_solved_alone(name):
    together = soft(name)
    for x in range(P):
        alone = problem(given().ref[x], reward=given().reward[x], beta=0.7, lengths=given().lengths[x])
        got = run(make(name), given().shown[x : x + 1], given().soft[x : x + 1], world=alone)
        np.testing.assert_allclose(got.log_policy[0], together.log_policy[x], atol=NEAR)
        assert_close(got.value[0], together.value[x], atol=tolerance())


# What the answer says of itself.


def random_problems(n, count, seed, **numbers):
    rng = np.random.default_rng(seed)
    ref, chosen, rejected = oracles.normalize(2.0 * rng.standard_normal((3, count, n)))
    return problem(ref, reward=rng.standard_normal((count, n)), log_chosen=chosen, log_rejected=rejected, **numbers)


def pair_law(world, x):
    return np.exp(np.asarray(world.log_chosen[x]))[:, None] * np.exp(np.asarray(world.log_rejected[x]))[None]


HINGES = {"hinge": ({"beta": 0.1}, 0.1), "slic": ({"margin": 1.0, "nll_weight": 0.0}, 1.0)}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "name"), [(3, "hinge"), (3, "slic"), (8, "hinge"), (8, "slic")])
def test_hinges_reach_the_linear_programme_on_random_data(n, name):
    """Independent draws of laws that are far apart, where corners have slopes that no curvature shows."""
    world, (numbers, beta) = random_problems(n, 10, n), HINGES[name]
    got = solve(world, OBJECTIVES[name](**numbers))
    assert statuses(got) <= {"CONVERGED", "NOT_UNIQUE"}
    least = np.array([hinge_programme_of(pair_law(world, x), beta) for x in range(10)])
    np.testing.assert_allclose(got.value, least, atol=1e-9)
    assert np.min(1.0 - least) > 1e-4  # control: where all margins are zero the loss is one


def hinge_programme_of(law, beta):
    n = len(law)
    pairs = [(a, b) for a in range(n) for b in range(n)]
    rows = np.zeros((n * n, n + n * n))
    for k, (a, b) in enumerate(pairs):
        rows[k, a] -= beta
        rows[k, b] += beta
        rows[k, n + k] = -1.0
    bounds = [(None, None)] * n + [(0, None)] * (n * n)
    return linprog(np.r_[np.zeros(n), law.ravel()], A_ub=rows, b_ub=-np.ones(n * n), bounds=bounds, method="highs").fun


@pytest.mark.slow
def test_losses_that_are_not_convex_say_how_far_they_are_proved():
    """What the default starts miss lies below their value, never below the bound; nothing missed is called proved."""
    world = random_problems(3, 24, 1)
    few, *others = (solve(world, OBJECTIVES["discopop"](), starts=2, seed=seed) for seed in range(12))
    best = np.min([other.value for other in others], axis=0)
    missed = np.asarray(few.value > best + 1e-9)
    assert missed.any()
    assert not np.asarray(few.proved)[missed].any()
    assert np.all(few.lower_bound <= best + 1e-12)
    assert np.all(few.starts == 2)
    assert "best of 2 starts" in repr(few)
    sure = solve(problem(given().ref, reward=given().reward, beta=0.7), OBJECTIVES["simpo"](beta=2.0))
    assert np.all(sure.proved)  # every pair's margin is where it alone would have it
    assert "best of" not in repr(sure)


def test_a_top_is_no_minimum():
    """With nothing to tell responses apart the start is a stationary point of a loss that bends down there."""
    flat = problem(np.log([[1 / 3] * 3]), reward=np.zeros((1, 3)))
    got = solve(flat, OBJECTIVES["discopop"](), starts=1)
    assert float(got.value[0]) < OBJECTIVES["discopop"]().link(jnp.zeros(())) - 0.01
    assert statuses(got) == {"CONVERGED"}


def test_steps_that_run_out_say_so():
    early, late = run(Dpo(beta=0.7), steps=1), run(Dpo(beta=0.7))
    assert statuses(early) == {"OUT_OF_STEPS"}
    assert statuses(late) == {"CONVERGED"}
    assert np.all(early.value > late.value + 1e-6)  # a value that is no bound
    assert np.all(np.isneginf(early.lower_bound))
    assert not np.any(early.proved)
    assert np.array_equal(late.lower_bound, late.value)
    assert np.all(late.proved)


def test_only_what_is_solved_bounds_the_loss():
    """With the pairs of one product law, by conjugate gradients; a loss that falls for ever has no bound at its last value."""
    world = problem(given().ref, reward=given().reward, beta=0.7)
    data = Data(Uniform(), BradleyTerry())
    start = jnp.asarray(given().ref)
    early, late = (newton_krylov(world, Dpo(beta=0.7), data, start, steps) for steps in (1, 100))
    assert statuses(early) == {"OUT_OF_STEPS"}
    assert statuses(late) == {"CONVERGED"}
    assert np.all(early.value > late.value + 1e-6)
    assert np.all(np.isneginf(early.lower_bound))
    assert np.array_equal(late.lower_bound, late.value)
    even, sure = np.log([[0.5, 0.5]]), np.array([[-np.inf, 0.0]])
    ever = solve(problem(even, reward=np.zeros((1, 2)), log_chosen=sure, log_rejected=even), Dpo(beta=1.0))
    assert statuses(ever) == {"UNBOUNDED"}
    assert np.isneginf(ever.lower_bound).all()


@pytest.mark.parametrize(("far", "gap"), [(-600.0, 300.0), (-700.0, 650.0)])
def test_a_minimum_beyond_the_numbers_is_not_called_unbounded(far, gap):
    world = problem(oracles.normalize(np.array([[0.0, far]])), reward=np.array([[0.0, gap]]), beta=1.0)
    assert statuses(solve(world, Dpo(beta=1.0))) <= {"STALLED", "CONVERGED", "OUT_OF_STEPS"}
    even = np.log([[0.5, 0.5]])
    sure = problem(even, reward=np.zeros((1, 2)), log_chosen=np.array([[-np.inf, 0.0]]), log_rejected=even)
    assert statuses(solve(sure, Dpo(beta=1.0))) == {"UNBOUNDED"}  # control: nothing ever pulls back
