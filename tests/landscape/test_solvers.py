"""Exact minimisers against SciPy on the NumPy losses, against closed forms, linear programmes and optimality certificates."""

import functools

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import oracles
import pytest
from contracts import assert_close
from scipy.optimize import brentq, linprog, minimize, root
from tolerance import tolerance

from didsim.landscape.solvers import Status, solve
from didsim.numerics.checks import ArgumentError
from didsim.objectives import OBJECTIVES, Dpo, Hinge, IpoSum, Kto, SimPo
from didsim.samplers import Joint, Product, Restrict, Uniform
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry, PreferenceMatrix

P, N = 3, 8
RNG = np.random.default_rng(3)
LOG_REF, CHOSEN, REJECTED = oracles.normalize(RNG.standard_normal((3, P, N)))
REWARD = RNG.standard_normal((P, N))
LENGTHS = RNG.integers(1, 4, (P, N)).astype(float)
LAW = {"log_chosen": CHOSEN, "log_rejected": REJECTED, "log_prompts": np.log([0.5, 0.3, 0.2])}
PROBLEM = problem(LOG_REF, reward=REWARD, beta=0.7, lengths=LENGTHS, **LAW)
WORLDS = [oracle.World(*rows) for rows in zip(LOG_REF, REWARD, LENGTHS, strict=True)]

# Any data is a dense pair law and a preference matrix, so that one compiled solver serves them all.
BT = oracles.bradley_terry(REWARD)
HARD = (BT > 0.5) + 0.5 * np.eye(N)
SHOWN = RNG.dirichlet(np.ones(N * N), P).reshape(P, N, N)
FLAT = np.full((P, N, N), 1 / N**2)
# Between soft and hard: the last response loses for sure, the others as they may.
BEATEN = BT.copy()
BEATEN[:, -1, :-1], BEATEN[:, :-1, -1] = 0.0, 1.0

NUMBERS = {
    "dpo": {"beta": 0.4},
    "cdpo": {"beta": 0.6, "smoothing": 0.1},
    "ipo[sum]": {"beta": 0.3},
    "simpo": {"beta": 1.7, "gamma": 0.4},
    "cpo": {"beta": 0.9, "nll_weight": 0.3},
    "orpo": {"odds_weight": 0.7},
    "kto": {"beta": 0.5, "desirable": 4.0, "undesirable": 0.9},
    "exo_pair": {"beta": 0.9, "smoothing": 0.05},
    "sft": {},
    "rlhf": {"beta": 1.0},
    "hinge": {"beta": 0.5},
    "slic": {"margin": 0.8, "nll_weight": 0.3},
    "dpop": {"beta": 0.5, "penalty": 1.5},
}
KINKED = ["hinge", "slic", "dpop"]
SMOOTH = [name for name in NUMBERS if name not in KINKED]
# Newton stops at a step of eps^0.75; what is left of the logits' error is the rounding of the gradient.
NEAR = 1e-9


STARTS = 4


def make(name):
    return OBJECTIVES[name](**NUMBERS[name])


def run(objective, shown=SHOWN, wins=BT, world=PROBLEM, **settings):
    sampler = Joint(jnp.asarray(oracles.log(shown)))
    return solve(world, objective, sampler, PreferenceMatrix(jnp.asarray(wins)), **settings)


@functools.cache
def soft(name):
    return run(make(name), starts=None if make(name).convex else STARTS)


def laws(shown=SHOWN, wins=BT):
    return [oracle.chosen_rejected_law(m, w) for m, w in zip(shown, wins, strict=True)]


def scipy_minimum(name, world, law, start):
    """Quasi-Newton on value and gradient, then a root of the gradient; the mean logit is fixed to zero."""

    def both(logits):
        return oracle.value_and_gradient(name, logits, world, law, **NUMBERS[name])

    rough = minimize(both, start, jac=True, method="BFGS", options={"gtol": 1e-6})
    found = root(lambda logits: both(logits)[1] + logits.mean(), rough.x - rough.x.mean(), tol=1e-14)
    return both(found.x)[0], oracle.log_softmax(found.x)


def statuses(solution):
    return {Status(int(s)).name for s in solution.status}


@pytest.mark.parametrize("name", SMOOTH)
def test_minimiser_is_scipys(name):
    got = soft(name)
    assert statuses(got) == {"CONVERGED"}
    assert np.all(got.undetermined == 0)
    assert np.all(got.step < 1e-6)
    assert np.all(got.gradient_norm < 1e-6)
    for x, law in enumerate(laws()):
        value, log_policy = scipy_minimum(name, WORLDS[x], law, LOG_REF[x])
        np.testing.assert_allclose(got.log_policy[x], log_policy, atol=NEAR)
        np.testing.assert_allclose(got.value[x], value, atol=tolerance(condition=10.0))
        beside = oracle.value_and_gradient(name, log_policy + 1e-3 * np.arange(N), WORLDS[x], law, **NUMBERS[name])[0]
        assert beside > value + 1e-9 or name == "kto"  # control: the check tells a point 1e-3 away


