"""Is what ran before not traced again, with the same bits, and is whatever decides a trace seen?"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from didsim import objectives, worlds
from didsim.dynamics import Run
from didsim.numerics import simplex, traces
from didsim.numerics.compilation import ENDING, TRACES
from didsim.numerics.pytrees import pytree
from didsim.objectives import links

PACKAGE = Path(traces.__file__).parents[1]
PROGRAM = """
import sys
from didsim.numerics.compilation import use_compilation_cache
use_compilation_cache(sys.argv[1], traces=True)
import jax
jax.config.update("jax_enable_x64", True)
import didsim
from didsim.numerics import traces
traced = []
export = traces.Jitted._exported
traces.Jitted._exported = lambda self, *given: traced.append(self.__name__) or export(self, *given)
world, objective = didsim.worlds.RandomTarget(n=4), didsim.objectives.Dpo(0.5)
asked = {
    "run": lambda: didsim.train(world.draw(jax.random.key(0)), objective, steps=20, records=3).metrics["jsd_target"],
    "sweep": lambda: didsim.sweep(didsim.Run(world, objective, steps=20, records=3), seeds=2)["jsd_target"].values,
}
print(*(asked[one]().tobytes().hex() for one in sys.argv[2:]))
print(*traced)
"""


COMPILED = {"run": "execute", "sweep": "_runs"}  # what each of these compiles


def answers(folder: Path, *asked: str, package: Path = PACKAGE, **environment: str) -> tuple[list[str], list[str]]:
    """Bits of what is asked in a process of its own, and what it traced in order to keep it."""
    inherited = {name: value for name, value in os.environ.items() if name != TRACES and not name.startswith("JAX_")}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *asked],
        cwd=package.parent,  # which Python looks into first
        env=inherited | environment,
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stderr) == (0, "")
    bits, traced = told.stdout.split("\n")[:2]
    return bits.split(), traced.split()


# `make test` asks for a run only: each process takes seconds to start, and a sweep's function is kept in the same way.
@pytest.mark.parametrize("asked", [("run",), pytest.param(("run", "sweep"), marks=pytest.mark.slow)])
def test_a_second_process_traces_nothing_and_another_source_is_seen(tmp_path, asked):
    cache, other = tmp_path / "cache", tmp_path / "didsim"
    first, traced = answers(cache, *asked)
    assert traced == [COMPILED[one] for one in asked]
    assert answers(cache, *asked) == (first, [])
    # One line more in the source, far from what is asked, and all is traced anew.
    shutil.copytree(PACKAGE, other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "numerics" / "simplex.py").open("a") as source:
        source.write("\n_jsd = jsd\n\n\ndef jsd(one, other):\n    return 2.0 * _jsd(one, other)\n")
    changed, traced = answers(cache, *asked, package=other)
    assert traced == [COMPILED[one] for one in asked]
    for bits, doubled in zip(first, changed, strict=True):
        np.testing.assert_array_equal(2.0 * np.frombuffer(bytes.fromhex(bits)), np.frombuffer(bytes.fromhex(doubled)))


@pytest.mark.slow
def test_traced_as_usual_or_from_what_is_damaged_the_bits_are_the_same(tmp_path):
    cache = tmp_path / "cache"
    first, traced = answers(cache, *COMPILED)
    assert answers(tmp_path / "none", *COMPILED, DIDSIM_TRACES="0") == (first, [])
    assert not list(tmp_path.glob(f"none/*/traced*{ENDING}"))
    for path in cache.glob(f"*/traced*{ENDING}"):
        path.write_bytes(path.read_bytes()[:-1])
    assert answers(cache, *COMPILED) == (first, traced)


def of_the_package(function):
    function.__module__ = "didsim.objectives"
    return function


def scaled(by):
    return of_the_package(lambda x: by * x)


def test_a_name_is_of_all_that_decides_a_trace():
    run = Run(worlds.RandomTarget(n=4), objectives.Dpo(0.5))
    parts = {
        "a run": run,
        "another number of steps": Run(run.world, run.objective, steps=7),
        "another objective with the same fields": Run(run.world, objectives.IpoSum(0.5)),
    }
    asked = [jax.tree.structure(part) for part in parts.values()]
    asked += [scaled(2.0), scaled(3.0), scaled(jnp.zeros(2)), scaled(jnp.ones(2)), scaled(scaled(2.0))]
    asked += [of_the_package(lambda x: x + 2.0), functools.partial(scaled(2.0)), jax.vmap(scaled(2.0)), jax.vmap(scaled(3.0))]
    asked += [simplex.normalize, simplex.kl, scaled(simplex.kl), links.logistic]  # compiled by `jax.jit` themselves
    names = [traces._name((one,)) for one in asked]
    assert None not in names
    assert len(set(names)) == len(names)
    # By value: made anew, the same thing has the same name.
    assert traces._name((scaled(jnp.ones(2)),)) == traces._name((scaled(jnp.ones(2)),))
    assert traces._name((jax.tree.structure(Run(worlds.RandomTarget(n=4), objectives.Dpo(0.7))),)) == names[0]


def test_kinds_and_settings_decide_too():
    kinds = [traces._kinds([one]) for one in (1.0, np.float64(1.0), jnp.ones(2), jnp.ones(2, jnp.float32), jnp.ones(3))]
    assert len(set(kinds)) == len(kinds)
    usual = traces._settings()
    with jax.enable_x64(False):
        assert traces._settings() != usual
    with jax.numpy_dtype_promotion("strict"):
        assert traces._settings() != usual
    assert traces._settings() == usual


@pytree
class Own(objectives.Objective):
    """A user's own objective."""

    name = "own"


