"""The scenario's table and report from recorded Runs; names from the traced machine stay text."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from netprobe import load
from netprobe.commands.scenario.climbing import climb, compare, write_report
from netprobe.commands.scenario.measuring import Measured, Plan
from netprobe.errors import NetprobeError
from netprobe.lab.load import Round
from netprobe.lab.scenario import steps
from netprobe.render.scenario import as_json, as_text, verdict
from netprobe.render.text import plain

RUNS = Path(__file__).parent.parent / "data" / "runs"
HOSTILE = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>\x1b[31m'
PLAN = Plan(4, 2)


def rounds(per_second: int) -> list[Round]:
    return [Round(1.7e9 + n, 1.0, per_second + 10 * n, 0, {100: per_second, 900 + n: 40}) for n in range(4)]


def measured(words: str = "recv instead of read") -> list[Measured]:
    """The recorded Runs of the same server with read() and with recv(), as two steps."""
    _, _, _, _, below, above, *_ = steps(2)
    return [
        Measured(replace(below, fault="read-on-sockets"), 1, rounds(20_000), load(RUNS / "read")),
        Measured(replace(above, words=words), 2, rounds(25_000), load(RUNS / "recv")),
    ]


def test_the_fault_was_named_and_is_gone():
    first, second = steps = compare(measured())
    assert first.has("read-on-sockets")
    assert verdict(steps, first) == ""
    assert verdict(steps, second) == "read-on-sockets: gone"
    assert first.gain_pct is None
    assert second.gain_pct is not None
    assert second.gain_pct.value == pytest.approx(25, abs=0.1)
    assert second.gain_pct.low is not None
    assert 24 < second.gain_pct.low < 25


def test_a_fault_that_stays_is_said():
    one, two = measured()
    steps = compare([one, replace(two, run=one.run)])
    assert verdict(steps, steps[1]) == "read-on-sockets: still there"
    steps = compare([replace(one, run=two.run), two])
    assert verdict(steps, steps[1]) == "read-on-sockets: was not named"


def test_a_gain_that_was_not_seen():
    one, two = measured()
    noisy = [replace(here, requests=here.requests + 3_000 * (-1) ** n) for n, here in enumerate(one.rounds)]
    steps = compare([one, replace(two, rounds=noisy)])
    assert "(none seen)" in plain(as_text(steps)).splitlines()[2]


def test_numbers():
    one, two = compare(measured())
    row = as_json([one, two], 1.0, [])["steps"][1]
    assert row["requests_per_second"]["value"] == 25_015
    assert row["latency_us"]["p50"]["value"] == 100
    assert row["latency_us"]["p99.99"]["value"] == pytest.approx(901.5)
    assert row["fixed_is_gone"] is True
    calls = two.facts.run.table("syscalls")["calls"].sum()
    requests = two.facts.requests
    assert requests is not None
    assert row["calls_per_request"] == pytest.approx(calls / requests.count)


class Elements(HTMLParser):
    """Tags with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_nothing_measured_becomes_markup(tmp_path):
    both = measured(HOSTILE)
    steps = compare(both)
    write_report(steps, both, tmp_path, PLAN)
    page = (tmp_path / "report.html").read_text()
    elements = Elements(page).found
    assert [tag for tag, _ in elements].count("script") == 3
    assert not [tag for tag, _ in elements if tag == "img"]
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    assert "\x1b" not in page
    assert "alert(1)" in page
    frames = [attributes for tag, attributes in elements if tag == "iframe"]
    assert len(frames) == 3
    assert {frame["sandbox"] for frame in frames} == {"allow-scripts"}


def test_the_page_loads_nothing(tmp_path):
    both = measured()
    write_report(compare(both), both, tmp_path, PLAN)
    page = (tmp_path / "report.html").read_text()
    elements = Elements(page).found
    assert not [attributes for _, attributes in elements if {"src", "href"} & set(attributes)]
    assert not re.search(r"@import|url\(", page.split("</style>")[0])
    assert "Plotly.newPlot" in page


def test_a_directory_that_is_used(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(NetprobeError, match="is not empty"):
        climb(PLAN, tmp_path, beside=False)
    assert [one.name for one in tmp_path.iterdir()] == ["something"]
