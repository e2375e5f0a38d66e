"""Which settings does a command give JAX's compiler, and do those of the user stand?"""

import gc
import os

import pytest

from didsim.cli import COMMANDS, _computed, starting
from didsim.cli.command import Command
from didsim.numerics.compilation import LIGHTLY, QUICKLY

PLAIN = "--xla_cpu_use_fusion_emitters=false"
LEVEL_1 = "--xla_backend_optimization_level=1"


class _Briefly(Command):
    runs_briefly = True


class _Fast(Command):
    fast = True


class _FastAndBriefly(_Fast, _Briefly):
    pass


@pytest.mark.parametrize(
    ("command", "options"), [(Command(), {}), (_Briefly(), LIGHTLY), (_Fast(), QUICKLY), (_FastAndBriefly(), QUICKLY)]
)
def test_what_runs_briefly_is_optimised_little(command, options, monkeypatch):
    asked = []
    monkeypatch.setattr(starting, "_tell_the_compiler", asked.append)
    monkeypatch.setattr(type(command), "run", lambda _: 0)
    assert _computed(command) == 0
    assert asked == [options]


def test_garbage_is_collected_rarely():
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # Python's own
    try:
        starting.start_jax()
        assert gc.get_threshold() == (10_000, 20, 50)
    finally:
        gc.set_threshold(*before)


def test_figures_run_briefly():
    assert [command.__name__ for command in COMMANDS if command.runs_briefly] == ["Reproduce"]


@pytest.mark.parametrize(
    ("options", "given", "wanted"),
    [
        ({}, "", [*starting.OPTIONS]),
        (LIGHTLY, "", [*starting.OPTIONS, LEVEL_1, PLAIN]),
        (QUICKLY, "--xla_mine=1", ["--xla_mine=1", *starting.OPTIONS, "--xla_backend_optimization_level=0", PLAIN]),
        (LIGHTLY, "--xla_backend_optimization_level=2", ["--xla_backend_optimization_level=2", *starting.OPTIONS, PLAIN]),
        (LIGHTLY, PLAIN.replace("false", "true"), [PLAIN.replace("false", "true"), *starting.OPTIONS, LEVEL_1]),
    ],
)
def test_the_users_own_options_stand(options, given, wanted, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", given)
    starting._tell_the_compiler(options)
    assert os.environ["XLA_FLAGS"].split() == wanted


def test_settings_that_are_the_programs_own_are_not_blamed(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", " ".join(["--xla_mine=1", *starting.OPTIONS, LEVEL_1, PLAIN]))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    told = str(starting._no_start("not there"))
    assert "JAX_PLATFORMS=cuda, XLA_FLAGS=--xla_mine=1)" in told
    assert "CACHE" not in told
