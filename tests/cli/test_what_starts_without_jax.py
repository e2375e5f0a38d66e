"""Does what needs no JAX answer without importing it, and do the names it knows agree with the registries?"""

import json
import subprocess
import sys

import pytest
from sampling import sampled

from didsim.cli import known

PROGRAM = """
import sys, time
began = time.process_time()
from didsim.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print()
print(code, "jax" in sys.modules, time.process_time() - began)
"""
ALL = """
import json, sys
from didsim.cli import main
def ended(words):
    try:
        return main(words)
    except SystemExit as end:
        return end.code
print(json.dumps([[ended(words) for words in json.loads(sys.argv[1])], "jax" in sys.modules]))
"""
SECONDS = 1.0  # of processor time: 0.3 on a quiet machine, and importing JAX alone takes longer than this on a slow one

ANSWERED = [
    ["list"],
    ["objectives"],
    ["playground"],
    ["--help"],
    *([name, "--help"] for name in ("train", "sweep", "verify", "reproduce")),
]
REFUSED = [
    ["train", "nosuch.toml"],
    ["train", "broken.toml"],
    ["sweep", "nosuch.toml"],
    ["sweep", "broken.toml"],
    ["reproduce", "Z9"],
    ["verify", "D77"],
    ["verify", "D7", "--json", "nosuch/ledger.json"],
    ["sampler", "uniformm"],
    ["sampler", "--pairs", "nosuch.csv"],
    ["simplex", "--out", "x.bmp"],
    ["simplex", "--out", "x.png", "--objective", "dpoo"],
    ["diagnose", "nosuch.jsonl"],
    ["report", "--figures", "nosuch"],
    ["playground", "--out", "nosuch/page.html"],
    ["train", "whole.toml", "--plot", "x.bmp"],
    ["plot", "nosuch.nc", "loss"],
    ["plot", ".", "loss"],
    ["plot", "broken.toml", "loss", "--out", "x.bmp"],
    ["trian"],
]


def start(words: list[str], folder) -> tuple[int, bool, float, str]:
    """Exit code, whether JAX was imported, processor seconds, what was said on stderr."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, cwd=folder, check=True)
    exit_code, jax, seconds = done.stdout.splitlines()[-1].split()
    return int(exit_code), jax == "True", float(seconds), done.stderr


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "broken.toml").write_text("[world\n")
    (tmp_path / "whole.toml").write_text("steps = 1\n")
    return tmp_path


@pytest.mark.parametrize("words", ANSWERED, ids=" ".join)
def test_answers_at_once(words, folder):
    code, jax, seconds, said = start(words, folder)
    assert (code, jax, said) == (0, False, "")
    assert seconds < SECONDS


@pytest.mark.parametrize("words", sampled(REFUSED, 3), ids=" ".join)
def test_refuses_at_once_in_one_line(words, folder):
    code, jax, seconds, said = start(words, folder)
    assert (code, jax) == (2, False)
    assert said.startswith("error: Argument `")
    assert said.count("\n") == 1
    assert seconds < SECONDS


def test_one_process_refuses_all_and_needs_no_jax(folder):
    words = [sys.executable, "-c", ALL, json.dumps(REFUSED)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [[2] * len(REFUSED), False]
    said = done.stderr.splitlines()
    assert len(said) == len(REFUSED)
    assert all(line.startswith("error: Argument `") for line in said)


def test_a_name_that_is_known_is_not_refused(folder):
    _, jax, _, said = start(["verify", "d7.best-rejected", "--instances", "0"], folder)
    assert jax  # the control: what needs JAX imports it
    assert "instances" in said


def test_the_file_says_what_the_registries_say():
    assert known.FILE.read_text(encoding="utf-8") == known.text(), "didsim/cli/known.json is old: make known"
