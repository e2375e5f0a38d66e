"""Label models: the probabilities against loops, the coin flips against the probabilities, and the shared contracts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from contracts import assert_close, assert_jit_and_vmap, assert_round_trip
from random_laws import Drawn
from sampling import sampled
from tolerance import tolerance

from didsim import preferences
from didsim.numerics.checks import ArgumentError
from didsim.worlds.preferences import (
    AsShown,
    Bernoulli,
    BradleyTerry,
    Davidson,
    Flipped,
    Hard,
    Labels,
    PreferenceMatrix,
    Threshold,
    Ties,
    Users,
)

PROMPTS, N = 2, 4
PAIR = Drawn(first=lambda: pair_index(0), second=lambda: pair_index(1))
DTYPES = (np.float32, np.float64)


def pair_index(side: int) -> jax.Array:
    """One side of all ordered pairs, for every prompt."""
    return jnp.asarray(np.indices((N, N)).reshape(2, 1, -1)[side].repeat(PROMPTS, 0))


def table(seed: int, *shape: int) -> np.ndarray:
    """Random intransitive preferences with a sure win and a tie."""
    chance = np.random.default_rng(seed).random((*shape, N, N))
    chance[..., 0, 1], chance[..., 2, 3] = 1.0, 0.5
    upper = np.triu(chance, 1)
    return upper + np.tril(1.0 - np.swapaxes(upper, -1, -2), -1) + 0.5 * np.eye(N)


def harden(chance) -> np.ndarray:
    return np.where(chance > 0.5, 1.0, np.where(chance < 0.5, 0.0, 0.5))


def temperature(seed: int) -> float:
    return 0.5 + 0.1 * seed


# Name: the model for a seed, and the probabilities it must give to a reward of shape (prompts, n).
CASES = {
    "bradley-terry": (
        lambda seed: BradleyTerry(jnp.asarray(temperature(seed))),
        lambda seed, r: oracles.bradley_terry(r / temperature(seed)),
    ),
    "as-shown": (lambda seed: AsShown(), lambda seed, r: np.ones((PROMPTS, N, N))),
    "matrix": (lambda seed: PreferenceMatrix(jnp.asarray(table(seed))), lambda seed, r: np.stack([table(seed)] * PROMPTS)),
    "matrix-per-prompt": (
        lambda seed: PreferenceMatrix(jnp.asarray(table(seed, PROMPTS))),
        lambda seed, r: table(seed, PROMPTS),
    ),
    "hard": (lambda seed: Hard(BradleyTerry()), lambda seed, r: harden(oracles.bradley_terry(r))),
    "hard-matrix": (
        lambda seed: Hard(PreferenceMatrix(jnp.asarray(table(seed, PROMPTS)))),
        lambda seed, r: harden(table(seed, PROMPTS)),
    ),
    "flipped": (
        lambda seed: Flipped(BradleyTerry(), jnp.asarray(0.1 * seed)),
        lambda seed, r: (1 - 0.1 * seed) * oracles.bradley_terry(r) + 0.1 * seed * (1 - oracles.bradley_terry(r)),
    ),
    "flipped-shown": (lambda seed: Flipped(AsShown(), 0.25), lambda seed, r: np.full((PROMPTS, N, N), 0.75)),
    "bernoulli": (
        lambda seed: Bernoulli(BradleyTerry(jnp.asarray(temperature(seed)))),
        lambda seed, r: oracles.bradley_terry(r / temperature(seed)),
    ),
    "bernoulli-hard-matrix": (
        lambda seed: Bernoulli(Hard(PreferenceMatrix(jnp.asarray(table(seed, PROMPTS))))),
        lambda seed, r: harden(table(seed, PROMPTS)),
    ),
}


CASES["ties"] = (lambda seed: Ties(jnp.asarray(0.1 * seed), 0.7), lambda seed, r: ties(r / 0.7, 0.1 * seed).mean(-1))
CASES["davidson"] = (
    lambda seed: Davidson(jnp.asarray(0.3 * seed), 0.7),
    lambda seed, r: davidson(r / 0.7, 0.3 * seed) @ [1.0, 0.5, 0.0],
)
CASES["davidson-dropped"] = (
    lambda seed: Davidson(jnp.asarray(0.3 * seed), keep="drop"),
    lambda seed, r: davidson(r, 0.3 * seed)[..., 0] / davidson(r, 0.3 * seed)[..., [0, 2]].sum(-1),
)
CASES["bernoulli-davidson"] = (
    lambda seed: Bernoulli(Davidson(0.8)),
    lambda seed, r: davidson(r, 0.8) @ [1.0, 0.5, 0.0],
)
CASES["users"] = (
    lambda seed: Users(jnp.log(jnp.asarray(WEIGHTS)), jnp.asarray(users(seed))),
    lambda seed, r: np.broadcast_to(
        sum(w * oracles.bradley_terry(one) for w, one in zip(WEIGHTS, users(seed), strict=True)), (PROMPTS, N, N)
    ),
)
CASES["threshold"] = (
    lambda seed: Threshold(BradleyTerry(), jnp.asarray(1.0 + seed)),
    lambda seed, r: undecided(oracles.bradley_terry(r), r, 1.0 + seed),
)
CASES["bernoulli-ties"] = (lambda seed: Bernoulli(Ties(0.8)), lambda seed, r: ties(r, 0.8).mean(-1))
CASES["bernoulli-threshold"] = (
    lambda seed: Threshold(Bernoulli(BradleyTerry()), 1.5),
    lambda seed, r: undecided(oracles.bradley_terry(r), r, 1.5),
)
CASES["bernoulli-flipped-ties"] = (
    lambda seed: Flipped(Bernoulli(Ties(0.8)), jnp.asarray(0.2)),
    lambda seed, r: 0.6 * ties(r, 0.8).mean(-1) + 0.2,
)
CASES["bernoulli-flipped-inside"] = (
    lambda seed: Bernoulli(Flipped(BradleyTerry(), jnp.asarray(0.2))),
    lambda seed, r: 0.6 * oracles.bradley_terry(r) + 0.2,
)
CASES["bernoulli-hard-outside"] = (
    lambda seed: Hard(Bernoulli(BradleyTerry())),
    lambda seed, r: harden(oracles.bradley_terry(r)),
)


def ties(r, margin: float) -> np.ndarray:
    """Chances that the first response wins and that it wins or ties, on the last axis."""
    gap = r[..., :, None] - r[..., None, :]
    return np.stack([1 / (1 + np.exp(margin - gap)), 1 - 1 / (1 + np.exp(margin + gap))], -1)


WEIGHTS = np.array([0.5, 0.3, 0.2])


def users(seed: int) -> np.ndarray:
    return 2.0 * np.random.default_rng(50 + seed).standard_normal((3, N))


def davidson(r, tie: float) -> np.ndarray:
    """Chances of win, tie and loss on the last axis, from the worths ``e^r``."""
    one, other = np.exp(r)[..., :, None], np.exp(r)[..., None, :]
    parts = np.stack(np.broadcast_arrays(one, 2 * tie * np.sqrt(one * other), other), -1)
    return parts / parts.sum(-1, keepdims=True)


# Name: the model, and the chances of a tie that it must give; None where there are none.
TIES = {
    "ties": (Ties(0.6, 0.7), lambda r: np.diff(ties(r / 0.7, 0.6), axis=-1)[..., 0]),
    "davidson": (Davidson(0.8, 0.7), lambda r: davidson(r / 0.7, 0.8)[..., 1]),
    "davidson-dropped": (Davidson(0.8, keep="drop"), None),
    "threshold": (Threshold(BradleyTerry(), 0.9), lambda r: 1.0 * (abs(r[..., :, None] - r[..., None, :]) < 0.9)),
    "threshold-ties": (
        Threshold(Ties(0.6), 0.9),
        lambda r: np.where(abs(r[..., :, None] - r[..., None, :]) < 0.9, 1.0, np.diff(ties(r, 0.6), axis=-1)[..., 0]),
    ),
    "flipped-bernoulli": (Flipped(Bernoulli(Ties(0.6)), 0.2), lambda r: np.diff(ties(r, 0.6), axis=-1)[..., 0]),
    "hard": (Hard(Ties(0.6)), None),
    "bradley-terry": (BradleyTerry(), None),
}


@pytest.mark.parametrize("name", TIES)
def test_which_pairs_are_tied(name):
    labels, wanted = TIES[name]
    reward = np.random.default_rng(8).standard_normal((PROMPTS, N))
    got = labels.ties(jnp.asarray(reward))
    if wanted is None:
        assert got is None
    else:
        np.testing.assert_allclose(got, wanted(reward), atol=tolerance())


def undecided(chance, r, least: float) -> np.ndarray:
    return np.where(abs(r[..., :, None] - r[..., None, :]) >= least, chance, 0.5)


def reward(seed: int, dtype=np.float64) -> jax.Array:
    """Rewards with one exact tie per prompt."""
    values = 2.0 * np.random.default_rng(100 + seed).standard_normal((PROMPTS, N))
    values[:, 2] = values[:, 3]
    return jnp.asarray(values, dtype)


def everything(labels, values, key):
    chance = labels.probability(values, PAIR.first, PAIR.second)
    return labels.matrix(values), chance, labels.win_weight(key, values, PAIR.first, PAIR.second)


def calls(case, count=3):
    make, _ = CASES[case]
    return [(make(seed), reward(seed), jax.random.key(seed)) for seed in range(count)]


def test_every_label_model_is_a_case():
    seen = {type(make(0)) for make, _ in CASES.values()}
    assert seen == set(preferences.LABELS.values())
    assert seen == {model for model in Labels.__subclasses__() if model.__module__ == "didsim.worlds.preferences"}


NESTED = [case for case in CASES if "-" in case and case != "bradley-terry"]  # variants of what is in the others
ALONE = [case for case in CASES if case not in NESTED]


@pytest.mark.parametrize(
    ("case", "dtype"), [*itertools.product(ALONE, DTYPES), *sampled(itertools.product(NESTED, DTYPES[::-1]), 4)]
)
def test_matrix_and_pairs_are_the_probabilities(case, dtype):
    make, probabilities = CASES[case]
    values = reward(1, dtype)
    table, pairs, weight = jax.jit(everything)(make(1), values, jax.random.key(0))
    wanted = probabilities(1, np.asarray(values, np.float64))
    assert_close(table, wanted.astype(dtype))
    assert_close(pairs, wanted.reshape(PROMPTS, -1).astype(dtype))
    assert weight.dtype == dtype
    if not case.startswith("bernoulli"):
        np.testing.assert_array_equal(weight, pairs)  # a soft label is its probability


@pytest.mark.parametrize("case", CASES)
def test_one_of_the_two_wins(case):
    model, values, _ = calls(case)[1]
    chance = model.matrix(values)
    total = chance + jnp.swapaxes(chance, -1, -2)
    wanted = {"as-shown": 2.0, "flipped-shown": 1.5}.get(case, 1.0)  # where the order shown is the label, it is not a law
    assert_close(total, jnp.full_like(total, wanted))


@pytest.mark.parametrize("case", [*ALONE, *sampled(NESTED, 4)])
def test_contracts(case):
    assert_round_trip(CASES[case][0](1))
    assert_jit_and_vmap(everything, *calls(case))


def test_the_trace_counter_sees_a_retrace():
    with pytest.raises(AssertionError, match="2 traces in a loop of 2"):
        assert_jit_and_vmap(everything, *calls("bradley-terry", 1), *calls("hard", 1))


@pytest.mark.parametrize("case", sampled((case for case in CASES if case.startswith("bernoulli")), 2))
def test_coins_have_the_right_chance(case):
    make, probabilities = CASES[case]
    values, draws = reward(1), 20_000
    many = jax.jit(jax.vmap(lambda key: make(1).win_weight(key, values, PAIR.first, PAIR.second)))
    wins = np.asarray(many(jax.random.split(jax.random.key(3), draws)))
    assert set(np.unique(wins)) <= (
        {0.0, 0.5, 1.0} if any(kind in case for kind in ("ties", "threshold", "davidson")) else {0.0, 1.0}
    )

    def worst_z(chance):
        noise = np.sqrt(np.maximum(chance * (1 - chance), 1e-12) / draws)
        return np.abs((wins.mean(0) - chance.reshape(PROMPTS, -1)) / noise.reshape(PROMPTS, -1)).max()

    chance = probabilities(1, np.asarray(values))
    assert worst_z(chance) < 5.0
    assert worst_z(0.9 * chance + 0.05) > 5.0


def frequencies(model, draws: int) -> np.ndarray:
    """How often each pair's label is 1, ½ and 0."""
    many = jax.jit(jax.vmap(lambda key: model.win_weight(key, reward(1), PAIR.first, PAIR.second)))
    drawn = np.asarray(many(jax.random.split(jax.random.key(4), draws)))
    return np.stack([(drawn == value).mean(0) for value in (1.0, 0.5, 0.0)])


