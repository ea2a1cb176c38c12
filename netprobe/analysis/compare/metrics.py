"""What is counted: the metrics that two Runs are compared by, and each one's counts by time block."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flamegraph.names import fold_names
from netprobe.run.table import Table

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Group = Literal[
    "system calls", "time-outs", "switches", "preemptions", "locality", "busy polling", "packets", "machine",
    "CPU time", "load",
]  # fmt: skip
Of = Literal["time or requests", "share", "mean"]
Tables = Mapping[str, Table]

# Several calls together (families.py).
EPOLL_WAITS, POLL_WAITS = "epoll waits of any form", "poll and select of any form"
ZERO_TIMEOUT = "with time-out zero"
# They return when something has happened: how often depends on how much comes together, not on the code alone.
_WAITS = frozenset(
    (
        *("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "io_uring_enter"),
        *("futex", "futex_wait", "nanosleep", "clock_nanosleep", "sched_yield", "io_getevents", "io_pgetevents"),
        *(EPOLL_WAITS, POLL_WAITS),
    )
)


@dataclass(frozen=True, order=True)
class Metric:
    """One thing that is counted. `role`: threads of one work, "" for all; `name`: the call, the reason …"""

    group: Group
    name: str
    role: str = ""
    detail: str = ""
    of: Of = "time or requests"
    unit: str = ""
    """What one of the counted is: calls, switches, packets, ns …"""
    by_others: bool = False
    """Done by programs that are not watched."""

    @property
    def waits(self) -> bool:
        """Whether its number depends on how much work comes together."""
        return self.group == "time-outs" or (self.group == "system calls" and self.name in _WAITS)

    @property
    def words(self) -> str:
        """As a table shows it."""
        what = " ".join(filter(None, (self.name, self.detail)))
        return f"{what}, {self.role}" if self.role else what


@dataclass
class Counts:
    """Counts by block of each metric of a Run; for shares and means also what they are shares or means of."""

    blocks: int
    counts: dict[Metric, Floats] = field(default_factory=dict)
    whole: dict[Metric, Floats] = field(default_factory=dict)

    def add(self, metric: Metric, block: int, count: float) -> None:
        """Count."""
        _add(self.counts, metric, self.blocks, block, count)

    def add_share(self, metric: Metric, block: int, part: float, whole: float) -> None:
        """Count a part and what it is a part of."""
        _add(self.counts, metric, self.blocks, block, part)
        _add(self.whole, metric, self.blocks, block, whole)


def _add(rows: dict[Metric, Floats], metric: Metric, blocks: int, block: int, count: float) -> None:
    row = rows.get(metric)
    if row is None:
        row = rows[metric] = np.zeros(blocks)
    row[block] += count


# Which table each group needs, and what makes it.
NEEDS: dict[Group, tuple[str, str]] = {
    "system calls": ("syscalls", "probe syscalls"),
    "time-outs": ("syscall_timeouts", "probe syscalls"),
    "switches": ("switches", "probe switches"),
    "preemptions": ("takeovers", "probe switches"),
    "locality": ("messages", "probe locality"),
    "busy polling": ("busy_polls", "probe busypoll"),
    "packets": ("softirq_polls", "probe busypoll"),
    "machine": ("blocks", "every recording has it"),
    "CPU time": ("profile_samples", "probe stacks"),
}
# The column that is read from a table which is there without it as well.
COLUMNS = {"blocks": "machine_switches"}


def role_names(sides: Iterable[Tables]) -> dict[str, str]:
    """Thread -> role, of all Runs together: `reactor-0` of one and `reactor-3` of the other are `reactor-N`.

    Threads of other programs have roles among themselves: they come and go, and must not rename the target's.
    """
    own: set[str] = set()
    others: set[str] = set()
    for tables in sides:
        for table, column, names in (
            ("threads", "thread", own), ("profile_threads", "comm", own), ("takeovers", "next_thread", others),
        ):  # fmt: skip
            if table in tables:
                names.update(map(str, tables[table].columns[column]))
    return fold_names(others - own) | fold_names(own)


def measured(tables: Tables, table: str) -> bool:
    """Whether a Run has a table, with the column that is read from it."""
    column = COLUMNS.get(table)
    return table in tables and (column is None or column in tables[table].columns)


def counts_of(tables: Tables, blocks: int, roles: Mapping[str, str], wanted: Collection[str]) -> Counts:
    """All that a Run counted in the wanted tables (of `COUNTED`)."""
    counts = Counts(blocks)
    for table, read in _READERS.items():
        if table in wanted:
            read(tables, counts, roles)
    return counts


def _rows(tables: Tables, table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    return tables[table].rows("block", "thread", *names)


def _syscalls(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for block, thread, call, number in _rows(tables, "syscalls", "syscall", "calls"):
        counts.add(Metric("system calls", call, roles.get(thread, thread), unit="calls"), block, number)


def _timeouts(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for block, thread, call, kind, number, total_ns in _rows(
        tables, "syscall_timeouts", "syscall", "timeout", "calls", "timeout_total_ns"
    ):
        role = roles.get(thread, thread)
        counts.add(Metric("time-outs", call, role, f"with time-out {kind}", unit="calls"), block, number)
        if kind == "positive":
            mean = Metric("time-outs", call, role, "mean positive time-out", "mean", "ns")
            counts.add_share(mean, block, total_ns, number)


def _errors(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for block, thread, call, error, number in _rows(tables, "syscall_errors", "syscall", "errno", "calls"):
        metric = Metric("system calls", call, roles.get(thread, thread), f"failed with {error}", unit="calls")
        counts.add(metric, block, number)


def _switches(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for block, thread, voluntary, involuntary in _rows(tables, "switches", "voluntary", "involuntary"):
        role = roles.get(thread, thread)
        counts.add(Metric("switches", "voluntary switches", role, unit="switches"), block, voluntary)
        counts.add(Metric("switches", "involuntary switches", role, unit="switches"), block, involuntary)


def _takeovers(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    own = set(tables["threads"].columns["thread"]) if "threads" in tables else set()
    for block, thread, following, idle, involuntary in _rows(
        tables, "takeovers", "next_thread", "next_idle", "involuntary"
    ):
        if involuntary and not idle:
            by = f"by {roles.get(following, following)}"
            role = roles.get(thread, thread)
            metric = Metric("preemptions", "preempted", role, by, unit="times", by_others=following not in own)
            counts.add(metric, block, involuntary)


def _messages(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    local = Metric("locality", "messages read on the CPU that received them", of="share", unit="%")
    for block, _, received, read, number in _rows(tables, "messages", "rx_cpu", "cpu", "messages"):
        if received >= 0:
            counts.add_share(local, block, number if received == read else 0, number)


def _busy_polls(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for block, thread, tid, attempts, hits, packets, last in _rows(
        tables, "busy_polls", "tid", "attempts", "hits", "packets", "last_poll_packets"
    ):
        if not tid:
            continue
        role = roles.get(thread, thread)
        counts.add(Metric("busy polling", "busy-poll attempts", role, unit="polls"), block, attempts)
        counts.add(Metric("busy polling", "busy-poll hits", role, unit="polls"), block, hits)
        counts.add(Metric("busy polling", "packets by busy polling", role, unit="packets"), block, packets + last)


def _softirq_polls(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for block, packets in tables["softirq_polls"].rows("block", "packets"):
        counts.add(Metric("packets", "packets by softirq, whole machine", unit="packets"), block, packets)


def _machine(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for block, switches, forks in tables["blocks"].rows("block", "machine_switches", "machine_forks"):
        counts.add(Metric("machine", "switches, whole machine", unit="switches"), block, switches)
        counts.add(Metric("machine", "forks, whole machine", unit="forks", by_others=True), block, forks)


_READERS = {
    "syscalls": _syscalls,
    "syscall_timeouts": _timeouts,
    "syscall_errors": _errors,
    "switches": _switches,
    "takeovers": _takeovers,
    "messages": _messages,
    "busy_polls": _busy_polls,
    "softirq_polls": _softirq_polls,
    "blocks": _machine,
}
COUNTED = tuple(_READERS)
