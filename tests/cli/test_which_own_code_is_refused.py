"""Is code of the user's own that cannot be judged refused in one line, and never taken for right?"""

import sys

import pytest

from didsim import cli

OWN = """
import numpy as np

def right(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    return np.logaddexp(0.0, -beta * (policy_chosen - ref_chosen - policy_rejected + ref_rejected))

def averaged(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    return right(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta).mean()

def wanting(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    if len(policy_chosen) == 1:
        raise ValueError("more than one pair, please")
    return right(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)

def raises(policy_chosen, beta):
    raise ValueError("a fault\\nof my own")

def leaves(policy_chosen, beta):
    raise SystemExit(0)

def named(policy_chosen, beta):
    return {"loss": 0.0}

async def late(policy_chosen, beta):
    return 0.0

def yes(policy_chosen, beta):
    return True

def imaginary(policy_chosen, beta):
    return np.zeros(len(policy_chosen), complex)

def three(policy_chosen, beta):
    return np.zeros(3)

def tiled(**given):
    return np.tile(right(**{k: given[k] for k in ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected", "beta")}), 3)

def by_place(policy_chosen, /, beta):
    return 0.0

class Kind:
    def __init__(self, policy_chosen, beta):
        pass
"""


@pytest.fixture(autouse=True)
def own_code(tmp_path, monkeypatch):
    (tmp_path / "own_code.py").write_text(OWN)
    (tmp_path / "own_script.py").write_text("import sys\n\ndef loss(beta):\n    return 0.0\n\nsys.exit(0)\n")
    (tmp_path / "own_fault.py").write_text("raise ValueError('two\\nlines')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield
    for name in ("own_code", "own_script", "own_fault"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("raises", "ValueError: a fault."),
        ("leaves", "SystemExit, which belongs under `if __name__ == '__main__':`."),
        ("named", "TypeError: it returns dict, no real numbers."),
        ("yes", "TypeError: it returns bool, no real numbers."),
        ("imaginary", "TypeError: it returns ndarray, no real numbers."),
        ("three", "it returns an array of shape (3,)."),
        ("tiled", "it returns an array of shape (12,)."),
        ("by_place", "passed as keyword arguments: 'policy_chosen'."),
        ("Kind", "TypeError: it returns Kind, no real numbers."),
    ],
)
def test_what_gives_no_losses_is_refused(capsys, function, told):
    assert cli.main(["golden", "--check", f"own_code:{function}", "--objective", "dpo"]) == 2
    printed = capsys.readouterr().err
    assert "`--check` must name a function that returns losses of pairs, or their mean, but on dpo/" in printed
    assert printed.endswith(f"{told}\n")
    assert printed.count("\n") == 1


def test_a_function_that_has_to_be_awaited_is_refused(capsys):
    assert cli.main(["golden", "--check", "own_code:late"]) == 2
    assert capsys.readouterr().err.endswith("but late has to be awaited.\n")


@pytest.mark.parametrize("words", [["--objective", "dpo"], pytest.param([], marks=pytest.mark.slow)])
def test_a_case_that_it_refuses_is_one_that_does_not_agree(capsys, words):
    assert cli.main(["golden", "--check", "own_code:wanting", *words]) == 1
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:2] == ["dpo", "9/10"]
    assert row[-1] == "one"  # the case
    for agreeing in ("right", "averaged"):
        assert cli.main(["golden", "--check", f"own_code:{agreeing}", "--objective", "dpo"]) == 0


@pytest.mark.parametrize("words", [["golden", "--check", "{}:loss"], ["atlas", "--objective", "dpo", "--module", "{}"]])
@pytest.mark.parametrize(
    ("module", "told"), [("own_script", "SystemExit, which belongs under"), ("own_fault", "ValueError: two.\n")]
)
def test_a_module_that_ends_python_or_fails_is_refused(capsys, words, module, told):
    assert cli.main([word.format(module) for word in words]) == 2
    printed = capsys.readouterr().err
    assert told in printed
    assert printed.count("\n") == 1
