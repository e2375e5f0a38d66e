"""The README does what it says: its Python runs and prints what the comments promise, its sweep file builds."""

import re
import tomllib
from pathlib import Path

import numpy as np

from didsim import configs
from didsim.experiments.catalogue import FIGURES

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def test_the_python_prints_what_it_says(capsys):
    names = {}
    for block in _blocks("python"):
        exec(block, names)
    printed = capsys.readouterr().out.strip().splitlines()
    promised = re.findall(r"print\(.*#\s*(\[.*?\]+)", README)
    assert len(printed) == len(promised) == 3
    for line, promise in zip(printed, promised, strict=True):
        one, other = (np.array(re.findall(r"[\d.]+", text), float) for text in (line, promise))
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert dict(names["data"]["loss"].sizes)["seed"] == 64


def test_the_sweep_file_builds():
    (text,) = _blocks("toml")
    table = tomllib.loads(text)
    axes = configs.axes_from(table.pop("axes"))
    assert table.pop("seeds") == 64
    assert configs.run_from(table).steps == 1000
    assert list(axes["sampler"]) == ["uniform", "reference", "on_policy"]


def test_every_figure_is_named():
    for id, entry in FIGURES.items():
        assert f"{id} {entry.slug}" in README
        assert f"didsim reproduce {id}" in README
