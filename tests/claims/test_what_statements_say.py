"""Is the page of statements what the ledger says, complete, and set in TeX that a second reader understands?"""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from matplotlib.mathtext import MathTextParser
from sampling import sampled

from didsim import cli
from didsim.claims import LEDGER
from didsim.claims.groups import GROUPS, group_of, names
from didsim.claims.ledger import chosen
from didsim.figures.catalogue import ENTRIES
from didsim.numerics.errors import ArgumentError
from didsim.numerics.typesetting import tex

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "statements.md"
OWN = {id: claim for id, claim in LEDGER.items() if group_of(id) in GROUPS}


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("statements_page", ROOT / "docs" / "statements_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_that_of_the_ledger(generator):
    assert PAGE.read_text(encoding="utf-8") == generator.text(), "make statements renews it"


def test_every_claim_stands_on_it_once_with_all_that_is_known():
    page = PAGE.read_text(encoding="utf-8")
    blocks = dict(zip(*[iter(re.split(r"^### (\S+)$", page, flags=re.M)[1:])] * 2, strict=True))
    assert set(blocks) == set(OWN)
    for id, block in blocks.items():
        assert OWN[id].statement in block
        assert all(f"- {part}: " in block for part in ("Source", "Why", "Worst residual"))
        assert block.count("- Hypothesis: ") == len(OWN[id].hypotheses), id


def test_the_judged_ledger_has_every_claim_and_a_counterexample_to_each_needed_hypothesis():
    rows = {row["id"]: row for row in json.loads((ROOT / "figures" / "ledger.json").read_text(encoding="utf-8"))}
    assert set(rows) == set(OWN)
    assert all(row["ok"] for row in rows.values())
    for id, claim in OWN.items():
        said = {control["dropped"]: control for control in rows[id]["controls"]}
        assert {one.name: one.needed for one in claim.hypotheses} == {name: one["needed"] for name, one in said.items()}


def test_every_number_has_a_title_a_setting_and_claims():
    assert {group_of(id) for id in OWN} == set(GROUPS)
    assert all(group.title and group.setting in ("known", "unknown", "ours") for group in GROUPS.values())
    assert all(claim.proof.endswith(".") for claim in OWN.values())
    assert {entry.setting for entry in ENTRIES} == {"known", "unknown", "ours"}


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        ("q_{π/π_ref}", r"q_{\pi/\pi_{\mathrm{ref}}}"),
        ("{a,b}", r"\{a,b\}"),
        ("√(p(1-p))", r"\sqrt{p(1-p)}"),
        ("√π_ref", r"\sqrt{\pi_{\mathrm{ref}}}"),
        ("ε²κ₂/2", r"\varepsilon^{2}\kappa_{2}/2"),
        ("P_ab on all pairs", r"P_{ab} \;\text{on all pairs}\;"),
        ("dim null A", r"\dim\operatorname{null} A"),
        ("r̄_C", r"\bar{r} _{C}"),
        ("k̂ ÷ φ̄", r"\hat{k} \div\bar{\phi}"),
        ("θ_∞", r"\theta_{\infty}"),
        ("π* ∝ q*²", r"\pi^* \propto{q^*}^{2}"),
        ("π_ref*^t", r"{\pi_{\mathrm{ref}}^*}^{t}"),
    ],
)
def test_formulas_in_tex(formula, written):
    assert tex(formula) == written


def test_every_formula_becomes_balanced_ascii():
    for claim in OWN.values():
        written = tex(claim.formula)
        assert written.isascii(), claim.id
        plain = written.replace(r"\{", "").replace(r"\}", "")
        assert plain.count("{") == plain.count("}"), claim.id
        assert len(re.findall(r"[^_^{]\b[a-z]{4,}\b(?![^{]*\})", re.sub(r"\\[a-zA-Z]+", "", plain))) == 0, claim.id


@pytest.mark.parametrize("part", sampled(range(4), 4))
def test_another_typesetter_reads_every_formula(part):
    parser = MathTextParser("path")
    for claim in list(OWN.values())[part::4]:
        parser.parse(f"${tex(claim.formula).replace('tfrac', 'frac')}$")


def test_an_unknown_sign_is_refused():
    with pytest.raises(ArgumentError, match="but has 'ж'"):
        tex("ж = 1")


def test_the_numbers_of_a_text(generator):
    assert generator.numbers("D5 to D7 and S12; not A5, K10x or U2") == {"D5", "D6", "D7", "S12"}
    assert generator.numbers("L4, F1-F3") == {"L4", "F1", "F2", "F3"}


def test_claims_by_letter_and_number():
    assert names("D7.best-rejected") == ("D7.best-rejected", "D7", "D")
    assert [claim.id for claim in chosen(["d7"])] == ["D7.best-rejected"]
    assert {claim.id for claim in chosen(["K"])} == {id for id in OWN if id.startswith("K")}
    assert len(chosen(["D", "S", "L", "K", "F"])) == len(OWN)


def test_the_command_states_what_it_judges(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["verify", "D7", "--instances", "50"]) == 0
    printed = capsys.readouterr().out
    claim = LEDGER["D7.best-rejected"]
    said = (claim.statement, claim.formula, "Why: Solve the power law", f"Source: {claim.source}")
    assert all(words in printed for words in said)
    assert max(map(len, printed.splitlines())) <= 80
    assert re.search(r"without: the rejected law is the .* needed", printed, flags=re.S)
