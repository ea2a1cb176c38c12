"""The sections of a Run's page, from its tables to sentences, charts and tables of the same data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from netprobe.errors import NetprobeError
from netprobe.render import busypoll, locality, switches
from netprobe.render.figures.of_run import RunFigures
from netprobe.render.figures.reuseport import rank
from netprobe.render.report.flame import frame_of
from netprobe.render.report.html import Html, counted, element, folded, join, listed, table
from netprobe.render.report.parts import Charts, Section, or_nothing
from netprobe.render.text import Column, TextTable
from netprobe.render.units import percent
from netprobe.rules.context import RunContext

_ROWS, _GROUPS = 40, 6


@dataclass(frozen=True)
class Source:
    """A Run with its figures. `prefix`: of the charts' names, where a page shows two Runs; `per`: of system calls."""

    context: RunContext
    figures: RunFigures
    charts: Charts
    prefix: str = ""
    per: str = "auto"

    def name(self, figure: str) -> str:
        """Of a chart on the page."""
        return f"{self.prefix}{figure}"


def sections(source: Source) -> Iterator[Section]:
    """In the order in which a reader asks."""
    yield Section("load", "Throughput and latency", load(source), "Load")
    yield Section("time", "Over time", over_time(source))
    yield Section("locality", "Locality", matrix(source))
    yield Section("reuseport", "Reuseport group", group(source))
    yield Section("syscalls", "System calls", calls(source))
    yield Section("switches", "Context switches", next_tasks(source))
    yield Section("busypoll", "Busy polling", polling(source))
    yield Section("flame", "Where the time goes", stacks(source))


def load(source: Source) -> Html:
    """Throughput over time; latency where it is known; the load generator's report."""
    requests = source.context.requests
    words = Html("")
    if requests and source.context.run.seconds > 0:
        about = "About " if requests.estimated else ""
        words = element(
            "p",
            f"{about}{requests.count / source.context.run.seconds:,.0f} requests a second; source: {requests.source}.",
        )
    figures = source.figures
    return join(
        (
            words,
            source.charts.place(source.name("throughput"), figures.throughput, numbers=True),
            source.charts.place(source.name("latency"), figures.latency, numbers=True),
            _reported(source.context),
        )
    )


def _reported(context: RunContext) -> Html:
    if "load_results" not in context.run.tables:
        return Html("")
    rows = context.run.columns("load_results").rows("quantity", "statistic", "text")
    columns = [Column("QUANTITY"), Column("STATISTIC"), Column("VALUE", True)]
    shown = [[str(cell) for cell in row] for row in rows if row[0] != "latency spectrum"]
    return _same("The load generator's report", TextTable(columns, shown))


def over_time(source: Source) -> Html:
    """Every row on one time axis, and what is chosen of it in numbers."""
    return join(
        (
            source.charts.place(source.name("time"), lambda: source.figures.over_time(requests=False), numbers=True),
            element("div", class_="chosen", data_prefix=source.prefix),
        )
    )


def matrix(source: Source) -> Html:
    """The sentence, the heat map, threads, TX queues."""
    from netprobe.analysis.locality import verdict

    context = source.context
    return join(
        (
            or_nothing(lambda: element("p", counted(verdict(context.groups, context.matrix).sentence))),
            source.charts.place(source.name("locality"), source.figures.locality),
            or_nothing(
                lambda: _same(
                    "Messages by thread",
                    locality.threads_as_text(context.thread_matrices, _ROWS),
                    locality.threads_rest(context.thread_matrices, _ROWS),
                )
            ),
            or_nothing(
                lambda: _same(
                    "Messages by CPU", locality.matrix_as_text(context.matrix), locality.matrix_rest(context.matrix)
                )
            ),
            or_nothing(lambda: _sent(context)),
        )
    )


def _sent(context: RunContext) -> Html:
    return join(
        _same(f"Packets sent by {here.device}", locality.tx_as_text(here), locality.matrix_rest(here))
        for here in context.tx
    )


def group(source: Source) -> Html:
    """A picture for each group of several listeners, the wrong ones first."""
    return source.charts.attempt(lambda: _groups(source))


