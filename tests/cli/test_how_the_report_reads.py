"""The pages of results and of a diagnosis in a browser: nothing is fetched, tables sort and filter, phones and keyboards do."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import xarray as xr
from browsing import BROWSER, WIDE, violations, visits
from preference_runs import SAMPLE

from didsim import cli
from didsim.cli.report.figures import ENDINGS

FIGURES = Path(__file__).parent.parent.parent / "figures"
OBJECTIVES = ("dpo", "cdpo", "ipo[sum]", "simpo", "sft")
STEMS = ("B1-support", "B8-iterated")  # the second goes in as PNG

SLOW = pytest.mark.slow
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome found: the page is not looked at")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of two committed figures, the committed ledger and benchmarks, and a few rows of the committed atlas."""
    folder = tmp_path_factory.mktemp("figures")
    for name in (*(stem + end for stem in STEMS for end in ENDINGS), *(one.name for one in FIGURES.glob("bench*"))):
        shutil.copy(FIGURES / name, folder)
    rows = json.loads((FIGURES / "summary.json").read_text())
    kept = [row for row in rows if row["id"] in [stem[:2] for stem in STEMS]]
    (folder / "summary.json").write_text(json.dumps(kept))
    shutil.copytree(FIGURES / "atlas", folder / "atlas")
    cells = json.loads((FIGURES / "atlas" / "atlas.json").read_text())
    (folder / "atlas" / "atlas.json").write_text(json.dumps([one for one in cells if one["objective"] in OBJECTIVES]))
    ledger, out = FIGURES / "ledger.json", folder / "report.html"
    assert cli.main(["report", "--figures", str(folder), "--ledger", str(ledger), "--out", str(out)]) == 0
    return out.as_uri()


@pytest.fixture(scope="module")
def diagnosis(tmp_path_factory):
    """What `didsim diagnose` says of a real small run."""
    out = tmp_path_factory.mktemp("diagnosis") / "diagnosis.html"
    assert cli.main(["diagnose", str(SAMPLE), "--beta", "1", "--drawn", "chosen", "--html", str(out)]) == 1
    return out.as_uri()


@pytest.fixture(scope="module")
def desk(browser, address):
    """One visit on a wide screen, for tests of which each uses other tables or leaves them as they were."""
    with visits(browser, address) as opened:
        yield opened(viewport={"width": 1280, "height": 900})


def column(page, table, place):
    """What a column of the shown rows says."""
    script = "([table, place]) => [...document.querySelector(table).tBodies[0].rows].filter(r => !r.hidden).map(r => %s)"
    return page.evaluate(script % "r.cells[place].dataset.key ?? r.cells[place].textContent.trim()", [table, place])


def head(page, table, name):
    return page.locator(f"{table} > thead button", has_text=name)


def test_numbers_sort_as_numbers(desk):
    page = desk
    before = column(page, "#bench", 3)
    assert "" in before  # rows without a rival stay last, both ways
    for direction in ("ascending", "descending"):
        head(page, "#bench", "Ratio").click()
        assert page.locator("#bench [aria-sort]").get_attribute("aria-sort") == direction
        after = column(page, "#bench", 3)
        numbers = [float(value) for value in after if value]
        assert numbers == sorted(map(float, filter(None, before)), reverse=direction == "descending")
        assert after[-before.count("") :] == [""] * before.count("")
    head(page, "#claims", "Claim").click()
    ids = column(page, "#claims", 0)
    assert ids.index("D2.reverse") < ids.index("D10.path") < ids.index("S3.leak") < ids.index("S12.ipo")
    assert page.locator("#claims [aria-sort]").count() == 1


def test_claims_are_filtered(desk):
    page = desk
    total = len(column(page, "#claims", 0))
    claims = page.locator("form[data-table=claims]")
    said = claims.locator("output")
    claims.get_by_label("Search").fill("mix-r")
    assert all("mix-r" in id for id in column(page, "#claims", 0))
    assert said.text_content() == f"2 of {total} claims"
    claims.get_by_role("button", name="Show all").click()
    page.get_by_label("Source").select_option("paper B")
    assert 0 < len(column(page, "#claims", 1)) < total
    assert all("paper B" in source for source in column(page, "#claims", 1))
    page.get_by_label("Source").select_option("")
    page.get_by_label("Outcome").select_option("spare")
    assert {"D3.bradley-terry", "S12.ipo"} < set(column(page, "#claims", 0))
    claims.get_by_label("Search").fill("labels s12")  # both words, anywhere in the claim
    assert column(page, "#claims", 0) == ["S12.ipo"]
    page.get_by_label("Outcome").select_option("failed")
    assert column(page, "#claims", 0) == []
    page.evaluate("location.hash = '#claim-S1.solutions'")  # a link into the table shows its row
    page.wait_for_function(f"document.querySelector('[data-table=claims] output').textContent === '{total} of {total} claims'")


