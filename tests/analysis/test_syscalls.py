"""Tables summed by call, thread and process."""

from typing import Any

import pytest

from netprobe.analysis.syscalls import SyscallRow, summarise
from netprobe.run.table import Table

THREADS = [(10, 10, "web", "main"), (10, 11, "web", "io-0"), (20, 20, "web", "main")]


def table(name: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    """Rows begin with the index of a thread in THREADS, and belong to interval 0."""
    names = ("interval", "pid", "tid", "process", "thread", *columns)
    full = [(0, *THREADS[row[0]], *row[1:]) for row in rows]
    return Table(name, {key: [row[index] for row in full] for index, key in enumerate(names)})


TABLES = {
    one.name: one
    for one in (
        table("syscalls", ("syscall", "calls"), [(0, "read", 3), (0, "read", 4), (1, "read", 5), (2, "poll", 11)]),
        table(
            "syscall_timeouts",
            ("syscall", "timeout", "timeout_log2_us", "calls", "timeout_total_ns"),
            [
                (2, "poll", "zero", -1, 4, 0),
                (2, "poll", "positive", 6, 5, 500_000),
                (2, "poll", "positive", 9, 2, 2_000_000),
            ],
        ),
        table("syscall_errors", ("syscall", "errno", "calls"), [(1, "read", "EAGAIN", 2), (0, "read", "EAGAIN", 1)]),
        table("syscall_latency", ("syscall", "calls", "total_ns"), [(0, "read", 7, 700), (1, "read", 5, 900)]),
        table(
            "syscall_latency_histogram",
            ("syscall", "bucket_start_ns", "calls"),
            [(0, "read", 96, 7), (1, "read", 160, 5)],
        ),
    )
}


def found(by: str) -> dict[tuple[Any, ...], SyscallRow]:
    return {(row.pid, row.tid, row.thread, row.syscall): row for row in summarise(TABLES, by)}


def test_sums_by_call():
    rows = found("syscall")
    assert set(rows) == {(0, 0, "", "read"), (0, 0, "", "poll")}
    read = rows[0, 0, "", "read"]
    assert (read.calls, read.errors, read.latency.calls, read.latency.mean_ns) == (12, {"EAGAIN": 3}, 12, 1600 / 12)
    assert read.latency.histogram == {96: 7, 160: 5}


def test_sums_by_thread():
    rows = found("thread")
    assert {key: row.calls for key, row in rows.items()} == {
        (10, 10, "main", "read"): 7, (10, 11, "io-0", "read"): 5, (20, 20, "main", "poll"): 11,
    }  # fmt: skip


def test_sums_by_process():
    rows = found("process")
    assert {key: row.calls for key, row in rows.items()} == {(10, 0, "", "read"): 12, (20, 0, "", "poll"): 11}


@pytest.mark.parametrize("by", ["syscall", "thread", "process"])
def test_timeouts_by_class(by):
    (poll,) = [row for row in summarise(TABLES, by) if row.syscall == "poll"]
    assert poll.timeouts == {"zero": 4, "positive": 7}
    assert poll.median_timeout_ns == 100_000


@pytest.mark.parametrize(
    ("timeouts", "median"),
    [
        ({}, None),
        ({6: (3, 300)}, 100),
        ({6: (1, 100), 9: (2, 2000)}, 1000),
        ({6: (2, 200), 9: (2, 2000)}, 100),
        ({9: (5, 5000), 0: (4, 2)}, 1000),
        ({0: (0, 0), 3: (1, 8)}, 8),
    ],
)
def test_median_of_the_timeouts(timeouts, median):
    assert SyscallRow(0, 0, "", "", "poll", positive_timeouts=timeouts).median_timeout_ns == median


def test_a_run_without_optional_tables():
    rows = summarise({"syscalls": TABLES["syscalls"]})
    assert sum(row.calls for row in rows) == 23
    assert rows[0].latency.mean_ns is None
    assert rows[0].latency.percentile_ns(0.5) is None
