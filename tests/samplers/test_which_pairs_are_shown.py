"""Every sampler: its pair law against loops, its draws against the law, and the shared contracts."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from sampling import sampled

from didsim import samplers
from didsim.numerics.checks import ArgumentError
from didsim.numerics.pytrees import pytree
from didsim.samplers import (
    Blocks,
    ChosenRejected,
    Joint,
    JointLaw,
    Mix,
    OnPolicy,
    Product,
    ProductMixture,
    ReferencePairs,
    Restrict,
    Sampler,
    Uniform,
)
from didsim.samplers.laws import draw_index, product_law
from didsim.worlds import problem

PROMPTS, N, PAIRS = 2, 4, 50_000


class Parts:
    """The ingredients of a random instance, as NumPy arrays."""

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        self.ref, self.chosen, self.rejected, self.policy, self.p, self.q = oracles.normalize(
            rng.standard_normal((6, PROMPTS, N))
        )
        self.chosen[0, 2] = -np.inf  # one prompt whose chosen law lacks a response
        self.chosen = oracles.normalize(self.chosen)
        mass = rng.random((PROMPTS, N, N)) * (rng.random((PROMPTS, N, N)) < 0.6)
        mass[:, 0, 1] = 1.0
        self.joint = mass / mass.sum((1, 2), keepdims=True)
        self.block = np.array([[0, 0, 1, -1], [2, 1, 2, 2]])[[seed % 2, 1]]
        self.support = np.array([[True, True, False, True], [False, True, True, False]])
        self.share = 0.2 + 0.1 * seed

    def problem(self, dtype=np.float64):
        laws = {"log_chosen": self.chosen, "log_rejected": self.rejected, "reward": np.zeros((PROMPTS, N))}
        return problem(self.ref.astype(dtype), **{name: jnp.asarray(law, dtype) for name, law in laws.items()})


@functools.cache
def instance(seed: int) -> Parts:
    return Parts(seed)


def product(first, second) -> np.ndarray:
    return np.exp(first[:, :, None] + second[:, None, :])


def within_blocks(block) -> np.ndarray:
    mass = np.zeros((PROMPTS, N, N))
    for x in range(PROMPTS):
        shown = [a for a in range(N) if block[x][a] >= 0]
        for a in shown:
            mates = [b for b in shown if block[x][b] == block[x][a]]
            for b in mates:
                mass[x, a, b] = 1 / len(shown) / len(mates)
    return mass


def restricted(mass, support) -> np.ndarray:
    kept = mass * support[:, :, None] * support[:, None, :]
    return kept / kept.sum((1, 2), keepdims=True)


def only(*responses) -> np.ndarray:
    return oracles.log([1 / len(responses) if a in responses else 0.0 for a in range(N)])


EVEN = np.full((PROMPTS, N, N), 1 / N**2)
LAST_TWO = np.array([False, False, True, True])

# Name: the sampler of an instance, and the pair law that it must have there.
CASES = {
    "uniform": (lambda i: Uniform(), lambda i: EVEN),
    "reference": (lambda i: ReferencePairs(), lambda i: product(i.ref, i.ref)),
    "chosen-rejected": (lambda i: ChosenRejected(), lambda i: product(i.chosen, i.rejected)),
    "on-policy": (lambda i: OnPolicy(), lambda i: product(i.policy, i.policy)),
    "product": (lambda i: Product(jnp.asarray(i.p), jnp.asarray(i.q)), lambda i: product(i.p, i.q)),
    "product-for-all-prompts": (
        lambda i: Product(jnp.asarray(i.p[0]), jnp.asarray(only(1, 3))),
        lambda i: product(np.stack([i.p[0]] * 2), np.stack([only(1, 3)] * 2)),
    ),
    "joint": (lambda i: Joint(jnp.asarray(oracles.log(i.joint))), lambda i: i.joint),
    "joint-for-all-prompts": (lambda i: Joint(jnp.asarray(oracles.log(i.joint[0]))), lambda i: np.stack([i.joint[0]] * 2)),
    "blocks": (lambda i: Blocks(jnp.asarray(i.block)), lambda i: within_blocks(i.block)),
    "blocks-for-all-prompts": (lambda i: Blocks(jnp.asarray(i.block[0])), lambda i: within_blocks(np.stack([i.block[0]] * 2))),
    "restrict": (
        lambda i: Restrict(ChosenRejected(), jnp.asarray(i.support)),
        lambda i: restricted(product(i.chosen, i.rejected), i.support),
    ),
    "restrict-joint": (
        lambda i: Restrict(Joint(jnp.asarray(oracles.log((i.joint + 0.1 * EVEN) / 1.1))), jnp.asarray(i.support)),
        lambda i: restricted((i.joint + 0.1 * EVEN) / 1.1, i.support),
    ),
    "restrict-mix": (
        lambda i: Restrict(Mix(ChosenRejected(), OnPolicy(), jnp.asarray(i.share)), jnp.asarray(i.support)),
        lambda i: restricted((1 - i.share) * product(i.chosen, i.rejected) + i.share * product(i.policy, i.policy), i.support),
    ),
    "restrict-away-a-part": (
        lambda i: Restrict(Mix(Product(jnp.asarray(only(0, 2)), jnp.asarray(only(0, 1))), OnPolicy()), jnp.asarray(LAST_TWO)),
        lambda i: restricted(product(i.policy, i.policy), np.stack([LAST_TWO] * 2)),
    ),
    "mix": (
        lambda i: Mix(ReferencePairs(), OnPolicy(), jnp.asarray(i.share)),
        lambda i: (1 - i.share) * product(i.ref, i.ref) + i.share * product(i.policy, i.policy),
    ),
    "mix-all-second": (lambda i: Mix(Uniform(), ChosenRejected(), 1.0), lambda i: product(i.chosen, i.rejected)),
    "mix-joint": (
        lambda i: Mix(Joint(jnp.asarray(oracles.log(i.joint))), ChosenRejected(), jnp.asarray(i.share)),
        lambda i: (1 - i.share) * i.joint + i.share * product(i.chosen, i.rejected),
    ),
    "mix-of-mix": (
        lambda i: Mix(Mix(Uniform(), OnPolicy()), ReferencePairs(), 0.25),
        lambda i: 0.375 * (EVEN + product(i.policy, i.policy)) + 0.25 * product(i.ref, i.ref),
    ),
}


DRAW = jax.jit(lambda law, key: law.draw(key, PAIRS))


def calls(case):
    return [(CASES[case][0](parts), parts.problem(), jnp.asarray(parts.policy)) for parts in map(instance, range(3))]


def law_and_matrix(sampler, world, log_policy):
    law = sampler.pair_law(world, log_policy)
    return law, law.matrix()


def judge(counts, law) -> float:
    """The smallest χ² p-value over prompts."""
    return min(oracles.p_value(c, m) for c, m in zip(counts, law, strict=True))


def count(law, key):
    first, second = DRAW(law, key)
    assert first.shape == second.shape == (PROMPTS, PAIRS)
    return [oracles.pair_counts(first[x], second[x], N) for x in range(PROMPTS)]


def test_every_sampler_is_a_case():
    seen = {type(make(instance(0))) for make, _ in CASES.values()}
    assert seen <= set(samplers.SAMPLERS.values())


SINGLE = ("chosen-rejected", "mix", "joint")


@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        *itertools.product(CASES, [np.float64]),
        *itertools.product(SINGLE, [np.float32]),
        *(pytest.param(case, np.float32, marks=pytest.mark.slow) for case in CASES if case not in SINGLE),
    ],
)
def test_pair_law(case, dtype):
    make, law = CASES[case]
    parts = instance(1)
    matrix = make(parts).pair_law(parts.problem(dtype), jnp.asarray(parts.policy, dtype)).matrix()
    assert_close(matrix, law(parts).astype(dtype))
    np.testing.assert_array_equal(np.asarray(matrix) == 0, law(parts) == 0)  # zero masses are exact
    assert_close(matrix.sum((1, 2)), jnp.ones(PROMPTS, dtype))


@pytest.mark.parametrize(
    ("case", "dtype"),
    [*sampled(itertools.product(CASES, [np.float64]), 2), *itertools.product(SINGLE, [np.float32])],
)
def test_draws(case, dtype):
    make, law = CASES[case]
    parts = instance(1)
    counts = count(make(parts).pair_law(parts.problem(dtype), jnp.asarray(parts.policy, dtype)), jax.random.key(7))
    assert judge(counts, law(parts)) > 1e-4  # a single pair without mass makes it 0
    shaken = law(parts) * np.random.default_rng(8).uniform(0.9, 1.1, (PROMPTS, N, N))
    assert judge(counts, shaken) < 1e-6


@pytest.mark.parametrize("case", sampled(CASES, 2))
def test_contracts(case):
    assert_round_trip(calls(case)[0][0])
    assert_jit_and_vmap(law_and_matrix, *calls(case))


@pytest.mark.parametrize("case", ["mix", pytest.param("joint", marks=pytest.mark.slow)])
def test_contracts_of_pair_laws(case):
    laws = [jax.tree.map(jnp.float32, sampler.pair_law(*rest)) for sampler, *rest in calls(case)]  # compiles in half the time
    assert_round_trip(laws[0])
    keys = jax.random.split(jax.random.key(0), len(laws))
    assert_jit_and_vmap(lambda law, key: law.draw(key, 8), *zip(laws, keys, strict=True))


def leak(sampler, parts) -> float:
    """Largest derivative of the pair law in the policy's log-probabilities."""
    weights = jnp.asarray(np.random.default_rng(9).standard_normal((PROMPTS, N, N)))

    def total(log_policy):
        return jnp.sum(weights * sampler.pair_law(parts.problem(), log_policy).matrix())

    slope = jax.jit(jax.grad(total))(jnp.asarray(parts.policy))
    assert bool(jnp.all(jnp.isfinite(slope)))
    return float(jnp.abs(slope).max())


