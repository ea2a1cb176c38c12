"""Context switches as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from netprobe.analysis.switches import MachineSwitches, SwitchRow, machine_switches
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import duration, percent, rate
from netprobe.run.table import Table

_NAMES_SHOWN = 3


def machine_as_text(intervals: Table, started: str) -> TextTable:
    """One line per interval, like `sar -w`, and the average."""
    begin = datetime.fromisoformat(started).astimezone()
    rows, total = machine_switches(intervals)
    cells = [_machine_cells((begin + timedelta(seconds=row.end_s)).strftime("%H:%M:%S"), row) for row in rows]
    cells.append(_machine_cells("Average", total))
    return TextTable([TextColumn("TIME"), TextColumn("proc/s", True), TextColumn("cswch/s", True)], cells)


def _machine_cells(time: str, row: MachineSwitches) -> list[str]:
    if not row.seconds:
        return [time, "-", "-"]
    return [time, f"{row.forks / row.seconds:.2f}", f"{row.switches / row.seconds:.2f}"]


def threads_as_text(rows: Sequence[SwitchRow], seconds: float, top: int, fold: bool, run_queue: bool) -> TextTable:
    """Context switches of each thread, its CPUs and next tasks."""
    columns = [
        *([TextColumn("THREADS", True)] if fold else [TextColumn("PID", True), TextColumn("TID", True)]),
        TextColumn("THREAD"),
        TextColumn("VOLUNTARY/s", True),
        TextColumn("INVOLUNTARY/s", True),
        TextColumn("CPU"),
        *([TextColumn("WAIT P50", True), TextColumn("WAIT P99", True)] if run_queue else []),
        TextColumn("PREEMPTED BY"),
        TextColumn("NEXT TASK"),
    ]
    cells = [
        [
            *([str(len(row.tids))] if fold else [_number(n) for n in min(row.tids)]),
            row.thread if row.thread == row.process else f"{row.thread} ({row.process})",
            rate(row.voluntary, seconds),
            rate(row.involuntary, seconds),
            _cpus(row.by_cpu),
            *([duration(row.wait_percentile_ns(share)) for share in (0.5, 0.99)] if run_queue else []),
            _names(row.preempted_by, row.involuntary),
            _names(row.followed_by, row.voluntary),
        ]
        for row in rows[: top or None]
    ]
    return TextTable(columns, cells)


def rest(rows: Sequence[SwitchRow], top: int) -> str:
    """A line on the rows beyond `top`, empty if there are none."""
    hidden = rows[top or len(rows) :]
    if not hidden:
        return ""
    share = percent(sum(row.switches for row in hidden), sum(row.switches for row in rows))
    return f"… {len(hidden)} more row{'' if len(hidden) == 1 else 's'} ({share} % of the switches); -T 0 shows all"


def _number(number: int) -> str:
    return str(number) if number else "-"


def _cpus(by_cpu: Counter[int]) -> str:
    total = by_cpu.total()
    parts = [f"{cpu} ({percent(count, total)} %)" for cpu, count in by_cpu.most_common(_NAMES_SHOWN)]
    if len(by_cpu) == 1:
        return str(next(iter(by_cpu)))
    return ", ".join(parts) + (f" and {len(by_cpu) - _NAMES_SHOWN} more" if len(by_cpu) > _NAMES_SHOWN else "")


def _names(counts: Counter[str], total: int) -> str:
    """The most frequent next tasks, with their share of the switches."""
    counts = +counts
    parts = [f"{name} {percent(count, total)} %" for name, count in counts.most_common(_NAMES_SHOWN)]
    more = len(counts) - _NAMES_SHOWN
    return ", ".join(parts) + (f", {more} more" if more > 0 else "") or "-"


def threads_as_json(rows: Sequence[SwitchRow], seconds: float, run_queue: bool) -> list[dict[str, Any]]:
    """Every row, as documented in schema/switches.json."""
    return [_json_row(row, seconds, run_queue) for row in rows]


def _json_row(row: SwitchRow, seconds: float, run_queue: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "process": row.process,
        "thread": row.thread,
        "threads": [{"pid": pid or None, "tid": tid or None} for pid, tid in sorted(row.tids)],
        "voluntary": row.voluntary,
        "involuntary": row.involuntary,
        "voluntary_per_second": row.voluntary / seconds if seconds else None,
        "involuntary_per_second": row.involuntary / seconds if seconds else None,
        "switches_by_cpu": {str(cpu): count for cpu, count in sorted(row.by_cpu.items())},
        "preempted_by": dict((+row.preempted_by).most_common()),
        "followed_by": dict((+row.followed_by).most_common()),
        "to_idle": row.to_idle,
    }
    if run_queue:
        waits = row.waits_ns.total()
        out["run_queue"] = {
            "waits": waits,
            "mean_ns": row.total_wait_ns / waits if waits else None,
            "p50_ns": row.wait_percentile_ns(0.5),
            "p99_ns": row.wait_percentile_ns(0.99),
        }
    return out


def machine_as_json(intervals: Table) -> list[dict[str, Any]]:
    """Context switches and forks of the whole machine by interval."""
    names = ("start_s", "duration_s", "machine_switches", "machine_forks")
    return [dict(zip(names, row, strict=True)) for row in intervals.rows(*names)]