def _groups(source: Source) -> Html:
    found = source.context.groups
    if not found:
        return element("p", "The server has no listener that could share its port.", class_="missing")
    order = sorted(range(len(found)), key=lambda number: rank(found[number]))
    parts: list[Html] = []
    for number in order[:_GROUPS]:
        here = found[number]
        parts.append(element("p", locality.group_heading(here), class_="group"))
        parts.append(source.charts.place(source.name(f"reuseport-{number}"), partial(source.figures.reuseport, number)))
        parts.append(_same("Listeners", locality.members_as_text(here, 0)))
    parts.append(listed(locality.group_heading(found[number]) for number in order[_GROUPS:]))
    return join(parts)


def calls(source: Source) -> Html:
    """By thread and class of timeout, by request where that is known."""
    context = source.context
    return join(
        (
            source.charts.place(source.name("syscalls"), lambda: source.figures.syscalls(source.per)),
            or_nothing(lambda: _same("System calls by thread", *_calls_table(context, source.per))),
        )
    )


def _calls_table(context: RunContext, per: str) -> tuple[TextTable, str]:
    from netprobe.render.figures.syscalls import denominator, part_words, split

    divisor, unit = denominator(context, per)
    total = sum(row.calls for row in context.calls_by_thread)
    columns = [
        Column("PID", True), Column("TID", True), Column("THREAD"), Column("SYSCALL"), Column("COUNT", True),
        Column(unit.upper(), True), Column("SHARE %", True),
    ]  # fmt: skip
    rows = [
        (count, [str(row.pid or "-"), str(row.tid or "-"), row.thread, part_words(part), f"{count:,}",
                 f"{count / divisor:,.3g}", percent(count, total)])
        for row in context.calls_by_thread
        for part, count in split(row)
    ]  # fmt: skip
    rows.sort(key=lambda row: -row[0])
    skipped = _more(len(rows) - _ROWS, sum(count for count, _ in rows[_ROWS:]), total, "calls")
    return TextTable(columns, [cells for _, cells in rows[:_ROWS]]), skipped


def next_tasks(source: Source) -> Html:
    """Who takes over from whom."""
    context = source.context
    waits = "run_queue" in context.run.tables
    return join(
        (
            source.charts.place(source.name("switches"), source.figures.switches),
            or_nothing(
                lambda: _same(
                    "Switches by thread",
                    switches.threads_as_text(context.switches_by_thread, context.seconds, _ROWS, False, waits),
                    switches.rest(context.switches_by_thread, _ROWS),
                )
            ),
        )
    )


def polling(source: Source) -> Html:
    """The sentence, hits and misses over time, the chain of conditions, the NAPI instances."""
    return source.charts.attempt(lambda: _polling(source))


def _polling(source: Source) -> Html:
    context = source.context
    found = context.polling
    parts = [element("p", counted(found.sentence))]
    if any(row.attempts for row in found.rows):
        parts.append(source.charts.place(source.name("busypoll"), source.figures.busypoll))
    parts.append(table(busypoll.links_as_text(found.links), "The chain of conditions"))
    parts.append(listed(busypoll.fixes(found.links), "fixes"))
    if found.rows:
        shown = busypoll.rows_as_text(found.rows, found.napis, context.run.seconds, _ROWS)
        attempts = [row.attempts for row in found.rows]
        skipped = _more(len(attempts) - _ROWS, sum(attempts[_ROWS:]), sum(attempts), "attempts")
        parts.append(_same("Busy polls by thread", shown, skipped))
    if found.napis:
        parts.append(_same("Who took the packets of each NAPI instance", busypoll.napis_as_text(found.napis)))
    return join(parts)


def stacks(source: Source) -> Html:
    """The flame graph with its own controls."""
    from netprobe.render.record import frames_as_text

    try:
        profile = source.figures.flame()
    except NetprobeError as error:
        return source.charts.lacking(error.message)
    return join(
        (
            frame_of(profile),
            or_nothing(lambda: _same("Functions that take most time themselves", frames_as_text(source.context))),
        )
    )


def _same(title: str, shown: TextTable, skipped: str = "") -> Html:
    """`skipped`: what the table does not have, as a terminal says it."""
    if not shown.rows:
        return Html("")
    line = element("p", skipped.removesuffix("; -T 0 shows all"), class_="soft") if skipped else ""
    return folded(f"{title}, as a table", table(shown, title), line)


def _more(hidden: int, part: float, whole: float, of: str) -> str:
    rows = f"{hidden:,} more row{'' if hidden == 1 else 's'}"
    return f"… {rows} ({percent(part, whole)} % of the {of})" if hidden > 0 else ""
