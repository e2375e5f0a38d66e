"""The README and its pages do what they say: the Python prints what the comments promise, files build, names exist."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from online_runs import TEXT
from PIL import Image

from didsim import cli
from didsim.claims import LEDGER
from didsim.figures.catalogue import FIGURES
from didsim.sweeps import toml

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SWEEPS = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")


FIGURE_TABLE = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
DIAGNOSIS = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
WORDS = 1_800


def _blocks(language, page):
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.S)


def test_the_readme_is_short():
    assert len(README.split()) < WORDS
    assert "colab" not in README.lower()


@pytest.mark.pages
def test_the_python_prints_what_it_says(capsys):
    names, of_sweeps = {}, {}
    for block in _blocks("python", README):
        exec(block, names)
    exec(_blocks("python", SWEEPS)[0], of_sweeps)  # each page by itself
    printed = capsys.readouterr().out.strip().splitlines()
    promised = re.findall(r"print\(.*#\s*(\[.*?\]+)", README)
    assert len(printed) == len(promised) == 3
    for line, promise in zip(printed, promised, strict=True):
        one, other = (np.array(re.findall(r"[\d.]+", text), float) for text in (line, promise))
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert dict(of_sweeps["data"]["loss"].sizes)["seed"] == 16


@pytest.mark.pages
def test_the_page_of_pictures_draws_what_it_shows(tmp_path):
    spec = importlib.util.spec_from_file_location("gallery_page", ROOT / "docs" / "gallery_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    page.draw(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in page.PICTURES.iterdir()}
    assert made == set(re.findall(r"\(gallery/(\w+\.png)\)", page.PAGE.read_text(encoding="utf-8")))
    for name in made:  # letters may be set a little otherwise on another machine
        new, kept = (np.asarray(Image.open(folder / name).convert("L"), float) for folder in (tmp_path, page.PICTURES))
        assert new.shape == kept.shape
        assert np.abs(new - kept).mean() < 8.0, name


def test_the_sweep_file_is_the_tested_one():
    (text,) = _blocks("toml", SWEEPS)
    assert text.removeprefix("# sweep.toml\n").strip() == TEXT.strip()


def _names(row):
    """Names in the second column of a row of the table of parts."""
    (cell,) = re.findall(rf"^\| {re.escape(row)}.*? \| (.*) \|$", SWEEPS, flags=re.M)
    return re.findall(r"`([a-z_]+)`", cell)


def test_the_page_on_sweeps_names_every_part():
    for part in ("world", "sampler", "labels", "policy", "optimiser", "rule"):
        assert _names(f"`[{part}]`") == list(toml.PARTS[part])
    assert _names("`base`") == list(toml.INSIDE["behaviour"])


def test_every_command_is_named_and_exists():
    known = {kind.__name__.lower() for kind in cli.COMMANDS}
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    assert set(re.findall(r"(?:`|bin/)didsim ([a-z]+)", pages)) == known


def test_the_number_of_claims_is_that_of_the_ledger():
    (count,) = re.findall(r"executable claim, (\d+) of them", README)
    assert int(count) == len(LEDGER)


def test_every_figure_is_named():
    for id, entry in FIGURES.items():
        link = rf"\[{id} {re.escape(entry.slug)}\]\(\.\./figures/{entry.stem}\.png\)"
        row = rf"^\| {link} .*\| {entry.setting} \| `didsim reproduce {id}` \|"
        assert re.search(row, FIGURE_TABLE, flags=re.M), id


def shortened(source):
    """A source as a table has it, where "paper A" says enough and numbers are arXiv's."""
    return re.sub(r"\(?arXiv ([\d.]+)\)?", r"\1", re.sub(r"(paper [AB]) \(arXiv [\d.]+\)", r"\1", source))


def test_the_table_of_figures_names_the_same_sources_and_statements():
    for id, entry in FIGURES.items():
        row = rf"^\| \[{id} .* \| {re.escape(entry.theory)} \| {re.escape(shortened(entry.source))} \| {entry.setting} \|"
        assert re.search(row, FIGURE_TABLE, flags=re.M), (id, shortened(entry.source))


def test_both_pages_say_the_same_time_for_a_figure():
    times = dict(re.findall(r"`didsim reproduce (\w+)` \| ([^|]+) \|$", FIGURE_TABLE, flags=re.M))
    said = re.findall(r"`didsim reproduce (\w+)`(?: \([^|]*)? \| ([^|]+) \|$", README, flags=re.M)
    assert len(said) >= 5
    assert {(id, times[id]) for id, _ in said} == set(said)


def test_every_notebook_is_named():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"(notebooks/{path.name})" in README


@pytest.mark.pages
def test_the_diagnosis_reads_as_printed(tmp_path, monkeypatch, capsys):
    words = re.findall(r"bin/didsim (diagnose .*)", DIAGNOSIS)[0]
    monkeypatch.chdir(ROOT)
    assert cli.main([*words.split(), "--json", str(tmp_path / "found.json")]) == 1
    found = json.loads((tmp_path / "found.json").read_text())
    fall = found["findings"]["displacement"]["numbers"]
    change, start = fall["chosen change (nats)"], fall["chosen falls from step"]
    line = found["findings"]["collinear"]["numbers"]["share of the increments' squares on one line"]
    prose = " ".join(DIAGNOSIS.split())
    assert f"It says *{found['state']}*: chosen responses have lost {-change['value']:.3f} nats" in prose
    assert f"(95 % interval {-change['high']:.3f} to {-change['low']:.3f}), surely from step {start:.0f} on" in prose
    assert f"{100 * line:.0f} % of what the log-margins did lies on one line" in prose
    assert found["findings"]["entropy"]["numbers"]["trusted"] is False
    assert "entropy estimate is not to be trusted" in prose
    assert found["signatures"]
    assert "A table of known faults follows" in prose
