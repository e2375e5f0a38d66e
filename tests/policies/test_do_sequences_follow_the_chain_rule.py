"""Do sequences follow the chain rule under every autoregressive policy, by loops over tuples; and CHES its formula?"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from jax.flatten_util import ravel_pytree
from sampling import sampled
from sequence_cases import chain, prefixes, responses
from tolerance import tolerance

import didsim
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives import Dpo
from didsim.policies import Transformer, ches, k_gram, normalised_ches, prefix_table
from didsim.policies import transformer as network
from didsim.policies.autoregressive import Autoregressive
from didsim.policies.tokentable import TokenTable
from didsim.worlds import RandomSequences

PROMPTS = 2
SPACE = SequenceSpace(3, 3, ends=True)
REF = oracles.log_laws(3, (PROMPTS, SPACE.n))
POLICIES = {
    "prefix table": lambda: prefix_table(SPACE),
    "prefix table, flat": lambda: prefix_table(SPACE, "flat"),
    "bigram": lambda: k_gram(SPACE, 1),
    "unigram, flat": lambda: k_gram(SPACE, 0, "flat"),
    "transformer": lambda: Transformer(SPACE, width=4, layers=2, heads=2, seed=3),
    "transformer, flat": lambda: Transformer(SPACE, width=4, layers=1, heads=1, start="flat"),
}


def thorough(*names):
    """Policies of a test, the last one in the slow run alone."""
    return pytest.mark.parametrize("name", [*names[:-1], pytest.param(names[-1], marks=pytest.mark.slow)])


@functools.cache
def made(name: str):
    """The policy of a name, made when it is first asked for."""
    return POLICIES[name]()


def params(policy, seed: int):
    rng = np.random.default_rng(seed)
    start = policy.init(jnp.asarray(REF))
    return jax.tree.map(lambda leaf: leaf + rng.standard_normal(leaf.shape), start)


def own_logits(policy, theta, prompt: int, head: tuple[int, ...]) -> np.ndarray:
    """Logits of the token after a prefix, by hand."""
    if isinstance(policy, Transformer):
        return transformer_logits(policy, jax.tree.map(np.asarray, theta), prompt, head)
    names = {"prefix table": len(head), "bigram": min(len(head), 1), "unigram": 0}
    looked_at = next(k for name, k in names.items() if any(policy is made(n) for n in POLICIES if n.startswith(name)))
    context = head[len(head) - looked_at :]
    return np.asarray(theta)[prompt, prefixes(SPACE).index(context)]


def transformer_logits(policy, w, prompt: int, head: tuple[int, ...]) -> np.ndarray:
    """The network once more, one sequence, position by position."""

    def norm(x, scale):
        return x / math.sqrt(sum(x * x) / len(x) + 1e-6) * scale

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    states = [w["prompt"][prompt] + w["position"][0]]
    states += [w["token"][t] + w["position"][k + 1] for k, t in enumerate(head)]
    size = policy.width // policy.heads
    for n in range(policy.layers):
        normed = [norm(x, w["norm_attend"][n]) for x in states]
        query, keys, values = ([x @ w["attend"][n, c] for x in normed] for c in range(3))
        mixed = []
        for here in range(len(states)):
            parts = []
            for own in (slice(h * size, (h + 1) * size) for h in range(policy.heads)):
                share = np.exp([query[here][own] @ keys[there][own] / math.sqrt(size) for there in range(here + 1)])
                parts.append(sum(s * values[there][own] for there, s in enumerate(share / share.sum())))
            mixed.append(np.concatenate(parts))
        states = [x + m @ w["gather"][n] for x, m in zip(states, mixed, strict=True)]
        states = [x + gelu(norm(x, w["norm_widen"][n]) @ w["widen"][n]) @ w["narrow"][n] for x in states]
    return norm(states[-1], w["norm_last"]) @ w["unembed"]


def law_by_hand(policy, theta, ref) -> np.ndarray:
    rows = []
    for x in range(PROMPTS):
        log_next = {}
        for head in prefixes(SPACE):
            logits = own_logits(policy, theta, x, head)
            if policy.start == "reference":
                ahead = [(y[: len(head) + 1], math.exp(p)) for y, p in zip(responses(SPACE), ref[x], strict=True)]
                mass = [sum(p for seen, p in ahead if seen == (*head, t)) for t in range(SPACE.vocabulary)]
                logits = logits + np.log(mass)
            log_next[head] = oracles.normalize(logits)
        rows.append(chain(SPACE, log_next))
    return np.array(rows)


def test_every_autoregressive_policy_is_a_case():
    assert {type(made(name)) for name in POLICIES} == set(Autoregressive.__subclasses__())


@thorough(*POLICIES)
def test_laws_are_those_of_the_chain_rule_by_hand(name):
    policy = made(name)
    theta = params(policy, 5)
    by_hand = law_by_hand(policy, theta, REF)
    tokens = jnp.broadcast_to(SPACE.tokens(), (PROMPTS, SPACE.n, SPACE.length))
    both = jax.jit(lambda theta, ref: (policy.log_probs(theta, ref), policy.token_log_probs(theta, tokens, ref)))
    law, per_token = both(theta, jnp.asarray(REF))
    assert_close(law, by_hand, atol=tolerance(condition=100))
    assert_close(per_token.sum(-1), by_hand, atol=tolerance(condition=100))
    assert not np.any(np.where(SPACE.counts(tokens), 0.0, per_token))


@pytest.mark.parametrize(("name", "dtype"), sampled(itertools.product(POLICIES, [np.float32, np.float64]), 3))
def test_starts_where_it_says(name, dtype):
    policy, ref = made(name), jnp.asarray(REF, dtype)
    law = jax.jit(lambda ref: policy.log_probs(policy.init(ref), ref))(ref)
    assert law.dtype == dtype
    if policy.start == "reference":
        assert_close(law, REF.astype(dtype), atol=tolerance(dtype))
    elif isinstance(policy, TokenTable):
        assert_close(law, np.broadcast_to(-SPACE.lengths() * np.log(3.0), law.shape).astype(dtype))
    else:
        assert float(jnp.abs(law - law.mean()).max()) > 0.1
        assert_close(jnp.exp(law).sum(-1), np.ones(PROMPTS, dtype))


@thorough("bigram", "transformer, flat", "transformer")
def test_contracts(name):
    policy = made(name)
    assert_round_trip(policy)
    calls = [(policy, params(policy, seed), jnp.asarray(oracles.log_laws(seed, (PROMPTS, SPACE.n)))) for seed in range(3)]
    assert_jit_and_vmap(lambda policy, theta, ref: policy.log_probs(theta, ref), *calls)


@thorough("bigram", "transformer")
def test_gradient_is_the_finite_difference(name):
    policy = made(name)
    theta = params(policy, 6)
    weights = jnp.asarray(np.random.default_rng(7).standard_normal((PROMPTS, SPACE.n)))
    flat, rebuild = ravel_pytree(theta)

    @jax.jit
    def value(flat):
        return jnp.sum(weights * policy.log_probs(rebuild(flat), jnp.asarray(REF)))

    steps = 1e-6 * np.eye(flat.size)[:: 1 + flat.size // 60]
    differences = [(value(flat + step) - value(flat - step)) / 2e-6 for step in steps]
    gradient = jax.jit(jax.grad(value))(flat)[:: 1 + flat.size // 60]
    np.testing.assert_allclose(gradient, differences, atol=1e-6)
    assert np.abs(differences).max() > 0.1


def test_blocks_change_nothing(monkeypatch):
    policy = made("transformer, flat")
    theta = params(policy, 10)
    weight = jnp.asarray(np.random.default_rng(11).standard_normal((PROMPTS, SPACE.n)))

    def value_and_slope():
        return jax.jit(jax.value_and_grad(lambda theta: jnp.sum(weight * policy.log_probs(theta, jnp.asarray(REF)))))(theta)

    whole = value_and_slope()
    monkeypatch.setattr(network, "BLOCK", 3)
    assert_close(value_and_slope(), whole, atol=1e-11)


@thorough("prefix table, flat", "transformer", "bigram")
def test_samples_come_from_the_law(name):
    policy = made(name)
    theta = params(policy, 8)
    ref = jnp.asarray(REF)
    drawn = jax.jit(lambda key: policy.sample(key, theta, 4000, prompts=PROMPTS, log_ref=ref))(jax.random.key(2))
    law = np.exp(policy.log_probs(theta, ref))
    for x, index in enumerate(np.asarray(SPACE.index(drawn))):
        counts = np.bincount(index, minlength=SPACE.n)
        assert oracles.p_value(counts, law[x]) > 1e-3
        assert oracles.p_value(counts, law[1 - x]) < 1e-3


def test_spaces_beyond_enumeration_have_log_probs_and_samples():
    space = SequenceSpace(64, 12, ends=True)
    policy = Transformer(space, width=8, start="flat")
    weights = jax.jit(lambda key: policy.weights(key, 1))(jax.random.key(0))
    tokens = jax.jit(lambda key: policy.sample(key, weights, 200))(jax.random.key(1))
    assert tokens.shape == (1, 200, 12)
    entropy = -jax.jit(policy.token_log_probs)(weights, tokens).sum(-1)
    lengths = space.counts(tokens).sum(-1)
    assert np.all((entropy > 0) & (lengths >= 1))
    with pytest.raises(didsim.ArgumentError, match="at most 4194304 responses"):
        policy.prefix_logits(weights)


def test_k_grams_end_where_the_prefix_table_is():
    space = SequenceSpace(3, 4)
    assert_close(k_gram(space, 3).context, prefix_table(space).context)
    assert [k_gram(space, k).parameters for k in range(4)] == [2, 2 * 4, 2 * 13, 2 * 40]
    assert Transformer(space, width=4).parameters() == sum(
        leaf.size for leaf in jax.tree.leaves(Transformer(space, width=4).weights(jax.random.key(0), 1))
    )


def test_worlds_of_sequences_follow_the_power_law():
    space = SequenceSpace(2, 3, ends=True)
    world = jax.jit(RandomSequences(space, prompts=2, beta=0.7).draw)(jax.random.key(0))
    assert_close(world.log_chosen, world.log_ref)
    assert_close(world.lengths, np.broadcast_to([len(y) for y in responses(space)], (2, space.n)).astype(float))
    ratio = np.asarray(0.7 * (world.log_target - world.log_ref) - (world.log_chosen - world.log_rejected))
    assert_close(ratio, np.broadcast_to(ratio[:, :1], ratio.shape))


@pytest.mark.slow
def test_the_prefix_table_is_trained_as_any_policy():
    """L6: another path than the free table's, the same minimiser."""
    space = SequenceSpace(2, 2)
    run = didsim.Run(RandomSequences(space), Dpo(0.5), policy=prefix_table(space), steps=1500, records=2)
    data = didsim.sweep(run, {"policy.context": {"prefix": prefix_table(space).context, "unigram": k_gram(space, 0).context}})
    end = data["jsd_target"].isel(record=-1, seed=0)
    assert float(end.sel(context="prefix")) < 1e-8
    assert float(end.sel(context="unigram")) > 1e-4


