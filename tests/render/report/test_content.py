"""The content of the page, also of Runs with little data."""

import base64
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from msgspec.structs import replace as replace_fields

from netprobe import Run as OpenedRun
from netprobe import load
from netprobe.errors import NetprobeError
from netprobe.render.plotly_js import plotly_js
from netprobe.render.report import html, run_page
from netprobe.render.text import TextColumn, TextTable
from netprobe.run.description import RecordingInfo, RunInfo, TargetInfo
from netprobe.run.model import Run
from netprobe.run.table import Table


class SectionText(HTMLParser):
    """The text of each section; unclosed elements stay in `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.open: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "input", "br"):
            self.open.append((tag, dict(attrs).get("id") or ""))

    def handle_endtag(self, tag):
        assert self.open[-1][0] == tag, (self.open, tag)
        self.open.pop()

    def handle_data(self, data):
        for tag, name in self.open:
            if tag == "section":
                self.sections[name] = self.sections.get(name, "") + data


def sections_of(page):
    parser = SectionText()
    parser.feed(page.decode())
    parser.close()
    assert parser.open == []
    return parser.sections


def test_the_verdict_comes_first_with_its_findings(pages, run_named):
    shown = sections_of(pages("faulty"))
    assert next(iter(shown)) == "findings"
    found = run_named("faulty").findings()
    assert found[0].code == "reuseport-order"
    for one in found:
        assert html.counted(one.summary) in shown["findings"]
        assert one.fix in shown["findings"]
        assert all(html.counted(evidence.text) in shown["findings"] for evidence in one.evidence)


def test_a_server_without_faults(pages):
    assert "No rule has a finding" in sections_of(pages("fixed"))["findings"]


def test_recording_details(pages, run_named):
    shown, info = sections_of(pages("faulty"))["recording"], run_named("faulty").info
    for value in (info.host.kernel, info.recording.started, info.target.description):
        assert value in shown
    assert all(probe in shown for probe in info.probes)
    assert all(program.program in shown for program in info.cost.programs)


def test_missing_data_are_reported_in_their_section_and_in_the_list(pages):
    shown = sections_of(pages("few-probes"))
    for section in ("locality", "reuseport", "switches", "busypoll"):
        assert "Not available: needs the probe" in shown[section]
    assert "Needs the probe locality" in shown["missing"]
    assert "reactor-0" in shown["syscalls"]


def test_dropped_events_are_reported(run_named):
    run = run_named("few-probes")
    info = replace_fields(run.info, dropped=["17 events of <thread> had no room"], unavailable=["on_send: no BTF"])
    shown = sections_of(run_page.render(Run(info, run.tables)))["missing"]
    assert "Not complete: 17 events of <thread> had no room" in shown
    assert "Not available: on_send: no BTF" in shown


CALLS = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.600000           6    100000           epoll_wait
 40.00    0.400000           4    100000     20000 read
------ ----------- ----------- --------- --------- ----------------
100.00    1.000000                200000     20000 total
"""
SWITCHES = """\
12:00:01       proc/s   cswch/s
12:00:02         0.00  17012.00
12:00:03         0.00  17020.00
"""


WRK = """\
Running 10s test @ http://127.0.0.1:80/
  2 threads and 100 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms    0.93ms  10.70ms   67.66%
    Req/Sec    40.05k     1.12k   42.50k    64.84%
  Latency Distribution
     50%    1.10ms
     99%    3.00ms
  800000 requests in 10.00s, 19.81MB read
Requests/sec:  80000.00
Transfer/sec:      1.98MB
"""


def imported(command, tmp_path, text):
    (tmp_path / "text").write_text(text)
    done = command("import", tmp_path / "text", "-o", tmp_path / "run")
    assert done.status == 0, done.err
    return load(tmp_path / "run")


def test_imported_calls(netprobe, tmp_path):
    """Without times, host, threads."""
    shown = sections_of(run_page.render(imported(netprobe, tmp_path, CALLS)))
    assert "200,000" in shown["findings"]
    assert re.search(r"epoll_wait\s*100,000", shown["syscalls"])
    assert "the length of the recording is unknown" in shown["time"]
    assert "strace -c" in shown["recording"]
    assert "Not in the imported reports: which threads made the calls" in shown["missing"]
    assert all("Not available" in shown[section] for section in ("locality", "switches", "busypoll", "flame", "load"))
    assert not re.search(r"\b(None|nan)\b", "".join(shown.values()))


def test_an_imported_report_of_a_load_generator(netprobe, tmp_path):
    run = imported(netprobe, tmp_path, WRK)
    (line,) = run.figures.latency().data
    assert list(line.x) == pytest.approx([0.0011, 0.0012, 0.003, 0.0107])
    shown = sections_of(run_page.render(run))
    assert "80,000 requests per second" in shown["load"]
    assert "number of requests is unknown" not in shown["load"]
    assert "no latency was recorded" not in shown["load"]
    assert re.search(r"latency\s*p99\s*3.00ms", shown["load"])


def test_imported_switches(netprobe, tmp_path):
    """Of the whole machine, with times."""
    run = imported(netprobe, tmp_path, SWITCHES)
    (line,) = run.figures.over_time().data
    assert list(line.y)[1:-1] == pytest.approx([17012, 17020])
    shown = sections_of(run_page.render(run))
    assert "Not available" not in shown["time"]
    assert not re.search(r"\b(None|nan)\b", "".join(shown.values()))