@pytest.mark.parametrize("name", ["simpo", "orpo", "exo_pair"])
def test_no_start_of_scipys_does_better(name):
    got, law = soft(name), laws()[0]
    for start in np.random.default_rng(1).standard_normal((6, N)):
        value, log_policy = scipy_minimum(name, WORLDS[0], law, LOG_REF[0] + start)
        np.testing.assert_allclose(log_policy, got.log_policy[0], atol=NEAR)
        np.testing.assert_allclose(value, got.value[0], atol=tolerance(condition=10.0))


@pytest.mark.parametrize("name", ["simpo", "orpo", "exo_pair", "rlhf"])
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
    return oracle.value_and_gradient(name, np.asarray(log_policy), WORLDS[x], law, **NUMBERS[name])[0]


@pytest.mark.parametrize("wins", [BT, HARD, BEATEN], ids=["soft", "hard", "beaten"])
def test_hinge_reaches_the_linear_programme(wins):
    got = run(make("hinge"), FLAT, wins)
    for x, law in enumerate(laws(FLAT, wins)):
        least = hinge_programme(law, NUMBERS["hinge"]["beta"])
        np.testing.assert_allclose(value_by_hand("hinge", got.log_policy[x], x, law), least, atol=1e-8)
        np.testing.assert_allclose(got.value[x], least, atol=1e-8)
        assert value_by_hand("hinge", LOG_REF[x], x, law) > least + 1e-3


def test_hinge_face_of_minimisers():
    """With hard labels any policy with all margins above one is a minimiser: nothing is determined, and it says so."""
    got = run(make("hinge"), FLAT, HARD)
    assert statuses(got) == {"NOT_UNIQUE"}
    assert np.all(got.undetermined == N - 1)
    law = laws(FLAT, HARD)[0]
    stretched = LOG_REF[0] + 2 * (got.log_policy[0] - LOG_REF[0])
    assert np.abs(stretched - got.log_policy[0]).max() > 1.0
    np.testing.assert_allclose(value_by_hand("hinge", stretched, 0, law), got.value[0], atol=tolerance())


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("wins", [BT, BEATEN], ids=["soft", "beaten"])
def test_kinked_minima_are_certified(name, wins):
    got = run(make(name), SHOWN, wins)
    for x, law in enumerate(laws(SHOWN, wins)):
        certificate = functools.partial(oracle.least_subgradient, name, world=WORLDS[x], law=law, **NUMBERS[name])
        assert certificate(np.asarray(got.log_policy[x])) < 1e-5
        assert certificate(np.asarray(got.log_policy[x]) + 0.01 * np.arange(N)) > 1e-3
        np.testing.assert_allclose(value_by_hand(name, got.log_policy[x], x, law), got.value[x], atol=1e-8)


# Closed forms.


def test_dpo_learns_the_reference_times_the_likelihood_ratio():
    """D5 on the default data, at any β."""
    for beta in (0.05, 0.7, 5.0):
        got = solve(PROBLEM, Dpo(beta=beta))
        wanted = oracles.normalize(LOG_REF + (CHOSEN - REJECTED) / beta)
        np.testing.assert_allclose(got.log_policy, wanted, atol=tolerance(condition=1e3 / beta))
        assert np.abs(got.log_policy - oracles.normalize(LOG_REF + (CHOSEN - REJECTED) / (1.1 * beta))).max() > 1e-3


def test_dpo_learns_the_target_from_bradley_terry_labels():
    """S6: whatever pairs are shown.  Off-scale labels break it."""
    for shown in (SHOWN, FLAT):
        np.testing.assert_allclose(run(Dpo(beta=0.7), shown).log_policy, PROBLEM.log_target, atol=NEAR)
    cold = run(Dpo(beta=0.7), wins=oracles.bradley_terry(REWARD / 2))
    assert np.abs(cold.log_policy - PROBLEM.log_target).max() > 0.1


def test_other_labels_make_the_sampler_choose():
    """S6's other half: labels that no reward explains are projected, and the pair law decides how."""
    cycle = 0.7 * BT + 0.3 * np.roll(np.roll(BT, 1, 1), 1, 2)
    cycle[:, range(N), range(N)] = 0.5
    ends = [run(Dpo(beta=0.7), shown, cycle).log_policy for shown in (SHOWN, FLAT)]
    assert np.abs(ends[0] - ends[1]).max() > 0.01