@pytree
class Leaky(Sampler):
    """An on-policy sampler that forgot its stop-gradient."""

    def pair_law(self, problem, log_policy):
        return product_law(log_policy, log_policy)


@pytest.mark.parametrize("case", CASES)
def test_no_gradient_flows_through_the_policy(case):
    assert leak(CASES[case][0](instance(1)), instance(1)) == 0.0


def test_a_leak_would_be_seen():
    assert leak(Leaky(), instance(1)) > 0.01


def test_correlated_draws_would_be_seen():
    """The twin of every draw test: one uniform for both responses has the right marginals and the wrong pairs."""
    parts = instance(1)
    law = ProductMixture(jnp.ones((PROMPTS, 1)), jnp.asarray(parts.p)[:, None], jnp.asarray(parts.q)[:, None])
    key = jax.random.key(7)
    first, second = (draw_index(key, log_law, PAIRS)[:, 0] for log_law in (law.log_first, law.log_second))
    counts = [oracles.pair_counts(first[x], second[x], N) for x in range(PROMPTS)]
    assert judge([c.sum(1) for c in counts], np.exp(parts.p)) > 1e-4
    assert judge(counts, np.asarray(law.matrix())) < 1e-6


@pytest.mark.parametrize("case", ["uniform", "mix", "joint"])
def test_prompts_and_pairs_are_independent(case):
    parts = instance(1)
    law = CASES[case][0](parts).pair_law(parts.problem(), jnp.asarray(parts.policy))
    matrix = np.asarray(law.matrix())
    first, second = DRAW(law, jax.random.key(11))
    pair = np.asarray(first * N + second)
    across = np.einsum("a,b->ab", matrix[0].ravel(), matrix[1].ravel())
    along = np.einsum("a,b->ab", matrix[0].ravel(), matrix[0].ravel())
    assert oracles.p_value(oracles.pair_counts(pair[0], pair[1], N * N), across) > 1e-4
    assert oracles.p_value(oracles.pair_counts(pair[0, ::2], pair[0, 1::2], N * N), along) > 1e-4
    assert oracles.p_value(oracles.pair_counts(pair[0], pair[0], N * N), along) < 1e-6


