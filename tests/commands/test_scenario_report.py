"""The table and report of the scenario, from recorded Runs; text from the traced machine is escaped."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from netprobe import load
from netprobe.commands.shared.scenario import MeasuredServer, Plan, compare, run_scenario, write_report
from netprobe.errors import NetprobeError
from netprobe.lab.scenario import steps
from netprobe.load.rounds import Round
from netprobe.render.scenario import as_json, as_text, verdict
from netprobe.render.text import plain

RUNS = Path(__file__).parent.parent / "data" / "runs"
HOSTILE = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>\x1b[31m'
PLAN = Plan(4, 2)


def rounds(per_second: int) -> list[Round]:
    return [Round(1.7e9 + n, 1.0, per_second + 10 * n, 0, {100: per_second, 900 + n: 40}) for n in range(4)]


def measured(change: str = "recv instead of read") -> list[MeasuredServer]:
    """The recorded Runs of the same server with read() and with recv(), as two steps."""
    _, _, _, _, first, second, *_ = steps(2)
    return [
        MeasuredServer(replace(first, fault="read-on-sockets"), 1, rounds(20_000), load(RUNS / "read")),
        MeasuredServer(replace(second, change=change), 2, rounds(25_000), load(RUNS / "recv")),
    ]


def test_fault_is_found_and_gone_in_the_next_step():
    first, second = steps = compare(measured())
    assert first.has("read-on-sockets")
    assert verdict(steps, first) == ""
    assert verdict(steps, second) == "read-on-sockets: gone"
    assert first.gain_pct is None
    assert second.gain_pct is not None
    assert second.gain_pct.value == pytest.approx(25, abs=0.1)
    assert second.gain_pct.low is not None
    assert 24 < second.gain_pct.low < 25


def test_fault_that_stays_or_was_not_found_is_reported():
    one, two = measured()
    steps = compare([one, replace(two, run=one.run)])
    assert verdict(steps, steps[1]) == "read-on-sockets: still present"
    steps = compare([replace(one, run=two.run), two])
    assert verdict(steps, steps[1]) == "read-on-sockets: was not found"


def test_gain_within_noise_is_marked():
    one, two = measured()
    noisy = [replace(here, requests=here.requests + 3_000 * (-1) ** n) for n, here in enumerate(one.rounds)]
    steps = compare([one, replace(two, rounds=noisy)])
    assert "(within noise)" in plain(as_text(steps)).splitlines()[2]


def test_numbers_are_those_of_the_rounds_and_the_run():
    one, two = compare(measured())
    row = as_json([one, two], 1.0, [])["steps"][1]
    assert row["requests_per_second"]["value"] == 25_015
    assert row["latency_us"]["p50"]["value"] == 100
    assert row["latency_us"]["p99.99"]["value"] == pytest.approx(901.5)
    assert row["fixed_is_gone"] is True
    calls = two.context.run.table("syscalls")["calls"].sum()
    requests = two.context.requests
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


def test_recorded_text_never_becomes_markup(tmp_path):
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


def test_page_loads_no_other_file(tmp_path):
    both = measured()
    write_report(compare(both), both, tmp_path, PLAN)
    page = (tmp_path / "report.html").read_text()
    elements = Elements(page).found
    assert not [attributes for _, attributes in elements if {"src", "href"} & set(attributes)]
    assert not re.search(r"@import|url\(", page.split("</style>")[0])
    assert "Plotly.newPlot" in page


def test_directory_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(NetprobeError, match="is not empty"):
        run_scenario(PLAN, tmp_path, variants=False)
    assert [one.name for one in tmp_path.iterdir()] == ["something"]
