"""The sections of a Run's page: sentences, charts, and tables of the same data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from netprobe.errors import NetprobeError
from netprobe.render import busypoll, locality, switches
from netprobe.render.figures.reuseport import rank
from netprobe.render.figures.run_figures import RunFigures
from netprobe.render.report.charts import Charts, Section, or_nothing
from netprobe.render.report.html import Html, counted, element, folded, join, listed, table
from netprobe.render.report.page import flame_frame
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import percent
from netprobe.rules.context import RunContext

_ROWS, _GROUPS = 40, 6


@dataclass(frozen=True)
class ReportData:
    """A Run and its figures. `prefix`: of the names of its charts; `per`: normalization of system calls."""

    context: RunContext
    figures: RunFigures
    charts: Charts
    prefix: str = ""
    per: str = "auto"

    def name(self, figure: str) -> str:
        """Name of a chart on the page."""
        return f"{self.prefix}{figure}"


def sections(data: ReportData) -> Iterator[Section]:
    """All sections, from throughput to the flame graph."""
    yield Section("load", "Throughput and latency", load(data), "Load")
    yield Section("time", "Over time", over_time(data))
    yield Section("threads", "Time of threads", time_of_threads(data))
    yield Section("locality", "Locality", matrix(data))
    yield Section("reuseport", "Reuseport group", group(data))
    yield Section("syscalls", "System calls", calls(data))
    yield Section("switches", "Context switches", next_tasks(data))
    yield Section("busypoll", "Busy polling", polling(data))
    yield Section("flame", "CPU flame graph", stacks(data))


def load(data: ReportData) -> Html:
    """Throughput over time, latency, and the load generator's report."""
    requests = data.context.requests
    sentence = Html("")
    if requests and data.context.run.seconds > 0:
        about = "About " if requests.estimated else ""
        rate = requests.count / data.context.run.seconds
        sentence = element("p", f"{about}{rate:,.0f} requests per second; source: {requests.source}.")
    return join(
        (
            sentence,
            data.charts.place(data.name("throughput"), data.figures.throughput, numbers=True),
            data.charts.place(data.name("latency"), data.figures.latency, numbers=True),
            _load_report(data.context),
        )
    )


def _load_report(context: RunContext) -> Html:
    if "load_results" not in context.run.tables:
        return Html("")
    rows = context.run.columns("load_results").rows("quantity", "statistic", "text")
    columns = [TextColumn("QUANTITY"), TextColumn("STATISTIC"), TextColumn("VALUE", True)]
    shown = [[str(cell) for cell in row] for row in rows if row[0] != "latency spectrum"]
    return _folded_table("The load generator's report", TextTable(columns, shown))


def time_of_threads(data: ReportData) -> Html:
    """The state of the serving threads, their time over time, and the budgets by role."""
    from netprobe.render.threads import threads_as_text

    context = data.context
    return join(
        (
            or_nothing(lambda: element("p", counted(context.saturation.sentence)) if context.saturation else Html("")),
            data.charts.place(data.name("threads"), data.figures.threads),
            or_nothing(
                lambda: _folded_table(
                    "Time of threads by role", threads_as_text(context.time_budgets, _ROWS, fold=True)
                )
            ),
        )
    )


def over_time(data: ReportData) -> Html:
    """All rates on one time axis, and their means in the selected time range."""
    return join(
        (
            data.charts.place(data.name("time"), lambda: data.figures.over_time(requests=False), numbers=True),
            element("div", class_="chosen", data_prefix=data.prefix),
        )
    )


def matrix(data: ReportData) -> Html:
    """Verdict on locality, heat map, threads, TX queues."""
    context = data.context
    return join(
        (
            or_nothing(lambda: element("p", counted(context.locality_verdict.sentence))),
            data.charts.place(data.name("locality"), data.figures.locality),
            or_nothing(
                lambda: _folded_table(
                    "Messages by thread",
                    locality.threads_as_text(context.thread_matrices, _ROWS),
                    locality.threads_rest(context.thread_matrices, _ROWS),
                )
            ),
            or_nothing(
                lambda: _folded_table(
                    "Messages by CPU", locality.matrix_as_text(context.matrix), locality.matrix_rest(context.matrix)
                )
            ),
            or_nothing(lambda: _sent(context)),
        )
    )


def _sent(context: RunContext) -> Html:
    return join(
        _folded_table(f"Packets sent by {device.device}", locality.tx_as_text(device), locality.matrix_rest(device))
        for device in context.tx
    )


def group(data: ReportData) -> Html:
    """A diagram for each group of listeners, groups with a fault first."""
    return data.charts.attempt(lambda: _groups(data))


