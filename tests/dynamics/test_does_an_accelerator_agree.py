"""Does an accelerator compute what the processor does, the same each time, and does a sweep go on there bit for bit?

`make gpu` runs this where JAX has a GPU or TPU.  DIDSIM_ACCELERATOR="cpu:1" with JAX_NUM_CPU_DEVICES=2 takes a second
processor device for one, which tries the tests themselves.
"""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from accelerator_cases import slope_of, slope_on, slope_through
from problem_cases import BETA, given
from tolerance import tolerance

from didsim.dynamics import Adam, Run
from didsim.dynamics.run import execute, run_key
from didsim.landscape.solvers import Status, solve
from didsim.numerics.pair_sums import kernel_sum
from didsim.objectives import OBJECTIVES, Dpo
from didsim.policies.policy import POLICIES
from didsim.samplers import SAMPLERS, ChosenRejected, OnPolicy
from didsim.sweeps import open_sweep, sweep
from didsim.worlds import RandomTarget
from didsim.worlds.preferences import AsShown

pytestmark = pytest.mark.accelerator
# Slopes are of order one, made of a few dozen operations, each within some units of rounding on either device.
CONDITION = 64.0
RUN = Run(RandomTarget(n=6), Dpo(0.5), OnPolicy(), optimiser=Adam(0.05), pairs=8, steps=40, records=5)
SWEEP = {"run": RUN, "axes": {"objective.beta": [0.3, 0.6]}, "seeds": 12, "width": 4}
CONFIG = """
steps = 40
seeds = 12
[world]
name = "random_target"
n = 6
[objective]
name = "dpo"
beta = 0.5
"""


@pytest.fixture(scope="module")
def accelerator():
    """The device under test."""
    asked = os.environ.get("DIDSIM_ACCELERATOR")
    if asked:
        platform, _, place = asked.partition(":")
        return jax.devices(platform)[int(place or 0)]
    if jax.default_backend() == "cpu":
        pytest.skip("JAX has no accelerator here")
    return jax.devices()[0]


@pytest.fixture(params=["float32", "float64"])
def kind(request):
    return jnp.dtype(request.param)


def on(device, program, arguments):
    """The program's leaves as it is computed there, in NumPy."""
    with jax.default_device(device):
        found = jax.jit(program)(*jax.device_put(arguments, device))
    assert all(leaf.devices() == {device} for leaf in jax.tree.leaves(found))
    return jax.tree.map(np.asarray, jax.tree.leaves(found))


def in_kind(kind, tree):
    """A tree's numbers in that precision."""

    def narrowed(leaf):
        return jnp.asarray(leaf, kind) if jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) else leaf

    return jax.tree.map(narrowed, tree)


def farthest(program, arguments, accelerator):
    """Largest difference from the processor, relative to the largest number or one."""
    apart = 0.0
    for here, there in zip(on(jax.devices("cpu")[0], program, arguments), on(accelerator, program, arguments), strict=True):
        assert np.array_equal(np.isfinite(here), np.isfinite(there))
        known = np.isfinite(here)
        scale = max(1.0, float(np.max(np.abs(here[known]), initial=0.0)))
        apart = max(apart, float(np.max(np.abs(here[known] - there[known]), initial=0.0)) / scale)
    return apart


@pytest.mark.parametrize("name", OBJECTIVES)
def test_slopes_of_objectives(name, kind, accelerator):
    program, arguments = slope_of(name)
    assert farthest(program, in_kind(kind, arguments), accelerator) < tolerance(kind, condition=CONDITION)


@pytest.mark.parametrize("name", SAMPLERS)
def test_slopes_on_samplers(name, kind, accelerator):
    program, arguments = slope_on(name)
    assert farthest(program, in_kind(kind, arguments), accelerator) < tolerance(kind, condition=CONDITION)


@pytest.mark.parametrize("name", POLICIES)
def test_slopes_through_policies(name, kind, accelerator):
    program, arguments = slope_through(name)
    assert farthest(program, in_kind(kind, arguments), accelerator) < tolerance(kind, condition=CONDITION)


@pytest.mark.parametrize("n", [5, 200, 5000, 100_000])
@pytest.mark.parametrize("kernel", ["sigmoid", "log_sigmoid", "hinge"])
def test_sums_over_pairs(kernel, n, kind, accelerator):
    x = jnp.asarray(np.random.default_rng(n).standard_normal(n), kind)

    def slope(x):
        return jax.grad(lambda u: kernel_sum(kernel, u, u, jnp.full_like(x, 1 / n)).sum() / n)(x)

    assert farthest(slope, (x,), accelerator) < tolerance(kind, condition=CONDITION)


def test_a_difference_is_seen(kind, accelerator):
    here = jax.devices("cpu")[0]

    def program(x):  # a device that is wrong by one in a thousand
        return jnp.exp(x) * (1 + (1e-3 if jax.config.jax_default_device != here else 0.0))

    assert farthest(program, (jnp.ones(4, kind),), accelerator) > tolerance(kind, condition=CONDITION)


def test_minima(accelerator):
    found = []
    for device in (jax.devices("cpu")[0], accelerator):
        with jax.default_device(device):
            found.append(solve(jax.device_put(given().problem, device), Dpo(BETA), ChosenRejected(), AsShown()))
    assert all(bool((one.status == Status.CONVERGED).all()) for one in found)
    # Solvers end at gradients of 1e-10; curvatures here are 1e-2 and more.
    assert np.max(np.abs(np.asarray(found[0].log_policy) - np.asarray(found[1].log_policy))) < 1e-8


def test_a_run_is_the_same_each_time(kind, accelerator):
    with jax.default_device(accelerator), jax.enable_x64(kind == jnp.float64):
        one, two, other = (jax.device_get(jax.jit(execute)(RUN, run_key(seed))).log_policy for seed in (0, 0, 1))
    assert one.dtype == kind
    assert one.tobytes() == two.tobytes() != other.tobytes()


def same(one, other):
    return all(one[name].values.tobytes() == other[name].values.tobytes() for name in (*one.data_vars, *other.data_vars))


def test_a_stopped_sweep_goes_on_bit_for_bit(tmp_path, accelerator):
    def stop(done, all_of_them):
        if done:
            raise KeyboardInterrupt

    with jax.default_device(accelerator):
        whole = sweep(**SWEEP)
        with pytest.raises(KeyboardInterrupt):
            sweep(**SWEEP, out=tmp_path / "store", progress=stop)
        assert same(sweep(**SWEEP, out=tmp_path / "store"), whole)


def test_two_workers_share_the_device(tmp_path, accelerator):
    (tmp_path / "s.toml").write_text(CONFIG)
    words = [sys.executable, "-m", "didsim", "sweep", "s.toml", "--width", "3", "--out"]
    for name, more in (("one", []), ("two", ["--workers", "2"])):
        subprocess.run([*words, name, *more], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert same(open_sweep(tmp_path / "one"), open_sweep(tmp_path / "two"))
