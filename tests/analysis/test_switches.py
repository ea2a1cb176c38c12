"""Switches by thread and by role."""

from typing import Any

from netprobe.analysis.switches import SwitchRow, summarise
from netprobe.run.table import Table

THREADS = [(10, 11, "web", "timer-0"), (10, 12, "web", "timer-1"), (10, 10, "web", "web")]


def table(name: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    names = ("interval", "pid", "tid", "process", "thread", *columns)
    full = [(0, *THREADS[row[0]], *row[1:]) for row in rows]
    return Table(name, {key: [row[index] for row in full] for index, key in enumerate(names)})


TABLES = {
    one.name: one
    for one in (
        table("switches", ("voluntary", "involuntary"), [(0, 5, 1), (1, 6, 2), (2, 100, 0)]),
        table(
            "next_tasks",
            ("cpu", "next_thread", "next_idle", "voluntary", "involuntary"),
            [
                (0, 0, "(idle)", True, 3, 0),
                (0, 1, "wrk", False, 2, 1),
                (1, 0, "timer-0", False, 6, 0),
                (1, 0, "kworker/0:1", False, 0, 2),
                (2, 0, "(idle)", True, 100, 0),
            ],
        ),
        table("run_queue", ("total_ns",), [(0, 3000), (1, 1000)]),
        table("run_queue_histogram", ("bucket_start_ns", "waits"), [(0, 1024, 3), (1, 1024, 1)]),
    )
}


def found(fold: bool) -> dict[str, SwitchRow]:
    return {row.thread: row for row in summarise(TABLES, fold)}


def test_sums_by_role():
    rows = found(fold=True)
    assert list(rows) == ["web", "timer-N"]
    timers = rows["timer-N"]
    assert (timers.voluntary, timers.involuntary, timers.switches) == (11, 3, 14)
    assert timers.tids == {(10, 11), (10, 12)}
    assert timers.by_cpu == {0: 11, 1: 3}
    assert timers.to_idle == 3
    assert +timers.preempted_by == {"wrk": 1, "kworker/N": 2}
    assert +timers.followed_by == {"wrk": 2, "timer-0": 6}


def test_sums_by_thread():
    rows = found(fold=False)
    assert {name: row.switches for name, row in rows.items()} == {"web": 100, "timer-1": 8, "timer-0": 6}
    assert +rows["timer-1"].preempted_by == {"kworker/0:1": 2}


def test_the_idle_task_is_not_a_next_task():
    for row in summarise(TABLES):
        assert "(idle)" not in {**row.followed_by, **row.preempted_by}


def test_run_queue_latency():
    timers = found(fold=True)["timer-N"]
    assert timers.total_wait_ns == 4000
    assert timers.waits_ns == {1024: 4}
    assert 1024 <= timers.wait_percentile_ns(0.5) < 1280
    assert found(fold=True)["web"].wait_percentile_ns(0.5) is None
