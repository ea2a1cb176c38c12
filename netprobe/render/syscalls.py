"""System calls as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from netprobe.analysis.syscalls import By, SyscallRow
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import duration, percent, rate


@dataclass(frozen=True)
class SyscallView:
    """Options of the table: grouping, number of rows (0: all), failures (all, or of one errno), latency."""

    by: By = "syscall"
    top: int = 10
    failed: bool = False
    error: str | None = None
    latency: bool = False

    def count(self, row: SyscallRow) -> int:
        """Value of the COUNT column."""
        if self.error:
            return row.errors[self.error]
        return row.errors.total() if self.failed or self.error else row.calls


_TIMEOUTS = {
    "zero": "timeout 0",
    "infinite": "no timeout",
    "unreadable": "timeout not readable",
}


def ordered(rows: Sequence[SyscallRow], view: SyscallView) -> list[SyscallRow]:
    """Rows with a count, the largest group first, within a group by count (with latency: by time)."""
    kept = [row for row in rows if view.count(row)]
    size: Callable[[SyscallRow], int] = (lambda row: row.latency.total_ns) if view.latency else view.count
    groups: dict[tuple[int, int], int] = {}
    for row in kept:
        groups[row.pid, row.tid] = groups.get((row.pid, row.tid), 0) + size(row)
    return sorted(kept, key=lambda row: (-groups[row.pid, row.tid], row.pid, row.tid, -size(row), row.syscall))


def as_text(rows: Sequence[SyscallRow], view: SyscallView, seconds: float) -> TextTable:
    """The table; calls with a timeout have a line below for each class of timeout."""
    total = sum(view.count(row) for row in rows)
    shown = ordered(rows, view)
    cells: list[list[str]] = []
    details: dict[int, str] = {}
    for row in shown[: view.top or None]:
        cells.append(_cells(row, view, seconds, total))
        if view.failed or view.error:
            continue
        for timeout, calls in _timeouts(row):
            details[len(cells)] = "dim"
            cells.append(_detail(timeout, calls, view, seconds, total))
    return TextTable(_columns(view), cells, styles=details)


def rest(rows: Sequence[SyscallRow], view: SyscallView) -> str:
    """A line on the rows beyond `top`, empty if there are none."""
    shown = ordered(rows, view)
    hidden = shown[view.top or len(shown) :]
    if not hidden:
        return ""
    share = percent(sum(map(view.count, hidden)), sum(map(view.count, shown)))
    return f"… {len(hidden)} more row{'' if len(hidden) == 1 else 's'} ({share} % of the count); -T 0 shows all"


def _columns(view: SyscallView) -> list[TextColumn]:
    group = {
        "syscall": [],
        "process": [TextColumn("PID", True), TextColumn("PROCESS")],
        "thread": [TextColumn("PID", True), TextColumn("TID", True), TextColumn("THREAD")],
    }[view.by]
    columns = [
        *group,
        TextColumn("SYSCALL"),
        TextColumn("COUNT", True),
        TextColumn("RATE/s", True),
        TextColumn("SHARE %", True),
    ]
    if view.failed or view.error:
        columns += [TextColumn("OF CALLS", True), TextColumn("FAILED WITH")]
    if view.latency:
        columns += [TextColumn(name, True) for name in ("TOTAL", "MEAN", "P50", "P99")]
    return columns


def _cells(row: SyscallRow, view: SyscallView, seconds: float, total: int) -> list[str]:
    group = {
        "syscall": [],
        "process": [_number(row.pid), row.process],
        "thread": [_number(row.pid), _number(row.tid), row.thread],
    }[view.by]
    count = view.count(row)
    cells = [*group, row.syscall, str(count), rate(count, seconds), percent(count, total)]
    if view.failed or view.error:
        cells += [str(row.calls), ", ".join(f"{name} {calls}" for name, calls in row.errors.most_common())]
    if view.latency:
        times = row.latency
        cells += [duration(times.total_ns), duration(times.mean_ns)]
        cells += [duration(times.percentile_ns(share)) for share in (0.5, 0.99)]
    return cells


def _detail(timeout: str, calls: int, view: SyscallView, seconds: float, total: int) -> list[str]:
    columns = _columns(view)
    place = [column.heading for column in columns].index("SYSCALL")
    cells = [""] * len(columns)
    cells[place : place + 4] = [f"  {timeout}", str(calls), rate(calls, seconds), percent(calls, total)]
    return cells


def _timeouts(row: SyscallRow) -> list[tuple[str, int]]:
    found = []
    for name, calls in row.timeouts.most_common():
        text = _TIMEOUTS.get(name) or f"timeout > 0, median {duration(row.median_timeout_ns)}"
        found.append((text, calls))
    return found


def _number(number: int) -> str:
    # A process of another PID namespace has no PID in this one.
    return str(number) if number else "-"


def as_json(rows: Sequence[SyscallRow], view: SyscallView, seconds: float) -> list[dict[str, Any]]:
    """Every row, as documented in schema/syscalls.json."""
    return [_json_row(row, view, seconds) for row in ordered(rows, view)]


def _json_row(row: SyscallRow, view: SyscallView, seconds: float) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if view.by != "syscall":
        out |= {"pid": row.pid or None, "process": row.process}
    if view.by == "thread":
        out |= {"tid": row.tid or None, "thread": row.thread}
    out |= {
        "syscall": row.syscall,
        "calls": row.calls,
        "calls_per_second": row.calls / seconds if seconds else None,
    }
    if row.timeouts:
        out["timeouts"] = dict(row.timeouts)
        out["median_positive_timeout_ns"] = row.median_timeout_ns
    if view.failed or view.error:
        out |= {"failed": row.errors.total(), "errors": dict(row.errors)}
    if view.latency:
        times = row.latency
        out |= {
            "returned": times.calls,
            "total_ns": times.total_ns,
            "mean_ns": times.mean_ns,
            "p50_ns": times.percentile_ns(0.5),
            "p99_ns": times.percentile_ns(0.99),
        }
    return out
