"""Hostile names are text on the page, in HTML and in plotly's markup."""

import pytest

import netprobe
from netprobe.render.report import comparison_page, run_page

NAMES = {
    "reactor-0": "<img src=x onerror=window.ran=1>",
    "reactor-1": "</script><script>window.ran=2</script>",
    "timer-0": "<b>bold</b><a href='javascript:window.ran=3'>link</a>",
    "timer-1": "%{x}%{customdata[0]}&lt;i&gt;",
    "lab-server": "\u202egnp.exe\x1b[31m\x00",
    "wrk": '"><svg onload=window.ran=4>',
    "sendto": "<br>$\\frac{1}{2}$<sub>calls</sub>",
    "read": "<!--<script>",
    "recvfrom": "<!--<script>",
    "(idle)": "{{data}}{{script}}",
    "target": "</title><script>window.ran=5</script>",
}
SHAPE = """
const names = {};
for (const element of document.querySelectorAll('*')) names[element.localName] = (names[element.localName] ?? 0) + 1;
return [names.script, names.img ?? 0, names.a, names.title, names.b ?? 0, names.sub ?? 0];
"""


@pytest.fixture(scope="module")
def hostile(run_named, rename):
    return rename(run_named("faulty"), NAMES)


@pytest.fixture(scope="module")
def plain_names(run_named, rename):
    plain = {name: f"name {number}" for number, name in enumerate(NAMES)}
    return rename(run_named("faulty"), plain)


def test_names_are_text(browser, hostile, plain_names):
    shapes = []
    for run in (plain_names, hostile):
        browser.open(run_page.render(run))
        for chart in ("locality", "syscalls", "switches"):
            browser.point_anywhere(chart)
        shapes.append(browser.run(SHAPE))
    assert shapes[1] == shapes[0]
    assert browser.run("return window.ran ?? null") is None


def test_names_are_shown_escaped(browser, hostile):
    browser.open(run_page.render(hostile))
    page = browser.run("return document.body.textContent")
    for name in ("reactor-0", "reactor-1", "timer-0", "timer-1", "wrk", "sendto"):
        assert NAMES[name] in page
    assert "\\u202egnp.exe\\x1b[31m\\x00" in page
    assert not {"\u202e", "\x1b", "\x00"} & set(page)
    assert NAMES["target"] in browser.driver.title
    ticks = browser.run("return [...document.querySelectorAll('#chart-syscalls .ytick')].map((e) => e.textContent)")
    assert NAMES["timer-0"] in ticks
    assert NAMES["timer-1"] in ticks
    legend = browser.run("return document.querySelector('#chart-syscalls .legend').textContent")
    assert NAMES["sendto"] in legend


def test_names_in_a_comparison(browser, hostile, plain_names):
    names = (NAMES["reactor-1"], NAMES["timer-0"])
    browser.open(comparison_page.render(netprobe.compare(plain_names, hostile), names))
    assert browser.run("return window.ran ?? null") is None
    assert names[0] in browser.run("return document.querySelector('h1').textContent")


def test_in_a_notebook(browser, hostile):
    run = netprobe.Run(hostile.info, hostile.tables)
    shown = run._repr_mimebundle_()["text/html"]
    script = b"<script>document.documentElement.dataset.ready = '1'</script>"
    browser.open(b"<!doctype html><meta charset=utf-8><title>Notebook</title>" + shown.encode() + script)
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.images.length") == 0
    assert browser.run("return window.ran ?? null") is None
    assert NAMES["target"] in browser.run("return document.body.textContent")


def test_the_policy_blocks_injected_scripts(browser, pages):
    """A second line of defence. The test reads the expected warnings, so that they are gone from the log."""
    browser.open(pages("faulty"))
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.ran=1\">');"
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    )
    browser.until("return [...document.images].every((image) => image.complete)")
    assert browser.run("return window.ran ?? null") is None
    assert any("Content Security Policy" in line for line in browser.complaints())
