"""syscount of bcc: `SYSCALL COUNT`, with times (-L, -m), by process (-P), failed calls only (-x, -e), by interval."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from netprobe.importers.calls import CallRow, as_printed, counted, failed, timed
from netprobe.importers.intervals import lengths
from netprobe.importers.lines import Line, clock, count, scaled
from netprobe.importers.report import Contents, Context, Kind, Parser, Taken
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
_TOLD, _TIME = "syscount", "syscount time"
_UNKNOWN = ("which threads made the calls", "the timeouts of calls that wait")


@dataclass(frozen=True)
class _Told:
    """What syscount says in its first line: only failed calls; how many rows it prints at most (None: all)."""

    failed: bool = False
    most: int | None = 0
    """0 where the line is not there: the table may have been cut anywhere."""


def begins(line: Line, context: Context) -> Parser | None:
    """At a heading; what syscount says before it is remembered."""
    if tracing := _TRACING.fullmatch(line.text):
        context.told[_TOLD] = _Told(bool(tracing[1]), int(tracing[2]))
    elif tracing := _ONE_CALL.fullmatch(line.text):
        context.told[_TOLD] = _Told(bool(tracing[1]), None)
    elif stamp := _STAMP.fullmatch(line.text):
        context.told[_TIME] = line.number, clock([stamp[1]])
    elif heading := _HEADING.fullmatch(line.text):
        return _Table(heading, line.number, context)
    return None


class _Table:
    def __init__(self, heading: re.Match[str], number: int, context: Context) -> None:
        self._heading = heading[0].split()
        self._by_process, self._scale = heading[1] != "SYSCALL", _TIME_NS.get(heading[2] or "", 0)
        self._told = context.told.get(_TOLD) or _Told()
        place, time = context.told.pop(_TIME, (0, None))
        # The time stands in the line above.
        self._times: list[int] = [time[0]] if time and place == number - 1 else []
        self._stamped = bool(self._times)
        self._rows: list[CallRow] = []
        self._pause = False

    def _tables(self) -> list[Table]:
        if self._by_process:
            return [as_printed(self._rows, "imported_process_calls")]
        if self._told.failed:
            rows = [replace(row, errors=row.calls) for row in self._rows]
            return [as_printed(rows, "imported_failed_calls"), *failed(rows)]
        return [as_printed(self._rows), counted(self._rows), *timed(self._rows)]

    @property
    def kind(self) -> Kind:
        """What its rows are."""
        return "calls by process" if self._by_process else "failed calls" if self._told.failed else KIND

    def take(self, line: Line) -> Taken:
        """A row, or what stands between the tables of intervals."""
        if line.blank:
            self._pause = True
            return Taken.QUIET
        if stamp := _STAMP.fullmatch(line.text):
            return self._next_interval(stamp[1])
        if line.text.split() == self._heading:
            # A heading without a time above it is another recording's.
            continues, self._stamped = self._stamped and self._pause, True
            self._pause = False
            return Taken.QUIET if continues else Taken.END
        if self._pause:
            return Taken.QUIET if line.text.strip("^C \t") in ("Detaching...", "") else Taken.END
        return self._row(line)

    def resumes(self, line: Line) -> bool:
        """A call that exists; words with a number behind them may stand in any text."""
        name = line.text.split()[0]
        if not (self._by_process or name == "[unknown:" or is_known(name)) or self._row(line) is not Taken.ROW:
            return False
        self._pause = False
        return True

    def _next_interval(self, text: str) -> Taken:
        time = clock([text])
        if time is None or not self._times or time[0] < self._times[-1]:
            return Taken.END
        self._times.append(time[0])
        return Taken.QUIET

    def _row(self, line: Line) -> Taken:
        words = line.text.split()
        numbers = 2 if self._scale else 1
        name = " ".join(words[:-numbers])
        calls = count(words[-numbers]) if len(words) > numbers else None
        try:
            total_ns = scaled(words[-1], self._scale) if self._scale else float("nan")
        except ValueError:
            calls = None
        row = None if calls is None else CallRow(line.number, name, calls, self._block, total_ns=total_ns)
        row = self._of_process(row) if row and self._by_process else row
        if row is None or not (self._by_process or _CALL.fullmatch(name)):
            return Taken.BROKEN if len(words) <= len(self._heading) + 1 else Taken.END
        self._rows.append(row)
        return Taken.ROW

    @property
    def _block(self) -> int:
        return max(len(self._times) - 1, 0)

    def _of_process(self, row: CallRow) -> CallRow | None:
        pid, _, name = row.syscall.partition(" ")
        number = count(pid)
        return None if number is None else replace(row, syscall="", pid=number, process=name)

    def contents(self) -> Contents | None:
        """The table, or the tables of all intervals."""
        if not self._rows:
            return None
        durations, notes = lengths(None, self._times) if len(self._times) > 1 else (None, [])
        if durations:
            notes.append("how long the first interval took is not said: taken for as long as the others")
        else:
            self._rows = [replace(row, interval=0) for row in self._rows]
        fullest = max(sum(row.interval == interval for row in self._rows) for interval in {row.interval for row in self._rows})
        most = self._told.most
        return Contents(
            tuple(self._tables()),
            len(self._rows),
            durations,
            tuple(notes),
            () if self._by_process else _UNKNOWN,
            kind=self.kind,
            only_most_frequent=most is not None and fullest >= most,
        )
