"""Behaviours, ranks and named samplers: laws by enumeration of all draws, draws against laws, and the shared contracts."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from tolerance import tolerance

from didsim import samplers, simplex
from didsim.numerics.checks import ArgumentError
from didsim.samplers import laws, recipes
from didsim.samplers.source import BEHAVIOURS
from didsim.sweeps import toml
from didsim.worlds import problem
from didsim.worlds.preferences import BradleyTerry

PROMPTS, N, PAIRS, K = 2, 4, 50_000, 3
REWARD = np.array([[1.0, 0.5, 0.5, -0.3], [0.2, -1.0, 0.7, 0.1]])  # the first prompt has a tie
ORDERS = list(itertools.permutations(range(K)))


class Parts:
    """The ingredients of a random instance, as NumPy arrays."""

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        self.ref, self.chosen, self.rejected, self.policy, self.p = oracles.normalize(rng.standard_normal((5, PROMPTS, N)))
        self.beta, self.share = 0.4 + 0.1 * seed, 0.2 + 0.1 * seed
        self.target = oracles.normalize(self.ref + REWARD / self.beta)
        self.gap = self.beta * (self.policy - self.ref)

    def problem(self, dtype=np.float64):
        given = {"log_chosen": self.chosen, "log_rejected": self.rejected, "reward": REWARD}
        return problem(self.ref.astype(dtype), beta=self.beta, **{k: jnp.asarray(v, dtype) for k, v in given.items()})


@functools.cache
def instance(seed: int) -> Parts:
    return Parts(seed)


def pairs_of(first, second) -> np.ndarray:
    return np.exp(first)[:, :, None] * np.exp(second)[:, None, :]


def weighted(mass) -> np.ndarray:
    return mass / mass.sum((1, 2), keepdims=True)


def power(log_law, exponent) -> np.ndarray:
    return oracles.normalize(exponent * log_law)


def by_rank(base, score, places) -> np.ndarray:
    """Law of the draws at the given ranks (0 the best) among K, over all tuples of draws and all orders among ties."""
    mass = np.zeros([N] * len(places))
    for drawn in itertools.product(range(N), repeat=K):
        for order in ORDERS:
            ranked = sorted(range(K), key=lambda i, drawn=drawn, order=order: (-score[drawn[i]], order[i]))
            mass[tuple(drawn[ranked[place]] for place in places)] += np.exp(sum(base[y] for y in drawn)) / len(ORDERS)
    return mass


def rank_law(base, *places, score=REWARD) -> np.ndarray:
    return np.stack([by_rank(b, s, places) for b, s in zip(base, score, strict=True)])


def best(base, score=REWARD) -> np.ndarray:
    return oracles.log(rank_law(base, 0, score=score))


def nucleus(base, p) -> np.ndarray:
    mass = np.exp(base)
    kept = np.array([[sum(row[row > one]) < p for one in row] for row in mass])
    return oracles.log(mass * kept / (mass * kept).sum(-1, keepdims=True))


def greedy(base) -> np.ndarray:
    return oracles.log(np.eye(N)[base.argmax(-1)])


def by_rejection(base, target, tries) -> np.ndarray:
    """Try by try: accept with chance π*/(M p), keep the last draw whatever it is."""
    law = np.zeros_like(base)
    for x in range(PROMPTS):
        p, wanted = np.exp(base[x]), np.exp(target[x])
        chance = wanted / p / max(wanted / p)
        still = 1.0
        for attempt in range(tries):
            law[x] += still * p * (1.0 if attempt == tries - 1 else chance)
            still *= 1.0 - sum(p * chance)
    return oracles.log(law)


def inverse_slope(score, cap=np.inf) -> np.ndarray:
    gap = np.minimum(abs(score[:, :, None] - score[:, None, :]), cap)
    return weighted(2 + np.exp(gap) + np.exp(-gap))


EVEN = np.zeros((PROMPTS, N)) - np.log(N)
SPAN = np.ptp(REWARD, axis=-1)[:, None, None]
BLOCK = np.array([[0, 1, 1, -1], [1, 0, 1, 1]])
S, R = samplers, recipes


def within(block) -> np.ndarray:
    same = (block[:, :, None] == block[:, None, :]) & (block >= 0)[:, :, None]
    return np.where(same, 1.0 / ((block >= 0).sum(-1)[:, None, None] * np.maximum(same.sum(-1, keepdims=True), 1)), 0.0)


def against(behaviour):
    return S.Independent(behaviour, S.FromUniform())


# Name: the sampler of an instance, and the pair law that it must have there.
CASES = {
    "optimal-rejected": (lambda i: S.OptimalRejected(), lambda i: pairs_of(i.chosen, oracles.normalize(i.chosen - REWARD))),
    "optimal-rejected-beta": (
        lambda i: S.OptimalRejected(jnp.asarray(0.2)),
        lambda i: pairs_of(i.chosen, oracles.normalize(i.chosen + 0.2 * (i.ref - i.target))),
    ),
    "best-of-base": (lambda i: S.BestOfBase(k=K), lambda i: pairs_of(best(i.ref), i.ref)),
    "best-of-both": (lambda i: S.BestOfBoth(S.FromPolicy(), K), lambda i: pairs_of(best(i.policy), best(i.policy))),
    "best-worst": (lambda i: R.BestWorst(S.FromPolicy(), K), lambda i: rank_law(i.policy, 0, 2)),
    "rank-pair-1-2": (lambda i: R.RankPair(S.FromReference(), K, 1, 2), lambda i: rank_law(i.ref, 0, 1)),
    "rank-pair-1-3": (lambda i: R.RankPair(S.FromReference(), K, 1, 3), lambda i: rank_law(i.ref, 0, 2)),
    "rank-pair-2-3": (lambda i: R.RankPair(S.FromPolicy(), K, 2, 3), lambda i: rank_law(i.policy, 1, 2)),
    "implicit-best-of": (
        lambda i: R.ImplicitBestOf(k=K),
        lambda i: pairs_of(best(i.policy, i.policy - i.ref), i.policy),
    ),
    "tempered": (lambda i: R.Tempered(temperature=2.5), lambda i: pairs_of(power(i.ref, 0.4), power(i.ref, 0.4))),
    "nucleus": (lambda i: R.Nucleus(p=0.6), lambda i: pairs_of(nucleus(i.ref, 0.6), nucleus(i.ref, 0.6))),
    "greedy": (lambda i: R.GreedyAgainst(S.FromPolicy()), lambda i: pairs_of(greedy(i.policy), i.policy)),
    "target-against": (lambda i: R.TargetAgainst(), lambda i: pairs_of(i.target, i.ref)),
    "rewrite": (lambda i: R.Rewrite(amount=i.share), lambda i: pairs_of(oracles.normalize(i.ref + i.share * REWARD), i.ref)),
    "xpo": (lambda i: R.Xpo(), lambda i: pairs_of(i.policy, i.ref)),
    "geometric": (
        lambda i: R.GeometricMix(i.share),
        lambda i: pairs_of(i.policy, oracles.normalize((1 - i.share) * i.policy + i.share * i.ref)),
    ),
    "hybrid": (
        lambda i: R.Hybrid(share=i.share),
        lambda i: (1 - i.share) * pairs_of(i.chosen, i.rejected) + i.share * pairs_of(i.policy, i.policy),
    ),
    "half-tilted": (
        lambda i: R.HalfTilted(0.7),
        lambda i: (
            0.5 * pairs_of(EVEN, EVEN) + 0.5 * pairs_of(oracles.normalize(0.7 * REWARD), oracles.normalize(-0.7 * REWARD))
        ),
    ),
    "half-tilted-implicit": (
        lambda i: R.HalfTilted(by="implicit"),
        lambda i: (
            0.5 * pairs_of(EVEN, EVEN)
            + 0.5 * pairs_of(oracles.normalize(i.policy - i.ref), oracles.normalize(i.ref - i.policy))
        ),
    ),
    "rejection": (lambda i: R.Rejection(tries=K), lambda i: pairs_of(*[by_rejection(i.ref, i.target, K)] * 2)),
    "mix-r": (lambda i: S.MixR(), lambda i: inverse_slope(REWARD)),
    "mix-p": (lambda i: S.MixP(), lambda i: inverse_slope(i.gap)),
    "mix-p-beta": (lambda i: S.MixP(3.0), lambda i: inverse_slope(3.0 * (i.policy - i.ref))),
    "mix-p-star": (lambda i: S.MixPStar(jnp.asarray(1.0)), lambda i: inverse_slope((i.policy - i.ref), SPAN)),
    "pilaf": (
        lambda i: S.Pilaf(),
        lambda i: (
            0.5 * pairs_of(i.policy, i.policy)
            + 0.5 * pairs_of(oracles.normalize(i.policy + i.gap), oracles.normalize(i.policy - i.gap))
        ),
    ),
    "ranked": (lambda i: S.Independent(S.Ranked(S.FromReference(), K, 2), S.Ranked(S.FromPolicy(), K, 3)),
               lambda i: pairs_of(oracles.log(rank_law(i.ref, 1)), oracles.log(rank_law(i.policy, 2)))),
    "top-p-all": (lambda i: against(S.TopP(S.FromRejected(), 1.0)), lambda i: pairs_of(i.rejected, EVEN)),
    "given-law": (lambda i: against(S.FromLaw(jnp.asarray(i.p[0]))), lambda i: pairs_of(np.stack([i.p[0]] * 2), EVEN)),
    "nested": (
        lambda i: against(S.BestOf(S.Temper(S.Geometric(S.FromTarget(), S.FromChosen(), 0.25), 2.0), K)),
        lambda i: pairs_of(best(power(0.75 * i.target + 0.25 * i.chosen, 0.5)), EVEN),
    ),
    "few-blocks": (lambda i: S.Blocks(jnp.asarray(BLOCK), blocks=3), lambda i: within(BLOCK)),
}  # fmt: skip


def all_laws(made, world, log_policy):
    return {name: sampler.pair_law(world, log_policy) for name, sampler in made.items()}


def made(parts) -> dict:
    return {name: make(parts) for name, (make, _) in CASES.items()}


# Products of behaviours, ranks of the same draws, mixtures, masses of pairs, each sort of behaviour: in single precision too.
SORTS = ["best-of-base", "best-worst", "rank-pair-1-3", "implicit-best-of", "nucleus", "greedy", "half-tilted", "rejection"]
SORTS += ["mix-r", "mix-p-star", "pilaf", "nested", "few-blocks"]
VARIANTS = [case for case in CASES if case not in SORTS]
GROUPS = (SORTS, pytest.param(VARIANTS, marks=pytest.mark.slow))


@functools.cache
def laws_of(case, dtype):
    """The pair law of a case, compiled once with all those of its group."""
    return compiled(case in SORTS, dtype)[case]


@functools.cache
def compiled(sorts, dtype):
    parts = instance(1)
    several = {name: sampler for name, sampler in made(parts).items() if (name in SORTS) == sorts}
    return jax.jit(all_laws)(several, parts.problem(dtype), jnp.asarray(parts.policy, dtype))


@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        *((case, np.float64) for case in CASES),
        *((case, np.float32) for case in SORTS),
        *(pytest.param(case, np.float32, marks=pytest.mark.slow) for case in VARIANTS),
    ],
)
def test_pair_law(case, dtype):
    law, wanted = laws_of(case, dtype), CASES[case][1](instance(1))
    matrix = law.matrix()
    assert_close(matrix, wanted.astype(dtype))
    np.testing.assert_array_equal(np.asarray(matrix) == 0, wanted == 0)  # zero masses are exact
    assert_close(law.total(), jnp.ones(PROMPTS, dtype))


DRAW = jax.jit(lambda law, key: law.draw(key, PAIRS))


def judge(law, wanted, key) -> float:
    """The smallest χ² p-value over prompts of draws from a law against the wanted one."""
    first, second = DRAW(law, key)
    counts = [oracles.pair_counts(first[x], second[x], N) for x in range(PROMPTS)]
    return min(oracles.p_value(c, w) for c, w in zip(counts, wanted, strict=True))


@pytest.mark.parametrize("case", [*SORTS, *(pytest.param(case, marks=pytest.mark.slow) for case in VARIANTS)])
def test_draws_have_the_law(case):
    law, wanted = laws_of(case, np.float64), CASES[case][1](instance(1))
    assert judge(law, wanted, jax.random.key(17)) > 1e-4
    assert judge(law, wanted * np.random.default_rng(8).uniform(0.9, 1.1, wanted.shape), jax.random.key(17)) < 1e-6


@pytest.mark.parametrize("group", GROUPS, ids=["sorts", "variants"])
def test_contracts(group):
    calls = [
        ({name: made(parts)[name] for name in group}, parts.problem(), jnp.asarray(parts.policy))
        for parts in map(instance, range(3))
    ]
    assert_round_trip(calls[0][0])
    widened = [(jax.tree.map(lambda leaf: jnp.asarray(leaf, float), call[0]), *call[1:]) for call in calls]
    for one in widened:  # labels are integers
        if "few-blocks" in group:
            one[0]["few-blocks"] = S.Blocks(jnp.asarray(BLOCK), blocks=3)
    assert_jit_and_vmap(lambda *call: {name: law.matrix() for name, law in all_laws(*call).items()}, *widened)


def test_no_gradient_flows_through_the_policy():
    parts = instance(1)
    weights = jnp.asarray(np.random.default_rng(9).standard_normal((PROMPTS, N, N)))
    several = made(parts)

    def totals(log_policy):
        return jnp.stack([jnp.sum(weights * law.matrix()) for law in all_laws(several, parts.problem(), log_policy).values()])

    jacobian = jax.jit(jax.jacrev(totals))(jnp.asarray(parts.policy))
    assert float(jnp.abs(jacobian).max()) == 0.0


def test_what_follows_the_policy():
    moved = {name for name, (make, law) in CASES.items() if make(instance(1)).follows_policy}
    other = Parts(1)
    other.policy = instance(0).policy
    other.gap = other.beta * (other.policy - other.ref)
    wanted = {name for name, (_, law) in CASES.items() if abs(law(other) - law(instance(1))).max() > 1e-12}
    assert moved == wanted


def test_everything_has_a_name_and_a_case():
    seen = {type(make(instance(1))) for make, _ in CASES.values()}
    elsewhere = {S.Uniform, S.ReferencePairs, S.ChosenRejected, S.OnPolicy, S.Product, S.Joint, S.Restrict, S.Mix}
    assert set(S.SAMPLERS.values()) == seen | elsewhere
    assert len(S.SAMPLERS) == len(set(S.SAMPLERS.values())) >= 24
    public = {value for name in S.__all__ if isinstance(value := getattr(S, name), type) and issubclass(value, S.Behaviour)}
    assert set(BEHAVIOURS.values()) == public - {S.Behaviour}


def test_configs_nest_behaviours():
    text = {"name": "independent", "first": {"name": "best_of", "base": "policy", "k": 4}, "second": "reference"}
    assert toml.build("sampler", text) == S.Independent(S.BestOf(S.FromPolicy(), 4), S.FromReference())
    hybrid = toml.build("sampler", {"name": "hybrid", "offline": {"name": "best_worst", "k": 2, "base": "chosen"}})
    assert hybrid == R.Hybrid(R.BestWorst(S.FromChosen(), 2))
    with pytest.raises(ArgumentError, match="Did you mean 'best_of'"):
        toml.build("sampler", {"name": "independent", "first": "bestof", "second": "policy"})


def test_best_of_takes_a_traced_number_of_draws():
    parts = instance(0)
    world, log_policy = parts.problem(), jnp.asarray(parts.policy)
    ks = jnp.asarray([1.0, 2.0, 3.0])
    laws_by_k = jax.jit(jax.vmap(lambda k: S.BestOf(S.FromReference(), k).log_law(world, log_policy)))(ks)
    assert_close(laws_by_k[0], parts.ref)
    assert_close(jnp.exp(laws_by_k[2]), rank_law(parts.ref, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_is_selected_by_an_implicit_reward_that_is_zero(dtype):
    """At π_t = π_ref all implicit rewards tie, whatever rounding makes of them."""
    rng = np.random.default_rng(3)
    ref = jnp.asarray(oracles.normalize(3.0 * rng.standard_normal((1, 200))), dtype)
    world = problem(ref, reward=jnp.asarray(rng.standard_normal((1, 200)), dtype))
    rounded = ref + jnp.asarray(rng.integers(-1, 2, (1, 200)), dtype) * jnp.finfo(dtype).eps * jnp.abs(ref)
    log_law = jax.jit(S.BestOf(S.FromReference(), 16, "implicit").log_law)
    law = log_law(world, rounded)
    assert_close(law, ref, atol=tolerance(dtype, condition=16.0))
    moved = log_law(world, simplex.tilt(ref, world.reward, 0.01))
    assert float(jnp.abs(moved - ref).max()) > 1.0


def test_draws_per_pair():
    parts = instance(0)
    world, log_policy = parts.problem(), jnp.asarray(parts.policy)

    def cost(sampler):
        return np.asarray(sampler.draws(world, log_policy))

    np.testing.assert_allclose(cost(S.Uniform()), 2.0)
    np.testing.assert_allclose(cost(S.BestOfBase(k=8)), 9.0)
    np.testing.assert_allclose(cost(S.BestOfBoth(k=8)), 16.0)
    np.testing.assert_allclose(cost(R.BestWorst(k=8)), 8.0)
    np.testing.assert_allclose(cost(R.RankPair(k=8)), 8.0)
    np.testing.assert_allclose(cost(S.Mix(S.Uniform(), S.BestOfBoth(k=8), 0.25)), 5.5)
    np.testing.assert_allclose(cost(R.Xpo()), 2.0)
    np.testing.assert_allclose(cost(S.Independent(S.Ranked(S.FromPolicy(), 4, 4), S.Temper(S.FromPolicy(), 2.0))), 5.0)
    support = jnp.asarray([True, True, False, False])
    inside = np.exp(parts.ref[:, :2]).sum(-1)
    np.testing.assert_allclose(cost(S.Restrict(S.ReferencePairs(), support)), 2.0 / inside**2)
    np.testing.assert_allclose(cost(S.Restrict(R.BestWorst(k=2), jnp.ones(N, bool))), 2.0)


def test_rejection_sampling_costs_what_a_simulation_pays():
    parts, tries, runs = instance(0), 4, 200_000
    rng = np.random.default_rng(6)
    p, target = np.exp(parts.ref[0]), np.exp(parts.target[0])
    accept = target / p / max(target / p)
    drawn = rng.choice(N, p=p / p.sum(), size=(runs, tries))
    accepted = rng.random((runs, tries)) < accept[drawn]
    spent = np.where(accepted.any(1), accepted.argmax(1) + 1, tries)
    wanted = float(S.RejectionSampled(S.FromReference(), tries).draws(parts.problem(), jnp.asarray(parts.policy))[0])
    error = spent.std() / np.sqrt(runs)
    assert abs(spent.mean() - wanted) < 5.0 * error
    assert abs(spent.mean() - 1.02 * wanted) > 5.0 * error


def test_large_laws_stay_products():
    n = 200_000
    rng = np.random.default_rng(5)
    ref = jnp.asarray(oracles.normalize(rng.standard_normal((1, n))))
    world = problem(ref, reward=jnp.asarray(rng.standard_normal((1, n))))
    several = {
        "best": S.BestOfBoth(k=4),
        "mix_r": S.MixR(),
        "pilaf": S.Pilaf(),
        "blocks": S.Blocks(jnp.asarray(np.arange(n) % 3), 3),
    }
    for name, law in jax.jit(all_laws)(several, world, world.log_target).items():
        assert isinstance(law, laws.ProductMixture), name
        assert_close(law.total(), jnp.ones(1), atol=1e-9)


def test_mix_r_makes_every_direction_equally_curved():
    """S5: edge weights (μ_ab + μ_ba) σ'(r_a - r_b) are all equal; uniform pairs leave them unequal."""
    win = BradleyTerry().matrix(jnp.asarray(REWARD))
    slope = np.asarray(win * (1.0 - win))
    parts = instance(0)
    off = ~np.eye(N, dtype=bool)
    for sampler, equal in ((S.MixR(), True), (S.Uniform(), False)):
        mass = np.asarray(sampler.pair_law(parts.problem(), jnp.asarray(parts.policy)).matrix())
        weights = ((mass + np.swapaxes(mass, 1, 2)) * slope)[:, off]
        spread = (weights.max(-1) / weights.min(-1) - 1.0).max()
        assert bool(spread < tolerance(condition=10.0)) is equal


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S.BestOf(S.FromPolicy(), 0.5), "`k` must be finite and at least 1, but is 0.5"),
        (
            lambda: S.BestOf(S.FromPolicy(), 2, "rewrad"),
            "`by` must be one of implicit, reward, but is 'rewrad'. Did you mean 'reward'",
        ),
        (lambda: R.BestWorst(k=1), "`k` must be finite and at least 2, but is 1"),
        (lambda: S.Ranked(S.FromPolicy(), 4, 5), r"`rank` must be in \[1, 4\], but is 5"),
        (lambda: R.RankPair(k=4, first=2, second=2), "`second` must be an integer of at least 3 and below 5, but is 2"),
        (lambda: R.RankPair(k=4, first=4, second=5), "`first` must be an integer of at least 1 and below 4, but is 4"),
        (lambda: R.RankPair(k=1), "`k` must be an integer of at least 2 and below 65, but is 1"),
        (lambda: S.Temper(S.FromPolicy(), 0.0), "`temperature` must be positive and finite, but is 0"),
        (lambda: S.TopP(S.FromPolicy(), 0.0), "`p` must be positive and finite, but is 0"),
        (lambda: S.TopP(S.FromPolicy(), 1.5), r"`p` must be in \[0, 1\], but is 1.5"),
        (lambda: S.Tilt(S.FromPolicy(), np.inf), "`amount` must be finite, but is inf"),
        (lambda: S.Geometric(S.FromPolicy(), S.FromUniform(), -0.1), r"`share` must be in \[0, 1\], but is -0.1"),
        (lambda: S.RejectionSampled(S.FromPolicy(), 0.0), "`tries` must be finite and at least 1, but is 0"),
        (lambda: S.MixP(-1.0), "`beta` must be positive and finite, but is -1"),
        (lambda: S.MixPStar(0.0), "`beta` must be positive and finite, but is 0"),
        (lambda: S.Pilaf(np.nan), "`beta` must be positive and finite, but is nan"),
        (lambda: S.OptimalRejected(-2.0), "`beta` must be positive and finite, but is -2"),
        (lambda: S.Blocks(jnp.asarray([0, 3]), 3), "`block` must hold labels below `blocks`, 3, but holds 3"),
        (lambda: S.Blocks(jnp.asarray([0, 3]), 0), "`blocks` must be an integer of at least 1, but is 0"),
        (
            lambda: S.FromLaw(jnp.log(jnp.full(3, 1 / 3))).log_law(instance(0).problem(), jnp.zeros((PROMPTS, N))),
            r"`given` must have shape \(4,\) or \(2, 4\), but has shape \(3,\)",
        ),
    ],
)
def test_refused(make, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        make()
