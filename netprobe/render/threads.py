"""Time budgets of threads as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netprobe.analysis.time_budget import Sleep, TimeBudget
from netprobe.render.text import TextColumn, TextTable

# Shorter sleeps are not named.
_SHORTEST_PCT = 0.5
# Threads that sleep this share of their time have one row together.
_IDLE_PCT = 99.95
_WAKERS = {"hrtimer": "timer", "thread": "threads"}


def threads_as_text(rows: Sequence[TimeBudget], top: int, fold: bool) -> TextTable:
    """Shares of the threads' time in percent, the sleeps and the wakers."""
    shown = _shown(rows, top)
    sampled = any(row.modes for row in shown)
    columns = [
        TextColumn("N" if fold else "TID", True),
        TextColumn("THREAD"),
        TextColumn("RUN", True),
        *([TextColumn("USER", True), TextColumn("KERN", True), TextColumn("IRQ", True)] if sampled else []),
        TextColumn("WAIT", True),
        TextColumn("SLEEP", True),
        TextColumn("ASLEEP IN"),
        TextColumn("WOKEN BY"),
    ]
    cells = [
        [
            str(len(row.tids)) if fold else str(min(row.tids)[1]),
            row.thread if row.thread == row.process else f"{row.thread} ({row.process})",
            _share(row, row.running_ns),
            *(_modes(row) if sampled else []),
            _share(row, row.runnable_ns),
            _share(row, row.asleep_ns),
            _sleeps(row),
            _wakers(row),
        ]
        for row in shown
    ]
    return TextTable(columns, cells)


def skipped_rows(rows: Sequence[TimeBudget], top: int) -> str:
    """A line on the rows that are not shown, empty if all are."""
    hidden = len(rows) - len(_shown(rows, top))
    if not hidden:
        return ""
    idle = sum(_is_idle(row) for row in rows)
    reason = f"{idle} asleep all the time; " if idle and top else ""
    return f"… {hidden} more row{'' if hidden == 1 else 's'} ({reason}-T 0 shows all)"


def _shown(rows: Sequence[TimeBudget], top: int) -> Sequence[TimeBudget]:
    if not top:
        return rows
    busy = [row for row in rows if not _is_idle(row)]
    return (busy or rows)[:top]


def _is_idle(row: TimeBudget) -> bool:
    return row.share(row.asleep_ns) >= _IDLE_PCT or not row.alive_ns


def _share(row: TimeBudget, ns: float | None) -> str:
    return "-" if ns is None else f"{row.share(ns):.1f}"


def _modes(row: TimeBudget) -> list[str]:
    return [_share(row, row.mode_ns(*modes)) for modes in (("user",), ("kernel", "page_fault"), ("interrupt",))]


def _sleeps(row: TimeBudget) -> str:
    longest = [sleep for sleep in row.longest_sleeps[:2] if row.share(sleep.total_ns) >= _SHORTEST_PCT]
    return ", ".join(_sleep(row, sleep, with_share=len(longest) > 1) for sleep in longest) or "-"


def _sleep(row: TimeBudget, sleep: Sleep, *, with_share: bool) -> str:
    share = f" {row.share(sleep.total_ns):.1f}" if with_share else ""
    shown = [one for one, _ in sleep.objects.most_common() if one.kind != "lock"]
    slept_on = f" {shown[0]}" if shown else ""
    return f"{sleep.reason}{slept_on}{share}"


def _wakers(row: TimeBudget) -> str:
    found = row.woken_by
    total = found.total()
    if not total:
        return "-"
    name, count = found.most_common(1)[0]
    if name == "thread" and row.wakers:
        name = row.wakers.most_common(1)[0][0]
    return f"{_WAKERS.get(name, name)} {100 * count / total:.0f} %"


def threads_as_json(rows: Sequence[TimeBudget]) -> list[dict[str, Any]]:
    """Every row, as schema/threads.json describes it."""
    return [_row_as_json(row) for row in rows]


def _row_as_json(row: TimeBudget) -> dict[str, Any]:
    return {
        "process": row.process,
        "thread": row.thread,
        "threads": [{"pid": pid or None, "tid": tid or None} for pid, tid in sorted(row.tids)],
        "alive_ns": row.alive_ns,
        "running_ns": row.running_ns,
        "runnable_ns": row.runnable_ns,
        "asleep_ns": row.asleep_ns,
        "samples": {mode: row.modes[mode] for mode in ("user", "kernel", "page_fault", "interrupt")},
        "modes": [
            {
                "mode": mode,
                "share_of_running_pct": share.value,
                "low_pct": share.low,
                "high_pct": share.high,
            }
            for mode in ("user", "kernel", "page_fault", "interrupt")
            if (share := row.mode_share_pct(mode)) is not None
        ],
        "sleeps": [
            {
                "reason": sleep.reason,
                "category": sleep.category,
                "total_ns": sleep.total_ns,
                "sleeps": sleep.sleeps,
                "uninterruptible_ns": sleep.uninterruptible_ns,
                "woken_by": dict((+sleep.woken_by).most_common()),
                "objects": [
                    {"kind": slept_on.kind, "address": slept_on.address or None, "port": slept_on.port or None,
                     "total_ns": ns}
                    for slept_on, ns in sleep.objects.most_common()
                ],
            }
            for sleep in row.longest_sleeps
        ],
        "woken_by": dict(row.woken_by.most_common()),
        "woken_by_threads": dict((+row.wakers).most_common()),
    }  # fmt: skip
