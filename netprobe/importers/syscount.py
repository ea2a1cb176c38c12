"""syscount of bcc: `SYSCALL COUNT`, with times (-L, -m), by process (-P), failed calls only (-x, -e), by interval."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from netprobe.importers.call_tables import CallRow, as_printed, counted, failed, timed
from netprobe.importers.lines import Line, count, scaled
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser
from netprobe.importers.times import clock, interval_lengths
from netprobe.probes.syscall_names import is_known
from netprobe.run.table import Table

FORMAT = "syscount (bcc)"
KIND: Kind = "system calls"
HINTS = ("COUNT", "Tracing ", r"\[\d\d:")

_HEADING = re.compile(r"\s*(SYSCALL|PID\s+COMM)\s+COUNT(?:\s+TIME \((us|ms)\))?\s*")
_STAMP = re.compile(r"\s*(?:\^C)?\[(\d\d:\d\d:\d\d)\]\s*")
_TRACING = re.compile(r"\s*Tracing (failed )?syscalls, printing top (\d{1,6})\.\.\. Ctrl\+C to quit\.\s*")
_ONE_CALL = re.compile(r"\s*Tracing (failed )?syscall '\w+'\.\.\. Ctrl\+C to quit\.\s*")
_CALL = re.compile(r"\w+|\[unknown: \d+\]")
_TIME_NS = {"us": 1_000, "ms": 1_000_000}
_ANNOUNCED, _TIME = "syscount", "syscount time"
_UNKNOWN = ("which threads made the calls", "the timeouts of blocking calls")


@dataclass(frozen=True)
class _Announcement:
    """The first line of syscount: failed calls only; the maximum number of rows (None: no maximum)."""

    failed: bool = False
    max_rows: int | None = 0
    """0 if the line is missing: the table may have been truncated anywhere."""


def begins(line: Line, context: ImportContext) -> Parser | None:
    """A parser, if this is a heading; lines that syscount prints before it are stored in the context."""
    if tracing := _TRACING.fullmatch(line.text):
        context.announced[_ANNOUNCED] = _Announcement(bool(tracing[1]), int(tracing[2]))
    elif tracing := _ONE_CALL.fullmatch(line.text):
        context.announced[_ANNOUNCED] = _Announcement(bool(tracing[1]), None)
    elif stamp := _STAMP.fullmatch(line.text):
        context.announced[_TIME] = line.number, clock([stamp[1]])
    elif heading := _HEADING.fullmatch(line.text):
        return _SyscountTable(heading, line.number, context)
    return None


class _SyscountTable:
    def __init__(self, heading: re.Match[str], number: int, context: ImportContext) -> None:
        self._heading = heading[0].split()
        self._by_process, self._scale = heading[1] != "SYSCALL", _TIME_NS.get(heading[2] or "", 0)
        self._announcement = context.announced.get(_ANNOUNCED) or _Announcement()
        place, time = context.announced.pop(_TIME, (0, None))
        # The time is in the line before the heading.
        self._times: list[int] = [time[0]] if time and place == number - 1 else []
        self._stamped = bool(self._times)
        self._rows: list[CallRow] = []
        self._pause = False

    def _tables(self) -> list[Table]:
        if self._by_process:
            return [as_printed(self._rows, "imported_process_calls")]
        if self._announcement.failed:
            rows = [replace(row, errors=row.calls) for row in self._rows]
            return [as_printed(rows, "imported_failed_calls"), *failed(rows)]
        return [as_printed(self._rows), counted(self._rows), *timed(self._rows)]

    @property
    def kind(self) -> Kind:
        """The kind of the rows."""
        return "calls by process" if self._by_process else "failed calls" if self._announcement.failed else KIND

    def take(self, line: Line) -> LineKind:
        """Read a row, or a line between the tables of two intervals."""
        if line.blank:
            self._pause = True
            return LineKind.OTHER
        if stamp := _STAMP.fullmatch(line.text):
            return self._next_interval(stamp[1])
        if line.text.split() == self._heading:
            # A heading without a time before it belongs to another recording.
            continues, self._stamped = self._stamped and self._pause, True
            self._pause = False
            return LineKind.OTHER if continues else LineKind.END
        if self._pause:
            return LineKind.OTHER if line.text.strip("^C \t") in ("Detaching...", "") else LineKind.END
        return self._row(line)

    def resumes(self, line: Line) -> bool:
        """A row with the name of a system call; a word with a number after it may be in any text."""
        name = line.text.split()[0]
        if not (self._by_process or name == "[unknown:" or is_known(name)) or self._row(line) is not LineKind.ROW:
            return False
        self._pause = False
        return True

    def _next_interval(self, text: str) -> LineKind:
        time = clock([text])
        if time is None or not self._times or time[0] < self._times[-1]:
            return LineKind.END
        self._times.append(time[0])
        return LineKind.OTHER

    def _row(self, line: Line) -> LineKind:
        fields = line.text.split()
        numbers = 2 if self._scale else 1
        name = " ".join(fields[:-numbers])
        calls = count(fields[-numbers]) if len(fields) > numbers else None
        try:
            total_ns = scaled(fields[-1], self._scale) if self._scale else float("nan")
        except ValueError:
            calls = None
        row = None if calls is None else CallRow(line.number, name, calls, self._interval, total_ns=total_ns)
        row = self._of_process(row) if row and self._by_process else row
        if row is None or not (self._by_process or _CALL.fullmatch(name)):
            return LineKind.MALFORMED if len(fields) <= len(self._heading) + 1 else LineKind.END
        self._rows.append(row)
        return LineKind.ROW

    @property
    def _interval(self) -> int:
        return max(len(self._times) - 1, 0)

    def _of_process(self, row: CallRow) -> CallRow | None:
        pid, _, name = row.syscall.partition(" ")
        number = count(pid)
        return None if number is None else replace(row, syscall="", pid=number, process=name)

    def contents(self) -> Contents | None:
        """One table, or the tables of all intervals."""
        if not self._rows:
            return None
        durations, notes = interval_lengths(None, self._times) if len(self._times) > 1 else (None, [])
        if durations:
            notes.append("the report does not contain the length of the first interval: that of the others is assumed")
        else:
            self._rows = [replace(row, interval=0) for row in self._rows]
        most_rows = max(
            sum(row.interval == interval for row in self._rows) for interval in {row.interval for row in self._rows}
        )
        max_rows = self._announcement.max_rows
        return Contents(
            tuple(self._tables()),
            len(self._rows),
            durations,
            tuple(notes),
            () if self._by_process else _UNKNOWN,
            kind=self.kind,
            only_most_frequent=max_rows is not None and most_rows >= max_rows,
        )
