"""Programs that an accelerator must run: the slope of each objective, on each sampler, of each policy."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import objective_cases
from problem_cases import BETA, N, P, given

from didsim.numerics.sequences import SequenceSpace
from didsim.objectives import OBJECTIVES, Dpo, loss
from didsim.objectives.comparisons import comparisons_for, draw_pairs
from didsim.policies.policy import POLICIES
from didsim.samplers import SAMPLERS, ChosenRejected, FromPolicy, FromReference, Uniform
from didsim.worlds.preferences import AsShown, BradleyTerry

OF_A_BATCH = ("aot", "aot_unpaired")  # these have no population loss over pairs one by one
SPACE = SequenceSpace(2, 2)
PARTS = {  # what those objectives, samplers and policies need that have no defaults
    "independent": lambda: {"first": FromPolicy(), "second": FromReference()},
    "product": lambda: {"log_first": jnp.asarray(given().first), "log_second": jnp.asarray(given().second)},
    "joint": lambda: {"log_joint": jnp.log(given().shown)},
    "blocks": lambda: {"block": jnp.asarray([0, 0, 1, 1, 1])},
    "restrict": lambda: {"base": Uniform(), "support": jnp.arange(N) < 3},
    "mix": lambda: {"first": Uniform(), "second": ChosenRejected()},
    "adpo": lambda: {"vocabulary": N, "length": 1},
    "log_linear": lambda: {"features": jnp.ones((P, N, 2))},
    "context_linear": lambda: {"contexts": jnp.ones((P, 2))},
    "started_at": lambda: {"log_start": jnp.asarray(given().first)},
}


def slope(objective, sampler, labels, logits, world):
    """Gradient of the population loss, the data's law included."""
    log_policy = jax.nn.log_softmax(logits)
    comparisons = comparisons_for(objective, world, sampler, labels, jax.lax.stop_gradient(log_policy))
    return jax.grad(lambda x: loss(objective, world, jax.nn.log_softmax(x), comparisons))(logits)


def slope_of(name: str) -> tuple[Callable, tuple]:
    """Gradient of a registered objective's loss and what it takes: logits, the problem, and a batch where there must be one."""
    objective = OBJECTIVES[name](**{**objective_cases.NUMBERS.get(name, {}), **PARTS.get(name, dict)()})
    logits, world = given().logits, given().problem
    if name not in OF_A_BATCH:
        return functools.partial(slope, objective, ChosenRejected(), AsShown()), (logits, world)

    def of_a_batch(logits, world, pairs):
        return jax.grad(lambda x: loss(objective, world, jax.nn.log_softmax(x), pairs))(logits)

    return of_a_batch, (logits, world, draw_pairs(jax.random.key(0), world, ChosenRejected(), AsShown(), world.log_ref, 4))


def slope_on(name: str) -> tuple[Callable, tuple]:
    """Gradient of DPO's loss on a registered sampler and what it takes: logits and the problem."""
    sampler = SAMPLERS[name](**PARTS.get(name, dict)())
    return functools.partial(slope, Dpo(BETA), sampler, BradleyTerry()), (given().logits, given().problem)


def slope_through(name: str) -> tuple[Callable, tuple]:
    """Gradient of a registered policy's log-probabilities and what it takes: its parameters."""
    sequences = {"prefix_table": {"space": SPACE}, "k_gram": {"space": SPACE, "k": 1}, "transformer": {"space": SPACE}}
    policy = POLICIES[name](**(sequences[name] if name in sequences else PARTS.get(name, dict)()))
    log_ref = jnp.full((1, SPACE.n), -math.log(SPACE.n)) if name in sequences else given().problem.log_ref
    return lambda params: jax.grad(lambda x: (policy.log_probs(x, log_ref) ** 2).sum())(params), (policy.init(log_ref),)
