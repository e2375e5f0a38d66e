"""One small problem and the data on it that the tests of exact minimisers share, worked out on first use."""

import functools
from types import SimpleNamespace

import jax.numpy as jnp
import loss_oracles as oracle
import numpy as np
import oracles
import population_oracles

from didsim.landscape.solvers import Solution, Status, solve
from didsim.objectives import OBJECTIVES
from didsim.samplers import Joint
from didsim.worlds import problem
from didsim.worlds.preferences import PreferenceMatrix

P, N = 3, 8
STARTS = 4
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


@functools.cache
def given() -> SimpleNamespace:
    """The problem and its parts; any data is a dense pair law and a preference matrix, so that one compiled solver serves all."""
    rng = np.random.default_rng(3)
    ref, chosen, rejected = oracles.normalize(rng.standard_normal((3, P, N)))
    reward, lengths = rng.standard_normal((P, N)), rng.integers(1, 4, (P, N)).astype(float)
    law = {"log_chosen": chosen, "log_rejected": rejected, "log_prompts": np.log([0.5, 0.3, 0.2])}
    soft = oracles.bradley_terry(reward)
    shown = rng.dirichlet(np.ones(N * N), P).reshape(P, N, N)
    # Between soft and hard: the last response loses for sure, the others as they may.
    beaten = soft.copy()
    beaten[:, -1, :-1], beaten[:, :-1, -1] = 0.0, 1.0
    return SimpleNamespace(
        ref=ref,
        chosen=chosen,
        rejected=rejected,
        log_ratio=chosen - rejected,
        reward=reward,
        lengths=lengths,
        law=law,
        problem=problem(ref, reward=reward, beta=0.7, lengths=lengths, **law),
        worlds=[oracle.World(*rows) for rows in zip(ref, reward, lengths, strict=True)],
        soft=soft,
        hard=(soft > 0.5) + 0.5 * np.eye(N),
        beaten=beaten,
        shown=shown,
        flat=np.full((P, N, N), 1 / N**2),
    )


def make(name: str):
    """The objective of a name, with its numbers."""
    return OBJECTIVES[name](**NUMBERS[name])


def run(objective, shown=None, wins=None, world=None, **settings) -> Solution:
    """The minimiser for a pair law and a preference matrix; the problem's own where none is given."""
    sampler = Joint(jnp.asarray(oracles.log(given().shown if shown is None else shown)))
    labels = PreferenceMatrix(jnp.asarray(given().soft if wins is None else wins))
    return solve(given().problem if world is None else world, objective, sampler, labels, **settings)


@functools.cache
def soft(name: str) -> Solution:
    """The minimiser of an objective with soft labels, from several starts where it is not convex."""
    return run(make(name), starts=None if make(name).convex else STARTS)


def laws(shown=None, wins=None) -> list[np.ndarray]:
    """Laws of (chosen, rejected), prompt by prompt."""
    shown, wins = given().shown if shown is None else shown, given().soft if wins is None else wins
    return [population_oracles.chosen_rejected_law(m, w) for m, w in zip(shown, wins, strict=True)]


def statuses(solution: Solution) -> set[str]:
    """Names of the statuses of all prompts."""
    return {Status(int(s)).name for s in solution.status}
