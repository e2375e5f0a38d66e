"""Where numbers overflow: log-ratios of ±1000 and at the dtype's edge give the right loss or ∞, never NaN, slopes too."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import many_digits
import numpy as np
import oracles
import pytest
from loss_oracles import PAIRS, TOKEN_MEAN
from objective_cases import NUMBERS, make, with_slopes
from sampling import sampled

import didsim
from didsim.objectives import OBJECTIVES, responses
from didsim.objectives.comparisons import Population, SampledPairs, prompt_losses, with_means
from didsim.objectives.links import clip, margin, scaled_expm1
from didsim.worlds import problem

DTYPES = [np.float32, np.float64]
NAMES = sorted(PAIRS)[::-1]  # from the end, so that every family is among those of the quick run
SORTED = ["aot", "aot_unpaired"]
FAR = [-1000.0, -720.0, -95.0, -80.0, 0.5, 80.0, 95.0, 720.0, 1000.0]
RATIOS = np.array(list(itertools.product(FAR, FAR))).T
BASE = -2000.0  # log-probability of the reference
LENGTHS, REWARDS, WINS, KL = (2.0, 4.0), (0.5, -1.25), (0.75, 0.25), 0.5
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def in_single_precision(names, every):
    """Every ``every``-th name in float32, which overflows first; the rest and float64 in the slow run."""
    wide = [pytest.param(name, np.float64, marks=pytest.mark.slow) for name in names]
    return sampled([(name, np.float32) for name in names], every) + wide


def given(dtype, log_ref=BASE):
    """The batch as `pair_losses` takes it, and its keywords."""
    size = RATIOS.shape[1]
    policy = RATIOS + log_ref
    ref = np.full_like(policy, log_ref)
    keys = ("lengths", "rewards", "win_rates")
    pairs = zip(keys, (LENGTHS, REWARDS, WINS), strict=True)
    more = {f"{role}_{key}": np.full(size, v[i], dtype) for key, v in pairs for i, role in enumerate(("chosen", "rejected"))}
    more |= {
        "kl": np.asarray(KL, dtype),
        "policy_prompts": np.full(size, -3.0, dtype),
        "prompt_lengths": np.full(size, 3.0, dtype),
    }
    return [jnp.asarray(x, dtype) for x in (*policy, *ref)], more


def constant(name, numbers):
    if name in TOKEN_MEAN:
        return LENGTHS[0] + (3.0 if name == "orpo[prompt]" else 0.0)
    if name == "bco[batch]":
        return numbers["beta"] * RATIOS.mean()
    return KL


def held(name, dtype):
    """The numbers of an objective as the dtype holds them."""
    return {key: float(dtype(value)) for key, value in NUMBERS[name].items()}


def wanted(name, dtype, numbers):
    more = {"prompt": -3.0} if name == "orpo[prompt]" else {}
    rows = []
    for a, b in RATIOS.T:
        won, lost = ((BASE + x, x, n, r, w) for x, n, r, w in zip((a, b), LENGTHS, REWARDS, WINS, strict=True))
        rows.append(many_digits.pair(name, won, lost, constant(name, numbers), **numbers, **more))
    return [np.array([many_digits.rounded(x, dtype) for x in column]) for column in zip(*rows, strict=True)]


def assert_right(got, truth, dtype, scale):
    got = np.asarray(got, np.float64)
    over = np.isinf(truth)
    assert not np.any(np.isnan(got))
    np.testing.assert_array_equal(got[over], truth[over])
    slack = 256 * np.finfo(dtype).eps
    tiny = 64 * np.finfo(dtype).tiny
    np.testing.assert_allclose(got[~over], truth[~over], rtol=slack * scale, atol=slack * scale + tiny)


@partial(jax.jit, static_argnums=0)
def losses_and_slopes(name, chosen, rejected, ref_chosen, ref_rejected, more):
    def losses(c, r):
        return didsim.pair_losses(name, c, r, ref_chosen, ref_rejected, **more).losses

    return with_slopes(losses, chosen, rejected)


@pytest.mark.parametrize(("name", "dtype"), sampled(itertools.product(NAMES, DTYPES), 5))
def test_given_pairs(name, dtype):
    numbers = held(name, dtype)
    arrays, more = given(dtype)

    losses, slopes = losses_and_slopes(name, *arrays, more | numbers)
    value, by_chosen, by_rejected = wanted(name, dtype, numbers)
    assert losses.dtype == slopes[0].dtype == dtype
    # What a unit roundoff of a log-ratio near 1000 moves: the square of IPO's target, or β times it.
    scale = 1000.0
    assert_right(losses, value, dtype, scale)
    assert_right(slopes[0], by_chosen, dtype, scale)
    assert_right(slopes[1], by_rejected, dtype, scale)


def laws(a_up, b_up, dtype):
    """A policy and a reference on three responses with the given log-ratios, the third one impossible under neither."""
    policy = oracles.normalize(np.array([[a_up, b_up, 0.0]]))
    ref = oracles.normalize(np.array([[0.0, 0.0, 0.0]]))
    world = problem(
        jnp.asarray(ref, dtype), reward=jnp.asarray([[*REWARDS, 0.0]], dtype), lengths=jnp.asarray([[*LENGTHS, 3.0]], dtype)
    )
    return jnp.asarray(policy, dtype), world


ONE = {"population": Population(jnp.zeros((1, 3, 3)).at[0, 0, 1].set(1.0))}
ONE["sampled"] = SampledPairs(jnp.array([[0]]), jnp.array([[1]]), jnp.ones((1, 1)))
ONE["sampled, turned"] = SampledPairs(jnp.array([[1]]), jnp.array([[0]]), jnp.zeros((1, 1)))


@jax.jit
def value_and_slope(objective, log_policy, world, comparisons):
    def value(x):
        return prompt_losses(objective, with_means(objective, responses(world, x), comparisons), comparisons)[0]

    return jax.value_and_grad(value)(log_policy)


@pytest.mark.parametrize(("name", "dtype"), in_single_precision(NAMES, 4))
def test_populations_and_samples(name, dtype):
    """One pair that always is compared, among three that are not: those may overflow without being seen."""
    numbers = held(name, dtype)
    for a, b in [(1000.0, -1000.0), (-1000.0, 1000.0), (-1000.0, -1000.0), (0.0, -1000.0), (-1000.0, 0.0), (-720.0, -95.0)]:
        log_policy, world = laws(a, b, dtype)
        p, q = (np.array(x[0], np.float64) for x in (log_policy, world.log_ref))
        assert np.ptp(p) > 80
        if "orpo" in name and p[1] == 0.0:
            continue  # the odds of a rejected response that is sure are infinite; ours are the largest that the dtype holds
        if "orpo" in name and p[0] == 0.0:
            p[0] = -1e-30  # a sure one has no odds; those just short of it are the limit
        kl = float(responses(world, log_policy).divergence[0, 0])
        wins = np.asarray(responses(world, log_policy).win_rates(make("sppo").preferences), np.float64)[0]
        won, lost = ((p[i], float(dtype(p[i]) - dtype(q[i])), LENGTHS[i], REWARDS[i], wins[i]) for i in (0, 1))
        hold = LENGTHS[0] if name in TOKEN_MEAN else numbers["beta"] * (won[1] + lost[1]) / 2 if name == "bco[batch]" else kl
        value, by_won, by_lost = (many_digits.rounded(x, dtype) for x in many_digits.pair(name, won, lost, hold, **numbers))
        for comparisons in ONE.values():
            shown = jax.tree.map(lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, comparisons)
            got, slope = value_and_slope(make(name), log_policy, world, shown)
            assert got.dtype == dtype
            at_least = float(np.finfo(dtype).max) / 64
            for mine, truth in [(got, value), (slope[0, 0], by_won), (slope[0, 1], by_lost)]:
                if np.isinf(truth):
                    assert np.sign(truth) * float(mine) >= at_least
                else:
                    assert_right(mine, np.asarray(truth), dtype, 1000.0)
            assert float(slope[0, 2]) == 0.0


@pytest.mark.parametrize(("name", "dtype"), in_single_precision([*SORTED, *NAMES], 2))
def test_at_the_edge_of_the_numbers(name, dtype):
    """Log-probabilities up to the largest number: no NaN, and no loss that falls below that of the right order."""
    top = float(np.finfo(dtype).max)
    values = np.array([-top, -top / 2, -1.0])
    chosen, rejected = (jnp.asarray(x, dtype) for x in np.array(list(itertools.product(values, values))).T)
    refs = jnp.asarray(np.full(chosen.shape, -1.0), dtype), jnp.asarray(np.full(chosen.shape, -top / 2), dtype)
    size = chosen.size
    more = {key: np.full(size, 1.0, dtype) for key in ("chosen_lengths", "rejected_lengths", "prompt_lengths")}
    more |= {
        key: np.full(size, 0.5, dtype) for key in ("chosen_rewards", "rejected_rewards", "chosen_win_rates", "rejected_win_rates")
    }
    more |= {"kl": np.asarray(0.5, dtype), "policy_prompts": np.full(size, -1.0, dtype)}
    for pair in itertools.product(refs, refs):
        losses, slopes = losses_and_slopes(name, chosen, rejected, *pair, more)
        assert not np.any(np.isnan(losses))
        assert not np.any(np.isnan(slopes))


@each_dtype
def test_control_plain_exponentials_are_nan(dtype):
    """What the mended parts were: infinity minus infinity, and 0 times infinity."""
    x = jnp.asarray([-1000.0, -1000.0], dtype)
    assert np.isnan(jnp.exp(-x)[0] - jnp.exp(-x)[1])
    assert np.isnan(jax.grad(lambda t: jax.nn.softplus(-(jnp.exp(t) - 1.0)))(jnp.asarray(1000.0, dtype)))
    assert float(jax.grad(lambda t: jax.nn.softplus(-scaled_expm1(t, 1.0)))(jnp.asarray(1000.0, dtype))) == 0.0


@each_dtype
def test_overflown_rewards_keep_their_order(dtype):
    x = jnp.asarray([80.0, 95.0, 96.0, 720.0, 720.5, 1000.0, 1e30], dtype)
    risen = scaled_expm1(x, 0.3)
    assert np.all(np.diff(risen) > 0)
    assert np.all(np.isfinite(risen))
    assert float(margin(risen[5], risen[4])) == np.inf
    assert float(margin(risen[4], risen[5])) == -np.inf
    assert float(margin(risen[5], risen[5])) == 0.0
    inside = x[0] * 0.1
    np.testing.assert_allclose(scaled_expm1(inside, 0.3), 0.3 * np.expm1(float(inside)), rtol=8 * np.finfo(dtype).eps)


@each_dtype
def test_clip_keeps_its_bound_however_far(dtype):
    x = jnp.asarray([1e3, 1e10, 1e30, jnp.inf], dtype)
    for width in (0.0, 0.1):
        np.testing.assert_allclose(clip(x, 1.2, width), 1.2, rtol=64 * np.finfo(dtype).eps * 1000)
        np.testing.assert_allclose(clip(-x, 1.2, width), -1.2, rtol=64 * np.finfo(dtype).eps * 1000)


@each_dtype
def test_odds_of_a_sure_response_have_a_slope(dtype):
    """``d/dℓ [-λ log σ(log-odds_w - log-odds_l)]`` tends to ``-λ odds_l`` as the chosen response becomes sure (derived)."""
    for name in ("orpo", "orpo[sum]"):
        one = np.ones(1, dtype)
        sure, other = jnp.zeros(1, dtype), jnp.asarray([-0.5], dtype)

        def value(x, name=name, one=one, other=other):
            return didsim.pair_losses(name, x, other, chosen_lengths=one, rejected_lengths=one, odds_weight=0.7).mean

        odds = np.exp(-0.5) / (1 - np.exp(-0.5))
        np.testing.assert_allclose(jax.grad(value)(sure), -1.0 - 0.7 * odds, rtol=64 * np.finfo(dtype).eps)


def test_every_objective_of_pairs_is_looked_at():
    assert sorted({*PAIRS, *SORTED}) == sorted(name for name, kind in OBJECTIVES.items() if kind.of_pairs)
