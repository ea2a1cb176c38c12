"""Metrics that comparisons use, and their counts per time interval.

The schema of a Run (netprobe/run/schema) declares which columns are compared: each becomes a metric. This module adds
the metrics that are not a plain sum of a column: `_COMPUTED`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from flamegraph.names import fold_names
from netprobe.analysis.request_count import READS, RECEIVES, SENDS, WRITES
from netprobe.run.schema.columns import Column, Compared, MetricGroup, TableSchema
from netprobe.run.schema.tables import compared_columns
from netprobe.run.table import Table

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Of = Literal["time or requests", "share", "mean"]
Tables = Mapping[str, Table]
Rows = dict["Metric", tuple["Floats", "Floats | None"]]

# Names of call families, see `with_families`.
EPOLL_WAITS, POLL_WAITS = "epoll waits of any form", "poll and select of any form"
ZERO_TIMEOUT = "with timeout zero"
# Calls that return after an event: their number depends on how many events coincide, not on the code alone.
_WAITS = frozenset(
    (
        *("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "io_uring_enter"),
        *("futex", "futex_wait", "nanosleep", "clock_nanosleep", "sched_yield", "io_getevents", "io_pgetevents"),
        *(EPOLL_WAITS, POLL_WAITS),
    )
)


@dataclass(frozen=True, order=True)
class Metric:
    """A number that is compared. `role`: threads with the same work, "" for all; `name`: the call, the reason …"""

    group: MetricGroup
    name: str
    role: str = ""
    detail: str = ""
    of: Of = "time or requests"
    unit: str = ""
    """The counted events: calls, switches, packets …; or ns, %."""
    by_others: bool = False
    """Caused by other programs than the target."""

    @property
    def waits(self) -> bool:
        """Whether the count depends on how many events coincide."""
        return self.group == "timeouts" or (self.group == "system calls" and self.name in _WAITS)

    @property
    def title(self) -> str:
        """The name in tables."""
        name = " ".join(filter(None, (self.name, self.detail)))
        return f"{name}, {self.role}" if self.role else name


@dataclass
class Counts:
    """Counts of a Run's metrics per interval; `whole`: the counts that a share or mean relates to."""

    intervals: int
    counts: dict[Metric, Floats] = field(default_factory=dict)
    whole: dict[Metric, Floats] = field(default_factory=dict)

    def add(self, metric: Metric, interval: int, count: float) -> None:
        """Add to a count."""
        _add(self.counts, metric, self.intervals, interval, count)

    def add_share(self, metric: Metric, interval: int, part: float, whole: float) -> None:
        """Add to a share or a mean: the part and the whole."""
        _add(self.counts, metric, self.intervals, interval, part)
        _add(self.whole, metric, self.intervals, interval, whole)


def _add(rows: dict[Metric, Floats], metric: Metric, intervals: int, interval: int, count: float) -> None:
    row = rows.get(metric)
    if row is None:
        row = rows[metric] = np.zeros(intervals)
    row[interval] += count


# ---- Sources ----


class Source(NamedTuple):
    """A column that holds counts."""

    table: str
    column: str


@cache
def _compared() -> dict[Source, tuple[TableSchema, Column, Compared]]:
    return {Source(table.name, column.name): (table, column, how) for table, column, how in compared_columns()}


@cache
def needed_by_group() -> dict[MetricGroup, tuple[TableSchema, Column]]:
    """The table and the column that each group of metrics needs."""
    found: dict[MetricGroup, tuple[TableSchema, Column]] = {}
    for table, column, compared in _compared().values():
        found.setdefault(compared.group, (table, column))
    return {group: found[group] for group in get_args(MetricGroup) if group in found}


def compared_tables() -> tuple[str, ...]:
    """Names of the tables that comparisons use."""
    return tuple(dict.fromkeys(source.table for source in _compared()))


def sources_of(tables: Tables) -> frozenset[Source]:
    """The columns with counts that a Run has."""
    return frozenset(
        source
        for source, (_, column, _) in _compared().items()
        if source.table in tables and (not column.optional or source.column in tables[source.table].columns)
    )


def counts_of(tables: Tables, intervals: int, roles: Mapping[str, str], sources: Collection[Source]) -> Counts:
    """The counts of a Run in these columns. `roles`: thread -> role."""
    counts = Counts(intervals)
    computed: dict[str, None] = {}
    for source, (_, _, compared) in _compared().items():
        if source in sources and compared.computed:
            computed[source.table] = None
        elif source in sources:
            _add_column(counts, tables[source.table], source.column, compared, roles)
    for table in computed:
        if table in _COMPUTED:
            _COMPUTED[table](tables, counts, roles)
    return counts