@pytest.mark.parametrize(("name", "falls"), [("prefix table", False), ("bigram", True)])
def test_a_single_pair_displaces_only_where_contexts_are_shared(name, falls):
    """L4: the chosen response's first slope is ``‖g_w‖² - ⟨g_w, g_l⟩``, over all pairs of responses."""
    policy = made(name)
    theta = params(policy, 12)[:1]
    jacobian = jax.jit(jax.jacobian(lambda theta: policy.log_probs(theta, jnp.asarray(REF[:1]))[0]))(theta)
    gram = np.asarray(jacobian).reshape(SPACE.n, -1) @ np.asarray(jacobian).reshape(SPACE.n, -1).T
    slopes = (np.diag(gram)[:, None] - gram)[~np.eye(SPACE.n, dtype=bool)]
    assert (slopes.min() < -1e-3) == falls
    assert (slopes.min() > 1e-6) == (not falls)


def test_ches_is_its_formula():
    rng = np.random.default_rng(9)
    states, lengths = rng.standard_normal((2, 5, 3, 4)), rng.integers(1, 4, (2, 5))
    counts = np.arange(3) < lengths[..., None]
    scores = ches(*map(jnp.asarray, states), *map(jnp.asarray, counts))
    normed = normalised_ches(*map(jnp.asarray, states), *map(jnp.asarray, counts))
    for pair in range(5):
        up, down = (sum(states[role, pair, k] for k in range(lengths[role, pair])) for role in (0, 1))
        n_up, n_down = lengths[:, pair]
        assert_close(scores[pair], up @ down - up @ up)
        assert_close(normed[pair], up @ down / (n_up * n_down) - up @ up / n_up**2)


