"""System calls summed over a Run or over one of its intervals: by call, by thread or by process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from netprobe.run.table import Table, thread_rows

By = Literal["syscall", "thread", "process"]
Tables = Mapping[str, Table]
Key = tuple[int, int, str, str, str]
# The row of a thread (pid, tid, process, thread) and a call, created at the first access.
RowOf = Callable[[Sequence[Any], str], "SyscallRow"]


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The value below which `share` (0..1) of the counted values lie; None if nothing was counted.

    `counts` maps the start of a log-linear bucket (netprobe/probes/histogram.py) to a count. Values are assumed to be
    evenly distributed in their bucket, whose width is at most a quarter of its start: the error is at most 13 %.
    """
    total = sum(counts.values())
    if not total:
        return None
    wanted, seen = share * total, 0
    for start in sorted(counts):
        count = counts[start]
        if seen + count >= wanted:
            return start + _bucket_width(start) * (wanted - seen) / count
        seen += count
    return None


def _bucket_width(start: int) -> int:
    return 1 if start < 8 else 1 << (start.bit_length() - 3)


@dataclass
class Latency:
    """Time from entry to exit. Calls that have not returned are not counted."""

    calls: int = 0
    total_ns: int = 0
    histogram: Counter[int] = field(default_factory=Counter)

    @property
    def mean_ns(self) -> float | None:
        """Mean time, None without calls."""
        return self.total_ns / self.calls if self.calls else None

    def percentile_ns(self, share: float) -> float | None:
        """Percentile of the time, within 13 %."""
        return percentile(self.histogram, share)


@dataclass
class SyscallRow:
    """One call of one group. `pid` and `tid` are 0 and names are empty where the group has none."""

    pid: int
    tid: int
    process: str
    thread: str
    syscall: str
    calls: int = 0
    timeouts: Counter[str] = field(default_factory=Counter)
    # log2 of microseconds -> number of calls and sum of their timeouts
    positive_timeouts: dict[int, tuple[int, int]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    latency: Latency = field(default_factory=Latency)

    @property
    def median_timeout_ns(self) -> float | None:
        """Median of the positive timeouts: the mean of the bucket that has the median, exact for equal timeouts."""
        total, seen = sum(calls for calls, _ in self.positive_timeouts.values()), 0
        for bucket in sorted(self.positive_timeouts):
            calls, sum_ns = self.positive_timeouts[bucket]
            seen += calls
            if 2 * seen >= total and calls:
                return sum_ns / calls
        return None


def summarise(tables: Tables, by: By = "syscall") -> list[SyscallRow]:
    """One row per call and group, unsorted."""
    rows: dict[Key, SyscallRow] = {}

    def row(thread: Sequence[Any], syscall: str) -> SyscallRow:
        pid, tid, process, name = thread
        if by == "syscall":
            group: Key = (0, 0, "", "", syscall)
        elif by == "process":
            group = (pid, 0, process, "", syscall)
        else:
            group = (pid, tid, process, name, syscall)
        if group not in rows:
            rows[group] = SyscallRow(*group)
        return rows[group]

    _add_calls(tables, row)
    _add_latencies(tables, row)
    return list(rows.values())


def _add_calls(tables: Tables, row: RowOf) -> None:
    for *thread, syscall, calls in thread_rows(tables, "syscalls", "syscall", "calls"):
        row(thread, syscall).calls += calls
    for *thread, syscall, timeout, bucket, calls, sum_ns in thread_rows(
        tables, "syscall_timeouts", "syscall", "timeout", "timeout_log2_us", "calls", "timeout_total_ns"
    ):
        found = row(thread, syscall)
        found.timeouts[timeout] += calls
        if timeout == "positive":
            before = found.positive_timeouts.get(bucket, (0, 0))
            found.positive_timeouts[bucket] = (before[0] + calls, before[1] + sum_ns)
    for *thread, syscall, error, calls in thread_rows(tables, "syscall_errors", "syscall", "errno", "calls"):
        row(thread, syscall).errors[error] += calls


def _add_latencies(tables: Tables, row: RowOf) -> None:
    for *thread, syscall, calls, total_ns in thread_rows(tables, "syscall_latency", "syscall", "calls", "total_ns"):
        latency = row(thread, syscall).latency
        latency.calls += calls
        latency.total_ns += total_ns
    for *thread, syscall, bucket_ns, calls in thread_rows(
        tables, "syscall_latency_histogram", "syscall", "bucket_start_ns", "calls"
    ):
        row(thread, syscall).latency.histogram[bucket_ns] += calls
