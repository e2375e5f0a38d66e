"""Objectives: every formula against double loops, gradients three ways, samples against populations, contracts."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from objective_cases import NUMBERS, both, make, value_at
from tolerance import tolerance

from didsim import simplex
from didsim.numerics.checks import ArgumentError
from didsim.objectives import (
    OBJECTIVES,
    AlphaDpo,
    AlphaPo,
    BcoRunning,
    BestOfSft,
    ChiPo,
    ConservativeDpo,
    Cpo,
    DiscoPop,
    Dpo,
    Dpop,
    ExoPair,
    ExoPairClamped,
    Hinge,
    Kto,
    LengthDpo,
    OffsetDpo,
    Orpo,
    OrpoSum,
    Rebel,
    RobustDpo,
    SimPo,
    SimPoRatio,
    Slic,
    Sppo,
    population,
    responses,
)
from didsim.objectives.comparisons import Population, draw_pairs, prompt_losses, view
from didsim.objectives.curvature import expand
from didsim.samplers import Blocks, ChosenRejected, Joint, OnPolicy, Product, Uniform
from didsim.worlds import problem
from didsim.worlds.preferences import AsShown, Bernoulli, BradleyTerry, Flipped, Hard, PreferenceMatrix

P, N = 3, 5
RNG = np.random.default_rng(7)
LOG_REF, FIRST, SECOND = oracles.normalize(RNG.standard_normal((3, P, N)))
CHOSEN, REJECTED = oracles.normalize(RNG.standard_normal((2, P, N)))
REWARD = 1.5 * RNG.standard_normal((P, N))
LENGTHS = RNG.integers(1, 6, (P, N)).astype(float)
SHARES = np.array([0.55, 0.3, 0.15])
LOGITS = jnp.asarray(1.3 * RNG.standard_normal((P, N)))
JOINT = RNG.dirichlet(np.ones(N * N), P).reshape(P, N, N)
CYCLE = np.triu(RNG.uniform(size=(P, N, N)), 1)
CYCLE = CYCLE + np.tril(1 - np.swapaxes(CYCLE, 1, 2), -1) + 0.5 * np.eye(N)
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

NAMES = sorted(NUMBERS)
SORTED = ["aot", "aot_unpaired"]  # no means over pairs: see test_transport.py
PAIRLESS = ["rlhf", "sft[best_of_k]"]
each_objective = pytest.mark.parametrize("name", NAMES)
# What is the same code for all is looked at in one of each kind, and in all of them in the slow run.
KINDS = ["dpo", "simpo", "dpop", "kto", "slic", "orpo", "exo_pair", "rlhf", "chi-po", "bco[batch]", "sppo", "ipo[sum]"]


def in_one_of_each_kind(names):
    return pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in KINDS else pytest.mark.slow) for n in names])


each_kind = in_one_of_each_kind(NAMES)


def outer(log_first, log_second):
    return np.exp(log_first)[:, :, None] * np.exp(log_second)[:, None, :]


def policy(logits):
    return oracles.normalize(np.asarray(logits, np.float64))


# name: sampler, labels, pair law and label probabilities by hand
BT = oracles.bradley_terry(REWARD)
FLAT = np.full((P, N), -np.log(N))
BLOCK = np.kron(np.diag([0.2, 0.3]), np.ones((2, 2)))[:4, :4]
BLOCK = np.array([[0.125] * 2 + [0] * 3] * 2 + [[0, 0] + [0.125] * 2 + [0]] * 2 + [[0.0] * 5]) * np.ones((P, 1, 1))
DATA = {
    "product soft": (Product(jnp.array(FIRST), jnp.array(SECOND)), BradleyTerry(), outer(FIRST, SECOND), BT),
    "uniform off-scale": (Uniform(), BradleyTerry(2.0), outer(FLAT, FLAT), oracles.bradley_terry(REWARD / 2)),
    "joint hard": (Joint(jnp.log(jnp.array(JOINT))), Hard(BradleyTerry()), JOINT, (BT > 0.5) + 0.5 * np.eye(N)),
    "joint flipped": (Joint(jnp.log(jnp.array(JOINT))), Flipped(BradleyTerry(), 0.2), JOINT, 0.8 * BT + 0.2 * (1 - BT)),
    "product cycle": (Product(jnp.array(FIRST[0]), jnp.array(SECOND)), PreferenceMatrix(jnp.array(CYCLE)), None, CYCLE),
    "as shown": (ChosenRejected(), AsShown(), outer(CHOSEN, REJECTED), np.ones((P, N, N))),
    "on policy": (OnPolicy(), Bernoulli(BradleyTerry()), outer(policy(LOGITS), policy(LOGITS)), BT),
    "blocks": (Blocks(jnp.array([0, 0, 1, 1, -1])), BradleyTerry(), BLOCK, BT),
}
DATA["product cycle"] = (*DATA["product cycle"][:2], outer(FIRST[:1].repeat(P, 0), SECOND), CYCLE)
LAWS = {
    case: [oracle.chosen_rejected_law(m, w) for m, w in zip(shown, wins, strict=True)]
    for case, (_, _, shown, wins) in DATA.items()
}


def data(case):
    sampler, labels, _, _ = DATA[case]
    return population(PROBLEM, sampler, labels, simplex.normalize(jnp.asarray(LOGITS)))


POPULATIONS = {case: data(case) for case in DATA}


def by_hand(name, case, logits=LOGITS, **frozen):
    """Prompt-averaged value and gradient from the oracle."""
    rows = zip(logits, WORLDS, LAWS[case], strict=True)
    pairs = [oracle.value_and_gradient(name, row, world, law, **NUMBERS[name], **frozen) for row, world, law in rows]
    return sum(SHARES * [value for value, _ in pairs]), SHARES[:, None] * np.array([slope for _, slope in pairs])


def value_and_gradient(objective, logits, comparisons, world=PROBLEM):
    return both(objective, logits, comparisons, world)


@pytest.mark.parametrize("case", sorted(DATA))
def test_law_of_chosen_and_rejected(case):
    assert_close(POPULATIONS[case].ordered, np.array(LAWS[case]))
    np.testing.assert_allclose(POPULATIONS[case].ordered.sum((1, 2)), 1.0, atol=tolerance())


def test_the_catalogue_is_complete():
    assert sorted(OBJECTIVES) == sorted(NAMES + SORTED)
    assert sorted([*oracle.PAIRS, *PAIRLESS]) == NAMES
    assert len(OBJECTIVES) >= 28


@each_objective
def test_value_and_gradient_by_hand(name):
    objective = make(name)
    for case in DATA:
        value, slope = value_and_gradient(objective, LOGITS, POPULATIONS[case])
        wanted_value, wanted_slope = by_hand(name, case)
        assert_close(value, wanted_value, atol=tolerance(condition=10.0))
        assert_close(slope, wanted_slope, atol=tolerance(condition=10.0))


@each_objective
def test_hand_derived_gradient_is_the_central_difference(name):
    row, world, law = LOGITS[1], WORLDS[1], LAWS["joint flipped"][1]
    frozen = {} if name in PAIRLESS else {"z0": oracle.constant(name, row, world, law, **NUMBERS[name])}

    def value(logits):
        return oracle.value_and_gradient(name, logits, world, law, **NUMBERS[name], **frozen)[0]

    _, slope = oracle.value_and_gradient(name, row, world, law, **NUMBERS[name])
    np.testing.assert_allclose(oracle.central_difference(value, row), slope, atol=2e-9)


@pytest.mark.parametrize("name", ["kto", "bco[batch]"])
def test_constants_are_held_still(name):
    """The full derivative, through the constant as well, is another one: the stop-gradient is part of the objective."""
    row, world, law = LOGITS[1], WORLDS[1], LAWS["joint flipped"][1]
    moving = oracle.central_difference(lambda t: oracle.value_and_gradient(name, t, world, law, **NUMBERS[name])[0], row)
    _, slope = oracle.value_and_gradient(name, row, world, law, **NUMBERS[name])
    assert np.abs(moving - slope).max() > 1e-3


@each_objective
def test_another_number_is_another_loss(name):
    """Control: if a number were ignored, the comparison with the formula could not see a wrong one."""
    for field, number in NUMBERS[name].items():
        changed = OBJECTIVES[name](**{**NUMBERS[name], field: number + 1 if isinstance(number, int) else 0.77 * number})
        case = "joint flipped"
        assert abs(value_and_gradient(changed, LOGITS, POPULATIONS[case])[0] - by_hand(name, case)[0]) > 1e-4


DRAWS, PAIRS = 2000, 16
BIASED = Product(simplex.normalize(0.5 * jnp.array(FIRST)), jnp.array(SECOND))


@jax.jit
def _draws(key, sampler):
    def one(key):
        return draw_pairs(key, PROBLEM, sampler, BradleyTerry(), PROBLEM.log_ref, PAIRS)

    return jax.vmap(one)(jax.random.split(key, DRAWS))


FAIR, UNFAIR = (_draws(jax.random.key(5), sampler) for sampler in (DATA["product soft"][0], BIASED))
EVERY = jax.jit(jax.vmap(jax.value_and_grad(value_at, argnums=1), (None, None, 0, None)))


def worst_z_score(name, drawn):
    scores = []
    for got, wanted in zip(EVERY(make(name), LOGITS, drawn, PROBLEM), by_hand(name, "product soft"), strict=True):
        error = np.asarray(got).std(0) / np.sqrt(DRAWS)
        assert np.all(error > 0)
        scores.append(np.abs((np.asarray(got).mean(0) - wanted) / error).max())
    return max(scores)


@in_one_of_each_kind([name for name in NAMES if name not in [*PAIRLESS, "bco[batch]"]])
def test_samples_estimate_without_bias(name):
    assert worst_z_score(name, FAIR) < 4.5
    assert worst_z_score(name, UNFAIR) > 8.0


@pytest.mark.parametrize("case", ["joint flipped", "on policy", "product cycle", "as shown", "blocks"])
def test_every_kind_of_data_is_sampled_without_bias(case):
    sampler, labels, _, _ = DATA[case]
    drawn = draw_pairs(jax.random.key(9), PROBLEM, sampler, labels, jnp.array(policy(LOGITS)), DRAWS * PAIRS)
    first, second, win = (np.asarray(leaf) for leaf in jax.tree.leaves(drawn))
    for x, law in enumerate(LAWS[case]):
        got = np.zeros((N, N))
        np.add.at(got, (first[x], second[x]), win[x])
        np.add.at(got, (second[x], first[x]), 1 - win[x])
        error = np.sqrt(np.maximum(law * (1 - law), 1e-4) / win[x].size)
        assert np.abs((got / win[x].size - law) / error).max() < 4.5
        assert np.abs((got / win[x].size - law.T) / error).max() > 8.0  # control: roles exchanged


def test_rlhf_needs_no_pairs():
    drawn = draw_pairs(jax.random.key(0), PROBLEM, Uniform(), BradleyTerry(), PROBLEM.log_ref, PAIRS)
    assert_close(
        value_and_gradient(make("rlhf"), LOGITS, drawn), value_and_gradient(make("rlhf"), LOGITS, POPULATIONS["joint hard"])
    )


@jax.jit
def _expanded(objective, logits, comparisons, world):
    return expand(objective, view(objective, world, simplex.normalize(logits), comparisons), comparisons)


@jax.jit
def _traced_hessian(objective, logits, comparisons):
    def losses(free):
        return prompt_losses(objective, view(objective, PROBLEM, simplex.normalize(free), comparisons), comparisons).sum()

    blocks = jax.hessian(losses)(logits)
    return jnp.stack([blocks[x, :, x] for x in range(P)])


@each_kind
def test_expansion_is_the_traced_one(name):
    for case in ("joint flipped", "blocks"):
        for objective in (make(name), make(name).smoothed(0.3)):
            got = _expanded(objective, LOGITS, POPULATIONS[case], PROBLEM)
            value, slope = value_and_gradient(objective, LOGITS, POPULATIONS[case])
            assert_close(SHARES @ got.value, value)
            assert_close(SHARES[:, None] * got.gradient, slope)
            hessian = _traced_hessian(objective, LOGITS, POPULATIONS[case])
            assert_close(got.hessian, hessian, atol=tolerance(condition=1 + np.abs(hessian).max()))


# A logit common to all responses moves no margin of these rewards, whatever a response's length or mass.
SAME_FOR_ALL = ["dpo", "cdpo", "robust", "r-dpo", "odpo[gap]", "hinge", "exo_pair", "exo_pair[clamped]", "discopop"]
SAME_FOR_ALL += ["ipo[sum]", "ipo[margin]", "rebel"]


@pytest.mark.parametrize("name", SAME_FOR_ALL)
def test_unseen_responses_bend_nothing(name):
    """Rows of the Hessian and gradient are zero to the last bit, not to rounding, for a response that no pair shows."""
    got = _expanded(make(name), LOGITS, POPULATIONS["blocks"], PROBLEM)
    assert not np.any(got.gradient[:, 4])
    assert not np.any(got.hessian[:, 4])
    assert np.all(got.gradient[:, :4] != 0)


def least_slope_rise(objective, world=PROBLEM):
    """The smallest of ``⟨∇L(x) - ∇L(y), x - y⟩ / ‖x - y‖²`` over policies and data drawn at random: negative, not convex."""
    rng, worst = np.random.default_rng(11), np.inf
    for _ in range(200):
        law = Population(jnp.asarray(rng.dirichlet(np.full(N * N, 0.3), P).reshape(P, N, N)))
        here = rng.uniform(0.1, 4.0) * rng.standard_normal((P, N))
        move = 0.3 * rng.standard_normal((P, N))
        slopes = [value_and_gradient(objective, jnp.asarray(at), law, world)[1] for at in (here, here + move)]
        rise = np.sum(np.asarray(slopes[1] - slopes[0]) * move, 1) / SHARES / np.sum(move**2, 1)
        worst = min(worst, rise.min())
    return worst


@each_objective
def test_convex_exactly_where_the_flag_says(name):
    objective = make(name).smoothed(0.5)
    worst = least_slope_rise(objective)
    assert worst > -tolerance(condition=100.0) if objective.convex else worst < -1e-3
    if name in ("simpo", "simpo[gamma_ratio]", "dpo_norm", "ipo[token_mean]", "ipo[reference_free]"):
        # convex, but only where all lengths agree
        assert least_slope_rise(objective, replace(PROBLEM, lengths=jnp.ones((P, N)))) > -tolerance(condition=100.0)


@each_kind
def test_contracts(name):
    assert_round_trip(make(name))
    comparisons = POPULATIONS["joint flipped"]
    others = [jax.tree.map(lambda leaf, by=by: jnp.asarray(leaf * by), make(name)) for by in (1.0, 0.9, 0.8)]
    assert_jit_and_vmap(lambda o, t: value_at(o, t, comparisons, PROBLEM), *[(o, LOGITS) for o in others])


@each_kind
def test_single_precision_agrees(name):
    def narrow(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)

    arguments = LOGITS, POPULATIONS["joint flipped"], PROBLEM
    wide = value_and_gradient(make(name), *arguments)
    value, slope = value_and_gradient(make(name), *narrow(arguments))
    assert value.dtype == slope.dtype == jnp.float32
    np.testing.assert_allclose(value, wide[0], atol=tolerance(np.float32), rtol=tolerance(np.float32))
    np.testing.assert_allclose(slope, wide[1], atol=tolerance(np.float32))


def test_links_do_not_overflow():
    plain = [OBJECTIVES[name]() for name in NAMES if OBJECTIVES[name].paired and name != "discopop"]
    for objective in (*plain, Hinge().smoothed(1e-3), ChiPo().smoothed(1e-3)):
        for margin in (-1e4, 0.0, 1e4):
            value, slope = jax.value_and_grad(objective.link)(jnp.asarray(margin))
            assert np.isfinite(value)
            assert np.isfinite(slope)


def test_orpo_odds_of_a_sure_response_are_finite():
    sure = simplex.normalize(jnp.array([[0.0, -800.0], [0.0, -40.0]]))
    seen = responses(problem(np.log([[0.5, 0.5]] * 2), reward=np.zeros(2)), sure)
    assert np.all(np.isfinite(seen.log_odds))


def bad(kind, field, value, allowed):
    return pytest.param(kind, field, value, allowed, id=f"{kind.name}-{field}-{value}")


POSITIVE, COUNT = "positive and finite", "finite and at least 0"
BETAS = [kind for kind in OBJECTIVES.values() if "beta" in kind.__dataclass_fields__]
ERRORS = [bad(kind, "beta", value, POSITIVE) for kind in BETAS for value in (0.0, -0.1, np.nan, np.inf)]
POSITIVES = [(Rebel, "eta"), (Sppo, "eta"), (DiscoPop, "temperature"), (AlphaPo, "alpha"), (ChiPo, "reward_bound")]
ERRORS += [bad(kind, field, value, POSITIVE) for kind, field in POSITIVES for value in (0.0, np.nan)]
ERRORS += [bad(AlphaDpo, "alpha", value, "in [0, 2]") for value in (-0.1, 2.5, np.nan)]
ERRORS += [bad(BcoRunning, "delta", value, "finite") for value in (np.nan, np.inf)]
ERRORS += [bad(RobustDpo, "smoothing", value, "in [0, 0.5)") for value in (-0.1, 0.5, np.nan)]
ERRORS += [bad(ExoPairClamped, "smoothing", value, "in [0, 0.5]") for value in (-0.1, 0.6)]
ERRORS += [bad(Slic, "margin", value, POSITIVE) for value in (0.0, -1.0, np.nan)]
ERRORS += [bad(Kto, field, value, POSITIVE) for field in ("desirable", "undesirable") for value in (0.0, np.nan)]
ERRORS += [bad(ExoPair, "smoothing", value, POSITIVE) for value in (0.0, np.nan)]
ERRORS += [bad(ExoPair, "smoothing", 0.6, "in [0, 0.5]")]
ERRORS += [bad(ConservativeDpo, "smoothing", value, "in [0, 0.5)") for value in (-0.1, 0.5, np.nan)]
AT_LEAST = [(Slic, "nll_weight"), (Cpo, "nll_weight"), (SimPo, "gamma"), (Orpo, "odds_weight"), (Dpop, "penalty")]
AT_LEAST += [(LengthDpo, "length_weight"), (OffsetDpo, "offset"), (OrpoSum, "odds_weight"), (SimPoRatio, "gamma_ratio")]
AT_LEAST += [(AlphaPo, "gamma"), (ChiPo, "width"), (Hinge, "width"), (Slic, "width"), (Dpop, "width")]
ERRORS += [bad(kind, field, value, COUNT) for kind, field in AT_LEAST for value in (-0.1, np.nan)]


@pytest.mark.parametrize(("kind", "field", "value", "allowed"), ERRORS)
def test_bad_numbers_are_named(kind, field, value, allowed):
    with pytest.raises(ArgumentError) as raised:
        kind(**{field: value})
    assert str(raised.value) == f"Argument `{field}` must be {allowed}, but is {value:g}."


def test_draws_are_a_whole_number():
    with pytest.raises(ArgumentError, match="Argument `draws` must be an integer of at least 1, but is 0"):
        BestOfSft(0)


def test_best_of_draws_shares_ties():
    """Tied rewards share their mass in proportion to the reference, as going through all draws says."""
    world = problem(LOG_REF, reward=np.round(REWARD), beta=0.7)
    for x in range(P):
        wanted = oracle.best_of(oracle.World(LOG_REF[x], np.round(REWARD[x]), LENGTHS[x]), 3)
        np.testing.assert_allclose(np.exp(BestOfSft(3).minimiser(world)[x]), wanted, atol=tolerance())
    assert len(set(np.round(REWARD[0]))) < N


# One pair: ℓ_w = log ½, ℓ_l = log 0.3, a = log 2, b = log 0.6, lengths 2 and 3.  Numbers worked out outside this project.
GOLDEN = {
    "ipo[sum]": ({"beta": 0.5}, 0.041604904905),
    "ipo[token_mean]": ({"beta": 0.5}, 0.233435083799),
    "ipo[reference_free]": ({"beta": 0.5}, 0.893496281065),
    "ipo[margin]": ({"beta": 0.5}, 0.495577709231),
    "hinge": ({"beta": 0.5}, 0.398013597837),
    "slic": ({"margin": 1.0, "nll_weight": 0.1}, 0.558489094290),
    "simpo": ({"beta": 0.5, "gamma": 0.3}, 0.838721407303),
    "simpo[gamma_ratio]": ({"beta": 0.5, "gamma_ratio": 0.3}, 0.756337935587),
    "orpo": ({"odds_weight": 0.2}, 0.468399045577),
    "orpo[sum]": ({"odds_weight": 0.2}, 0.764482169348),
    "bco[none]": ({"beta": 0.5}, 1.108373165250),
    "bco[running]": ({"beta": 0.5, "delta": 0.4}, 1.138419237815),
    "bco[batch]": ({"beta": 0.5}, 1.107865401766),
    "exo_pair[clamped]": ({"beta": 0.5, "smoothing": 0.0}, 1.795406462934),
    "exo_pair": ({"beta": 0.5, "smoothing": 0.1}, 0.233113812377),
    "cdpo": ({"beta": 0.5, "smoothing": 0.2}, 0.557181813119),
    "robust": ({"beta": 0.5, "smoothing": 0.2}, 0.236122398632),
}


def test_dialects_by_golden_values():
    """No two functions of one name: each dialect has its own number on the same pair."""
    one = problem(np.log([0.25, 0.5, 0.25]), reward=np.zeros(3), lengths=np.array([2.0, 3.0, 1.0]))
    pair = Population(jnp.zeros((1, 3, 3)).at[0, 0, 1].set(1.0))
    for name, (numbers, wanted) in GOLDEN.items():
        got = value_at(OBJECTIVES[name](**numbers), jnp.log(jnp.array([[0.5, 0.3, 0.2]])), pair, one)
        np.testing.assert_allclose(got, wanted, atol=2e-12, err_msg=name)
    assert len({round(value, 9) for _, value in GOLDEN.values()}) == len(GOLDEN)


def test_a_bad_entry_of_a_swept_number_is_named():
    with pytest.raises(ArgumentError, match=r"Argument `beta` must be positive and finite, but is -1 at index 1\."):
        Dpo(beta=jnp.array([0.1, -1.0]))


def test_unpaired_objectives_have_no_pair_parts():
    with pytest.raises(TypeError, match="objective 'sft' has no link"):
        make("sft").link(jnp.zeros(()))
    with pytest.raises(TypeError, match="objective 'sft' has no implicit reward"):
        make("sft").chosen_reward(responses(PROBLEM, PROBLEM.log_ref))
