"""The reports in the investigation: every number, and the findings of its author."""

import re
from collections import Counter

import pytest

from netprobe import compare
from netprobe.importers.imported_run import as_run
from netprobe.importers.reading import read_reports
from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding, Inconclusive, Pass, Severity
from netprobe.rules.registry import all_rules, findings

FORMATS = {"wrk": 10, "reuseport listing (name, cpu=N, socket I)": 2, "syscount (bcc)": 3, "sar -w": 3}
# Patterns written independently of the importers.
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?=(?:us|ms|s|m|h|k|M|%|GB|MB|KB)?(?:\s|,|$))")
UNITS = {
    "us": 1e3, "ms": 1e6, "s": 1e9, "k": 1e3, "M": 1e6, "GB": 2.0**30, "MB": 2.0**20, "KB": 2.0**10, "%": 1, "": 1,
}  # fmt: skip


@pytest.fixture
def parts(article):
    return read_reports(article)


@pytest.fixture
def runs(parts):
    """Each report as a Run, by its number."""
    return {number: as_run([report]) for number, report in enumerate(parts, 1)}


def of_format(parts, name):
    return [(number, report) for number, report in enumerate(parts, 1) if report.format == name]


def numbers_of(text):
    """The numbers of a line in base units."""
    found = []
    for match in NUMBER.finditer(text):
        unit = re.match(r"us|ms|s|k|M(?!B)|GB|MB|KB|%|", text[match.end() :])[0]
        found.append(float(match[0]) * UNITS[unit])
    return found


def rounded(values):
    return Counter(float(f"{value:.10g}") for value in values)


def test_every_report_is_found(parts):
    assert Counter(report.format for report in parts) == FORMATS
    assert not any(report.skipped_lines for report in parts)


def test_every_line_that_looks_like_a_report_is_in_one(article, parts):
    lines = article.read_text().splitlines()
    inside = {number for report in parts for number in range(report.first_line, report.last_line + 1)}
    row = re.compile(r"\w+ +\d+|\d\d:\d\d:\d\d [AP]M .*|.*cpu=\d+, socket \d+|Requests/sec.*|\d\d\.\d\d%.*")
    outside = [text for number, text in enumerate(lines, 1) if row.fullmatch(text.strip()) and number not in inside]
    assert outside == []
    assert sum(bool(row.fullmatch(text.strip())) for text in lines) > 80


def test_system_calls(article, parts):
    lines = article.read_text().splitlines()
    for _, report in of_format(parts, "syscount (bcc)"):
        expected = [lines[number].split() for number in range(report.first_line, report.last_line)]
        table = next(table for table in report.contents.tables if table.name == "syscalls")
        assert [[name, str(calls)] for name, calls in table.rows("syscall", "calls")] == expected
    assert report.contents.rows == 9


def test_switches_of_the_machine(article, parts):
    lines = article.read_text().splitlines()
    for _, report in of_format(parts, "sar -w"):
        (table,) = report.contents.tables
        for number, time, forks, switches in table.rows("line", "time_s", "proc_per_s", "cswch_per_s"):
            clock, half, *rates = lines[number - 1].split()
            hour, minute, second = map(int, clock.split(":"))
            assert half == "AM"
            assert (time, forks, switches) == (hour * 3600 + minute * 60 + second, *map(float, rates))
        assert len(table) == 4
        # One second each, so that rates are counts.
        assert report.contents.machine == (tuple(table.columns["cswch_per_s"]), (0.0, 0.0, 0.0, 0.0))


def test_load(article, parts):
    lines = article.read_text().splitlines()
    for _, report in of_format(parts, "wrk"):
        (table,) = report.contents.tables
        values = [value for (value,) in table.rows("value")]
        text = [re.sub(r"@.*|/-", "", line) for line in lines[report.first_line - 1 : report.last_line]]
        expected = [number for line in text for number in numbers_of(line)]
        # The name of a percentile is a number in the text, and its name in the table.
        names = [float(name[1:]) for (name,) in table.rows("statistic") if re.match(r"p\d", name)]
        assert rounded([*values, *names]) == rounded(expected)
        assert names == [50, 90, 99, 99.99]
        assert len(values) == 21


def test_listeners(article, parts):
    lines = article.read_text().splitlines()
    for _, report in of_format(parts, "reuseport listing (name, cpu=N, socket I)"):
        expected = lines[report.first_line - 1 : report.last_line]
        rows = report.contents.tables[0].rows("name", "cpu", "socket")
        assert [f"{name}, cpu={cpu}, socket {socket}" for name, cpu, socket in rows] == expected


# ---- The findings of the author ----


def codes(run):
    return {one.code for one in findings(context_of(run))}


def finding(run, code):
    (found,) = [one for one in findings(context_of(run)) if one.code == code]
    return found


