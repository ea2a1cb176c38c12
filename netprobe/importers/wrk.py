"""Reports of wrk, wrk2 and derivatives."""

from __future__ import annotations

from netprobe.importers.lines import Line
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser
from netprobe.load.reports import WrkReport, begins_wrk_report, ends_wrk_report
from netprobe.run.table import declared_table

FORMAT = "wrk"
KIND: Kind = "load"
HINTS = ("Running ",)

_MAX_WORDS = 8
"""Of a line that may be a malformed line of a report."""


def begins(line: Line, context: ImportContext) -> Parser | None:
    """At the first line of a report."""
    report = WrkReport()
    return _WrkParser(report) if report.begin(line.number, line.text) else None


class _WrkParser:
    def __init__(self, report: WrkReport) -> None:
        self._report = report

    def take(self, line: Line) -> LineKind:
        """A line of the report."""
        report = self._report
        if line.blank:
            return LineKind.END if report.complete else LineKind.OTHER
        if begins_wrk_report(line.text):
            return LineKind.END
        count = len(report.values)
        valid = report.read(line.number, line.text)
        if valid is None:
            return LineKind.END if report.complete or len(line.text.split()) > _MAX_WORDS else LineKind.MALFORMED
        if not valid:
            return LineKind.MALFORMED
        return LineKind.ROW if len(report.values) > count else LineKind.OTHER

    def resumes(self, line: Line) -> bool:
        """A line with numbers, if the report is not complete or the line is one of its last two."""
        within = not self._report.complete or ends_wrk_report(line.text)
        return within and self.take(line) is LineKind.ROW

    def contents(self) -> Contents | None:
        """Every value of the report, one per row."""
        report = self._report
        if not any(one.quantity in ("requests", "latency") for one in report.values):
            return None
        names = ("line", "quantity", "statistic", "text", "value", "unit")
        table = declared_table("load_results", {name: [getattr(one, name) for one in report.values] for name in names})
        return Contents(
            (table,),
            len({one.line for one in report.values}),
            (report.seconds,) if report.seconds else None,
            (f"the load went to {report.url}",) if report.url else (),
            ("system calls and context switches of the server",),
            requests=report.requests,
        )
