"""`pidstat -w`, also by thread (-t), in one table (-h), with times of the epoch (-H) or command lines (-l)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from netprobe.importers.lines import Line, count, number
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser
from netprobe.importers.sysstat import read_banner, split_time
from netprobe.importers.times import interval_lengths
from netprobe.run.table import Table, declared_table

FORMAT = "pidstat -w"
KIND: Kind = "thread switches"
HINTS = ("cswch/s", "Linux ")

_NEEDED = {"cswch/s", "nvcswch/s", "Command"}
_OF_A_THREAD = "|__"
_AVERAGE = "average"


@dataclass(frozen=True, slots=True)
class _PidstatRow:
    line: int
    time: int | None
    pid: int
    """0 if the row has only the TID."""
    tid: int
    """0 in the row of a process."""
    name: str
    voluntary: float
    involuntary: float


def begins(line: Line, context: ImportContext) -> Parser | None:
    """A parser, if this is a heading with voluntary and involuntary switches."""
    if read_banner(line.text, context):
        return None
    heading = _heading(line.text)
    return _PidstatRows(*heading, dict(context.host)) if heading else None


def _heading(text: str) -> tuple[int | None, list[str]] | None:
    if text.lstrip().startswith("#"):
        fields = text.lstrip()[1:].split()
        found: tuple[int | None, list[str]] | None = (None, fields[1:]) if fields[:1] == ["Time"] else None
    else:
        found = split_time(text)
    columns = found[1] if found else []
    fits = set(columns) >= _NEEDED and columns[-1] == "Command" and ("PID" in columns or "TID" in columns)
    return found if fits else None


class _PidstatRows:
    def __init__(self, start: int | None, columns: list[str], host: dict[str, object]) -> None:
        self._start, self._columns, self._host = start, columns, host
        self._threads = "TID" in columns
        self._rows: list[_PidstatRow] = []
        self._averages: list[_PidstatRow] = []
        self._pid, self._process = 0, ""
        self._names: dict[int, str] = {}
        self._owners: dict[int, int] = {}
        self._pause = self._others = False

    def take(self, line: Line) -> LineKind:
        """Read a row, or the heading of the next interval or report."""
        if line.blank:
            self._pause = True
            return LineKind.OTHER
        if line.text.lstrip().startswith("#"):
            heading = _heading(line.text)
            return LineKind.OTHER if heading and heading[1] == self._columns else LineKind.END
        found = split_time(line.text)
        if found is None:
            return (
                LineKind.END if self._pause or len(line.text.split()) > len(self._columns) + 2 else LineKind.MALFORMED
            )
        time, fields = found
        if fields and fields[-1] == "Command" and ("PID" in fields or "TID" in fields):
            return self._next_heading(time, fields)
        if self._others:
            return LineKind.OTHER
        row = self._row(line, time, fields)
        if row is None:
            return LineKind.END if self._pause else LineKind.MALFORMED
        self._pause = False
        (self._averages if time is None else self._rows).append(row)
        return LineKind.ROW

    def resumes(self, line: Line) -> bool:
        """A time with a number in each column, unless the heading of another report came before."""
        found = split_time(line.text)
        row = found is not None and not self._others and found[1][-1:] != ["Command"]
        return row and self.take(line) is LineKind.ROW

    def _next_heading(self, time: int | None, fields: list[str]) -> LineKind:
        # With several options (pidstat -u -w) the reports alternate.
        self._others = fields != self._columns
        if time is None:
            return LineKind.OTHER
        last = self._rows[-1].time if self._rows else self._start
        if self._averages or (last is not None and time < last and last - time < 43_200):
            return LineKind.END
        return LineKind.OTHER

    def _row(self, line: Line, time: int | None, fields: list[str]) -> _PidstatRow | None:
        """None if it cannot be parsed."""
        last = len(self._columns) - 1
        if len(fields) <= last:
            return None
        values = dict(zip(self._columns, fields[:last], strict=False))
        rates = number(values["cswch/s"]), number(values["nvcswch/s"])
        thread = self._thread_of(values, " ".join(fields[last:]))
        if thread is None or rates[0] is None or rates[1] is None:
            return None
        return _PidstatRow(line.number, time, *thread, rates[0], rates[1])

    def _thread_of(self, values: dict[str, str], command: str) -> tuple[int, int, str] | None:
        """pid, tid and name; stores the process of the threads in the rows that follow."""
        if not self._threads:
            pid = count(values["PID"])
            return None if pid is None else (pid, 0, self._named(pid, command))
        pid, tid = count(values.get("TGID", "-")), count(values["TID"])
        if pid is None and tid is None:
            return None
        if pid is not None:
            self._pid = pid
            # A process whose main thread did not run: `(process)__thread` in one row.
            process, _, thread = command[1:].partition(")__") if command.startswith("(") else (command, "", command)
            self._named(pid, process)
            if tid is None:
                return pid, 0, command
            command = thread
        assert tid is not None
        self._owners[tid] = self._pid
        return self._pid, tid, command.removeprefix(_OF_A_THREAD)

    def _named(self, pid: int, name: str) -> str:
        self._names[pid] = name
        return name

    def contents(self) -> Contents | None:
        """Switches by thread, or by process if the report has no threads."""
        if not self._rows and not self._averages:
            return None
        times = list(dict.fromkeys(row.time for row in self._rows if row.time is not None))
        durations, gaps = interval_lengths(self._start, times)
        tables = [self._as_printed()]
        if durations:
            tables += self._counted(durations, {time: place for place, time in enumerate(times)})
        since_boot = not durations and self._start is not None and times == [self._start]
        notes = (*gaps, *(("the rates are averages since boot",) if since_boot else ()))
        unknown = ("which task runs next", *(() if self._threads else ("which threads switch",)))
        host = {name: value for name, value in self._host.items() if name != "date"}
        return Contents(tuple(tables), len(self._rows) + len(self._averages), durations, notes, unknown, host)

    def _counted(self, durations: tuple[float, ...], places: dict[int, int]) -> list[Table]:
        # The row of a process repeats that of its first thread.
        rows = [row for row in self._rows if row.time is not None and (row.tid or not self._threads)]
        place = [places[row.time] for row in rows if row.time is not None]
        tids = [row.tid or row.pid for row in rows]
        thread: dict[str, list[Any]] = {
            "pid": [row.pid for row in rows],
            "tid": tids,
            "process": [self._names.get(row.pid, "") for row in rows],
            "thread": [row.name for row in rows],
        }
        switches: dict[str, list[Any]] = {
            "interval": place,
            **thread,
            "voluntary": [row.voluntary * durations[at] for row, at in zip(rows, place, strict=True)],
            "involuntary": [row.involuntary * durations[at] for row, at in zip(rows, place, strict=True)],
        }
        return [declared_table("switches", switches)]

    def _as_printed(self) -> Table:
        rows = [*self._rows, *self._averages]
        return declared_table(
            "imported_pidstat",
            {
                "line": [row.line for row in rows],
                "row": ["interval"] * len(self._rows) + [_AVERAGE] * len(self._averages),
                "time_s": [math.nan if row.time is None else float(row.time) for row in rows],
                "pid": [row.pid for row in rows],
                "tid": [row.tid for row in rows],
                "command": [row.name for row in rows],
                "cswch_per_s": [row.voluntary for row in rows],
                "nvcswch_per_s": [row.involuntary for row in rows],
            },
        )