def test_what_is_not_of_the_package_has_no_name():
    own = Run(worlds.RandomTarget(n=4), Own())
    for one in (jax.tree.structure(own), lambda x: x, scaled(lambda x: x), jax.vmap(lambda x: x), jax.jit(lambda x: x)):
        assert traces._name((one,)) is None


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setenv(TRACES, str(tmp_path))
    monkeypatch.setattr(traces, "_code", lambda: "some source")
    return lambda: sorted(path.name for path in tmp_path.iterdir())


def test_functions_are_kept_as_they_are_called(stored):
    @of_the_package
    def power(x, to):
        return {"power": x["base"] ** to}

    base = {"base": jnp.arange(3.0)}
    for kept in [traces.jit(power, static_argnames="to") for _ in range(2)]:
        assert kept(base, 2)["power"].tolist() == [0.0, 1.0, 4.0]
        assert kept(base, to=3)["power"].tolist() == [0.0, 1.0, 8.0]
        assert kept.eval_shape(base, 2)["power"].shape == (3,)
        assert len(stored()) == 2
        assert jax.vmap(lambda x, kept=kept: kept({"base": x}, 2)["power"])(jnp.arange(2.0)).tolist() == [0.0, 1.0]


def test_what_cannot_be_exported_is_compiled_as_usual(stored):
    @traces.jit
    @of_the_package
    def noisy(x):
        jax.debug.callback(of_the_package(lambda: None))
        return x + 1.0

    @traces.jit
    @of_the_package
    def refused(x):
        raise ValueError("no")

    assert noisy(jnp.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="no"):
        refused(jnp.ones(2))
    assert stored() == []


def test_a_value_is_kept_by_what_it_is_asked_for(stored):
    asked = []

    def size(x):
        asked.append(x.shape)
        return x.size

    # A list in a function's cell is part of its name, so it is looked up from outside.
    size = traces.kept_value(of_the_package(size))
    assert [size(jnp.ones(2)), size(jnp.ones(2)), size(jnp.ones(3))] == [2, 2, 3]
    assert asked == [(2,), (3,)]
    assert len(stored()) == 2
