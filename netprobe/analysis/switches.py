"""Context switches added up by thread or by role, with who ran next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from flamegraph.names import fold_names
from netprobe.analysis.histogram import percentile
from netprobe.run.table import Table, thread_rows

Tables = Mapping[str, Table]


@dataclass
class SwitchRow:
    """One thread, or all threads of one role (then `tids` has several)."""

    process: str
    thread: str
    tids: set[tuple[int, int]] = field(default_factory=set)  # (pid, tid)
    voluntary: int = 0
    involuntary: int = 0
    by_cpu: Counter[int] = field(default_factory=Counter)
    # Name of the thread that ran next -> switches; the idle task is nobody's competitor and left out.
    preempted_by: Counter[str] = field(default_factory=Counter)
    followed_by: Counter[str] = field(default_factory=Counter)
    to_idle: int = 0
    waits_ns: Counter[int] = field(default_factory=Counter)
    total_wait_ns: int = 0

    @property
    def switches(self) -> int:
        """All switches away from it."""
        return self.voluntary + self.involuntary

    def wait_percentile_ns(self, share: float) -> float | None:
        """Wait between runnable and running below which that share of the waits lies, within 13 %."""
        return percentile(self.waits_ns, share)


def summarise(tables: Tables, fold: bool = True) -> list[SwitchRow]:
    """One row a thread, or a role with `fold`; most switches first."""
    names = fold_names(tables["switches"].columns["thread"]) if fold else {}
    processes = fold_names(tables["switches"].columns["process"]) if fold else {}
    successors = fold_names(tables["next_tasks"].columns["next_thread"]) if fold and "next_tasks" in tables else {}
    rows: dict[tuple[object, ...], SwitchRow] = {}

    def row(pid: int, tid: int, process: str, thread: str) -> SwitchRow:
        role, process = names.get(thread, thread), processes.get(process, process)
        key = (process, role) if fold else (pid, tid, process, thread)
        here = rows.setdefault(key, SwitchRow(process, role))
        here.tids.add((pid, tid))
        return here

    for *thread, voluntary, involuntary in thread_rows(tables, "switches", "voluntary", "involuntary"):
        here = row(*thread)
        here.voluntary += voluntary
        here.involuntary += involuntary
    for *thread, cpu, following, idle, voluntary, involuntary in thread_rows(
        tables, "next_tasks", "cpu", "next_thread", "next_idle", "voluntary", "involuntary"
    ):
        here = row(*thread)
        here.by_cpu[cpu] += voluntary + involuntary
        if idle:
            here.to_idle += voluntary + involuntary
            continue
        here.followed_by[successors.get(following, following)] += voluntary
        here.preempted_by[successors.get(following, following)] += involuntary
    for *thread, from_ns, waits in thread_rows(tables, "run_queue_histogram", "bucket_start_ns", "waits"):
        row(*thread).waits_ns[from_ns] += waits
    for *thread, total_ns in thread_rows(tables, "run_queue", "total_ns"):
        row(*thread).total_wait_ns += total_ns
    return sorted(rows.values(), key=lambda here: -here.switches)