def test_a_run_without_any_table():
    info = RunInfo(target=TargetInfo(description="nothing"), recording=RecordingInfo(seconds=1.0))
    shown = sections_of(run_page.render(Run(info, {})))
    assert "Inconclusive" in shown["findings"]


def test_both_sides_and_changes(pages):
    page = pages("faulty", "fixed")
    shown = sections_of(page)
    assert "3 findings went away" in shown["findings"]
    assert "read, reactor-N" in shown["changes"]
    assert "gone" in shown["changes"]
    assert "Within noise: " in shown["changes"]
    for section in ("load", "locality", "reuseport", "syscalls", "switches", "busypoll", "recording"):
        assert "A: faulty" in shown[section]
        assert "B: fixed" in shown[section]
    assert len(re.findall(rb'class="chart" ', page)) == 12


def test_a_lower_throughput_is_never_green(pages):
    page = pages("read", "recv")
    said = sections_of(page)["findings"]
    assert re.search(r"60,327 → 17,301 \(-71 %; 95 % confidence interval: -\d[\d.]* to -\d[\d.]* %\)", said)
    assert "the load may differ, rather than the server" in said
    assert b'class="verdict minor"' in page
    assert b'class="verdict good"' not in page


def test_two_recordings_of_one_server_are_within_noise(pages):
    shown = sections_of(pages("same-1", "same-2"))
    assert re.search(
        r"83,578 → 79,623, within noise \(-5 %; 95 % confidence interval: -[\d.]+ to \+[\d.]+ %\)", shown["findings"]
    )
    assert re.search(r"None of \d+ metrics changed by more than noise", shown["changes"])
    assert "changed" not in shown["missing"]


def test_findings_of_two_runs_are_sorted_by_cost(pages):
    page = pages("faulty", "fixed").decode()
    cards = re.findall(r'<details class="finding (\w+)" id="finding-([\w-]+)"( open)?', page)
    ranks = [["major", "minor", "note"].index(severity) for severity, *_ in cards]
    assert ranks == sorted(ranks)
    assert [bool(opened) for *_, opened in cards] == [True, False, False]
    assert page.count('class="badge went-away">went away') == 3
    assert re.search(r'<summary><span class="badge major">major</span>', page)


def test_every_chart_over_time_has_a_table(pages):
    page = pages("polling")
    shown = sections_of(page)
    for section in ("load", "time"):
        assert "Data of the chart, as a table" in shown[section]
    assert re.search(r"System calls per second\s*sendto\s*[\d,]+", shown["time"])


def test_counts_have_grouped_digits_and_identifiers_have_not():
    columns = [TextColumn("PID", True), TextColumn("COUNT", True), TextColumn("PER SECOND", True), TextColumn("NAME")]
    shown = html.table(TextTable(columns, [["217296", "217296", "1234.5", "217296"]]), "")
    assert re.findall(r"<td[^>]*>([^<]*)", shown) == ["217296", "217,296", "1,234.5", "217296"]
    sentence = (
        "100.0 % of 217296 messages on port 41625, 2005 times per second, by process 15625; 54300 of 2000000 polls"
    )
    assert html.counted(sentence) == (
        "100.0 % of 217,296 messages on port 41625, 2,005 times per second, by process 15625; 54,300 of 2,000,000 polls"
    )


def long_run(run, times):
    """The same intervals again and again, as of a longer recording."""
    intervals = len(run.tables["intervals"])
    tables = {}
    for name, table in run.tables.items():
        if "interval" not in table.columns:
            tables[name] = table
            continue
        columns = {key: np.tile(np.asarray(values, object), times) for key, values in table.columns.items()}
        shift = np.repeat(np.arange(times), len(table))
        columns["interval"] = columns["interval"].astype(int) + shift * intervals
        if name == "intervals":
            columns["start_s"] = columns["start_s"].astype(float) + shift * run.seconds
        tables[name] = Table(name, {key: values.tolist() for key, values in columns.items()})
    window = replace_fields(run.info.recording, seconds=run.seconds * times, intervals=intervals * times)
    return Run(replace_fields(run.info, recording=window), tables)


def test_a_minute_is_less_than_6_mb(run_named):
    run = run_named("polling")
    longer = long_run(run, 10)
    assert longer.seconds > 60
    page = run_page.render(longer)
    assert base64.b64encode(zlib.compress(plotly_js().encode(), 9)) in page
    assert len(page) < 6_000_000


def test_the_page_makes_no_request(pages):
    for page in (pages("faulty"), pages("faulty", "fixed")):
        text = page.decode()
        assert not re.search(r"""(src|href)=["'](?!#|data:)""", text.split('id="plotly"')[0])
        assert "default-src 'none'" in text
        assert "unsafe-eval" not in text


@pytest.mark.parametrize("corruption", ["not json", '{"benchmarks": [{"runs": [{"values": ["x", NaN]}]}]}', "[]"])
def test_a_corrupt_suite_is_ignored(run_named, tmp_path, corruption):
    (tmp_path / "bench.json").write_text(corruption)
    run = run_named("few-probes")
    with pytest.raises(NetprobeError, match="no latency"):
        _ = OpenedRun(run.info, run.tables, tmp_path).figures.latency()