def test_ties_come_as_often_as_they_should():
    margin, turned, draws = 0.8, 0.2, 20_000
    win, no_loss = np.moveaxis(ties(np.asarray(reward(1)), margin), -1, 0).reshape(2, PROMPTS, -1)
    outcomes = np.stack([win, no_loss - win, 1 - no_loss])
    flipped = (1 - turned) * outcomes + turned * outcomes[::-1]
    for model, wanted, other in (
        (Bernoulli(Ties(margin)), outcomes, flipped),
        (Flipped(Bernoulli(Ties(margin)), turned), flipped, outcomes),
    ):
        seen = frequencies(model, draws)
        noise = np.sqrt(wanted * (1 - wanted) / draws)
        assert (abs(seen - wanted) / noise).max() < 5.0
        assert (abs(seen - other) / noise).max() > 5.0


def test_flipped_coins_stay_coins():
    """A flip of a coin is 0 or 1, never the rate itself."""
    key = jax.random.key(0)
    drawn = Flipped(Bernoulli(BradleyTerry()), 0.25).win_weight(key, reward(0), PAIR.first, PAIR.second)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    soft = Flipped(BradleyTerry(), 0.25).win_weight(key, reward(0), PAIR.first, PAIR.second)
    assert float(soft.max()) < 0.76


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_gaps(dtype):
    values = jnp.asarray([0.0, 1e-12, 200.0, -1e4], dtype)
    chance = BradleyTerry().matrix(values)
    assert bool(jnp.all(jnp.isfinite(chance) & (chance >= 0) & (chance <= 1)))
    if dtype == np.float64:
        np.testing.assert_allclose(chance[0, 2], np.exp(-200.0), rtol=tolerance(condition=200.0))
    assert float(chance[2, 0]) == 1.0
    assert float(chance[3, 0]) == 0.0
    assert Hard(BradleyTerry()).matrix(jnp.zeros(2, dtype)).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    slope = jax.jit(jax.grad(lambda v: BradleyTerry().matrix(v)[0, 3]))(values)
    assert bool(jnp.all(jnp.isfinite(slope)))


