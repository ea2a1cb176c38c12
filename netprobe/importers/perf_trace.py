"""The summary of `perf trace -s`: by thread, with or without errors, with the errors by name (--errno-summary)."""

from __future__ import annotations

import re
from typing import Any

from netprobe.importers.call_tables import CallRow, as_printed, counted, failed, timed
from netprobe.importers.lines import Line, count, scaled
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser

FORMAT = "perf trace -s"
KIND: Kind = "system calls"
HINTS = ("events",)

_SUMMARY = re.compile(r"(?:\s*\^C)?\s*Summary of events:\s*")
_THREAD = re.compile(r"\s*(\S.{0,63}?) \((\d{1,10})\), (\d{1,18}) events, \d{1,3}\.\d+%\s*")
_TOTAL = re.compile(r"\s*total, (\d{1,18}) events\s*")
_RULE = re.compile(r"\s*-{3,}(?: +-{2,})+\s*")
_UNITS = re.compile(r"\s*\(msec\).*\(%\)\s*")
_ERRNO = re.compile(r"\s+(E[A-Z0-9]{1,30}|\d{1,6}): (\d{1,18})\s*")
_HEADINGS = ("syscall", "calls", "errors", "total", "min", "avg", "max", "stddev")
_TIMES = {"total": "total_ns", "min": "min_ns", "avg": "avg_ns", "max": "max_ns"}
_MS = 1_000_000


def begins(line: Line, context: ImportContext) -> Parser | None:
    """A parser, if this is the heading of the summary or of one of its threads."""
    if _SUMMARY.fullmatch(line.text):
        return _PerfTraceSummary()
    if _THREAD.fullmatch(line.text):
        summary = _PerfTraceSummary()
        summary.take(line)
        return summary
    return None


class _PerfTraceSummary:
    def __init__(self) -> None:
        self._thread, self._tid = "", 0
        self._headings: list[str] = []
        self._rows: list[CallRow] = []
        self._named: list[tuple[CallRow, str, int]] = []
        self._pause = True

    def take(self, line: Line) -> LineKind:
        """Read a thread, its headings, a call, or the name of an error of that call."""
        if line.blank:
            self._pause = True
            return LineKind.OTHER
        fields = line.text.split()
        if thread := _THREAD.fullmatch(line.text):
            self._thread, self._tid = thread[1], int(thread[2])
            return LineKind.OTHER
        if fields[0] == "syscall" and set(fields) <= set(_HEADINGS) and len(fields) > 4:
            self._headings, self._pause = fields, False
            return LineKind.OTHER
        if _UNITS.fullmatch(line.text) or _RULE.fullmatch(line.text) or _TOTAL.fullmatch(line.text):
            return LineKind.OTHER
        if (error := _ERRNO.fullmatch(line.text)) and self._rows:
            self._named.append((self._rows[-1], error[1], int(error[2])))
            return LineKind.ROW
        if not self._headings or self._pause:
            return LineKind.END
        return self._row(line, fields)

    def resumes(self, line: Line) -> bool:
        """A call with a number in each column."""
        if not self._headings or self._row(line, line.text.split()) is not LineKind.ROW:
            return False
        self._pause = False
        return True

    def _row(self, line: Line, fields: list[str]) -> LineKind:
        values: dict[str, Any] = {"line": line.number, "tid": self._tid, "thread": self._thread}
        try:
            for heading, field in zip(self._headings, fields, strict=True):
                values |= _value(heading, field)
        except ValueError:
            return LineKind.MALFORMED if len(fields) <= len(self._headings) + 1 else LineKind.END
        self._rows.append(CallRow(**values))
        return LineKind.ROW

    def contents(self) -> Contents | None:
        """All threads."""
        if not self._rows:
            return None
        return Contents(
            (
                as_printed(self._rows),
                counted(self._rows),
                *failed(self._rows, self._named),
                *timed(self._rows),
            ),
            len(self._rows) + len(self._named),
            unknown=("processes of the threads", "the timeouts of blocking calls"),
        )


def _value(heading: str, field: str) -> dict[str, Any]:
    """The field of a row and its value. Raises `ValueError` if the text does not fit the heading."""
    if heading == "syscall":
        if not re.fullmatch(r"\w+|\?+", field):
            raise ValueError(field)
        return {"syscall": field}
    if heading in ("calls", "errors"):
        whole = count(field)
        if whole is None:
            raise ValueError(field)
        return {heading: whole}
    if heading == "stddev":
        return {"stddev_pct": scaled(field.removesuffix("%"), 1)}
    return {_TIMES[heading]: scaled(field, _MS)}
