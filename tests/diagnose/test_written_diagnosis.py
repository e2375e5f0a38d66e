"""What is printed and written of a diagnosis?"""

import base64
import contextlib
import html.parser
import io
import json
import re
from pathlib import Path

import numpy as np
import preference_logs as logs
import preference_runs
import pytest

from didsim import cli, diagnose
from didsim.cli.commands import Diagnose
from didsim.diagnose import page

ROOT = Path(__file__).parent.parent.parent
DOCUMENTATION = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
PICTURE = "data:image/svg+xml;base64,"


class Page(html.parser.HTMLParser):
    """Collects what a page must not have twice or fetch."""

    def __init__(self):
        super().__init__()
        self.ids, self.outside, self.tags, self.inside, self.pictures = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and value and not value.startswith(PICTURE):
                (self.inside if value.startswith("#") else self.outside).append(value.removeprefix("#"))


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """The commands that the page of the documentation prints, a folder in which they ran, how they ended and what they said."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "tests").symlink_to(ROOT / "tests")
    commands = [words.split() for words in re.findall(r"^\.venv/bin/didsim (diagnose .*)$", DOCUMENTATION, flags=re.M)]
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        codes = [cli.main(words) for words in commands]
    out.flush()
    return commands, folder, codes, out.buffer.getvalue().decode()


def test_files_are_written_and_kept(documented, monkeypatch, capsys):
    (_, words), folder, codes, printed = documented
    monkeypatch.chdir(folder)
    assert words[2:] == ["--beta", "1", "--html", "diagnosis.html", "--json", "diagnosis.json"]
    assert codes[1] == 1
    assert printed.count("displaced-run.jsonl: displaced") == 2
    found = json.loads((folder / "diagnosis.json").read_text())
    assert found["state"] == "displaced"
    assert found["findings"]["displacement"]["numbers"]["chosen change (nats)"]["high"] < 0
    read = Page()
    text = (folder / "diagnosis.html").read_text()
    read.feed(text)
    assert len(set(read.ids)) == len(read.ids)
    assert set(read.inside) <= set(read.ids)
    assert not read.outside
    assert len(read.pictures) == 4
    assert all(len(one["alt"]) > 20 for one in read.pictures)
    drawn = [base64.b64decode(one["src"].removeprefix(PICTURE)).decode() for one in read.pictures]
    assert all("<svg" in one and 'href="http' not in one for one in drawn)
    assert "script" not in read.tags
    assert all(page.Markup.escape(one["title"]) in text for one in found["signatures"].values())
    assert cli.main(words) == 2
    assert "use --overwrite" in capsys.readouterr().err
    assert cli.main([*words, "--overwrite"]) == 1


def test_the_page_of_the_documentation_is_right(documented):
    """Every command it prints runs, and every flag for a column is one that exists."""
    text = DOCUMENTATION
    commands, folder, codes, _ = documented
    assert len(commands) == 2
    assert codes == [1, 1]
    assert (folder / "diagnosis.html").exists()
    assert {flag[2:].replace("-", "_") for flag in re.findall(r"`(--[a-z-]+)`", text)} <= set(Diagnose.__dataclass_fields__)  # type: ignore[attr-defined]
    found = diagnose.diagnose(preference_runs.SAMPLE, beta=1.0)
    order = text[text.index("in this order") :]
    places = [order.index(one.name) for one in found.signatures if one.fault]
    assert places == sorted(places)


def test_names_are_escaped(tmp_path, sample):
    file = logs.written(tmp_path, logs.means_of(sample), "<b>&.jsonl")
    text = page.html(diagnose.diagnose(file))
    assert "<b>&" not in text.replace("<b>Do", "")
    assert "&lt;b&gt;&amp;" in text


def test_long_series_are_shown_in_part():
    finding = diagnose.Finding("a", "?", "!", {"step": np.arange(100), "value": list(range(100))})
    assert len(finding.rows) == 12
    assert finding.rows[0] == (0, 0)
    assert finding.rows[-1] == (99, 99)


@pytest.mark.parametrize("sign", ["\x1b[31m", "\n", "\u202e", "\x07", "\x9b1m"])
@pytest.mark.parametrize("sound", [True, False])
def test_a_name_does_nothing_to_the_terminal(tmp_path, sample, capsys, sign, sound):
    file = logs.written(tmp_path, logs.means_of(sample) if sound else [], f"a{sign}b.jsonl")
    assert (cli.main(["diagnose", str(file)]) == 2) is not sound
    printed = capsys.readouterr()
    told = printed.out.splitlines()[0] if sound else printed.err.removesuffix("\n")
    escaped = sign.encode("unicode_escape").decode()
    assert sign not in told
    assert f"a{escaped}b.jsonl" in told
