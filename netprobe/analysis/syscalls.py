"""System calls added up over a Run, or over one of its intervals: by call, by thread or by process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from netprobe.analysis.histogram import percentile
from netprobe.run.table import Table, thread_rows

By = Literal["syscall", "thread", "process"]
Tables = Mapping[str, Table]
Key = tuple[int, int, str, str, str]
# The row of a thread (pid, tid, process, thread) and a call, made if there is none yet.
RowOf = Callable[[Sequence[Any], str], "SyscallRow"]

CLASSES = ("zero", "positive", "infinite", "unreadable")


@dataclass
class Latency:
    """Time in a call, from entry to exit; a call that had not returned yet does not count."""

    calls: int = 0
    total_ns: int = 0
    histogram: Counter[int] = field(default_factory=Counter)

    @property
    def mean_ns(self) -> float | None:
        """Mean time, None without calls."""
        return self.total_ns / self.calls if self.calls else None

    def percentile_ns(self, share: float) -> float | None:
        """Time below which that share of the calls lies, within 13 %."""
        return percentile(self.histogram, share)


@dataclass
class SyscallRow:
    """One call of one group. `pid`, `tid` are 0 and the names empty where the group does not have them."""

    pid: int
    tid: int
    process: str
    thread: str
    syscall: str
    calls: int = 0
    timeouts: Counter[str] = field(default_factory=Counter)
    # octave of microseconds -> calls and the sum of their timeouts
    positive_timeouts: dict[int, tuple[int, int]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    latency: Latency = field(default_factory=Latency)

    @property
    def median_timeout_ns(self) -> float | None:
        """Median of the positive timeouts: the mean of the octave it lies in, so exact where all are equal."""
        total, seen = sum(calls for calls, _ in self.positive_timeouts.values()), 0
        for octave in sorted(self.positive_timeouts):
            calls, sum_ns = self.positive_timeouts[octave]
            seen += calls
            if 2 * seen >= total and calls:
                return sum_ns / calls
        return None


def summarise(tables: Tables, by: By = "syscall") -> list[SyscallRow]:
    """One row a call and group, unsorted."""
    rows: dict[Key, SyscallRow] = {}

    def row(key: Sequence[Any], syscall: str) -> SyscallRow:
        pid, tid, process, thread = key
        if by == "syscall":
            group: Key = (0, 0, "", "", syscall)
        elif by == "process":
            group = (pid, 0, process, "", syscall)
        else:
            group = (pid, tid, process, thread, syscall)
        if group not in rows:
            rows[group] = SyscallRow(*group)
        return rows[group]

    _add_calls(tables, row)
    _add_latencies(tables, row)
    return list(rows.values())


def _add_calls(tables: Tables, row: RowOf) -> None:
    for *key, syscall, calls in thread_rows(tables, "syscalls", "syscall", "calls"):
        row(key, syscall).calls += calls
    for *key, syscall, timeout, octave, calls, sum_ns in thread_rows(
        tables, "syscall_timeouts", "syscall", "timeout", "timeout_log2_us", "calls", "timeout_total_ns"
    ):
        here = row(key, syscall)
        here.timeouts[timeout] += calls
        if timeout == "positive":
            before = here.positive_timeouts.get(octave, (0, 0))
            here.positive_timeouts[octave] = (before[0] + calls, before[1] + sum_ns)
    for *key, syscall, error, calls in thread_rows(tables, "syscall_errors", "syscall", "errno", "calls"):
        row(key, syscall).errors[error] += calls


def _add_latencies(tables: Tables, row: RowOf) -> None:
    for *key, syscall, calls, total_ns in thread_rows(tables, "syscall_latency", "syscall", "calls", "total_ns"):
        latency = row(key, syscall).latency
        latency.calls += calls
        latency.total_ns += total_ns
    for *key, syscall, from_ns, calls in thread_rows(
        tables, "syscall_latency_histogram", "syscall", "bucket_start_ns", "calls"
    ):
        row(key, syscall).latency.histogram[from_ns] += calls
