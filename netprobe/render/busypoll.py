"""Busy polling as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from netprobe.analysis.busypoll import BusyPolling, Check, Napi, PollRow
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import percent, rate

_MARKS = {"ok": "ok", "failed": "FAILED", "inconclusive": "inconclusive", "not needed": "-"}
_STYLES = {"ok": "green", "failed": "bold red", "inconclusive": "yellow", "not needed": "dim"}


def rows_as_text(rows: Sequence[PollRow], napis: Sequence[Napi], seconds: float, top: int) -> TextTable:
    """Busy polls by thread and NAPI instance."""
    names = {napi.napi_id: napi for napi in napis}
    columns = [
        TextColumn("PID", True),
        TextColumn("TID", True),
        TextColumn("THREAD"),
        TextColumn("NAPI", True),
        TextColumn("DEVICE"),
        TextColumn("QUEUE", True),
        TextColumn("BUDGET", True),
        TextColumn("ATTEMPTS/s", True),
        TextColumn("HITS/s", True),
        TextColumn("HIT %", True),
        TextColumn("PACKETS/s", True),
        TextColumn("POLLING %", True),
    ]
    cells = [
        [
            str(row.pid), str(row.tid), row.thread, str(row.napi_id),
            names[row.napi_id].device if row.napi_id in names else "?",
            _queue(names.get(row.napi_id)), str(row.budget),
            rate(row.attempts, seconds), rate(row.hits, seconds), percent(row.hits, row.attempts),
            rate(row.packets + row.last_poll_packets, seconds), percent(row.polling_ns / 1e9, seconds),
        ]
        for row in rows[: top or None]
    ]  # fmt: skip
    return TextTable(columns, cells)


def _queue(napi: Napi | None) -> str:
    return str(napi.queue) if napi and napi.queue >= 0 else "?"


def napis_as_text(napis: Sequence[Napi]) -> TextTable:
    """Packets of each instance by receiver."""
    columns = [
        TextColumn("NAPI", True), TextColumn("DEVICE"), TextColumn("QUEUE", True), TextColumn("PACKETS", True),
        TextColumn("BY TARGET %", True), TextColumn("BY OTHER POLLERS %", True), TextColumn("BY SOFTIRQ %", True),
        TextColumn("BY NAPI THREAD %", True), TextColumn("DEFER IRQS", True), TextColumn("FLUSH TIMEOUT ns", True),
    ]  # fmt: skip
    cells = []
    for napi in napis:
        total = napi.by_target + napi.by_others + napi.by_softirq + napi.by_thread
        parts = (napi.by_target, napi.by_others, napi.by_softirq, napi.by_thread)
        cells.append(
            [
                str(napi.napi_id), napi.device, _queue(napi), str(total), *(percent(part, total) for part in parts),
                str(napi.defer_hard_irqs), str(napi.gro_flush_timeout_ns),
            ]
        )  # fmt: skip
    return TextTable(columns, cells)


def checks_as_text(checks: Sequence[Check]) -> TextTable:
    """The prerequisites of busy polling and their state."""
    cells = [[_MARKS[check.state], check.name, check.evidence] for check in checks]
    styles = {(number, 0): _STYLES[check.state] for number, check in enumerate(checks)}
    return TextTable(
        [TextColumn("STATE"), TextColumn("PREREQUISITE"), TextColumn("EVIDENCE")], cells, cell_styles=styles
    )


def fixes(checks: Sequence[Check]) -> list[str]:
    """One line with the fix of each failed check."""
    return [f"Fix: {check.fix}" for check in checks if check.state == "failed" and check.fix]


def cross_check(found: BusyPolling) -> str:
    """A line if the kernel's own counter disagrees; empty otherwise."""
    if not found.disagrees:
        return ""
    return (
        f"Uncertain: the kernel's BusyPollRxPackets grew by {found.kernel_packets}, but netprobe counted "
        f"{found.counted_packets} packets that busy polling received from these NAPI instances."
    )


def as_json(found: BusyPolling) -> dict[str, Any]:
    """Everything, as documented in schema/busypoll.json."""
    return {
        "verdict": {"kind": found.verdict, "sentence": found.sentence, "share_pct": found.share_pct},
        "polls": [asdict(row) for row in found.rows],
        "napis": [asdict(napi) for napi in found.napis],
        "checks": [asdict(check) for check in found.checks],
        "cross_check": {
            "kernel_busy_poll_rx_packets": found.kernel_packets,
            "counted_packets": found.counted_packets,
            "disagrees": found.disagrees,
        },
    }