def as_shown(log_chosen, log_rejected):
    """The same law of (chosen, rejected) as a symmetric pair law and a preference matrix."""
    law = np.exp(log_chosen)[:, :, None] * np.exp(log_rejected)[:, None, :]
    back = np.swapaxes(law, 1, 2)
    return (law + back) / 2, law / (law + back)


def test_simpo_learns_the_did_at_equal_lengths():
    """D6: the reward β log π_θ learns (π_w/π_l)^{1/β}, which is not π_ref times it."""
    for beta in (0.5, 2.0):
        short = problem(LOG_REF, reward=REWARD, beta=0.7, **LAW)
        got = run(SimPo(beta=beta), *as_shown(CHOSEN, REJECTED), world=short)
        assert statuses(got) == {"CONVERGED"}
        np.testing.assert_allclose(got.log_policy, oracles.normalize((CHOSEN - REJECTED) / beta), atol=NEAR)
        assert np.abs(got.log_policy - oracles.normalize(LOG_REF + (CHOSEN - REJECTED) / beta)).max() > 0.1


def test_simpo_at_any_lengths():
    """Rewards β log π/n match log(π_w/π_l) up to the constant that normalises: log π = n (s/β + c)."""
    beta = 2.0
    got = run(SimPo(beta=beta), *as_shown(CHOSEN, REJECTED))
    for x in range(P):
        ratio = (CHOSEN - REJECTED)[x] / beta
        constant = brentq(lambda c, ratio=ratio, n=LENGTHS[x]: np.exp(n * (ratio + c)).sum() - 1, -50, 50, xtol=1e-15)
        np.testing.assert_allclose(got.log_policy[x], LENGTHS[x] * (ratio + constant), atol=NEAR)


def test_sft_learns_the_chosen_law():
    np.testing.assert_allclose(run(make("sft"), *as_shown(CHOSEN, REJECTED)).log_policy, CHOSEN, atol=NEAR)


@pytest.mark.parametrize("beta", [0.05, 0.2, 2.0])
def test_rlhf_learns_the_tilted_reference(beta):
    """Peaked policies (gaps of e^60) included."""
    got = run(OBJECTIVES["rlhf"](beta=beta))
    assert statuses(got) == {"CONVERGED"}
    np.testing.assert_allclose(got.log_policy, oracles.normalize(LOG_REF + REWARD / beta), atol=1e-6)
    free_energy = -beta * np.log(np.exp(LOG_REF + REWARD / beta).sum(-1))
    np.testing.assert_allclose(got.value, free_energy, atol=tolerance(condition=10.0))


def test_ipo_is_weighted_least_squares():
    got = soft("ipo[sum]")
    goal = 1 / (2 * NUMBERS["ipo[sum]"]["beta"])
    for x, law in enumerate(laws()):
        rows = [np.sqrt(law[a, b]) * (np.eye(N)[a] - np.eye(N)[b]) for a in range(N) for b in range(N)]
        ratio = np.linalg.lstsq(np.array(rows), goal * np.sqrt(law).ravel(), rcond=None)[0]
        np.testing.assert_allclose(got.log_policy[x], oracles.normalize(LOG_REF[x] + ratio), atol=NEAR)


def test_ipo_on_independent_draws():
    """S12: π_ref e^{Pν/τ}, so the sampler moves the optimum even of a free table."""
    tau, nu = 0.3, np.exp(CHOSEN)
    shown = nu[:, :, None] * nu[:, None, :]
    got = run(IpoSum(beta=tau), shown)
    wanted = oracles.normalize(LOG_REF + np.einsum("xab,xb->xa", BT, nu) / tau)
    np.testing.assert_allclose(got.log_policy, wanted, atol=NEAR)
    assert np.abs(run(IpoSum(beta=tau), FLAT).log_policy - wanted).max() > 0.1


# What kind of answer it is.


def blocks(labels):
    """Uniform pairs within blocks; a negative label is never shown."""
    labels = np.array(labels)
    same = (labels[:, None] == labels) & (labels[:, None] >= 0)
    return np.broadcast_to(same / same.sum(), (P, N, N))


@pytest.mark.parametrize(
    ("labels", "components"),
    [
        ([0] * 8, 1),
        ([0, 0, 0, 1, 1, 1, 1, 1], 2),
        ([0, 1, 2, 0, 1, 2, 0, 1], 3),
        ([0] * 5 + [-1] * 3, 4),
        ([0] * 2 + [-1] * 6, 7),
    ],
)
@pytest.mark.parametrize("name", ["dpo", "cdpo", "ipo[sum]", "exo_pair"])
def test_disconnected_data_is_reported(name, labels, components):
    got = run(make(name), blocks(labels))
    assert np.all(got.undetermined == components - 1)
    assert statuses(got) == {"CONVERGED" if components == 1 else "NOT_UNIQUE"}


