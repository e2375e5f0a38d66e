"""Does everything lower for CUDA and TPU?  `jax.export` says so on a machine that has neither.

A program lowers for a platform if each of its primitives does, so each objective, sampler, policy, sum over pairs and
solver is lowered once with its gradient; their products hold no primitive that none of them has.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import objective_cases
import pytest
from jax import export
from problem_cases import BETA, N, P, given, narrow

from didsim.landscape.solvers import newton
from didsim.numerics.pair_sums import kernel_sum
from didsim.numerics.sequences import SequenceSpace
from didsim.objectives import OBJECTIVES, Dpo, loss
from didsim.objectives.comparisons import comparisons_for, draw_pairs
from didsim.policies.policy import POLICIES
from didsim.samplers import SAMPLERS, ChosenRejected, FromPolicy, FromReference, Uniform
from didsim.samplers.data import Data
from didsim.worlds.preferences import AsShown, BradleyTerry

PLATFORMS = ["cuda", "tpu"]
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


def lowered(function: Callable, *arguments) -> None:
    """Nothing, if the function lowers for all platforms; what JAX says otherwise."""
    export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)


def slope(objective, sampler, labels, logits, world):
    """Gradient of the population loss, the data's law included."""
    log_policy = jax.nn.log_softmax(logits)
    comparisons = comparisons_for(objective, world, sampler, labels, jax.lax.stop_gradient(log_policy))
    return jax.grad(lambda x: loss(objective, world, jax.nn.log_softmax(x), comparisons))(logits)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name):
    objective = OBJECTIVES[name](**{**objective_cases.NUMBERS.get(name, {}), **PARTS.get(name, dict)()})
    if name in OF_A_BATCH:
        pairs = draw_pairs(jax.random.key(0), given().problem, ChosenRejected(), AsShown(), given().problem.log_ref, 4)
        lowered(jax.grad(lambda x: loss(objective, given().problem, jax.nn.log_softmax(x), pairs)), given().logits)
    else:
        lowered(functools.partial(slope, objective, ChosenRejected(), AsShown()), given().logits, given().problem)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name):
    sampler = SAMPLERS[name](**PARTS.get(name, dict)())
    lowered(functools.partial(slope, Dpo(BETA), sampler, BradleyTerry()), given().logits, given().problem)


@pytest.mark.parametrize("name", POLICIES)
def test_policies(name):
    sequences = {"prefix_table": {"space": SPACE}, "k_gram": {"space": SPACE, "k": 1}, "transformer": {"space": SPACE}}
    policy = POLICIES[name](**(sequences[name] if name in sequences else PARTS.get(name, dict)()))
    log_ref = jnp.full((1, SPACE.n), -math.log(SPACE.n)) if name in sequences else given().problem.log_ref
    lowered(lambda params: jax.grad(lambda x: policy.log_probs(x, log_ref).sum())(params), policy.init(log_ref))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("n", [5, 200])
def test_sums_over_pairs(dtype, n):
    x = jnp.linspace(-1.0, 1.0, n, dtype=dtype)
    lowered(lambda x: jax.grad(lambda u: kernel_sum("sigmoid", u, u, x).sum())(x), x)


@pytest.mark.parametrize("where", ["cpu", "gpu"])
def test_solvers(monkeypatch, where):
    monkeypatch.setattr(jax, "default_backend", lambda: where)  # matrices are taken one by one on a CPU, at once elsewhere
    data, world = Data(ChosenRejected(), AsShown()), given().problem
    lowered(lambda x: newton.newton(world, Dpo(BETA), data, x, 0, 2, 10), world.log_ref)


def test_single_precision():
    lowered(functools.partial(slope, Dpo(BETA), Uniform(), BradleyTerry()), *narrow((given().logits, given().problem)))


def test_what_runs_on_a_cpu_alone_is_seen():
    with pytest.raises(NotImplementedError, match=r"cuda|tpu"):
        lowered(jax.scipy.linalg.schur, jnp.eye(3))
