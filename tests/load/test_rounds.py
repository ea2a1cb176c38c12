"""Rounds as reports, tables of a Run, and pyperf suites."""

import pytest

from netprobe.errors import NetprobeError
from netprobe.load.reports import parse_round
from netprobe.load.rounds import Round, percentile, round_tables


def test_report_of_one_round():
    text = "noise\nnetprobe-load 5 requests 2000000 us 99 bytes 1 connect 2 read 3 write 4 status 5 timeout\n"
    one = parse_round(text + "netprobe-latency 100 3\nnetprobe-latency 250 2\n")
    assert (one.requests, one.seconds, one.errors, one.per_second) == (5, 2.0, 15, 2.5)
    assert [one.percentile(p) for p in (50, 60, 61, 100)] == [100, 100, 250, 250]
    with pytest.raises(NetprobeError, match="has no result"):
        parse_round("Running 1s test")


def test_percentile_without_requests():
    assert percentile({}, 50) == 0


def test_rounds_as_tables():
    rounds = [Round(1.0, 1.0, 4, 1, {10: 3, 20: 1}), Round(2.0, 1.0, 1, 0, {30: 1})]
    first, latency = round_tables(rounds)
    assert list(first.rows("round", "requests", "errors", "p50_us", "p99_99_us")) == [
        (1, 4, 1, 10, 20),
        (2, 1, 0, 30, 30),
    ]
    assert list(latency.rows("round", "latency_us", "requests")) == [(1, 10, 3), (1, 20, 1), (2, 30, 1)]