def _groups(data: ReportData) -> Html:
    found = data.context.groups
    if not found:
        return element("p", "The server has no listener with SO_REUSEPORT.", class_="missing")
    order = sorted(range(len(found)), key=lambda number: rank(found[number]))
    parts: list[Html] = []
    for number in order[:_GROUPS]:
        shown = found[number]
        parts.append(element("p", locality.group_heading(shown), class_="group"))
        parts.append(data.charts.place(data.name(f"reuseport-{number}"), partial(data.figures.reuseport, number)))
        parts.append(_folded_table("Listeners", locality.members_as_text(shown, 0)))
    parts.append(listed(locality.group_heading(found[number]) for number in order[_GROUPS:]))
    return join(parts)


def calls(data: ReportData) -> Html:
    """System calls by thread and class of timeout, per request if the number of requests is known."""
    context = data.context
    return join(
        (
            data.charts.place(data.name("syscalls"), lambda: data.figures.syscalls(data.per)),
            or_nothing(lambda: _folded_table("System calls by thread", *_calls_table(context, data.per))),
        )
    )


def _calls_table(context: RunContext, per: str) -> tuple[TextTable, str]:
    from netprobe.render.figures.syscalls import normalization, part_text, split

    divisor, unit = normalization(context, per)
    total = sum(row.calls for row in context.calls_by_thread)
    columns = [
        TextColumn("PID", True),
        TextColumn("TID", True),
        TextColumn("THREAD"),
        TextColumn("SYSCALL"),
        TextColumn("COUNT", True),
        TextColumn(unit.upper(), True),
        TextColumn("SHARE %", True),
    ]
    rows = [
        (count, [str(row.pid or "-"), str(row.tid or "-"), row.thread, part_text(part), f"{count:,}",
                 f"{count / divisor:,.3g}", percent(count, total)])
        for row in context.calls_by_thread
        for part, count in split(row)
    ]  # fmt: skip
    rows.sort(key=lambda row: -row[0])
    skipped = _more(len(rows) - _ROWS, sum(count for count, _ in rows[_ROWS:]), total, "calls")
    return TextTable(columns, [cells for _, cells in rows[:_ROWS]]), skipped


def next_tasks(data: ReportData) -> Html:
    """Context switches by thread and next task."""
    context = data.context
    waits = "run_queue" in context.run.tables
    return join(
        (
            data.charts.place(data.name("switches"), data.figures.switches),
            or_nothing(
                lambda: _folded_table(
                    "Switches by thread",
                    switches.threads_as_text(context.switches_by_thread, context.seconds, _ROWS, False, waits),
                    switches.rest(context.switches_by_thread, _ROWS),
                )
            ),
        )
    )


def polling(data: ReportData) -> Html:
    """Verdict on busy polling, hits and misses over time, prerequisites, NAPI instances."""
    return data.charts.attempt(lambda: _polling(data))


def _polling(data: ReportData) -> Html:
    context = data.context
    found = context.polling
    parts = [element("p", counted(found.sentence))]
    if any(row.attempts for row in found.rows):
        parts.append(data.charts.place(data.name("busypoll"), data.figures.busypoll))
    parts.append(table(busypoll.checks_as_text(found.checks), "Prerequisites of busy polling"))
    parts.append(listed(busypoll.fixes(found.checks), "fixes"))
    if found.rows:
        shown = busypoll.rows_as_text(found.rows, found.napis, context.run.seconds, _ROWS)
        attempts = [row.attempts for row in found.rows]
        skipped = _more(len(attempts) - _ROWS, sum(attempts[_ROWS:]), sum(attempts), "attempts")
        parts.append(_folded_table("Busy polls by thread", shown, skipped))
    if found.napis:
        parts.append(_folded_table("Packets of each NAPI instance by receiver", busypoll.napis_as_text(found.napis)))
    return join(parts)


def stacks(data: ReportData) -> Html:
    """The flame graph, and the functions with the largest self time."""
    from netprobe.render.record import frames_as_text

    try:
        profile = data.figures.flamegraph()
    except NetprobeError as error:
        return data.charts.lacking(error.message)
    return join(
        (
            flame_frame(profile),
            or_nothing(lambda: _folded_table("Functions with the largest self time", frames_as_text(data.context))),
        )
    )


def _folded_table(title: str, shown: TextTable, skipped: str = "") -> Html:
    """`skipped`: a line on the rows that the table does not have."""
    if not shown.rows:
        return Html("")
    line = element("p", skipped.removesuffix("; -T 0 shows all"), class_="soft") if skipped else ""
    return folded(f"{title}, as a table", table(shown, title), line)


def _more(hidden: int, part: float, whole: float, of: str) -> str:
    rows = f"{hidden:,} more row{'' if hidden == 1 else 's'}"
    return f"… {rows} ({percent(part, whole)} % of the {of})" if hidden > 0 else ""
