"""The summary of a Run: rates, locality, busy polling, calls, switches, frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import percent, rate
from netprobe.rules.context import MissingDataError, RunContext

_CALLS_SHOWN, _ROLES_SHOWN, _FRAMES_SHOWN = 6, 4, 6


def headline(context: RunContext) -> list[str]:
    """One sentence each on requests, locality and busy polling."""
    if context.pollers:
        return [_poll_mode(context)]
    lines = [*_saturation(context), _requests(context)]
    for topic, sentence in (("Locality", _locality), ("Busy polling", _polling)):
        try:
            lines += filter(None, [sentence(context)])
        except MissingDataError as missing:
            lines.append(f"{topic} is inconclusive: {missing}.")
    return lines


def _poll_mode(context: RunContext) -> str:
    names = sorted({poller.thread for poller in context.pollers})
    verb = "receives" if len(names) == 1 else "receive"
    return f"Poll mode: {', '.join(names)} {verb} packets with kernel bypass; the kernel counts no request or message."


def _saturation(context: RunContext) -> list[str]:
    """Whether the server is saturated; nothing in Runs without the time of threads."""
    try:
        found = context.saturation
    except MissingDataError:
        return []
    return [found.sentence] if found else []


def verdict_as_json(context: RunContext) -> dict[str, Any]:
    """`verdict`, as schema/record.json describes it; null in Runs without the time of threads."""
    try:
        found = context.saturation
    except MissingDataError:
        found = None
    if found is None:
        return {"verdict": None}
    waits_for = found.waits_for
    return {
        "verdict": {
            "state": found.state,
            "process": found.role.process,
            "thread": found.role.thread,
            "threads": len(found.role.tids),
            "busiest_thread_pct": found.busiest_pct,
            "waits_for": waits_for.reason if waits_for else None,
            "sentence": found.sentence,
        }
    }


def budgets_as_text(context: RunContext) -> TextTable:
    """Where the time of the threads goes, by role."""
    from netprobe.render.threads import threads_as_text

    return threads_as_text(context.time_budgets, _ROLES_SHOWN, fold=True)


def _requests(context: RunContext) -> str:
    requests = context.requests
    if requests is None:
        return "No requests were seen."
    return f"{rate(requests.count, context.seconds)} {requests.unit}s per second ({requests.source})."


def _locality(context: RunContext) -> str:
    return context.locality_verdict.sentence


def _polling(context: RunContext) -> str:
    """Nothing where busy polling neither ran nor is configured: `netprobe busypoll` lists what it would need."""
    polling = context.polling
    return polling.sentence if polling.requested or any(row.attempts for row in polling.rows) else ""


def calls_as_text(context: RunContext) -> TextTable:
    """The most frequent calls, per second and per request."""
    requests = context.requests
    rows = sorted(context.calls, key=lambda row: -row.calls)[:_CALLS_SHOWN]
    columns = [
        TextColumn("SYSCALL"),
        TextColumn("/s", True),
        TextColumn(f"/{requests.unit if requests else 'request'}", True),
        TextColumn("TIMEOUTS"),
    ]
    cells = [
        [
            row.syscall,
            rate(row.calls, context.seconds),
            f"{row.calls / requests.count:.2f}" if requests else "-",
            ", ".join(f"{name} {percent(count, row.calls)} %" for name, count in row.timeouts.most_common()) or "",
        ]
        for row in rows
    ]
    return TextTable(columns, cells)


def switches_as_text(context: RunContext) -> TextTable:
    """The roles with most switches."""
    columns = [
        TextColumn("THREADS", True),
        TextColumn("ROLE"),
        TextColumn("VOLUNTARY/s", True),
        TextColumn("INVOLUNTARY/s", True),
    ]
    columns.append(TextColumn("PREEMPTED BY"))
    rows = sorted(context.switches, key=lambda row: -row.switches)[:_ROLES_SHOWN]
    cells = [
        [
            str(len(row.tids)),
            row.thread,
            rate(row.voluntary, context.seconds),
            rate(row.involuntary, context.seconds),
            ", ".join(name for name, _ in (+row.preempted_by).most_common(2)) or "-",
        ]
        for row in rows
    ]
    return TextTable(columns, cells)


def frames_as_text(context: RunContext) -> TextTable:
    """The functions with the largest self time, without netprobe's own programs."""
    rows = [[f"{pct:.1f}", frame.name, frame.module] for frame, pct in context.frames.top_self(_FRAMES_SHOWN)]
    return TextTable([TextColumn("SELF %", True), TextColumn("FUNCTION"), TextColumn("IN")], rows)


def tables(context: RunContext) -> Iterator[TextTable]:
    """The tables that the Run has data for."""
    for table in (budgets_as_text, calls_as_text, switches_as_text, frames_as_text):
        try:
            yield table(context)
        except MissingDataError:
            continue
