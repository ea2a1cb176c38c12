"""The summary of `strace -c`: any columns (-U), any order (-S), with -f and -w, with or without errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from netprobe.importers.call_tables import CallRow, as_printed, counted, failed
from netprobe.importers.lines import Line, count, number, scaled
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser

FORMAT = "strace -c"
KIND: Kind = "system calls"
HINTS = ("syscall",)

_RULE = re.compile(r"\s*-{3,}(?: +-{3,})*\s*")
_NAME = re.compile(r"\w+|0x[0-9a-f]+|\?+")
# Heading -> field of the row, and the function that parses its text.
_COLUMNS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "%time": ("share_pct", number),
    "seconds": ("total_ns", lambda text: scaled(text, 10**9)),
    "usecs/call": ("avg_ns", lambda text: scaled(text, 10**3)),
    "shortest": ("min_ns", lambda text: scaled(text, 10**9)),
    "longest": ("max_ns", lambda text: scaled(text, 10**9)),
    "calls": ("calls", count),
    "errors": ("errors", count),
    "syscall": ("syscall", str),
}


def begins(line: Line, context: ImportContext) -> Parser | None:
    """A parser, if this is a heading with the columns `calls` and `syscall`."""
    headings = line.text.replace("% time", "%time").split()
    if {"calls", "syscall"} <= set(headings) <= _COLUMNS.keys() and len(set(headings)) == len(headings):
        return _StraceSummary(headings)
    return None


class _StraceSummary:
    def __init__(self, headings: list[str]) -> None:
        self._headings = headings
        self._rules = 0
        self._rows: list[CallRow] = []
        self._total: int | None = None
        self._complete = False

    def take(self, line: Line) -> LineKind:
        """Read a rule, a row or the total."""
        if self._complete or line.blank:
            return LineKind.END
        if _RULE.fullmatch(line.text):
            self._rules += 1
            return LineKind.OTHER
        if not self._rules:
            return LineKind.END
        row = self._row(line)
        if row is None:
            return LineKind.MALFORMED if len(line.text.split()) <= len(self._headings) + 1 else LineKind.END
        if self._rules > 1 and row.syscall == "total":
            self._total, self._complete = row.calls, True
            return LineKind.OTHER
        self._rows.append(row)
        return LineKind.ROW

    def resumes(self, line: Line) -> bool:
        """A row with a number in each column, before the total."""
        row = None if self._complete or not self._rules else self._row(line)
        if row is None or row.syscall == "total":
            return False
        self._rows.append(row)
        return True

    def _row(self, line: Line) -> CallRow | None:
        fields, headings = line.text.split(), self._headings
        if "errors" in headings and len(fields) == len(headings) - 1:
            # The column is empty if no call failed.
            fields.insert(headings.index("errors"), "0")
        if len(fields) != len(headings):
            return None
        values: dict[str, Any] = {"line": line.number}
        for heading, field in zip(headings, fields, strict=True):
            name, read = _COLUMNS[heading]
            try:
                values[name] = read(field)
            except ValueError:
                return None
            if values[name] is None:
                return None
        return CallRow(**values) if _NAME.fullmatch(values["syscall"]) else None

    def contents(self) -> Contents | None:
        """The rows, with a note if their sum differs from the total."""
        if not self._rows:
            return None
        sum_of_rows = sum(row.calls for row in self._rows)
        notes = []
        if self._total is not None and sum_of_rows != self._total:
            notes.append(f"the sum of the rows is {sum_of_rows} calls, and the total of the table is {self._total}")
        return Contents(
            (as_printed(self._rows), counted(self._rows), *failed(self._rows)),
            len(self._rows),
            notes=tuple(notes),
            unknown=("which threads made the calls", "the timeouts of blocking calls"),
        )