def result_of(run, code):
    (rule,) = [rule for rule in all_rules() if code == rule.CODE]
    return context_of(run).result(rule)


def pair(parts, name, *places):
    numbers = [number for number, _ in of_format(parts, name)]
    return [numbers[place] for place in places]


def test_order_of_cpus_is_a_finding(parts, runs):
    wrong, right = pair(parts, "reuseport listing (name, cpu=N, socket I)", 0, 1)
    found = finding(runs[wrong], "reuseport-order")
    assert "indexes 0, 1, … are served on CPU 0, 2, 1, 3" in found.evidence[0].text
    assert "reactor-1 to CPU 1, reactor-2 to CPU 2" in found.fix
    assert "reuseport-order" not in codes(runs[right])
    changes = {one.code: one.status for one in compare(runs[wrong], runs[right]).findings}
    assert changes == {"reuseport-order": "went away"}


def test_waits_per_request(parts, runs):
    libreactor, httpd, waiting = pair(parts, "syscount (bcc)", 0, 1, 2)
    rows = {row.name: row for row in compare(runs[httpd], runs[libreactor]).rows}
    waits = rows["epoll waits of any form"]
    assert waits.per == "request"
    assert (round(waits.rate_a, 1), round(waits.rate_b, 2)) == (1.1, 0.08)
    # A single value has no known spread, so no change is reported.
    assert {row.verdict for row in rows.values()} == {"inconclusive"}
    assert {row.p for row in rows.values()} == {None}
    # Both list their most frequent calls: a call that is not listed is not zero.
    assert "recvfrom" not in rows
    assert any("does not list" in text for text in compare(runs[httpd], runs[libreactor]).skipped)
    found = finding(runs[httpd], "epoll-zero-timeout")
    assert found.summary.startswith("epoll_pwait is called 1.09 times per request")
    # Counts do not prove a zero timeout.
    assert found.severity is Severity.NOTE
    assert any("timeouts were not imported" in one.text for one in found.evidence)
    for number, text in ((libreactor, "0.08 per request"), (waiting, "0.05 per request")):
        timeouts = result_of(runs[number], "epoll-zero-timeout")
        assert isinstance(timeouts, Inconclusive)
        assert text in timeouts.reason


def test_read_instead_of_recv_is_a_finding(parts, runs):
    libreactor, httpd, waiting = pair(parts, "syscount (bcc)", 0, 1, 2)
    for number, calls in ((httpd, 7_272_935), (waiting, 8_422_317)):
        found = finding(runs[number], "read-on-sockets")
        assert [one.value for one in found.evidence][:2] == [calls, 0]
    assert "read-on-sockets" not in codes(runs[libreactor])
    changes = {one.code: one.status for one in compare(runs[httpd], runs[libreactor]).findings}
    assert changes["read-on-sockets"] == "went away"


def test_switches(parts, runs):
    libreactor, half_ms, ten_ms = pair(parts, "sar -w", 0, 1, 2)
    found = finding(runs[half_ms], "timer-thread-switching")
    assert found.summary.startswith("The machine switches context 17066 times per second")
    assert found.severity is Severity.NOTE
    assert isinstance(result_of(runs[libreactor], "timer-thread-switching"), Pass)
    assert isinstance(result_of(runs[ten_ms], "timer-thread-switching"), Inconclusive)
    for after, least, most in ((libreactor, 280, 290), (ten_ms, 1300, 1330)):
        rows = {row.name: row for row in compare(runs[half_ms], runs[after]).rows}
        row = rows["switches, whole machine"]
        assert 17_000 <= row.rate_a <= 17_150
        assert least <= row.rate_b <= most
        # Four intervals on each side: their spread is known.
        assert row.verdict == "less"
        assert row.high_pct is not None
        assert row.high_pct < 0


def test_load_alone_is_reported_without_verdict(parts, runs):
    first, last = pair(parts, "wrk", 2, 9)
    rows = {row.name: row for row in compare(runs[first], runs[last]).rows}
    assert (rows["requests served"].rate_a, rows["requests served"].rate_b) == pytest.approx((357_927.16, 1_007_771.89))
    assert (rows["latency p99.99"].rate_a, rows["latency p99.99"].rate_b) == pytest.approx((1_100_000, 436_000))
    assert {row.verdict for row in rows.values()} == {"inconclusive"}


def test_rules_without_data_are_inconclusive(runs):
    for run in runs.values():
        for rule in all_rules():
            answer = context_of(run).result(rule)
            if isinstance(answer, Inconclusive):
                assert answer.reason
    assert {one.code for run in runs.values() for one in findings(context_of(run))} == {
        "reuseport-order", "read-on-sockets", "epoll-ctl-churn", "epoll-zero-timeout", "timer-thread-switching",
    }  # fmt: skip
    assert all(
        one.cost_pct == 0 for run in runs.values() for one in findings(context_of(run)) if isinstance(one, Finding)
    )