def _add_column(counts: Counts, table: Table, column: str, compared: Compared, roles: Mapping[str, str]) -> None:
    fields = [name for _, name, *_ in Formatter().parse(compared.name + compared.detail) if name]
    metrics: dict[tuple[str, ...], Metric] = {}
    for interval, count, *key in table.rows("interval", column, *(["thread"] if compared.by_role else []), *fields):
        names = tuple(key)
        metric = metrics.get(names)
        if metric is None:
            role = roles.get(key[0], key[0]) if compared.by_role else ""
            values = dict(zip(fields, key[len(key) - len(fields) :], strict=True))
            metric = metrics[names] = Metric(
                compared.group,
                compared.name.format_map(values),
                role,
                compared.detail.format_map(values),
                unit=compared.unit,
                by_others=compared.by_others,
            )
        counts.add(metric, interval, count)


def _rows(tables: Tables, table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    return tables[table].rows("interval", "thread", *names)


def _timeouts(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    for interval, thread, call, kind, number, total_ns in _rows(
        tables, "syscall_timeouts", "syscall", "timeout", "calls", "timeout_total_ns"
    ):
        role = roles.get(thread, thread)
        counts.add(Metric("timeouts", call, role, f"with timeout {kind}", unit="calls"), interval, number)
        if kind == "positive":
            mean = Metric("timeouts", call, role, "mean positive timeout", "mean", "ns")
            counts.add_share(mean, interval, total_ns, number)


def _next_tasks(tables: Tables, counts: Counts, roles: Mapping[str, str]) -> None:
    target = set(tables["threads"].columns["thread"]) if "threads" in tables else set()
    for interval, thread, next_thread, idle, involuntary in _rows(
        tables, "next_tasks", "next_thread", "next_idle", "involuntary"
    ):
        if involuntary and not idle:
            by = f"by {roles.get(next_thread, next_thread)}"
            role = roles.get(thread, thread)
            metric = Metric("preemptions", "preempted", role, by, unit="times", by_others=next_thread not in target)
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


# Profiles are compared by batches.py.
_COMPUTED: dict[str, Callable[[Tables, Counts, Mapping[str, str]], None]] = {
    "syscall_timeouts": _timeouts,
    "next_tasks": _next_tasks,
    "messages": _messages,
    "busy_polls": _busy_polls,
}


# ---- Roles ----


def role_names(sides: Iterable[Tables]) -> dict[str, str]:
    """Thread -> role, for all Runs together: `reactor-0` in one and `reactor-3` in the other are both `reactor-N`.

    Threads of other programs get roles of their own: they start and exit, and must not change the roles of the target.
    """
    target: set[str] = set()
    others: set[str] = set()
    for tables in sides:
        for table, column, names in (
            ("threads", "thread", target), ("profile_threads", "comm", target), ("next_tasks", "next_thread", others),
        ):  # fmt: skip
            if table in tables:
                names.update(map(str, tables[table].columns[column]))
    return fold_names(others - target) | fold_names(target)


def with_common_roles(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both sides' rows; summed over all threads in groups of metrics where one side has no thread names."""
    nameless = _groups_without_roles(before) | _groups_without_roles(after)
    return _summed_over_roles(before, nameless), _summed_over_roles(after, nameless)


def without_roles(roles: Collection[str]) -> bool:
    """Whether there are rows and none of them has a role."""
    return bool(roles) and not any(roles)


def _groups_without_roles(rows: Rows) -> set[MetricGroup]:
    groups = {metric.group for metric in rows}
    return {group for group in groups if without_roles([metric.role for metric in rows if metric.group == group])}


def _summed_over_roles(rows: Rows, groups: set[MetricGroup]) -> Rows:
    found: Rows = {}
    for metric, (counts, whole) in rows.items():
        key = replace(metric, role="") if metric.group in groups else metric
        sum_counts, sum_whole = found.get(key, (np.zeros_like(counts), np.zeros_like(counts)))
        found[key] = sum_counts + counts, None if whole is None or sum_whole is None else sum_whole + whole
    return found


# ---- Families ----

_FAMILIES = {
    EPOLL_WAITS: ("epoll_wait", "epoll_pwait", "epoll_pwait2"),
    POLL_WAITS: ("poll", "ppoll", "select", "pselect6"),
    "receives and reads of any form": (*RECEIVES, *READS),
    "sends and writes of any form": (*SENDS, *WRITES),
}
_FAMILY_OF = {call: family for family, calls in _FAMILIES.items() for call in calls}


def family_of(metric: Metric) -> Metric | None:
    """The metric of all equivalent system calls; None if there are no equivalent calls."""
    if metric.group not in ("system calls", "timeouts") or metric.of != "time or requests":
        return None
    return replace(metric, name=_FAMILY_OF[metric.name]) if metric.name in _FAMILY_OF else None


def with_families(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both sides' rows, with a row for each family that both sides use and that has several members."""
    families: dict[Metric, set[Metric]] = {}
    for metric in before.keys() | after.keys():
        if family := family_of(metric):
            families.setdefault(family, set()).add(metric)
    for family, members in sorted(families.items()):
        present = [sorted(members & rows.keys()) for rows in (before, after)]
        if len(members) > 1 and all(present):
            before, after = (
                {**rows, family: (np.sum([rows[member][0] for member in used], axis=0), None)}
                for rows, used in zip((before, after), present, strict=True)
            )
    return before, after
