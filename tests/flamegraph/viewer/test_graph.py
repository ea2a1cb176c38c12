"""Zoom, tooltip, search and keyboard of the page, in a real browser."""

import pytest
from selenium.webdriver.common.keys import Keys

from flamegraph.tree import build


def test_recording_details_are_shown(browser, known):
    browser.open(known)
    assert browser.text("title") == "Known"
    assert browser.run("return document.title") == "Known"
    details = browser.text("details")
    for part in ("cpu-clock", "10 s", "samples100", "lost2", "truncated1", "unsymbolized0.0%"):
        assert part in details
    assert browser.text("notes-list") == "One note."


def test_click_zooms_and_a_second_click_goes_back(browser, known):
    browser.open(known, root="none")
    browser.press(0.3, 2)
    browser.until_text("path", "alpha")
    assert browser.path() == ["all", "main", "alpha"]
    browser.point(0.95, 2)
    browser.until_text("tip", "alpha")
    browser.press(0.5, 2)
    browser.until("return document.querySelectorAll('#path button').length === 1")


def test_breadcrumb_goes_up(browser, known):
    browser.open(known, "#zoom=1.2", root="none")
    zoomed = browser.path()
    assert len(zoomed) == 3
    browser.run("document.querySelectorAll('#path button')[1].click()")
    assert browser.path() == zoomed[:2]


@pytest.mark.parametrize(
    ("part", "name", "total", "share"), [(0.3, "alpha", 60, "60.0 %"), (0.7, "beta", 30, "30.0 %")]
)
def test_tooltip(browser, known, part, name, total, share):
    browser.open(known, root="none")
    browser.point(part, 2)
    browser.until_text("tip", name)
    tip = browser.text("tip")
    assert f"total{total} samples{share} of all" in tip
    assert f"self{total} samples" in tip
    assert f"{total / 10:g} s of 10 s" in tip
    assert "/bin/server" in tip


def test_tooltip_of_a_caller_has_no_self_weight(browser, known):
    browser.open(known, root="none")
    browser.point(0.5, 1)
    browser.until_text("tip", "main")
    assert "self0 samples" in browser.text("tip")


def test_painted_colours(browser, known):
    browser.open(known, root="none")
    user, kernel = browser.color(0.5, 2), browser.color(0.97, 2)
    assert user[0] > user[2] + 60
    assert kernel[2] > kernel[0] + 40
    assert browser.color(0.5, 5) == (0, 0, 0)


@pytest.mark.parametrize(
    ("query", "regex", "found"),
    [
        ("alpha", False, "60 % in 1 frame"),
        ("ALPHA", False, "60.0 %"),
        ("a", False, "100 % in 4 frames"),
        ("^(alpha|beta)$", True, "90.0 % in 2 frames"),
        ("^a.*$", True, "100 %"),
        (".*", False, "No match"),
        ("nothing", False, "No match"),
    ],
)
def test_search(browser, known, query, regex, found):
    browser.open(known, root="none")
    before = browser.color(0.7, 2)
    browser.focus("search")
    browser.keys(query)
    if regex:
        browser.click("regex")
    browser.until_text("search-result", found.replace("60 %", "60.0 %"))
    if "60" in found:
        assert browser.color(0.3, 2) == (0x5B, 0x21, 0xB6)
        assert browser.color(0.7, 2) != before, "what does not match fades"
    if "No match" in found:
        assert browser.color(0.3, 2) != (0x5B, 0x21, 0xB6)


def test_a_wrong_regular_expression_is_reported(browser, known):
    browser.open(known, "#q=(&regex=1", root="none")
    browser.until_text("search-result", "Not a regular expression")
    assert browser.run("return document.getElementById('search').getAttribute('aria-invalid')") == "true"
    browser.focus("search")
    browser.keys(Keys.BACKSPACE, "beta")
    browser.until_text("search-result", "30.0 %")


def test_keyboard(browser, known):
    browser.open(known, root="none")
    browser.focus()
    browser.keys(Keys.ARROW_DOWN)
    browser.until_text("live", "main; user; total 100 samples")
    browser.keys(Keys.ARROW_DOWN)
    browser.until_text("live", "alpha; user; total 60 samples, 60.0 % of all")
    browser.keys(Keys.ARROW_RIGHT)
    browser.until_text("live", "beta")
    browser.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    browser.until_text("live", "No further frame")
    browser.keys(Keys.ENTER)
    assert browser.path() == ["all", "main", "alpha"]
    browser.keys(Keys.ESCAPE)
    assert browser.path() == ["all"]
    browser.keys("/")
    assert browser.run("return document.activeElement.id") == "search"
    browser.keys("write", Keys.ENTER)
    browser.until_text("live", "write; kernel; total 10 samples")
    browser.keys(Keys.ESCAPE, Keys.ESCAPE)
    assert browser.run("return document.activeElement.id") == "scroll"
    browser.keys("?")
    assert not browser.hidden("help")
    browser.keys(Keys.ESCAPE)
    assert browser.hidden("help")


def test_in_a_flame_up_moves_to_callees(browser, known):
    browser.open(known, root="none", inverted=False)
    browser.focus()
    browser.keys(Keys.ARROW_UP)
    browser.until_text("live", "main")
    browser.keys("f", Keys.ARROW_UP)
    browser.until_text("live", "all")
    assert "turn=icicle" in browser.address()


def test_help_lists_every_key(browser, known):
    browser.open(known)
    listed = browser.text("help-keys")
    for key in ("Enter", "Escape", "Home", "/", "n", "f", "t", "h", "d", "?"):
        assert key in listed


def test_frames_too_narrow_to_draw_are_counted(browser, large):
    browser.open(large)
    status = browser.text("status")
    assert "narrower than 0.1 pixels" in status
    hidden = int(status.split(" ")[0].replace(",", ""))
    assert 0 < hidden < len(build(large))
    browser.open(large, min_width=0)
    assert browser.text("status") == f"All {len(build(large)):,} frames are drawn."
