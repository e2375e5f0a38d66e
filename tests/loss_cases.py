"""Pairs and labels of every kind on the shared problem, with laws by hand, that tests of losses share; made on first use."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import population_oracles
import pytest
from objective_cases import NUMBERS, both
from problem_cases import SHARES, N, P, given

from didsim import simplex
from didsim.objectives import population
from didsim.samplers import Blocks, ChosenRejected, OnPolicy, Product, Uniform
from didsim.worlds.preferences import AsShown, Bernoulli, BradleyTerry, Flipped, Hard, PreferenceMatrix

NAMES = sorted(NUMBERS)
# No means over margins: they are tested by themselves.
SORTED = ["aot", "aot_unpaired", "kldo", "hypo", "pro", "adpo", "plackett-luce", "multinomial", "gvpo"]
SORTED += ["dpo-rk", "dpo-d", "auxdpo"]
PAIRLESS = ["rlhf", "sft[best_of_k]"]
each_objective = pytest.mark.parametrize("name", NAMES)
# One of each kind: what is the same code for all is looked at in these, and in all of them in the slow run.
KINDS = ["dpo", "simpo", "dpop", "kto", "slic", "orpo", "exo_pair", "rlhf", "chi-po", "bco[batch]", "sppo", "ipo[sum]"]


def outer(log_first, log_second):
    return np.exp(log_first)[:, :, None] * np.exp(log_second)[:, None, :]


# name: sampler, labels, pair law and label probabilities by hand
CASES = {
    "product soft": lambda g: (
        Product(jnp.array(g.first), jnp.array(g.second)),
        BradleyTerry(),
        outer(g.first, g.second),
        g.soft,
    ),
    "uniform off-scale": lambda g: (
        Uniform(),
        BradleyTerry(2.0),
        np.full((P, N, N), 1 / N**2),
        oracles.bradley_terry(g.reward / 2),
    ),
    "joint hard": lambda g: (g.pairs, Hard(BradleyTerry()), g.shown, (g.soft > 0.5) + 0.5 * np.eye(N)),
    "joint flipped": lambda g: (g.pairs, Flipped(BradleyTerry(), 0.2), g.shown, 0.8 * g.soft + 0.2 * (1 - g.soft)),
    "product cycle": lambda g: (
        Product(jnp.array(g.first[0]), jnp.array(g.second)),
        PreferenceMatrix(jnp.array(g.cycle)),
        outer(g.first[:1].repeat(P, 0), g.second),
        g.cycle,
    ),
    "as shown": lambda g: (ChosenRejected(), AsShown(), outer(g.chosen, g.rejected), np.ones((P, N, N))),
    "on policy": lambda g: (OnPolicy(), Bernoulli(BradleyTerry()), outer(policy(g.logits), policy(g.logits)), g.soft),
    "blocks": lambda g: (Blocks(jnp.array([0, 0, 1, 1, -1])), BradleyTerry(), BLOCK, g.soft),
}
BLOCK = np.array([[0.125] * 2 + [0] * 3] * 2 + [[0, 0] + [0.125] * 2 + [0]] * 2 + [[0.0] * 5]) * np.ones((P, 1, 1))


def policy(logits):
    return oracles.normalize(np.asarray(logits, np.float64))


@functools.cache
def case_of(name):
    """Sampler and labels of a case, the laws of (chosen, rejected) by hand, and the population at the shared logits."""
    sampler, labels, shown, wins = CASES[name](given())
    with jax.ensure_compile_time_eval():
        averaged = population(given().problem, sampler, labels, simplex.normalize(given().logits))
    laws = [population_oracles.chosen_rejected_law(m, w) for m, w in zip(shown, wins, strict=True)]
    return SimpleNamespace(sampler=sampler, labels=labels, laws=laws, population=averaged)


def by_hand(name, case, logits=None, **frozen):
    """Prompt-averaged value and gradient from the oracle."""
    logits = given().logits if logits is None else logits
    rows = zip(logits, given().worlds, case_of(case).laws, strict=True)
    pairs = [population_oracles.value_and_gradient(name, row, world, law, **NUMBERS[name], **frozen) for row, world, law in rows]
    return sum(SHARES * [value for value, _ in pairs]), SHARES[:, None] * np.array([slope for _, slope in pairs])


def value_and_gradient(objective, logits, comparisons, world=None):
    """Value and gradient by the library, on the shared problem where no other is given."""
    return both(objective, logits, comparisons, given().problem if world is None else world)
