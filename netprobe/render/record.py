"""The summary of a Run: rates, calls, locality, busy polling, switches, frames, findings."""

from __future__ import annotations

from collections.abc import Iterator

from netprobe.render.text import Column, TextTable
from netprobe.render.units import percent, rate
from netprobe.rules.facts import Facts, MissingDataError

_CALLS, _ROLES, _FRAMES = 6, 4, 6


def headline(facts: Facts) -> list[str]:
    """Requests, locality and busy polling in a sentence each."""
    if facts.pollers:
        return [_poll_mode(facts)]
    lines = [_requests(facts)]
    for sentence in (_locality, _polling):
        try:
            lines.append(sentence(facts))
        except MissingDataError as missing:
            lines.append(f"Cannot tell {sentence.__name__[1:]}: {missing}.")
    return lines


def _poll_mode(facts: Facts) -> str:
    names = ", ".join(sorted({one.thread for one in facts.pollers}))
    return f"Poll mode: {names} takes packets past the kernel, which sees no request, message or poll of it."


def _requests(facts: Facts) -> str:
    requests = facts.requests
    if requests is None:
        return "No request was seen."
    about = "About " if requests.estimated else ""
    return f"{about}{rate(requests.count, facts.seconds)} requests a second ({requests.source})."


def _locality(facts: Facts) -> str:
    from netprobe.analysis.locality import verdict

    return verdict(facts.groups, facts.matrix).sentence


def _polling(facts: Facts) -> str:
    return facts.polling.sentence


def calls_as_text(facts: Facts) -> TextTable:
    """The most frequent calls, by second and by request."""
    requests = facts.requests
    rows = sorted(facts.calls, key=lambda row: -row.calls)[:_CALLS]
    columns = [Column("SYSTEM CALL"), Column("/s", True), Column("/request", True), Column("TIME-OUTS")]
    cells = [
        [
            row.syscall,
            rate(row.calls, facts.seconds),
            f"{row.calls / requests.count:.2f}" if requests else "-",
            ", ".join(f"{name} {percent(count, row.calls)} %" for name, count in row.timeouts.most_common()) or "",
        ]
        for row in rows
    ]
    return TextTable(columns, cells)


def switches_as_text(facts: Facts) -> TextTable:
    """Roles that switch most."""
    columns = [Column("THREADS", True), Column("ROLE"), Column("VOLUNTARY/s", True), Column("INVOLUNTARY/s", True)]
    columns.append(Column("PREEMPTED BY"))
    rows = sorted(facts.switches, key=lambda row: -row.switches)[:_ROLES]
    cells = [
        [
            str(len(row.tids)),
            row.thread,
            rate(row.voluntary, facts.seconds),
            rate(row.involuntary, facts.seconds),
            ", ".join(name for name, _ in (+row.preempted_by).most_common(2)) or "-",
        ]
        for row in rows
    ]
    return TextTable(columns, cells)


def frames_as_text(facts: Facts) -> TextTable:
    """Functions that take most time themselves."""
    profile = facts.profile
    rows = [[percent(row.own, profile.total), row.frame.name, row.frame.module] for row in profile.top(_FRAMES)]
    return TextTable([Column("SELF %", True), Column("FUNCTION"), Column("IN")], rows)


def tables(facts: Facts) -> Iterator[TextTable]:
    """Those of the tables for which there are data."""
    for table in (calls_as_text, switches_as_text, frames_as_text):
        try:
            yield table(facts)
        except MissingDataError:
            continue
