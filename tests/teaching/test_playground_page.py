"""The playground in a browser: mouse, finger and keys move marks, a link restores a state, it prints, axe finds nothing."""

import re

import pytest
from browsing import BROWSER, WIDE, violations
from sampling import sampled

from didsim import cli
from didsim.teaching import playground

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome found: the page is not looked at")
STATE = "playground.state()"
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PRESETS = [f"{k:02}" for k in range(1, 11)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    out = tmp_path_factory.mktemp("playground") / "playground.html"
    assert cli.main(["playground", "--out", str(out)]) == 0
    return out.as_uri()


def middle(page, name):
    box = page.locator(f"#handle-{name} > :last-child").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def settled(page):
    """The page when the address has followed, which it does a moment later by the page's own clock, however slow it is."""
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    return page


def choose(page, preset):
    page.get_by_role("combobox", name="Start from a notebook").select_option(preset)


def test_it_is_small_enough_to_mail_and_is_not_replaced(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["playground", "--out", str(out)]) == 0
    assert out.stat().st_size < 300_000
    assert "one page" in capsys.readouterr().out
    assert cli.main(["playground", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"error: Argument `--out` must not exist already, but {out} does; use --overwrite.\n"
    assert cli.main(["playground", "--out", str(out), "--overwrite"]) == 0


def test_modules_are_joined_in_order():
    one, two = "export const answer = 42;\n", 'import { answer } from "./one.js";\nexport function ask() { return answer; }\n'
    script = playground.joined({"one": one, "two": two})
    assert "const { answer } = $one;" in script
    assert "return { ask };" in script
    with pytest.raises(ValueError, match="module two imports from one"):
        playground.joined({"two": two, "one": one})


def test_no_import_is_left_behind():
    page = playground.render()
    assert not re.search(r"^\s*(import|export)\b", page, flags=re.M)
    assert "{{" not in page


@needs_browser
def test_the_mouse_moves_a_mark_and_the_address_follows(visit):
    page = visit(viewport=DESK)
    before, (x, y) = page.evaluate(STATE), middle(page, "ref")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y - 40, steps=4)
    page.mouse.up()
    after = page.evaluate(STATE)
    assert after["ref"][1] > before["ref"][1]
    assert after["ref"][2] > before["ref"][2]
    assert sum(after["ref"]) == pytest.approx(1.0)
    assert after["target"] == before["target"]  # which is what stays
    assert "ref=" + ",".join(f"{p:g}" for p in after["ref"]) in settled(page).url
    assert page.get_by_role("combobox", name="Start from a notebook").input_value() == ""


@pytest.mark.slow
@needs_browser
def test_a_finger_moves_a_mark_and_a_tap_sets_the_start(visit):
    page = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator("#triangle").scroll_into_view_if_needed()
    before, (x, y) = page.evaluate(STATE), middle(page, "target")
    send = page.context.new_cdp_session(page).send
    way = {"touchStart": [(0, 0)], "touchMove": [(-20, 30), (-40, 60)], "touchEnd": [()]}
    for kind, moves in way.items():
        for move in moves:
            points = [{"x": x + move[0], "y": y + move[1]}] if move else []
            send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    after = page.evaluate(STATE)
    assert after["target"][0] > before["target"][0]
    assert after["reward"] != before["reward"]
    page.touchscreen.tap(x, y)
    assert page.evaluate(STATE)["start"] is not None
    page.get_by_role("button", name="Start it at").click()
    assert page.evaluate(STATE)["start"] is None


@needs_browser
def test_the_keyboard_is_enough(visit):
    page = visit(viewport=DESK)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    mark = page.get_by_role("slider", name="reference")
    mark.focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate(STATE)["ref"] == [0.495, 0.295, 0.21]
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate(STATE)["ref"] == [0.445, 0.345, 0.21]
    assert mark.get_attribute("aria-valuetext") == "44.5 % on response 1, 34.5 % on response 2, 21.0 % on response 3"
    for key in ["Shift+ArrowDown"] * 5 + ["ArrowDown"] * 3:
        page.keyboard.press(key)  # stops at the edge
    assert page.evaluate(STATE)["ref"][2] == 0.005
    assert mark.evaluate("one => one === document.activeElement")
    page.get_by_role("button", name="Start it elsewhere").press("Enter")
    assert page.evaluate("document.activeElement.id") == "handle-start"


@needs_browser
@pytest.mark.parametrize("presets", sampled([["04"], [preset for preset in PRESETS if preset != "04"]], 2))
def test_a_link_restores_every_preset(visit, presets):
    page, links = visit(viewport=DESK), {}
    assert sorted(page.evaluate("Object.keys(playground.presets)")) == PRESETS
    for preset in presets:
        choose(page, preset)
        assert page.locator("#see").inner_text()
        links[preset] = (settled(page).url, page.evaluate(STATE))
    other = visit(links[presets[-1]][0], viewport=DESK)
    for preset, (link, state) in links.items():
        other.goto(link)
        assert settled(other).evaluate(STATE) == state
        assert other.get_by_role("combobox", name="Start from a notebook").input_value() == preset
        assert not other.locator("#refused").is_visible()


@needs_browser
def test_a_link_restores_all_that_can_be_set(visit, address):
    said = "objective=cpo&extra=0.5&sampler=on_policy&ref=0.2,0.3,0.5&reward=1,0,-2&beta=0.7"
    said += "&lossbeta=0.4&place=0.3&start=0.1,0.1,0.8&rate=2"
    page = visit(f"{address}#{said}", viewport=DESK)
    assert settled(page).url == f"{address}#{said}"
    state = page.evaluate(STATE)
    assert (state["lossBeta"], state["place"], state["start"], state["rate"]) == (0.4, 0.3, [0.1, 0.1, 0.8], 2)


@needs_browser
def test_what_a_link_says_wrongly_is_told(visit, address):
    page = visit(f"{address}#beta=-1&ref=1,2,3&objective=dpoo&extra=3&sampler=uniform&colour=red&start=%E0%A4%A", viewport=DESK)
    lines = page.locator("#refused li").all_inner_texts()
    assert len(lines) == 6
    assert "beta must be a number from 0.05 to 5, but the link says -1." in lines
    assert "colour is nothing that a link can set." in lines
    assert page.evaluate(STATE)["sampler"] == "uniform"  # what was right is taken
    assert page.evaluate(STATE)["beta"] == 0.5


@pytest.mark.slow
@needs_browser
def test_beta_moves_what_does_not_stay(visit):
    page = visit(viewport=DESK)
    before = page.evaluate(STATE)
    slider = page.locator("#beta")
    slider.fill("0")
    one = page.evaluate(STATE)
    assert one["beta"] == 1.0
    assert one["target"] == before["target"]
    assert one["reward"] == pytest.approx([2 * r for r in before["reward"]], abs=2e-4)
    page.locator("#hold-reward").check()
    slider.fill("-0.69")
    two = page.evaluate(STATE)
    assert two["reward"] == one["reward"]
    assert two["target"] != one["target"]


@pytest.mark.slow
@needs_browser
def test_numbers_can_be_typed(visit):
    page = visit(viewport=DESK)
    page.get_by_label("reference: probability of response 3").fill("0.6")
    assert page.evaluate(STATE)["ref"] == [0.25, 0.15, 0.6]
    page.get_by_label("reward of response 2").fill("2.5")
    state = page.evaluate(STATE)
    assert (state["hold"], state["reward"][1]) == ("reward", 2.5)
    page.get_by_label("reward of response 2").fill("")  # half typed
    assert page.evaluate(STATE) == state


@pytest.mark.slow
@needs_browser
def test_the_outcome_is_said_in_words(visit):
    page = visit(viewport=DESK)
    verdict = page.locator("#verdict")
    assert "least at the target π*. The run gets there" in verdict.inner_text()
    choose(page, "02")
    assert "least at q, not at π*" in verdict.inner_text()
    choose(page, "04")
    assert "Every policy on the dashed line is a minimiser" in verdict.inner_text()
    page.get_by_label("Loss", exact=True).select_option("kto")
    assert "No policy is best" in verdict.inner_text()
    choose(page, "09")
    page.locator("#rate").fill("0.7")  # e^0.7 = 2, beyond 1.5
    assert "diverges" in verdict.inner_text()


@needs_browser
@pytest.mark.parametrize(("light", "dark"), sampled([(DESK, PHONE), (PHONE, DESK)], 2))
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(visit, light, dark):
    page = visit(viewport=light, color_scheme="light")
    for scheme, viewport in (("light", light), ("dark", dark)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(viewport)
        for preset in ("03", "04"):
            choose(page, preset)
            assert page.evaluate(WIDE) == 0
        assert violations(page) == []
    page.evaluate("document.querySelector('#main').append(document.createElement('select'))")
    assert [id for id, _ in violations(page, "#main > select")] == ["select-name"]  # a control without a name is seen


@pytest.mark.slow
@needs_browser
def test_a_narrow_phone_scrolls_one_way(visit):
    page = visit(viewport={"width": 320, "height": 700})
    assert page.evaluate(WIDE) == 0
    assert page.evaluate("document.querySelector('#handle-ref .grip').getBoundingClientRect().width") >= 40


@pytest.mark.slow
@needs_browser
def test_the_theme_is_chosen(visit):
    page = visit(viewport=DESK, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(ground) != light
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == light


@pytest.mark.slow
@needs_browser
def test_print_is_white_without_controls_and_says_the_state(visit):
    page = visit(viewport={"width": 703, "height": 900}, color_scheme="dark")  # A4 within its margins
    settled(page).emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#controls").is_visible()
    assert not page.locator(".tools").is_visible()
    assert page.locator("#setting").inner_text() == "DPO · chosen and rejected draws · β = 0.5"
    assert page.url in page.locator("#address").inner_text()
    assert page.evaluate(WIDE) == 0
    assert len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(prefer_css_page_size=True))) <= 2


@pytest.mark.slow
@needs_browser
def test_the_link_is_copied(visit):
    page = visit(viewport=DESK)
    settled(page).context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy a link").click()
    page.wait_for_function("document.getElementById('said').textContent !== ''")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