def test_gaps_and_gather():
    values = np.asarray(reward(0))
    assert_close(preferences.reward_gaps(jnp.asarray(values)), values[:, :, None] - values[:, None, :])
    wanted = np.stack([values[x][np.asarray(PAIR.first)[x]] for x in range(PROMPTS)])
    assert_close(preferences.gather(jnp.asarray(values), PAIR.first), wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BradleyTerry(0.0), "`temperature` must be positive and finite, but is 0"),
        (lambda: BradleyTerry(float("nan")), "`temperature` must be positive and finite, but is nan"),
        (lambda: Ties(-0.1), "`margin` must be finite and at least 0, but is -0.1"),
        (lambda: Ties(0.1, 0.0), "`temperature` must be positive and finite, but is 0"),
        (lambda: Threshold(BradleyTerry(), -1.0), "`least` must be finite and at least 0, but is -1"),
        (lambda: Flipped(AsShown(), 1.5), r"`rate` must be in \[0, 1\], but is 1.5"),
        (
            lambda: PreferenceMatrix(jnp.ones((2, 2))),
            r"`table` must satisfy P\[a,b\] \+ P\[b,a\] = 1, but is off by 1 at index \(0, 0\)",
        ),
        (lambda: PreferenceMatrix(2.0 * jnp.eye(2)), r"`table` must be in \[0, 1\], but is 2 at index \(0, 0\)"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=f"^Argument {message}"):
        call()
