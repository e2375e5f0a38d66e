"""Does a citation say what CITATION.cff says, and does a page of LaTeX hold all of a figure?"""

import hashlib
import json
import re
from pathlib import Path

import pytest
from matplotlib.mathtext import MathTextParser
from sampling import sampled

from didsim import cli
from didsim.figures.catalogue import FIGURES
from didsim.numerics.typesetting import prose

ROOT = Path(__file__).parent.parent.parent
SUMMARY = {row["id"]: row for row in json.loads((ROOT / "figures" / "summary.json").read_text(encoding="utf-8"))}


def test_bibtex_says_what_the_citation_file_says(capsys):
    assert cli.main(["info", "--cite"]) == 0
    said = capsys.readouterr().out.replace("{", "").replace("}", "")
    file = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    titles = re.findall(r'title: "(.*)"', file)
    names = re.findall(r"given-names: (.*?), family-names: (.*?)\}", file)
    assert len(titles) == 3
    assert all(title in said for title in titles)
    assert all(f"{family}, {given}" in said for given, family in names)
    assert set(re.findall(r"arXiv:(\d+\.\d+)", file)) == set(re.findall(r"eprint = ([\d.]+)", said))
    assert re.findall(r"^version: (.*)", file, flags=re.M) == re.findall(r"version = ([\d.]+)", said)


@pytest.mark.parametrize("id", sampled(SUMMARY, 18))
def test_a_page_holds_all_of_a_figure(id, tmp_path):
    out = tmp_path / "page.tex"
    assert cli.main(["report", "--figures", str(ROOT / "figures"), "--appendix", id.lower(), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    body, verbatim, config = page.partition(r"\begin{verbatim}")
    bare = re.sub(r"\\[{}\\]", "", body)
    assert verbatim
    assert bare.count("{") == bare.count("}") + 1  # the last group closes after the config
    (picture,) = re.findall(r"\\includegraphics\[.*?\]\{(.*?)\}", page)
    assert (tmp_path / picture).resolve() == ROOT / "figures" / f"{FIGURES[id].stem}.png"
    lines = re.findall(r"^(.*) & (.*) & \$\\[lg]e\$ (.*) & (holds|fails) \\\\$", page, flags=re.M)
    assert [line[0] for line in lines] == [prose(verdict["name"]) for verdict in SUMMARY[id]["verdicts"]]
    assert [line[3] == "holds" for line in lines] == [verdict["ok"] for verdict in SUMMARY[id]["verdicts"]]
    text = (ROOT / "figures" / f"{FIGURES[id].stem}.toml").read_text(encoding="utf-8")
    assert text.strip() in config
    assert hashlib.sha256(text.encode()).hexdigest()[:16] in page


def test_every_formula_of_a_page_is_read_by_another_typesetter():
    parser = MathTextParser("path")
    for row in SUMMARY.values():
        for verdict in row["verdicts"]:
            written = prose(verdict["name"])
            assert written.isascii(), written
            for formula in re.findall(r"(?<!\\)\$(.*?)(?<!\\)\$", written):
                parser.parse(f"${formula.replace('tfrac', 'frac')}$")


def test_other_figures_and_files_in_the_way_are_refused(tmp_path, capsys):
    words = ["report", "--figures", str(ROOT / "figures"), "--out", str(tmp_path / "page.tex"), "--appendix"]
    assert cli.main([*words, "A44"]) == 2
    assert "Argument `--appendix` must be one of" in capsys.readouterr().err
    (tmp_path / "page.tex").write_text("mine")
    assert cli.main([*words, "A4"]) == 2
    assert (tmp_path / "page.tex").read_text() == "mine"
