"""Problems from their parts, and worlds that draw them: every law agrees with every other, for thousands of keys."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from random_laws import Drawn
from scipy import stats
from tolerance import tolerance

from didsim import did, simplex, worlds
from didsim.numerics.checks import ArgumentError
from didsim.numerics.sequences import SequenceSpace
from didsim.worlds import Given, LinearReward, RandomReward, RandomSequences, RandomTarget, World, problem
from didsim.worlds.random import normal

PROMPTS, N, DRAWS = 2, 5, 2000
L = Drawn(
    ref=lambda: oracles.log_laws(20, (PROMPTS, N), widest=1.0),
    target=lambda: oracles.log_laws(21, (PROMPTS, N), widest=1.0),
    chosen=lambda: oracles.log_laws(22, (PROMPTS, N), widest=1.0),
    rejected=lambda: oracles.log_laws(23, (PROMPTS, N), widest=1.0),
    reward=lambda: np.random.default_rng(24).standard_normal((PROMPTS, N)),
    keys=lambda: jax.random.split(jax.random.key(9), DRAWS),
)
SPACE = SequenceSpace(2, 2, ends=True)
WORLDS = {
    "given": lambda: Given(problem(L.ref, reward=L.reward)),
    "random-target": lambda: RandomTarget(n=N, prompts=PROMPTS, beta=0.3, chosen_at=0.4, target_scale=2.0),
    "random-sequences": lambda: RandomSequences(SPACE, PROMPTS, beta=0.3, chosen_at=0.4, target_scale=2.0),
    "random-reward": lambda: RandomReward(
        n=N, prompts=PROMPTS, beta=0.7, reference_scale=1.5, reference_skill=-0.5, reward_scale=2.0
    ),
}


def gap(got, wanted) -> float:
    return float(np.max(np.abs(np.asarray(got, np.float64) - np.asarray(wanted, np.float64))))


def disagreement(world) -> float:
    """How far reward, reference and target are from ``π* ∝ π_ref e^{r/β}``, and the laws from being laws."""
    tied = simplex.tilt(world.log_ref, world.reward, 1.0 / world.beta[..., None, None])
    laws = (world.log_ref, world.log_target, world.log_chosen, world.log_rejected, world.log_prompts)
    return max(gap(tied, world.log_target), *(gap(jnp.exp(law).sum(-1), 1.0) for law in laws))


def test_every_world_is_a_case():
    drawn = {world for world in World.__subclasses__() if world.__module__.startswith("didsim.worlds.")} - {LinearReward}
    assert {type(make()) for make in WORLDS.values()} == drawn


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [0.1, 3.0])
def test_reward_and_target_decide_each_other(beta, dtype):
    from_reward = problem(jnp.asarray(L.ref, dtype), reward=L.reward, beta=beta)
    from_target = problem(jnp.asarray(L.ref, dtype), log_target=jnp.asarray(L.target, dtype), beta=beta)
    near = tolerance(dtype, condition=1.0 + 10.0 / beta)
    weights = np.exp(L.ref + L.reward / beta)
    assert gap(jnp.exp(from_reward.log_target), weights / weights.sum(-1, keepdims=True)) < near
    assert gap(from_target.reward, beta * (L.target - L.ref - (L.target - L.ref).mean(-1, keepdims=True))) < near
    for world in (from_reward, from_target):
        assert disagreement(world) < near
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(world))
    broken = worlds.Problem(**(vars(from_reward) | {"log_target": from_reward.log_ref}))
    assert disagreement(broken) > 0.1


def test_missing_laws_follow_the_power_law():
    world = problem(L.ref, log_target=L.target, beta=0.5)
    near = tolerance(condition=10.0)
    assert_close(world.log_chosen, L.ref)
    assert gap(did.learned_policy(world.log_chosen, world.log_rejected, L.ref, 0.5), L.target) < near
    given = problem(L.ref, log_target=L.target, beta=0.5, log_chosen=L.chosen)
    assert gap(did.learned_policy(L.chosen, given.log_rejected, L.ref, 0.5), L.target) < near
    own = problem(L.ref, log_target=L.target, beta=0.5, log_chosen=L.chosen, log_rejected=L.rejected)
    assert_close((own.log_chosen, own.log_rejected), (jnp.asarray(L.chosen), jnp.asarray(L.rejected)))
    assert gap(did.learned_policy(L.chosen, own.log_rejected, L.ref, 0.5), L.target) > 0.1


def test_prompts_are_spread_and_weighted():
    one = problem(L.ref[0], reward=L.reward[0])
    assert one.log_ref.shape == (1, N)
    assert one.log_prompts.tolist() == [0.0]
    shared = problem(L.ref, reward=L.reward[0], log_chosen=L.chosen[:1], lengths=jnp.arange(1.0, N + 1))
    assert_close(shared.reward, np.stack([L.reward[0]] * PROMPTS))
    assert_close(shared.log_chosen, np.stack([L.chosen[0]] * PROMPTS))
    assert_close(shared.lengths, np.stack([np.arange(1.0, N + 1)] * PROMPTS))
    assert_close(shared.log_prompts, np.full(PROMPTS, -np.log(PROMPTS)))
    weighted = problem(L.ref, reward=L.reward, log_prompts=np.log([0.25, 0.75]))
    assert_close(weighted.log_prompts, np.log([0.25, 0.75]))


def test_chosen_laws_may_lack_support_and_two_responses_are_enough():
    sure = oracles.log([1.0, 0.0])
    world = problem(np.log([0.5, 0.5]), reward=np.array([0.0, 700.0]), log_chosen=sure, log_rejected=sure[::-1])
    assert_close(world.log_target, np.array([[-700.0, 0.0]]), atol=1e-12)
    assert np.asarray(world.log_chosen).tolist() == [[0.0, -np.inf]]


THOROUGH = pytest.param("random-target", marks=pytest.mark.slow)  # drawn as sequences are


@pytest.mark.parametrize("name", ["given", THOROUGH, "random-sequences", "random-reward"])
def test_contracts(name):
    world = WORLDS[name]()
    assert_round_trip(world)
    assert_round_trip(world.draw(jax.random.key(0)))
    wider = jax.tree.map(lambda leaf: leaf * 1.0, world)
    calls = [(wider, jax.random.key(seed)) for seed in range(3)]
    assert_jit_and_vmap(lambda world, key: world.draw(key), *calls)


@pytest.mark.parametrize("name", [THOROUGH, "random-reward", "random-sequences"])
def test_a_world_is_drawn_the_same_in_either_precision(name):
    draw = jax.jit(WORLDS[name]().draw)
    wide = draw(jax.random.key(5))
    with jax.enable_x64(False):
        narrow = jax.jit(WORLDS[name]().draw)(jax.random.key(5))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(narrow))
    worst = max(jax.tree.leaves(jax.tree.map(gap, narrow, wide)))
    assert worst < tolerance(np.float32, condition=10.0)
    assert gap(narrow.log_ref, draw(jax.random.key(6)).log_ref) > 0.1


DRAW = jax.jit(jax.vmap(lambda world, key: world.draw(key), in_axes=(None, 0)))


@pytest.mark.parametrize("name", ["random-target", "random-reward", "random-sequences"])
def test_thousands_of_draws_agree_with_themselves_and_lie_on_the_geodesic(name):
    drawn = DRAW(WORLDS[name](), L.keys)
    at = {"random-target": 0.4, "random-reward": 0.0, "random-sequences": 0.4}[name]
    beta = float(drawn.beta[0])
    near = tolerance(condition=300.0)
    assert disagreement(drawn) < near

    def off_path(law, t):
        return gap(law, simplex.geodesic(drawn.log_ref, drawn.log_target, t))

    assert off_path(drawn.log_chosen, at) < near
    assert off_path(drawn.log_rejected, at - beta) < near  # D9
    assert off_path(drawn.log_rejected, at + beta) > 1.0
    learned = did.learned_policy(drawn.log_chosen, drawn.log_rejected, drawn.log_ref, beta)
    assert gap(learned, drawn.log_target) < near  # D4 and D7
    assert gap(did.learned_policy(drawn.log_chosen, drawn.log_rejected, drawn.log_ref, 2 * beta), drawn.log_target) > 1.0


@pytest.mark.parametrize("emitters", [False, True])
def test_a_draw_is_the_same_number_for_every_law_that_reads_it(emitters):
    # Without XLA's newer emitters a draw that is made anew within each law is rounded otherwise in one than in another.
    options = {"xla_cpu_use_fusion_emitters": emitters}
    drawn = jax.jit(jax.vmap(WORLDS["random-target"]().draw), compiler_options=options)(L.keys)
    assert disagreement(drawn) < tolerance(condition=300.0)
    bits = jax.vmap(lambda key: jax.random.normal(key, (N,), jnp.float32))(L.keys)
    assert np.array_equal(jax.vmap(lambda key: normal(key, (N,)))(L.keys), bits)


def normality(values) -> float:
    """Kolmogorov-Smirnov p-value of standard normality."""
    return float(stats.kstest(np.ravel(values), "norm").pvalue)


def test_random_target_has_independent_normal_logits():
    drawn = DRAW(RandomTarget(n=N, prompts=PROMPTS, reference_scale=1.5, target_scale=0.5), L.keys)
    ref = np.asarray(drawn.log_ref[..., 0] - drawn.log_ref[..., 1]) / (1.5 * np.sqrt(2.0))  # differences forget constants
    target = np.asarray(drawn.log_target[..., 0] - drawn.log_target[..., 1]) / (0.5 * np.sqrt(2.0))
    assert normality(ref) > 1e-3
    assert normality(target) > 1e-3
    assert normality(1.1 * ref) < 1e-3
    assert normality((ref + target) / np.sqrt(2.0)) > 1e-3  # independent of each other
    assert normality((ref[:, 0] + ref[:, 1]) / np.sqrt(2.0)) > 1e-3  # and across prompts
    assert normality((ref + ref) / np.sqrt(2.0)) < 1e-3


def test_random_reward_has_normal_rewards_and_a_skilled_reference():
    skill = 2.0
    drawn = DRAW(RandomReward(n=N, prompts=PROMPTS, reference_scale=0.5, reference_skill=skill, reward_scale=3.0), L.keys)
    reward = np.asarray(drawn.reward[..., 0] - drawn.reward[..., 1])
    ref = np.asarray(drawn.log_ref[..., 0] - drawn.log_ref[..., 1])
    assert normality(reward / (3.0 * np.sqrt(2.0))) > 1e-3
    assert normality((ref - skill * reward) / (0.5 * np.sqrt(2.0))) > 1e-3
    assert normality((ref + skill * reward) / (0.5 * np.sqrt(2.0))) < 1e-3
    assert gap(drawn.reward.mean(-1), 0.0) < 1e-12


@pytest.mark.parametrize("scale", [1e-6, 100.0])
def test_extreme_scales_stay_finite_and_consistent(scale):
    world = RandomTarget(n=N, prompts=PROMPTS, reference_scale=scale, target_scale=scale, beta=0.01)
    drawn = DRAW(world, L.keys[:DRAWS])
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(drawn))
    assert disagreement(drawn) < tolerance(condition=1e3)


def test_sweeping_a_leaf_is_drawing_one_by_one():
    betas = jnp.array([0.1, 1.0, 10.0])
    key = jax.random.key(2)
    swept = jax.jit(jax.vmap(lambda beta: RandomTarget(n=N, beta=beta).draw(key)))(betas)
    alone = jax.jit(lambda world: world.draw(key))
    for i, beta in enumerate((0.1, 1.0, 10.0)):
        one = alone(RandomTarget(n=N, beta=beta))
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], swept), one, atol=tolerance(condition=100.0))


EVEN = np.log([0.5, 0.5])
OF = r"must have"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: problem(EVEN), "`reward` or `log_target` must be given, exactly one, but neither is"),
        (lambda: problem(EVEN, reward=EVEN, log_target=EVEN), "`reward` or `log_target` must be given, exactly one, but both is"),
        (
            lambda: problem(oracles.log([1.0, 0.0]), reward=EVEN),
            "`log_ref` must give every response some mass, but is -inf at index 1",
        ),
        (lambda: problem(EVEN, log_target=oracles.log([1.0, 0.0])), "`log_target` must give every response some mass"),
        (lambda: problem(np.exp(EVEN), reward=EVEN), "`log_ref` must be normalised"),
        (
            lambda: problem(EVEN[None, None], reward=EVEN),
            rf"`log_ref` {OF} shape \(n,\) or \(prompts, n\), but has shape \(1, 1, 2\)",
        ),
        (lambda: problem(EVEN, reward=EVEN, beta=0.0), "`beta` must be positive and finite, but is 0"),
        (lambda: problem(EVEN, reward=EVEN, beta=np.ones(2)), r"`beta` must be one number for all prompts, but has shape \(2,\)"),
        (lambda: problem(EVEN, reward=np.array([0.0, np.inf])), "`reward` must be finite, but is inf at index 1"),
        (lambda: problem(EVEN, reward=1.0), rf"`reward` {OF} shape \(n,\) or \(prompts, n\) = \(1, 2\), but has shape \(\)"),
        (lambda: problem(EVEN, reward=np.zeros(3)), f"`reward` {OF} as many responses as `log_ref`, 2, but has 3"),
        (lambda: problem(np.stack([EVEN] * 2), reward=np.zeros((3, 2))), "`reward` must have prompts that match `log_ref`"),
        (lambda: problem(EVEN, reward=np.zeros((3, 2))), f"`reward` {OF} 1 prompts as `log_ref` has, but has 3"),
        (lambda: problem(EVEN, reward=EVEN, log_chosen=np.zeros(2)), "`log_chosen` must be normalised"),
        (lambda: problem(EVEN, reward=EVEN, log_rejected=np.full(2, np.nan)), "`log_rejected` must hold log-probabilities"),
        (
            lambda: problem(EVEN, reward=EVEN, lengths=np.array([1.0, 0.5])),
            "`lengths` must be finite and at least 1, but is 0.5 at index 1",
        ),
        (lambda: problem(EVEN, reward=EVEN, log_prompts=np.zeros(2)), "`log_prompts` must be normalised"),
        (
            lambda: problem(EVEN, reward=EVEN, log_prompts=EVEN),
            rf"`log_prompts` {OF} one entry per prompt, shape \(1,\), but has shape \(2,\)",
        ),
        (lambda: RandomTarget(n=1), "`n` must be an integer of at least 2, but is 1"),
        (lambda: RandomTarget(prompts=0), "`prompts` must be an integer of at least 1, but is 0"),
        (lambda: RandomTarget(beta=-1.0), "`beta` must be positive and finite, but is -1"),
        (lambda: RandomTarget(target_scale=np.inf), "`target_scale` must be finite, but is inf"),
        (lambda: RandomTarget(chosen_at=np.nan), "`chosen_at` must be finite, but is nan"),
        (lambda: RandomReward(n=1), "`n` must be an integer of at least 2, but is 1"),
        (lambda: RandomReward(beta=0.0), "`beta` must be positive and finite, but is 0"),
        (lambda: RandomReward(reference_skill=np.nan), "`reference_skill` must be finite, but is nan"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call()
