"""Tables of a Run for counts of system calls, shared by the formats that have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netprobe.run.table import Table, declared_table

UNKNOWN_ERRNO = "any error"


@dataclass(frozen=True)
class CallRow:
    """A row of a tool's table. NaN and None: the tool does not print the value."""

    line: int
    syscall: str
    calls: int
    interval: int = 0
    pid: int = 0
    tid: int = 0
    process: str = ""
    thread: str = ""
    errors: int | None = None
    share_pct: float = math.nan
    total_ns: float = math.nan
    """Time in the calls."""
    min_ns: float = math.nan
    avg_ns: float = math.nan
    max_ns: float = math.nan
    stddev_pct: float = math.nan


_THREAD = ("interval", "pid", "tid", "process", "thread")
_AS_PRINTED = (
    "line", *_THREAD, "syscall", "calls", "errors", "share_pct", "total_ns", "min_ns", "avg_ns", "max_ns", "stddev_pct",
)  # fmt: skip


def as_printed(rows: Sequence[CallRow], name: str = "imported_calls") -> Table:
    """Every number as the tool printed it."""
    columns: dict[str, list[Any]] = {column: [getattr(row, column) for row in rows] for column in _AS_PRINTED}
    columns["errors"] = [math.nan if errors is None else float(errors) for errors in columns["errors"]]
    return declared_table(name, columns)


def counted(rows: Sequence[CallRow]) -> Table:
    """`syscalls`, as netprobe's own probe fills it."""
    return declared_table("syscalls", _columns(rows, "syscall", "calls"))


def failed(rows: Sequence[CallRow], by_name: Sequence[tuple[CallRow, str, int]] = ()) -> list[Table]:
    """`syscall_errors`, if the tool counts failures; `by_name`: failures whose errno is known."""
    with_errors = [row for row in rows if row.errors is not None]
    if not with_errors:
        return []
    named = {id(row) for row, _, _ in by_name}
    whole = [(row, UNKNOWN_ERRNO, row.errors) for row in with_errors if row.errors and id(row) not in named]
    all_rows = [*whole, *by_name]
    columns = _columns([row for row, _, _ in all_rows], "syscall")
    columns["errno"] = [errno for _, errno, _ in all_rows]
    columns["calls"] = [number for _, _, number in all_rows]
    return [declared_table("syscall_errors", columns)]


def timed(rows: Sequence[CallRow]) -> list[Table]:
    """`syscall_latency`, if the tool measures the time in the calls."""
    measured = [row for row in rows if not math.isnan(row.total_ns)]
    return [declared_table("syscall_latency", _columns(measured, "syscall", "calls", "total_ns"))] if measured else []


def _columns(rows: Sequence[CallRow], *names: str) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in (*_THREAD, *names)}
