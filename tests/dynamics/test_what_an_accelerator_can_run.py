"""Does everything lower for CUDA and TPU?  `jax.export` says so on a machine that has neither.

A program lowers for a platform if each of its primitives does, so each objective, sampler, policy, sum over pairs and
solver is lowered once with its gradient; their products hold no primitive that none of them has.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from accelerator_cases import slope, slope_of, slope_on, slope_through
from jax import export
from problem_cases import BETA, given, narrow

from didsim.landscape.solvers import newton
from didsim.numerics.pair_sums import kernel_sum
from didsim.objectives import OBJECTIVES, Dpo
from didsim.policies.policy import POLICIES
from didsim.samplers import SAMPLERS, ChosenRejected, Uniform
from didsim.samplers.data import Data
from didsim.worlds.preferences import AsShown, BradleyTerry

PLATFORMS = ["cuda", "tpu"]


def lowered(function: Callable, *arguments) -> None:
    """Nothing, if the function lowers for all platforms; what JAX says otherwise."""
    export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name):
    program, arguments = slope_of(name)
    lowered(program, *arguments)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name):
    program, arguments = slope_on(name)
    lowered(program, *arguments)


@pytest.mark.parametrize("name", POLICIES)
def test_policies(name):
    program, arguments = slope_through(name)
    lowered(program, *arguments)


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