def test_the_atlas_is_ranked_filtered_and_opened(desk):
    page = desk
    assert column(page, "#atlas", 0) == list(OBJECTIVES)
    flipped = page.locator("#atlas > thead button").all_text_contents().index("10 % flipped")
    page.locator("#atlas > thead button").nth(flipped).click()
    ranked = list(filter(None, column(page, "#atlas", flipped)))
    assert ranked == sorted(ranked, key=float)
    chart = page.locator("form[data-table=atlas]")
    chart.get_by_label("Search").fill("dpo")
    assert sorted(column(page, "#atlas", 0)) == ["cdpo", "dpo"]
    assert chart.locator("output").text_content() == "2 of 5 objectives"
    chart.get_by_role("button", name="Show all").click()
    chart.get_by_label("In the matched column").select_option("reached")
    assert "dpo" in column(page, "#atlas", 0)
    assert "simpo" not in column(page, "#atlas", 0)
    page.locator("#atlas").get_by_role("button", name="dpo, 10 % flipped").first.focus()
    page.keyboard.press("Enter")
    opened = page.locator("[popover]:popover-open")
    assert opened.count() == 1
    said = opened.inner_text()
    assert "dpo under “10 % flipped”" in said
    assert "didsim atlas --objective dpo --departure flipped --worlds 8 --seed 0" in said
    assert "RandomReward(" in said
    page.keyboard.press("Escape")
    assert opened.count() == 0


@pytest.mark.parametrize("width", [pytest.param(390, marks=pytest.mark.slow), 320])
def test_a_phone_scrolls_one_way(visit, width):
    page = visit(viewport={"width": width, "height": 800})
    assert page.evaluate(WIDE) == 0
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate(WIDE) == 0
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 16


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("light", 1280, marks=SLOW), ("dark", 390)])
def test_axe_finds_nothing(visit, scheme, width):
    page = visit(viewport={"width": width, "height": 800}, color_scheme=scheme)
    few = "#claims > tbody > tr:nth-child(n + 9), #bench > tbody > tr:nth-child(n + 9)"  # rows are alike, axe is slow
    page.evaluate("few => document.querySelectorAll(few).forEach(row => row.remove())", few)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert violations(page) == []
    page.evaluate("document.querySelector('[popover]').showPopover()")
    assert violations(page, "[popover]:popover-open") == []
    page.evaluate("document.querySelector('#main').append(document.createElement('select'))")
    assert [id for id, _ in violations(page, "#main > select")] == ["select-name"]  # a control without a name is seen


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), pytest.param("dark", 320, marks=SLOW)])
def test_the_page_of_a_diagnosis_too(visit, diagnosis, scheme, width):
    page = visit(diagnosis, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate(WIDE) == 0
    assert violations(page) == []
    assert "displaced" in page.inner_text("body")
    assert page.get_by_role("img").count() > 0


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_axe_finds_nothing_on_the_page_of_all_committed_results(visit, tmp_path, scheme, width):
    out = tmp_path / "all.html"
    assert cli.main(["report", "--figures", str(FIGURES), "--out", str(out)]) == 0
    page = visit(out.as_uri(), viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert violations(page) == []
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate(WIDE) == 0


@pytest.mark.slow
def test_every_picture_has_a_name_and_a_white_ground(visit):
    page = visit(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    pictures = page.get_by_role("img")
    assert pictures.count() == len(STEMS) + 1
    for picture in pictures.all():
        assert picture.get_attribute("alt")
        assert page.evaluate("picture => picture.naturalWidth", picture.element_handle()) > 0
        ground = "picture => getComputedStyle(picture.closest('.card')).backgroundColor"
        assert page.evaluate(ground, picture.element_handle()) == "rgb(255, 255, 255)"
    assert page.locator("#B8 img").get_attribute("alt").startswith("Figure B8: iterated.")


@pytest.mark.slow
def test_the_theme_is_chosen_and_kept(visit):
    page = visit(viewport={"width": 1280, "height": 900}, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == light


def test_the_keyboard_is_enough(visit):
    page = visit(viewport={"width": 1280, "height": 900})
    focused = "document.activeElement.textContent.trim()"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the results"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0  # it comes into view
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Figure"
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert page.locator(".overview [aria-sort]").get_attribute("aria-sort") == "descending"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.locator("#B1 summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#B1 details").first.get_attribute("open") is not None


def test_the_data_are_saved_as_they_were_plotted(desk, tmp_path):
    page = desk
    page.locator("#B1 summary", has_text="Data").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Save B1-support.nc.gz").click()
    assert waiting.value.suggested_filename == "B1-support.nc.gz"
    saved = tmp_path / "B1-support.nc.gz"
    waiting.value.save_as(saved)
    assert gzip.decompress(saved.read_bytes()) == (FIGURES / "B1-support.nc").read_bytes()
    with xr.open_dataset(saved, engine="scipy") as data:
        assert data.sizes["seed"] == 16


def test_without_scripts_all_can_be_read(visit):
    page = visit(viewport={"width": 390, "height": 800}, java_script_enabled=False)
    assert page.locator("#claims > tbody > tr").first.is_visible()
    assert page.locator("#claims > tbody > tr").count() > 50
    assert not page.locator("form[data-table=claims]").is_visible()
    assert not page.locator("#theme").is_visible()
    assert page.locator("thead button").count() == 0
    page.locator("#atlas td button").first.click()  # cells open without a script
    assert page.locator("[popover]:popover-open").is_visible()
    page.keyboard.press("Escape")
    page.locator("#B1 summary").first.click()
    assert page.locator("#B1 pre").is_visible()


@pytest.mark.slow
def test_print_unfolds_and_hides_the_controls(visit):
    page = visit(viewport={"width": 670, "height": 900}, color_scheme="dark")  # A4 within its margins
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert not page.locator("form[data-table=claims]").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#B1 pre").is_visible()
    assert page.evaluate(WIDE) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