def test_hidden_states_of_a_table_count_shared_contexts():
    policy = k_gram(SPACE, 1)
    tokens = jnp.array([[[0, 1, 0], [0, 1, 1], [1, 1, 1]]])
    states = policy.hidden_states(policy.init(jnp.asarray(REF)), tokens)[0]
    counts = SPACE.counts(tokens)[0]
    assert_close(ches(states[0], states[1], counts[0], counts[1]), np.array(0.0))
    # Contexts of 010 are the root, 0 and 1; those of 111 the root and twice 1.
    assert_close(ches(states[0], states[2], counts[0], counts[2]), np.array(3.0 - 3.0))
    assert_close(ches(states[2], states[0], counts[2], counts[0]), np.array(3.0 - 5.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: prefix_table(SequenceSpace(64, 12)), "`space` must have at most 4194304 responses"),
        (lambda: k_gram(SPACE, -1), "`k` must be an integer of at least 0"),
        (lambda: TokenTable(SPACE, jnp.arange(2)), "`context` must have one entry per prefix"),
        (lambda: TokenTable(SPACE, jnp.full(SPACE.prefixes, 99)), "`context` must be in [0, 6]"),
        (lambda: prefix_table(SPACE, "somewhere"), "`start` must be one of flat, reference"),
        (lambda: prefix_table(SPACE).init(jnp.zeros((1, 4))), "`log_ref` must have the 15 responses"),
        (lambda: Transformer(SPACE).init(jnp.zeros((1, 4))), "`log_ref` must have the 15 responses"),
        (lambda: Transformer(SPACE, width=5), "`width` must be a multiple of heads = 2, but is 5"),
        (lambda: Transformer(SPACE, layers=0), "`layers` must be an integer of at least 1"),
        (lambda: Transformer(SPACE, start="flt"), "Did you mean 'flat'"),
        (lambda: Transformer(SPACE, seed=-1), "`seed` must be an integer of at least 0"),
        (
            lambda: prefix_table(SPACE).token_log_probs(jnp.zeros((1, 7, 3)), jnp.zeros((1, 2, 3), int)),
            "`log_ref` must be given for a policy that starts at the reference",
        ),
        (
            lambda: prefix_table(SPACE).log_probs(jnp.zeros((1, 7, 3)), jnp.zeros((1, 4))),
            "`log_ref` must have the 15 responses",
        ),
        (lambda: prefix_table(SPACE, "flat").sample(jax.random.key(0), jnp.zeros((1, 7, 3)), 0), "`draws` must be an integer"),
        (
            lambda: prefix_table(SPACE, "flat").sample(jax.random.key(0), jnp.zeros((1, 7, 3)), 1, prompts=0),
            "`prompts` must be an integer",
        ),
        (lambda: RandomSequences(SPACE, beta=-1.0), "`beta` must be positive"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(didsim.ArgumentError) as error:
        make()
    assert message in str(error.value)
