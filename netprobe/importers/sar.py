"""`sar -w`: new processes and context switches of the whole machine per second, by interval."""

from __future__ import annotations

import math

from netprobe.importers.lines import Line, number
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser
from netprobe.importers.sysstat import read_banner, split_time
from netprobe.importers.times import interval_lengths, seconds_between
from netprobe.run.table import Table, declared_table

FORMAT = "sar -w"
KIND: Kind = "machine switches"
HINTS = ("cswch/s", "Linux ")

_COLUMNS = {"proc/s", "cswch/s"}
_AVERAGE = "average"
# A heading that is repeated after a screenful has the time of the last row.
_SAME = 1


def begins(line: Line, context: ImportContext) -> Parser | None:
    """A parser, if this is a heading."""
    if read_banner(line.text, context):
        return None
    found = split_time(line.text)
    if found and set(found[1]) == _COLUMNS and len(found[1]) == 2:
        return _SarRows(found[0], found[1], dict(context.host))
    return None


class _SarRows:
    def __init__(self, start: int | None, columns: list[str], host: dict[str, object]) -> None:
        self._start, self._columns, self._host = start, columns, host
        self._rows: list[tuple[int, int, float, float]] = []  # line, time, proc/s, cswch/s
        self._averages: list[tuple[int, float, float]] = []
        self._notes: list[str] = []
        self._pause = self._others = False

    def take(self, line: Line) -> LineKind:
        """Read a row, the average, or the repeated heading."""
        if line.blank:
            self._pause = True
            return LineKind.OTHER
        found = split_time(line.text)
        if found is None:
            return LineKind.END if self._pause or len(line.text.split()) > 4 else LineKind.MALFORMED
        time, fields = found
        if set(fields) == _COLUMNS:
            return self._heading(time)
        if fields[:2] == ["LINUX", "RESTART"]:
            self._notes.append("the machine was rebooted between two rows")
            return LineKind.OTHER
        rates = [number(field) for field in fields]
        if len(rates) != 2 or None in rates:
            return self._no_row(fields)
        by_name = {name: rate or 0.0 for name, rate in zip(self._columns, rates, strict=True)}
        if time is None:
            self._averages.append((line.number, by_name["proc/s"], by_name["cswch/s"]))
        else:
            self._rows.append((line.number, time, by_name["proc/s"], by_name["cswch/s"]))
        self._pause = False
        return LineKind.ROW

    def resumes(self, line: Line) -> bool:
        """A time and two numbers, unless the heading of another report came before."""
        found = split_time(line.text)
        row = found is not None and found[0] is not None and not self._others and set(found[1]) != _COLUMNS
        return row and self.take(line) is LineKind.ROW

    def _no_row(self, fields: list[str]) -> LineKind:
        heading = not any(char.isdigit() for field in fields for char in field)
        if self._pause:
            self._others = self._others or heading
            return LineKind.END
        return LineKind.END if heading and len(fields) > 4 else LineKind.MALFORMED

    def _heading(self, time: int | None) -> LineKind:
        last = self._rows[-1][1] if self._rows else self._start
        if time is None:
            return LineKind.OTHER
        # sar prints averages last.
        continues = last is not None and not self._averages and 0 <= seconds_between(last, time) <= _SAME
        return LineKind.OTHER if continues else LineKind.END

    def contents(self) -> Contents | None:
        """All rows, by interval."""
        if not self._rows and not self._averages:
            return None
        durations, gaps = interval_lengths(self._start, [time for _, time, _, _ in self._rows])
        return Contents(
            (self._as_printed(),),
            len(self._rows) + len(self._averages),
            durations,
            (*gaps, *self._notes),
            ("which threads switch",),
            {name: value for name, value in self._host.items() if name != "date"},
            machine=self._machine(durations) if durations else None,
        )

    def _machine(self, durations: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        rates = [(switches, forks) for _, _, forks, switches in self._rows]
        return (
            tuple(switches * length for (switches, _), length in zip(rates, durations, strict=True)),
            tuple(forks * length for (_, forks), length in zip(rates, durations, strict=True)),
        )

    def _as_printed(self) -> Table:
        rows = [*self._rows, *((line, math.nan, forks, switches) for line, forks, switches in self._averages)]
        columns = zip(*rows, strict=True)
        table = dict(zip(("line", "time_s", "proc_per_s", "cswch_per_s"), map(list, columns), strict=True))
        table["time_s"] = [float(time) for time in table["time_s"]]
        table["row"] = ["interval"] * len(self._rows) + [_AVERAGE] * len(self._averages)
        return declared_table("imported_sar", table)
