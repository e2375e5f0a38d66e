"""The page of all results: what it holds, and that whatever is missing or damaged is told rather than hidden."""

import base64
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from didsim import cli
from didsim.claims.counterexamples import Counterexample
from didsim.cli.report import gather
from didsim.cli.report.benchmarks import benchmarks
from didsim.cli.report.data import BUDGET, affordable, plotted
from didsim.cli.report.environment import facts
from didsim.cli.report.figures import ENDINGS
from didsim.cli.report.files import CLAIMS, ORIGIN, Damaged, ExampleRow, Origin, read
from didsim.cli.report.ledger import tabulated
from didsim.cli.report.page import render
from didsim.cli.report.picture import HEAVIEST, picture

FIGURES = Path(__file__).parent.parent.parent / "figures"
PLAIN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">{}</svg>'
CLAIM = {
    "id": "D7.best",
    "source": "paper A",
    "statement": "One law does it.",
    "formula": "a < b",
    "instances": 100,
    "worst": 1e-16,
    "bound": 1e-14,
    "ok": True,
    "controls": [],
}


class Page(HTMLParser):
    """Tags, names and links of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.names, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        for key, value in attrs:
            if key == "id":
                self.names.append(value)
            elif key == "href" and (value or "").startswith("#"):
                self.links.append(value[1:])


def copied(folder, *stems):
    """A results folder with some of the committed figures."""
    rows = json.loads((FIGURES / "summary.json").read_text())
    for stem in stems:
        for end in ENDINGS:
            shutil.copy(FIGURES / f"{stem}{end}", folder)
        (row,) = [row for row in rows if row["id"] == stem[:2]]
        manifest = json.loads((folder / f"{stem}.manifest.json").read_text())
        rows[rows.index(row)] = row | {"verdicts": manifest["verdicts"]}
    kept = [row for row in rows if row["id"] in [stem[:2] for stem in stems]]
    (folder / "summary.json").write_text(json.dumps(kept))
    return folder


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "figures"
    made.mkdir()
    return copied(made, "A4-best-rejected", "C2-finite-sample-design")


def written(folder, *words):
    """The page of a folder, and the exit code."""
    out = folder.parent / "report.html"
    code = cli.main(["report", "--figures", str(folder), "--out", str(out), "--overwrite", *words])
    return code, out.read_text(encoding="utf-8")


def test_the_committed_results_are_whole_and_on_the_page():
    contents = gather(FIGURES)
    assert contents.all_troubles == ()
    assert contents.failures == ()
    assert contents.ledger is not None
    assert contents.bench is not None
    text = render(contents)
    assert len(text.encode()) < 25e6
    page = Page(text)
    assert len(page.names) == len(set(page.names))
    assert set(page.links) <= {*page.names, "main"}
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == len(contents.drawn.figures) + 1
    assert all(attrs["alt"] and attrs["src"].startswith("data:image/") for attrs in images)
    assert "svg" not in {tag for tag, _ in page.tags}
    for figure in contents.drawn.figures:
        assert figure.entry.id in page.names
        assert figure.data is not None
        assert f'download="{figure.data.file}"' in text
    assert all(f"claim-{claim.id}" in page.names for claim in contents.ledger.claims)
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:|https://arxiv)", text)
    assert str(FIGURES.parent) not in text


def test_it_imports_no_jax(folder):
    words = ["report", "--figures", str(folder), "--out", str(folder / "out.html")]
    code = f"import sys, didsim.cli as c\nprint(c.main({words!r}), 'jax' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.stdout.splitlines()[-1] == "0 False"
    assert "2 figures" in answer.stdout


def test_what_was_not_run_is_said(folder):
    code, text = written(folder)
    assert code == 0
    assert "The claims were not judged for this page" in text
    assert "The speed was not measured for this page" in text
    assert "Not drawn: A1, A2, A3, A5" in text


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("summary.json", None, "summary.json is missing."),
        ("summary.json", b"[{", "summary.json is damaged: not JSON"),
        ("summary.json", b'{"id": 1}', "summary.json is damaged: the whole: input should be a valid list"),
        ("A4-best-rejected.svg", None, "A4-best-rejected.svg is missing."),
        ("A4-best-rejected.svg", b"<svg", "A4-best-rejected.svg is damaged: not XML"),
        ("A4-best-rejected.svg", b"<html/>", "A4-best-rejected.svg is damaged: not an SVG."),
        ("A4-best-rejected.nc", None, "A4-best-rejected.nc is missing."),
        ("A4-best-rejected.nc", b"CDF\x01", "A4-best-rejected.nc is damaged: not a whole netCDF file"),
        ("A4-best-rejected.toml", b"n = ", "A4-best-rejected.toml is damaged: not TOML"),
        ("A4-best-rejected.toml", b"n = 7\n", "is not the config that the manifest beside it was written for."),
        ("A4-best-rejected.toml", b"\xff\xfe", "A4-best-rejected.toml cannot be read: not text."),
        ("A4-best-rejected.manifest.json", None, "A4-best-rejected.manifest.json is missing."),
        ("A4-best-rejected.manifest.json", b"{}", "A4-best-rejected.manifest.json is damaged: didsim: field required."),
        ("bench.json", b"[]", "bench.manifest.json is missing."),
        ("bench.json", b"[3]", "bench.json is damaged: 0"),
        ("ledger.json", b"null", "ledger.json is damaged: the whole"),
    ],
)
def test_damage_is_told_on_the_page_and_in_one_line(folder, capsys, name, damage, said):
    (folder / name).unlink(missing_ok=True)
    if damage is not None:
        (folder / name).write_bytes(damage)
    code, text = written(folder)
    error = capsys.readouterr().err
    assert code == 1
    assert any(line.startswith("damaged or missing: ") and said in line for line in error.splitlines())
    assert "Traceback" not in error
    assert said in text.replace("&#39;", "'")
    assert 'alt="Figure C2: ' in text  # what is whole is shown all the same


def test_data_cut_anywhere_are_damaged(tmp_path):
    whole = (FIGURES / "C2-finite-sample-design.nc").read_bytes()
    path = tmp_path / "cut.nc"
    for share in (0.0, 0.02, 0.3, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(Damaged, match=r"^cut\.nc is damaged"):
            plotted(path)


def test_verdicts_must_agree_with_their_numbers_and_with_each_other(folder, capsys):
    rows = json.loads((folder / "summary.json").read_text())
    rows[0]["verdicts"][0]["value"] = 7.0
    (folder / "summary.json").write_text(json.dumps(rows))
    assert written(folder)[0] == 1
    assert "ok is True, but 7" in capsys.readouterr().err
    rows[0]["verdicts"][0]["ok"] = False
    (folder / "summary.json").write_text(json.dumps(rows))
    code, text = written(folder)
    error = capsys.readouterr().err
    assert code == 1
    assert "do not have the same verdicts of A4" in error
    assert f"failed: A4: {rows[0]['verdicts'][0]['name']}" in error
    assert "FAILED" in text


def test_bad_usage_is_one_line_and_exit_2(tmp_path, folder, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "old.html").write_text("kept")
    out = ("--out", str(tmp_path / "new.html"))
    for words, said in (
        (("--figures", str(tmp_path / "none"), *out), "Argument `--figures` must be a folder, but"),
        (("--figures", str(empty), *out), "must be a folder with results of didsim reproduce"),
        (("--figures", str(folder), "--ledger", str(tmp_path / "no.json"), *out), "Argument `--ledger` must be a file"),
        (("--figures", str(folder), "--out", str(empty)), "Argument `--out` must be a file, but"),
        (("--figures", str(folder), "--out", str(tmp_path / "no" / "x.html")), "must lie in a folder that exists"),
        (("--figures", str(folder), "--out", str(tmp_path / "old.html")), "use --overwrite"),
    ):
        assert cli.main(["report", *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
    assert (tmp_path / "old.html").read_text() == "kept"
    assert not (tmp_path / "new.html").exists()


def test_a_picture_is_an_image_of_its_own_and_says_its_panels(tmp_path):
    (tmp_path / "x.svg").write_text(PLAIN.format("<script>alert(1)</script><!-- a  first --><text id='t'>b  second &lt;3</text>"))
    shown = picture(tmp_path / "x", "Title.", "Text.")
    kind, _, code = shown.source.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(code) == (tmp_path / "x.svg").read_bytes()
    assert shown.alternative == "Title. Text. Panels: a, first; b, second <3."


def test_a_heavy_picture_is_shown_as_png(tmp_path):
    shutil.copy(FIGURES / "B1-support.png", tmp_path / "x.png")
    for length, kind in ((HEAVIEST - 1000, "svg+xml"), (HEAVIEST + 1, "png")):
        (tmp_path / "x.svg").write_text(PLAIN.format(f'<path d="{"M" * length}"/>'))
        shown = picture(tmp_path / "x", "Title.", "Text & more.")
        assert shown.source.startswith(f"data:image/{kind};base64,")
        assert bool(shown.note) == (kind == "png")
    assert shown.alternative == "Title. Text & more."
    assert "the SVG has 0.6 MB" in shown.note
    (tmp_path / "x.png").write_bytes(b"GIF89a")
    with pytest.raises(Damaged, match=r"x\.png is damaged: not a PNG"):
        picture(tmp_path / "x", "Title.", "Text.")


def test_the_smallest_data_go_in_first():
    all_data = [plotted(FIGURES / f"{stem}.nc") for stem in ("B1-support", "A8-sequences", "C2-finite-sample-design")]
    sizes = sorted(len(data.link) for data in all_data)
    names = [data.file for data in sorted(all_data, key=lambda one: one.size)]
    assert affordable(all_data, sizes[0] + sizes[1]) == set(names[:2])
    assert affordable(all_data, sizes[0] - 1) == set()
    assert affordable(all_data) == set(names)
    assert BUDGET < 25e6


def test_text_from_files_is_text(folder):
    row = CLAIM | {"statement": "<script>alert(1)</script>", "id": 'D7."><b>'}
    (folder / "ledger.json").write_text(json.dumps([row]))
    code, text = written(folder)
    assert code == 0
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_ledger_with_everything(folder):
    example = {"n": 2, "values": {"ref": ["1", "2"], "beta": "1/2"}, "residual": 0.25}
    control = {"dropped": "it is the best", "failure_rate": 0.99999, "ok": True, "needed": True, "instances": 2500}
    spare = {"dropped": "labels", "failure_rate": 0.0, "ok": True, "needed": False, "instances": 2500}
    first = CLAIM | {"controls": [control | {"counterexample": example}, spare], "certified": ["= 0 ± 1e-30 (128 bits)"] * 2}
    second = CLAIM | {
        "id": "U.mine",
        "source": "mine",
        "ok": False,
        "worst": float("inf"),
        "adversarial": 1.0,
        "counterexample": example,
    }
    (folder / "ledger.json").write_text(json.dumps([first, second]))
    code, text = written(folder)
    assert code == 1
    flat = " ".join(text.split())
    assert "2 hypotheses: 1 needed, 1 not needed</summary>" in flat
    assert "fails on over 99.9 % of 2,500 instances: <strong>needed</strong>" in flat
    assert "fails on 0 % of 2,500 instances: <strong>not needed</strong>" in flat
    assert flat.count("= 0 ± 1e-30 (128 bits)") == 1
    assert "Counterexample, off by 0.25" in flat
    assert "Refuted, off by 0.25" in flat
    assert "<option>other</option><option>paper A</option>" in flat
    assert '<a href="#claim-D7.best">D7</a>' in flat  # figure A4's theory


def test_the_ledger_is_what_verify_writes(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert (
        cli.main(["verify", "D7", "--instances", "50", "--json", str(file), "--counterexamples", str(tmp_path / "x.json")]) == 0
    )
    (row,) = read(file, CLAIMS)
    manifest = read(tmp_path / "out.manifest.json", ORIGIN)
    assert (manifest.instances, manifest.seed, manifest.dtype) == (50, 0, "float64")
    assert manifest.jax
    example = row.controls[0].counterexample
    assert example is not None
    saved = Counterexample.from_json(json.loads((tmp_path / "x.json").read_text())[0])
    shown = saved.table()
    assert [name for name, _ in tabulated(example).rows] == list(shown.columns[0].cells)
    assert [entries[0] for _, entries in tabulated(example).rows] == list(shown.columns[1].cells)


def test_deep_tables_of_counterexamples():
    made = tabulated(ExampleRow(n=2, values={"f": [[["1", "2"], ["3", "4"]]], "b": "5"}, residual=1.0))
    assert made.rows == (("f[a][a]", ("1", "2")), ("f[a][b]", ("3", "4")), ("b", ("5",)))
    assert made.head == ("a", "b")
    assert tabulated(ExampleRow(n=2, values={"b": "5"}, residual=1.0)).head == ()


def test_facts_are_told_once():
    one = Origin(didsim="1", finished="now", seconds=1.0, jax="3", devices=["cpu", "cpu"], seed=0, command=["/opt/didsim", "x"])
    rows = facts({"A1": one, "A2": one.model_copy(update={"seed": 4}), "ledger": one.model_copy(update={"jax": "4"})})
    told = {(row.name, row.value): row.where for row in rows}
    assert told[("didsim", "1")] == "all"
    assert told[("jax", "3")] == "all figures"
    assert told[("jax", "4")] == "ledger"
    assert told[("seed", "0")] == "A1, ledger"
    assert told[("devices", "2 × cpu")] == "all"
    assert told[("command", "didsim x")] == "all"


def test_no_benchmarks_is_none(tmp_path):
    assert benchmarks(tmp_path) is None
