"""Which other files hold golden vectors?  A line for each case, NumPy arrays, and a test that needs no other file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def lines(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every case with its batch and its objective's names inside, so that a line is complete."""
    for one in content["cases"]:
        yield {**one, "inputs": content["batches"][one["batch"]], "names": content["objectives"][one["objective"]]["names"]}


def save_npz(path: Path, content: dict[str, Any]) -> None:
    """Arrays under ``case id/what``; a case that must be refused has its inputs alone."""
    arrays: dict[str, Any] = {}
    for one in lines(content):
        for key, value in {**one["inputs"], **one["numbers"], **one}.items():
            number = np.asarray(value, object).ravel()
            if number.size and all(isinstance(x, int | float) or x in ("inf", "-inf") for x in number):
                arrays[f"{one['id']}/{key}".replace("/", "|")] = np.asarray(value, object).astype(float)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def pytest_file(text: str) -> str:
    """A test that holds the cases and asks a function ``loss`` of the reader's."""
    return TEST.replace("@CASES@", text.replace("\\", "\\\\"))


TEST = '''"""Golden vectors of preference losses: put your own loss where it says so.  Needs NumPy and pytest alone."""

import json

import numpy as np
import pytest

GOLDEN = json.loads("""@CASES@""")


def loss(objective, batch, numbers):
    """Yours: the losses of the pairs, or their mean."""
    pytest.skip("no loss yet")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["id"])
def test_loss(case):
    batch = {k: np.array(v, float) for k, v in GOLDEN["batches"][case["batch"]].items() if k not in ("reason", "micro_batches")}
    if "expected" in case:
        with pytest.raises(Exception):
            loss(case["objective"], batch, case["numbers"])
        return
    got = np.asarray(loss(case["objective"], batch, case["numbers"]), float)
    right = np.array(case["losses"] if got.ndim else case["mean"], object).astype(float)
    hint = case.get("not_to_be_confused_with", {})
    near = min(hint, key=lambda name: abs(hint[name] - got.mean()), default="")
    np.testing.assert_allclose(got, right, rtol=0, atol=case["tolerance"]["float64"]["loss"], err_msg=f"nearest: {near}")
'''
