"""Which settings does a command give JAX's compiler, and do those of the user stand?"""

import os

import pytest

from didsim.cli import COMMANDS, _computed, starting
from didsim.cli.command import Command

PLAIN = "--xla_cpu_use_fusion_emitters=false"


class _Briefly(Command):
    runs_briefly = True


class _Fast(Command):
    fast = True


@pytest.mark.parametrize(("command", "level"), [(Command(), None), (_Briefly(), 1), (_Fast(), 0)])
def test_what_runs_briefly_is_optimised_little(command, level, monkeypatch):
    asked = []
    monkeypatch.setattr(starting, "start_jax", lambda **settings: asked.append(settings))
    monkeypatch.setattr(type(command), "run", lambda _: 0)
    assert _computed(command) == 0
    assert asked == [{"level": level, "single": False}]


def test_figures_run_briefly():
    assert [command.__name__ for command in COMMANDS if command.runs_briefly] == ["Reproduce"]


@pytest.mark.parametrize(
    ("level", "given", "wanted"),
    [
        (None, "", [*starting.OPTIONS]),
        (1, "", [*starting.OPTIONS, "--xla_backend_optimization_level=1", PLAIN]),
        (0, "--xla_mine=1", ["--xla_mine=1", *starting.OPTIONS, "--xla_backend_optimization_level=0", PLAIN]),
        (1, "--xla_backend_optimization_level=2", ["--xla_backend_optimization_level=2", *starting.OPTIONS, PLAIN]),
        (1, "--xla_cpu_use_fusion_emitters=true", [PLAIN.replace("false", "true"), *starting.OPTIONS, starting.LEVEL + "1"]),
    ],
)
def test_the_users_own_options_stand(level, given, wanted, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", given)
    starting._tell_the_compiler(level)
    assert os.environ["XLA_FLAGS"].split() == wanted


def test_settings_that_are_the_programs_own_are_not_blamed(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", " ".join(["--xla_mine=1", *starting.OPTIONS, starting.LEVEL + "1", starting.PLAIN_LOOPS]))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    told = str(starting._no_start("not there"))
    assert "JAX_PLATFORMS=cuda, XLA_FLAGS=--xla_mine=1)" in told
    assert "CACHE" not in told
