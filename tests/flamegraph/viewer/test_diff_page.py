"""The page of a diff: verdicts, signs, colours, both orders, all widths."""

import numpy as np
import pytest

from flamegraph.builder import Builder
from flamegraph.diff import DiffOptions, diff
from flamegraph.frames import Frame, Thread
from flamegraph.profile import Info
from flamegraph.verdicts import UnknownNoise, Verdict

# Name: samples before, samples after; of 2,000 on each side.
CHANGES = {
    "calm": (800, 800),
    "fresh": (0, 200),
    "grows": (200, 500),
    "lost": (300, 0),
    "rare": (3, 5),
    "wanes": (697, 495),
}


def _side(at):
    builder = Builder()
    thread = builder.thread(Thread(1, 1, "server"))
    for name, counts in CHANGES.items():
        if counts[at]:
            stack = builder.stack([builder.frame(Frame(name)), builder.frame(Frame(f"{name}_leaf"))])
            builder.add(stack, thread, count=counts[at], weight=counts[at])
    return builder.profile(Info("cycles", "samples", 10.0))


@pytest.fixture(scope="module")
def change():
    return diff(_side(0), _side(1), DiffOptions(root="none", name_a="old", name_b="new"))


def verdicts(browser):
    """Verdict by name in the table."""
    rows = browser.run(
        "return [...document.querySelectorAll('#table table')[0].tBodies[0].rows].map("
        "(r) => [...r.cells].map((c) => c.textContent))"
    )
    return {row[0]: row[1:] for row in rows}


def test_verdicts_signs_and_numbers(browser, change):
    browser.open(change, "#table=1")
    assert {name: row[0] for name, row in verdicts(browser).items()} == {
        "calm": "= unchanged",
        "fresh": "✚ new",
        "grows": "+ grown",
        "lost": "✕ gone",
        "rare": "? inconclusive",
        "wanes": "− shrunk",
    }
    assert verdicts(browser)["grows"][1:4] == ["+15.00", "10.00", "25.00"]
    assert browser.text("normalization") == "Share of the total: 2,000 and 2,000 samples."


def test_the_other_order(browser, change):
    browser.open(change, "#table=1")
    browser.run("document.activeElement.blur()")
    browser.keys("x")
    browser.until_text("order", "new → old")
    rows = verdicts(browser)
    assert rows["fresh"][0] == "✕ gone"
    assert rows["lost"][0] == "✚ new"
    assert rows["grows"][:4] == ["− shrunk", "−15.00", "25.00", "10.00"]
    assert rows["wanes"][0] == "+ grown"
    assert rows["rare"][0] == "? inconclusive"
    assert "swap=1" in browser.address()
    browser.keys("x")
    browser.until_text("order", "old → new")


# Of 2,503 in the order of the names: calm 800, fresh 200, grows 500, lost 300, rare 5, wanes 697.
PLACES = {"calm": 0.1, "fresh": 0.35, "grows": 0.5, "lost": 0.65, "wanes": 0.9}


def test_colours_are_distinguishable_and_nothing_disappears(browser, change):
    for dark in (False, True):
        browser.look(dark=dark)
        browser.open(change)
        found = {name: browser.color(part, 1) for name, part in PLACES.items()}
        for one in found.values():
            assert sum(sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 40 for other in found.values()) == 4
        assert found["grows"][0] > found["grows"][2]
        assert found["wanes"][2] > found["wanes"][0]


def test_frames_are_tinted_where_noise_is_unknown(browser):
    options = DiffOptions(root="none", name_a="old", name_b="new", rule=UnknownNoise("There are no times."))
    browser.open(diff(_side(0), _side(1), options))
    legend = browser.text("legend")
    # Frames on one side only have a verdict nevertheless.
    assert legend == "✕ gone2? less: inconclusive2= unchanged3? more: inconclusive4✚ new2"
    more, less = (browser.color(PLACES[name], 1) for name in ("grows", "wanes"))
    assert more[0] > more[2]
    assert less[2] > less[0]
    browser.focus()
    browser.keys("x")
    browser.until_text("order", "new → old")
    assert browser.color(PLACES["grows"], 1)[2] > browser.color(PLACES["grows"], 1)[0]


def test_noise_is_grey_and_labelled(browser):
    noise = DiffOptions(root="none", rule=lambda evidence: np.full(len(evidence.rate_a), Verdict.NOISE, np.uint8))
    browser.open(diff(_side(0), _side(1), noise), "#table=1")
    assert {row[0] for row in verdicts(browser).values()} == {"≈ noise"}
    browser.open(diff(_side(0), _side(1), noise))
    for place in PLACES.values():
        color = browser.color(place, 1)
        assert max(color) - min(color) < 12


def test_tooltip_has_both_sides_and_the_normalization(browser, change):
    browser.open(change)
    browser.point(PLACES["grows"], 1)
    browser.until_text("tip", "grows")
    tip = browser.text("tip")
    assert "+ grown" in tip
    assert "total10.0025.00+150.0 %+15.00" in tip
    assert "samples200500" in tip
    assert "Share of the total" in tip
    browser.point(PLACES["lost"], 1)
    browser.until_text("tip", "lost")
    assert "15.000.00gone−15.00" in browser.text("tip")


def test_widths_of_one_side(browser, change):
    browser.open(change)
    browser.focus()
    browser.keys("w")
    assert "only in new have no width" in browser.text("status")
    browser.point(0.45, 1)
    browser.until_text("tip", "grows")
    browser.keys("w")
    browser.point(0.45, 1)
    browser.until_text("tip", "fresh")
    assert "width=after" in browser.address()


def test_self_and_inclusive(browser, change):
    browser.open(change, "#table=1&compare=self")
    assert {name: row[0] for name, row in verdicts(browser).items()} == dict.fromkeys(CHANGES, "= unchanged")
    browser.keys("i")
    assert verdicts(browser)["lost"][0] == "✕ gone"


def test_search_gives_both_shares(browser, change):
    browser.open(change, "#q=grows")
    browser.until_text("search-result", "10.00 % → 25.00 %")


def test_keyboard_announces_the_verdict(browser, change):
    from selenium.webdriver.common.keys import Keys

    browser.open(change)
    browser.focus()
    browser.keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    browser.until_text("live", "grows; grown; old 10.00 %, new 25.00 %; +150.0 %, +15.00 points")


def test_large_diff(browser, large):
    half = large.filter(time=(0, 25))
    browser.open(diff(half, large.filter(time=(25, 50)), DiffOptions(fold_threads=True)))
    assert browser.run("return performance.getEntriesByName('drawn')[0].startTime") < 3000
    assert "inconclusive" in browser.text("legend")