def test_open_directions_stay_where_the_start_was():
    """Sums of logits over a component, relative to each other, are those of the start; ratios within are the data's."""
    labels = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    start = oracles.normalize(np.random.default_rng(4).standard_normal((P, N)))
    got = run(Dpo(beta=0.7), blocks(labels), start=jnp.asarray(start))
    moved = np.asarray(got.log_policy) - start
    shift = moved[:, 6:7]
    for block in ([0, 1, 2], [3, 4, 5], [6], [7]):
        np.testing.assert_allclose(moved[:, block].mean(1), shift[:, 0], atol=NEAR)
        inside = (np.asarray(got.log_policy) - np.asarray(PROBLEM.log_target))[:, block]
        assert np.ptp(inside, axis=1).max() < NEAR or len(block) == 1
    elsewhere = run(Dpo(beta=0.7), blocks(labels))
    assert np.abs(elsewhere.log_policy - got.log_policy).max() > 0.1


@pytest.mark.parametrize("name", ["dpo", "simpo"])
@pytest.mark.parametrize("wins", [HARD, BEATEN], ids=["hard", "beaten"])
def test_separable_labels_have_no_minimum(name, wins):
    assert statuses(run(make(name), FLAT, wins)) == {"UNBOUNDED"}
    assert statuses(run(make(name), FLAT, 0.9 * wins + 0.1 * np.swapaxes(wins, 1, 2))) == {"CONVERGED"}


def test_kto_with_equal_weights_empties_the_losers():
    got = run(Kto(beta=0.5), FLAT, BT)
    assert statuses(got) <= {"UNBOUNDED", "STALLED"}
    loses = BT.mean(2) < 0.5
    assert np.all(np.exp(np.asarray(got.log_policy))[loses] < 1e-6)


def test_too_few_steps_are_not_called_converged():
    assert statuses(run(Dpo(beta=0.7), steps=1)) == {"STALLED"}


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

    got = solve(narrow(PROBLEM), make(name), Joint(narrow(np.log(SHOWN))), PreferenceMatrix(narrow(BT)))
    assert got.log_policy.dtype == got.value.dtype == jnp.float32
    assert statuses(got) == {"CONVERGED"}
    # A kinked loss is rounded at 1e-3 in single precision.
    np.testing.assert_allclose(got.log_policy, soft(name).log_policy, atol=2e-2 if name in KINKED else 2e-4)


def test_prompts_are_solved_alone():
    together = soft("exo_pair")
    for x in range(P):
        alone = problem(LOG_REF[x], reward=REWARD[x], beta=0.7, lengths=LENGTHS[x])
        got = run(make("exo_pair"), SHOWN[x : x + 1], BT[x : x + 1], world=alone)
        np.testing.assert_allclose(got.log_policy[0], together.log_policy[x], atol=NEAR)
        assert_close(got.value[0], together.value[x], atol=tolerance())


NOWHERE = Restrict(Product(jnp.log(jnp.eye(N)[0]), jnp.log(jnp.eye(N)[1])), jnp.arange(N) > 3)
ERRORS = {
    "labels alone": ({"labels": BradleyTerry()}, "Argument `sampler` must be given when the other of sampler and labels is."),
    "sampler alone": ({"sampler": Uniform()}, "Argument `labels` must be given when the other of sampler and labels is."),
    "steps": ({"steps": 0}, "Argument `steps` must be an integer of at least 1, but is 0."),
    "starts": ({"starts": 0}, "Argument `starts` must be an integer of at least 1, but is 0."),
    "seed": ({"seed": -1}, "Argument `seed` must be an integer of at least 0 and below 4294967296, but is -1."),
    "start": (
        {"start": jnp.zeros((P, N + 1))},
        "Argument `start` must have the shape of `problem.log_ref`, (3, 8), but has (3, 9).",
    ),
    "no pairs": (
        {"sampler": NOWHERE, "labels": BradleyTerry()},
        "Argument `sampler` must give every prompt a pair law of total probability 1, but Restrict gives nan.",
    ),
    "half a law": (
        {"sampler": Joint(jnp.log(jnp.asarray(0.5 * SHOWN))), "labels": BradleyTerry()},
        "Argument `sampler` must give every prompt a pair law of total probability 1, but Joint gives 0.5.",
    ),
}


@pytest.mark.parametrize("case", sorted(ERRORS))
def test_bad_arguments_are_named(case):
    settings, message = ERRORS[case]
    with pytest.raises(ArgumentError) as raised:
        solve(PROBLEM, Hinge(), **settings)
    assert str(raised.value) == message
