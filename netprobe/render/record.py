"""The summary of a Run: rates, calls, locality, busy polling, switches, frames, findings."""

from __future__ import annotations

from collections.abc import Iterator

from netprobe.render.text import Column, TextTable
from netprobe.render.units import percent, rate
from netprobe.rules.context import MissingDataError, RunContext

_CALLS, _ROLES, _FRAMES = 6, 4, 6


def headline(context: RunContext) -> list[str]:
    """Requests, locality and busy polling in a sentence each."""
    if context.pollers:
        return [_poll_mode(context)]
    lines = [_requests(context)]
    for sentence in (_locality, _polling):
        try:
            lines.append(sentence(context))
        except MissingDataError as missing:
            lines.append(f"Inconclusive {sentence.__name__[1:]}: {missing}.")
    return lines


def _poll_mode(context: RunContext) -> str:
    names = ", ".join(sorted({one.thread for one in context.pollers}))
    return f"Poll mode: {names} takes packets past the kernel, which sees no request, message or poll of it."


def _requests(context: RunContext) -> str:
    requests = context.requests
    if requests is None:
        return "No request was seen."
    about = "About " if requests.estimated else ""
    return f"{about}{rate(requests.count, context.seconds)} requests a second ({requests.source})."


def _locality(context: RunContext) -> str:
    from netprobe.analysis.locality import verdict

    return verdict(context.groups, context.matrix).sentence


def _polling(context: RunContext) -> str:
    return context.polling.sentence


def calls_as_text(context: RunContext) -> TextTable:
    """The most frequent calls, by second and by request."""
    requests = context.requests
    rows = sorted(context.calls, key=lambda row: -row.calls)[:_CALLS]
    columns = [Column("SYSCALL"), Column("/s", True), Column("/request", True), Column("TIMEOUTS")]
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
    """Roles that switch most."""
    columns = [Column("THREADS", True), Column("ROLE"), Column("VOLUNTARY/s", True), Column("INVOLUNTARY/s", True)]
    columns.append(Column("PREEMPTED BY"))
    rows = sorted(context.switches, key=lambda row: -row.switches)[:_ROLES]
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
    """Functions that take most time themselves."""
    profile = context.profile
    rows = [[percent(row.own, profile.total), row.frame.name, row.frame.module] for row in profile.top(_FRAMES)]
    return TextTable([Column("SELF %", True), Column("FUNCTION"), Column("IN")], rows)


def tables(context: RunContext) -> Iterator[TextTable]:
    """Those of the tables for which there are data."""
    for table in (calls_as_text, switches_as_text, frames_as_text):
        try:
            yield table(context)
        except MissingDataError:
            continue