def test_keys_decide_the_draws():
    law = Uniform().pair_law(instance(0).problem(), jnp.asarray(instance(0).policy))
    one, again, other = (law.draw(jax.random.key(k), 100)[0] for k in (1, 1, 2))
    assert bool(jnp.all(one == again))
    assert not bool(jnp.all(one == other))


def test_dense_and_product_forms_of_one_law_agree():
    parts = instance(1)
    law = CASES["restrict-mix"][0](parts).pair_law(parts.problem(), jnp.asarray(parts.policy))
    assert isinstance(law, ProductMixture)
    dense = JointLaw(jnp.log(law.matrix()))
    assert_close(dense.matrix(), law.matrix())
    assert judge(count(dense, jax.random.key(3)), np.asarray(law.matrix())) > 1e-4


SHAPE = r"must have shape \(4,\) or"


def even(n):
    return jnp.full(n, -jnp.log(float(n)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mix(Uniform(), OnPolicy(), 1.5), r"`share` must be in \[0, 1\], but is 1.5"),
        (lambda: Mix(Uniform(), OnPolicy(), float("nan")), r"`share` must be in \[0, 1\], but is nan"),
        (lambda: Restrict(Uniform(), jnp.zeros(N, bool)), "`support` must keep at least one response for every prompt"),
        (lambda: Restrict(Uniform(), jnp.ones(3, bool)), rf"`support` {SHAPE} \(2, 4\), but has shape \(3,\)"),
        (lambda: Product(even(3), even(3)), rf"`log_first` {SHAPE} \(2, 4\), but has shape \(3,\)"),
        (lambda: Product(even(N), jnp.stack([even(N)] * 3)), rf"`log_second` {SHAPE} \(2, 4\), but has shape \(3, 4\)"),
        (
            lambda: Joint(even(3)[:, None] + even(3)),
            r"`log_joint` must have shape \(4, 4\) or \(2, 4, 4\), but has shape \(3, 3\)",
        ),
        (lambda: Joint(jnp.zeros((N, N))), r"`log_joint` must be normalised \(total probability 1\)"),
        (lambda: Product(jnp.zeros(N), even(N)), r"`log_first` must be normalised \(total probability 1\)"),
        (lambda: Blocks(jnp.zeros(3, int)), rf"`block` {SHAPE} \(2, 4\), but has shape \(3,\)"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        make().pair_law(instance(0).problem(), jnp.asarray(instance(0).policy))
