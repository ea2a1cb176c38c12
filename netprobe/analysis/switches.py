"""Context switches summed by thread or by role, with the next tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from flamegraph.names import fold_names
from netprobe.analysis.syscalls import percentile
from netprobe.run.table import Table, thread_rows

Tables = Mapping[str, Table]


@dataclass
class SwitchRow:
    """The switches of a thread, or of all threads of a role (`tids` then has several elements)."""

    process: str
    thread: str
    tids: set[tuple[int, int]] = field(default_factory=set)  # (pid, tid)
    voluntary: int = 0
    involuntary: int = 0
    by_cpu: Counter[int] = field(default_factory=Counter)
    # Next thread -> switches. The idle task is not a competitor for the CPU and is counted in `to_idle`.
    preempted_by: Counter[str] = field(default_factory=Counter)
    followed_by: Counter[str] = field(default_factory=Counter)
    to_idle: int = 0
    waits_ns: Counter[int] = field(default_factory=Counter)
    total_wait_ns: int = 0

    @property
    def switches(self) -> int:
        """All switches away from the thread."""
        return self.voluntary + self.involuntary

    def wait_percentile_ns(self, share: float) -> float | None:
        """Percentile of the run-queue latency, within 13 %; None if it was not recorded."""
        return percentile(self.waits_ns, share)


def summarise(tables: Tables, fold: bool = True) -> list[SwitchRow]:
    """One row per role with `fold`, otherwise per thread, by descending number of switches."""
    roles = fold_names(tables["switches"].columns["thread"]) if fold else {}
    processes = fold_names(tables["switches"].columns["process"]) if fold else {}
    next_roles = fold_names(tables["next_tasks"].columns["next_thread"]) if fold and "next_tasks" in tables else {}
    rows: dict[tuple[object, ...], SwitchRow] = {}

    def row(pid: int, tid: int, process: str, thread: str) -> SwitchRow:
        role, process = roles.get(thread, thread), processes.get(process, process)
        key = (process, role) if fold else (pid, tid, process, thread)
        found = rows.setdefault(key, SwitchRow(process, role))
        found.tids.add((pid, tid))
        return found

    for *thread, voluntary, involuntary in thread_rows(tables, "switches", "voluntary", "involuntary"):
        found = row(*thread)
        found.voluntary += voluntary
        found.involuntary += involuntary
    for *thread, cpu, next_thread, idle, voluntary, involuntary in thread_rows(
        tables, "next_tasks", "cpu", "next_thread", "next_idle", "voluntary", "involuntary"
    ):
        found = row(*thread)
        found.by_cpu[cpu] += voluntary + involuntary
        if idle:
            found.to_idle += voluntary + involuntary
            continue
        found.followed_by[next_roles.get(next_thread, next_thread)] += voluntary
        found.preempted_by[next_roles.get(next_thread, next_thread)] += involuntary
    for *thread, bucket_ns, waits in thread_rows(tables, "run_queue_histogram", "bucket_start_ns", "waits"):
        row(*thread).waits_ns[bucket_ns] += waits
    for *thread, total_ns in thread_rows(tables, "run_queue", "total_ns"):
        row(*thread).total_wait_ns += total_ns
    return sorted(rows.values(), key=lambda found: -found.switches)


@dataclass(frozen=True)
class MachineSwitches:
    """Context switches and forks of the whole machine in an interval, or in all intervals."""

    end_s: float
    seconds: float
    switches: int
    forks: int


def machine_switches(intervals: Table) -> tuple[list[MachineSwitches], MachineSwitches]:
    """Those of each interval, and of the whole recording."""
    rows = [
        MachineSwitches(start_s + seconds, seconds, switches, forks)
        for start_s, seconds, switches, forks in intervals.rows(
            "start_s", "duration_s", "machine_switches", "machine_forks"
        )
    ]
    seconds = sum(row.seconds for row in rows)
    return rows, MachineSwitches(seconds, seconds, sum(row.switches for row in rows), sum(row.forks for row in rows))
