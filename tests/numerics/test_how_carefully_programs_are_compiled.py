"""Is a program that runs briefly compiled quickly, a long one carefully, and do both give the same numbers?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import didsim
from didsim import objectives, samplers, simplex, worlds
from didsim.dynamics import Run
from didsim.dynamics import run as running
from didsim.landscape.solvers import entry, newton
from didsim.numerics.compilation import QUICKLY, SHORT, lightly, quickly
from didsim.samplers.data import Data
from didsim.sweeps import blocks
from didsim.worlds.preferences import BradleyTerry

WAYS = {  # the options, written out: the tests' own XLA_FLAGS would decide otherwise
    "quickly": QUICKLY,
    "lightly": {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False},
    "carefully": {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True},
}


class Asked(Exception):
    """Which of the programs was asked for."""


def _asks(monkeypatch, room, *names):
    """Each of the programs says its name instead of running; it can still be traced."""
    for name in names:

        def ask(*_, name=name, **__):
            raise Asked(name)

        real = getattr(room, name)
        ask.trace, ask.eval_shape = real.trace, real.eval_shape
        monkeypatch.setattr(room, name, ask)


def _world(n):
    return didsim.problem(simplex.normalize(jnp.linspace(0.0, 1.0, n)), reward=jnp.cos(jnp.arange(n)), beta=0.5)


def test_options_of_the_environment_stand(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    assert lightly() == {"xla_cpu_use_fusion_emitters": False}
    monkeypatch.setenv("XLA_FLAGS", "")
    assert lightly() == WAYS["lightly"]


@pytest.mark.parametrize(
    ("n", "pairs", "program"),
    [
        (SHORT, None, "_short_block"),
        (SHORT + 1, None, "_block"),
        pytest.param(4, 8, "_block", marks=pytest.mark.slow),  # blocks ask as single runs do
    ],
)
def test_blocks_of_short_rows_are_compiled_lightly(n, pairs, program, monkeypatch):
    sampler, labels = (samplers.Uniform(), BradleyTerry()) if pairs else (None, None)
    data = Data.given(sampler, labels)
    run = Run(worlds.RandomTarget(n=n), objectives.Dpo(beta=0.5), data.sampler, data.labels, steps=2, records=2, pairs=pairs)
    _asks(monkeypatch, blocks, "_block", "_short_block")
    with pytest.raises(Asked, match=f"^{program}$"):
        didsim.sweep(run)


@pytest.mark.parametrize(
    ("n", "pairs", "program"), [(SHORT, None, "_execute_short"), (SHORT + 1, None, "_execute"), (4, 8, "_execute")]
)
def test_single_runs_of_short_rows_are_compiled_lightly(n, pairs, program, monkeypatch):
    _asks(monkeypatch, running, "_execute", "_execute_short")
    data = (samplers.Uniform(), BradleyTerry()) if pairs else ()
    with pytest.raises(Asked, match=f"^{program}$"):
        didsim.train(_world(n), objectives.Dpo(beta=0.5), *data, steps=2, records=2, pairs=pairs)


@pytest.mark.parametrize(("n", "program"), [(12, "newton_quickly"), (400, "newton")])
def test_small_minima_are_compiled_quickly(n, program, monkeypatch):
    _asks(monkeypatch, entry, "newton", "newton_quickly")
    with pytest.raises(Asked, match=f"^{program}$"):
        didsim.solve(_world(n), objectives.Dpo(beta=0.5))


def test_accelerators_get_no_options_of_the_processor(monkeypatch):
    assert quickly() == QUICKLY
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert quickly() is None
    _asks(monkeypatch, entry, "newton", "newton_quickly")
    _asks(monkeypatch, running, "_execute", "_execute_short")
    with pytest.raises(Asked, match=r"^newton$"):
        didsim.solve(_world(12), objectives.Dpo(beta=0.5))
    with pytest.raises(Asked, match=r"^_execute$"):
        didsim.train(_world(12), objectives.Dpo(beta=0.5), steps=2, records=2)


def test_a_minimum_and_a_run_can_be_part_of_a_larger_program():
    world, loss = _world(3), objectives.Dpo(beta=0.5)
    minimum = jax.jit(lambda log_ref: didsim.solve(world, loss, start=log_ref).log_policy)(world.log_ref)
    np.testing.assert_allclose(minimum, didsim.solve(world, loss).log_policy, atol=1e-12)

    def end(world):
        return didsim.train(world, loss, steps=20, records=2).log_policy

    np.testing.assert_allclose(jax.jit(end)(world), end(world), atol=1e-12)


@pytest.mark.slow
def test_ways_of_compiling_agree():
    world, data = _world(12), Data.given(None, None)
    loss = objectives.Dpo(beta=0.5)
    run = Run(worlds.RandomTarget(n=12), loss, data.sampler, data.labels, steps=50, records=3)

    def ends(options, seed):
        solved = jax.jit(newton.newton, static_argnames=("count", "steps"), compiler_options=options)
        ran = jax.jit(running.execute, compiler_options=options)
        minimum = solved(world, loss, data, world.log_ref, jnp.uint32(0), 1, 60)
        return np.concatenate([minimum.log_policy[0], ran(run, running.run_key(seed)).log_policy[0]])

    found = {name: ends(options, 0) for name, options in WAYS.items()}
    for one in found.values():
        np.testing.assert_allclose(one, found["carefully"], rtol=1e-12)
    assert np.abs(ends(QUICKLY, 1) - found["carefully"]).max() > 1e-3  # control: another world
