"""Hostile names: displayed with escapes, without any other effect."""

import pytest

from flamegraph.builder import Builder
from flamegraph.diff import DiffOptions, diff
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info
from flamegraph.writers.html import embedded
from flamegraph.writers.labels import sanitized

NAMES = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    "]]><svg onload=alert(3)>",
    "' onfocus='alert(4)' autofocus='",
    '"><iframe srcdoc="<script>parent.alert(5)</script>">',
    "{{script}}${alert(6)}",
    "javascript:alert(7)",
    "&lt;b&gt;&#x3c;",
    "tab\there\nline\r\x00\x1b[31mred\x7f",
    "\u202egnp.exe\u2066x\u200b\u200f",
    "bytes\udcff\udc80 that are no UTF-8",
    "\ufffe\uffff\U0001ffff",
    "constructor",
    "__proto__",
    "x" * 5000,
    "",
]
# What a name may not leave in a document; the elements of the page itself are counted.
SHAPE = """
const names = {};
for (const element of document.querySelectorAll('*')) names[element.localName] = (names[element.localName] ?? 0) + 1;
return names;
"""


def _profile(names):
    builder = Builder()
    for number, name in enumerate(names):
        thread = builder.thread(Thread(number, number, name))
        frames = [builder.frame(Frame(name, name, Kind(number % 5))), builder.frame(Frame(f"{name}!", name))]
        builder.add(builder.stack(frames), thread, number % 3, count=5, weight=5)
    info = Info(names[0], "samples", 3.0, 1.0, 3, 0, 0, names[1], (names[2], names[5]), (names[3],))
    return builder.profile(info)


@pytest.fixture(scope="module")
def hostile():
    return _profile(NAMES)


@pytest.fixture(scope="module")
def harmless():
    return _profile([f"name {number}" for number in range(len(NAMES))])


def test_page(browser, hostile, harmless):
    shapes = []
    for profile in (harmless, hostile):
        browser.open(profile, "#table=1", title=profile.frames[0].name)
        browser.keys("h")
        browser.focus("search")
        browser.keys("name" if profile is harmless else "alert(1)")
        browser.until_text("search-result", "%")
        browser.run("document.querySelector('#table tbody button').click()")
        browser.run("document.querySelector('#path button').click()")
        browser.keys("")
        browser.run("document.getElementById('search').value = ''")
        shape = browser.run(SHAPE)
        shapes.append(
            {name: shape.get(name) for name in ("script", "img", "iframe", "svg", "b", "style", "link", "body")}
        )
    assert shapes[0] == shapes[1]
    assert shapes[1]["script"] == 1
    assert shapes[1]["img"] is None
    assert "<img src=x onerror=alert(1)>" in browser.text("title")


def test_names_are_shown_with_escapes(browser, hostile):
    browser.open(hostile, "#table=1", root="none")
    names = browser.run(
        "return [...[...document.querySelectorAll('#table table')].at(-1).tBodies[0].rows]"
        ".map((row) => row.cells[0].textContent)"
    )
    assert set(names) == {sanitized(name) for name in NAMES} | {sanitized(f"{name}!") for name in NAMES}
    assert not any(character in name for name in names for character in "\n\r\t\x1b\u202e\u200b")


def test_picture(browser, hostile):
    browser.open(hostile, suffix=".svg")
    shape = browser.run(SHAPE)
    assert shape["script"] == 1
    assert shape["svg"] == 1
    assert {"img", "iframe", "b"}.isdisjoint(shape)
    titles = browser.run("return [...document.querySelectorAll('#frames title')].map((e) => e.textContent)")
    assert any(title.startswith("</script><script>alert(2)</script>\n") for title in titles)


def test_diff(browser, hostile):
    compared = diff(hostile, hostile, DiffOptions(name_a=NAMES[0], name_b=NAMES[1]))
    browser.open(compared)
    browser.point(0.5, 1)
    browser.until("return !document.getElementById('tip').hidden")
    assert browser.run(SHAPE)["script"] == 1
    browser.open(compared, suffix=".svg")
    assert browser.run(SHAPE)["script"] == 1


def test_injected_markup_runs_nothing(browser, known):
    """The policy prevents scripts even if the page has a fault. Its messages are expected, and removed from the log."""
    browser.open(known)
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran=1\">"
        '<iframe srcdoc="<script>parent.ran=1</script>"></iframe>\');'
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    )
    # An image's error comes after it was tried.
    browser.until("return [...document.images].every((image) => image.complete)")
    assert browser.run("return window.ran ?? null") is None
    assert any("Content Security Policy" in line for line in browser.complaints())


def test_in_a_notebook(browser, hostile, tmp_path):
    path = tmp_path / "notebook.htm"
    path.write_text(f"<!doctype html><title>Notebook</title><body>{embedded(hostile)}</body>", "utf-8")
    browser.load(path)
    frame = browser.driver.find_element("tag name", "iframe")
    assert frame.get_attribute("sandbox") == "allow-scripts"
    browser.driver.switch_to.frame(frame)
    try:
        browser.until("return document.documentElement.dataset.ready === '1'")
        browser.press(0.5, 1)
        assert browser.run("try { return parent.document.title } catch (e) { return e.name }") == "SecurityError"
    finally:
        browser.driver.switch_to.default_content()
