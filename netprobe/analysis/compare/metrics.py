"""What is counted: the metrics that two Runs are compared by, and each one's counts by time interval."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flamegraph.names import fold_names
from netprobe.analysis.requests import READS, RECEIVES, SENDS, WRITES
from netprobe.run.table import Table

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Group = Literal[
    "system calls", "timeouts", "switches", "preemptions", "locality", "busy polling", "packets", "machine",
    "CPU time", "load",
]  # fmt: skip
Of = Literal["time or requests", "share", "mean"]
Tables = Mapping[str, Table]
Rows = dict["Metric", tuple["Floats", "Floats | None"]]

# Several calls together (see `with_families`).
EPOLL_WAITS, POLL_WAITS = "epoll waits of any form", "poll and select of any form"
ZERO_TIMEOUT = "with timeout zero"
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
        return self.group == "timeouts" or (self.group == "system calls" and self.name in _WAITS)

    @property
    def words(self) -> str:
        """As a table shows it."""
        what = " ".join(filter(None, (self.name, self.detail)))
        return f"{what}, {self.role}" if self.role else what


@dataclass
class Counts:
    """Counts by interval of each metric of a Run; for shares and means also what they are shares or means of."""

    intervals: int
    counts: dict[Metric, Floats] = field(default_factory=dict)
    whole: dict[Metric, Floats] = field(default_factory=dict)

    def add(self, metric: Metric, interval: int, count: float) -> None:
        """Count."""
        _add(self.counts, metric, self.intervals, interval, count)

    def add_share(self, metric: Metric, interval: int, part: float, whole: float) -> None:
        """Count a part and what it is a part of."""
        _add(self.counts, metric, self.intervals, interval, part)
        _add(self.whole, metric, self.intervals, interval, whole)


def _add(rows: dict[Metric, Floats], metric: Metric, intervals: int, interval: int, count: float) -> None:
    row = rows.get(metric)
    if row is None:
        row = rows[metric] = np.zeros(intervals)
    row[interval] += count


# Which table each group needs, and what makes it.
NEEDS: dict[Group, tuple[str, str]] = {
    "system calls": ("syscalls", "probe syscalls"),
    "timeouts": ("syscall_timeouts", "probe syscalls"),
    "switches": ("switches", "probe switches"),
    "preemptions": ("next_tasks", "probe switches"),
    "locality": ("messages", "probe locality"),
    "busy polling": ("busy_polls", "probe busypoll"),
    "packets": ("softirq_polls", "probe busypoll"),
    "machine": ("intervals", "every recording has it"),
    "CPU time": ("profile_samples", "probe stacks"),
}
# The column that is read from a table which is there without it as well.
COLUMNS = {"intervals": "machine_switches"}


def role_names(sides: Iterable[Tables]) -> dict[str, str]:
    """Thread -> role, of all Runs together: `reactor-0` of one and `reactor-3` of the other are `reactor-N`.

    Threads of other programs have roles among themselves: they come and go, and must not rename the target's.
    """
    own: set[str] = set()
    others: set[str] = set()
    for tables in sides:
        for table, column, names in (
            ("threads", "thread", own), ("profile_threads", "comm", own), ("next_tasks", "next_thread", others),
        ):  # fmt: skip
            if table in tables:
                names.update(map(str, tables[table].columns[column]))
    return fold_names(others - own) | fold_names(own)


def measured(tables: Tables, table: str) -> bool:
    """Whether a Run has a table, with the column that is read from it."""
    column = COLUMNS.get(table)
    return table in tables and (column is None or column in tables[table].columns)


def counts_of(tables: Tables, intervals: int, roles: Mapping[str, str], wanted: Collection[str]) -> Counts:
    """All that a Run counted in the wanted tables (of `COUNTED`)."""
    counts = Counts(intervals)
    for table, read in _READERS.items():
        if table in wanted:
            read(tables, counts, roles)
    return counts


def _rows(tables: Tables, table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    return tables[table].rows("interval", "thread", *names)


def _syscalls(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, thread, call, number in _rows(tables, "syscalls", "syscall", "calls"):
        counts.add(Metric("system calls", call, roles.get(thread, thread), unit="calls"), interval, number)


def _timeouts(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, thread, call, kind, number, total_ns in _rows(
        tables, "syscall_timeouts", "syscall", "timeout", "calls", "timeout_total_ns"
    ):
        role = roles.get(thread, thread)
        counts.add(Metric("timeouts", call, role, f"with timeout {kind}", unit="calls"), interval, number)
        if kind == "positive":
            mean = Metric("timeouts", call, role, "mean positive timeout", "mean", "ns")
            counts.add_share(mean, interval, total_ns, number)


def _errors(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, thread, call, error, number in _rows(tables, "syscall_errors", "syscall", "errno", "calls"):
        metric = Metric("system calls", call, roles.get(thread, thread), f"failed with {error}", unit="calls")
        counts.add(metric, interval, number)


def _switches(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, thread, voluntary, involuntary in _rows(tables, "switches", "voluntary", "involuntary"):
        role = roles.get(thread, thread)
        counts.add(Metric("switches", "voluntary switches", role, unit="switches"), interval, voluntary)
        counts.add(Metric("switches", "involuntary switches", role, unit="switches"), interval, involuntary)


def _next_tasks(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    own = set(tables["threads"].columns["thread"]) if "threads" in tables else set()
    for interval, thread, following, idle, involuntary in _rows(
        tables, "next_tasks", "next_thread", "next_idle", "involuntary"
    ):
        if involuntary and not idle:
            by = f"by {roles.get(following, following)}"
            role = roles.get(thread, thread)
            metric = Metric("preemptions", "preempted", role, by, unit="times", by_others=following not in own)
            counts.add(metric, interval, involuntary)


def _messages(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    local = Metric("locality", "messages read on the CPU that received them", of="share", unit="%")
    for interval, _, received, read, number in _rows(tables, "messages", "rx_cpu", "cpu", "messages"):
        if received >= 0:
            counts.add_share(local, interval, number if received == read else 0, number)


def _busy_polls(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, thread, tid, attempts, hits, packets, last in _rows(
        tables, "busy_polls", "tid", "attempts", "hits", "packets", "last_poll_packets"
    ):
        if not tid:
            continue
        role = roles.get(thread, thread)
        counts.add(Metric("busy polling", "busy-poll attempts", role, unit="polls"), interval, attempts)
        counts.add(Metric("busy polling", "busy-poll hits", role, unit="polls"), interval, hits)
        counts.add(Metric("busy polling", "packets by busy polling", role, unit="packets"), interval, packets + last)


def _softirq_polls(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, packets in tables["softirq_polls"].rows("interval", "packets"):
        counts.add(Metric("packets", "packets by softirq, whole machine", unit="packets"), interval, packets)


def _machine(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, switches, forks in tables["intervals"].rows("interval", "machine_switches", "machine_forks"):
        counts.add(Metric("machine", "switches, whole machine", unit="switches"), interval, switches)
        counts.add(Metric("machine", "forks, whole machine", unit="forks", by_others=True), interval, forks)


_READERS = {
    "syscalls": _syscalls,
    "syscall_timeouts": _timeouts,
    "syscall_errors": _errors,
    "switches": _switches,
    "next_tasks": _next_tasks,
    "messages": _messages,
    "busy_polls": _busy_polls,
    "softirq_polls": _softirq_polls,
    "intervals": _machine,
}
COUNTED = tuple(_READERS)


_FAMILIES = {
    EPOLL_WAITS: ("epoll_wait", "epoll_pwait", "epoll_pwait2"),
    POLL_WAITS: ("poll", "ppoll", "select", "pselect6"),
    "receives and reads of any form": (*RECEIVES, *READS),
    "sends and writes of any form": (*SENDS, *WRITES),
}
_FAMILY_OF = {call: family for family, calls in _FAMILIES.items() for call in calls}


def family_of(metric: Metric) -> Metric | None:
    """The same of all calls that do what this one does; None where there are no others."""
    if metric.group not in ("system calls", "timeouts") or metric.of != "time or requests":
        return None
    return replace(metric, name=_FAMILY_OF[metric.name]) if metric.name in _FAMILY_OF else None


def with_families(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both sides' rows, with one more for each family that both have, and of which they use several members."""
    families: dict[Metric, set[Metric]] = {}
    for metric in before.keys() | after.keys():
        if family := family_of(metric):
            families.setdefault(family, set()).add(metric)
    for family, members in sorted(families.items()):
        parts = [sorted(members & rows.keys()) for rows in (before, after)]
        if len(members) > 1 and all(parts):
            before, after = (
                {**rows, family: (np.sum([rows[member][0] for member in part], axis=0), None)}
                for rows, part in zip((before, after), parts, strict=True)
            )
    return before, after


def with_common_roles(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both sides' rows, with the sum over all threads where one side names none in a group."""
    bare = _nameless(before) | _nameless(after)
    return _summed(before, bare), _summed(after, bare)


def names_nobody(roles: Collection[str]) -> bool:
    """Whether there is something that was done, and nobody who did it."""
    return bool(roles) and not any(roles)


def _nameless(rows: Rows) -> set[Group]:
    groups = {metric.group for metric in rows}
    return {group for group in groups if names_nobody([metric.role for metric in rows if metric.group == group])}


def _summed(rows: Rows, bare: set[Group]) -> Rows:
    found: Rows = {}
    for metric, (counts, whole) in rows.items():
        of_all = replace(metric, role="") if metric.group in bare else metric
        earlier, of_earlier = found.get(of_all, (np.zeros_like(counts), np.zeros_like(counts)))
        found[of_all] = earlier + counts, None if whole is None or of_earlier is None else of_earlier + whole
    return found
