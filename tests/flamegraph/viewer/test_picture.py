"""The SVG in a browser: zoom and search."""

import pytest

from flamegraph.diff import DiffOptions, diff

FRAME = "[...document.querySelectorAll('#frames g')].find((g) => g.textContent.startsWith(arguments[0]))"


def shape(browser, name):
    return browser.run(
        f"const g = {FRAME}; const r = g.querySelector('rect');"
        "return g.style.display === 'none' ? null : [Number(r.getAttribute('x')), Number(r.getAttribute('width'))]",
        name,
    )


def click(browser, name):
    browser.run(f"{FRAME}.querySelector('rect').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))", name)


@pytest.mark.parametrize("inverted", [False, True])
def test_zoom(browser, known, inverted):
    browser.open(known, suffix=".svg", root="none", width=1024, inverted=inverted)
    assert shape(browser, "alpha") == [12, 600]
    click(browser, "beta")
    assert shape(browser, "beta") == [12, 1000]
    assert shape(browser, "main") == [12, 1000]
    assert shape(browser, "alpha") is None
    assert browser.run("return document.getElementById('back').getAttribute('visibility')") == "visible"
    browser.run("document.getElementById('back').dispatchEvent(new MouseEvent('click'))")
    assert shape(browser, "alpha") == [12, 600]


@pytest.mark.parametrize(
    ("wanted", "message", "hits"),
    [
        ("alpha", "Matched: 60.00 % of the width, 1 frame", 1),
        ("/^(alpha|beta)$/", "Matched: 90.00 % of the width, 2 frames", 2),
        ("a", "Matched: 100.00 % of the width, 4 frames", 4),
        ("nothing", "No match", 0),
        ("/(/", "Not a regular expression", 0),
    ],
)
def test_search(browser, known, wanted, message, hits):
    browser.open(known, suffix=".svg", root="none")
    browser.run("window.prompt = () => arguments[0]", wanted)
    browser.run("document.getElementById('search').dispatchEvent(new MouseEvent('click'))")
    assert message in browser.text("status")
    assert browser.run("return document.querySelectorAll('#frames .hit').length") == hits


def test_diff_shows_signs(browser, known):
    compared = diff(known.filter(time=(0, 5)), known.filter(time=(5, 10)), DiffOptions(fold_threads=True))
    browser.open(compared, suffix=".svg")
    labels = browser.run("return [...document.querySelectorAll('#frames title')].map((e) => e.textContent)")
    assert any(label.startswith("✕ alpha\ngone: ") for label in labels)
    assert any(label.startswith("✚ beta\nnew: ") for label in labels)
    # A search is for the name, which the sign is no part of.
    browser.run("window.prompt = () => '/^beta$/'")
    browser.run("document.getElementById('search').dispatchEvent(new MouseEvent('click'))")
    assert browser.run("return document.querySelectorAll('#frames .hit').length") == 1
