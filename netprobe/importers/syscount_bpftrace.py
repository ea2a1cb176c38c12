"""syscount of bpftrace, and other counts of system calls in a map: `@syscall[0]: 1335`."""

from __future__ import annotations

import re
from dataclasses import replace

from netprobe.importers.call_tables import CallRow, as_printed, counted
from netprobe.importers.lines import Line, count
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser
from netprobe.probes.syscall_names import name_on

FORMAT = "syscount (bpftrace)"
KIND: Kind = "system calls"
HINTS = ("@", "Top ")

_ROW = re.compile(r"\s*@(\w*)\[(?:tracepoint:syscalls:sys_enter_)?(\w+)\]:\s+(\S+)\s*")
_TRACEPOINT = re.compile(r"\s*@\w*\[tracepoint:syscalls:sys_enter_\w+\]:\s+\d+\s*")
_TOP = re.compile(r"\s*(?:\^C)?Top (\d{1,6}) (syscalls IDs|processes):\s*")
_PROCESS = re.compile(r"\s*@process\[(.{0,64})\]:\s+(\S+)\s*")


def begins(line: Line, context: ImportContext) -> Parser | None:
    """A parser, if this is the heading of syscount or the first row of a map of system calls."""
    top = _TOP.fullmatch(line.text)
    if top and top[2] == "syscalls IDs":
        return _Map(context, int(top[1]))
    if line.text.lstrip().startswith("@syscall[") or _TRACEPOINT.fullmatch(line.text):
        parser = _Map(context, None)
        return parser if parser.take(line) is LineKind.ROW else None
    return None


class _Map:
    def __init__(self, context: ImportContext, max_rows: int | None) -> None:
        self._architecture, self._max_rows = context.architecture, max_rows
        self._rows: list[CallRow] = []
        self._processes: list[CallRow] = []
        self._map = ""
        self._seen: set[str] = set()
        self._numbers = False

    def take(self, line: Line) -> LineKind:
        """Read a row of the map, or of the map of processes after it."""
        if line.blank or _TOP.fullmatch(line.text):
            return LineKind.OTHER
        if process := _PROCESS.fullmatch(line.text):
            return self._add(self._processes, CallRow(line.number, "", 0, process=process[1]), process[2])
        found = _ROW.fullmatch(line.text)
        if found is None or (self._map and found[1] != self._map):
            return LineKind.MALFORMED if line.text.lstrip().startswith(("@syscall[", "@process[")) else LineKind.END
        self._map, name = found[1], found[2]
        self._seen.add(name)
        if name.isdigit():
            if len(name) > 9:
                return LineKind.MALFORMED
            self._numbers, name = True, name_on(self._architecture, int(name))
        return self._add(self._rows, CallRow(line.number, name, 0), found[3])

    def resumes(self, line: Line) -> bool:
        """A row of the same map for another system call."""
        found = _ROW.fullmatch(line.text)
        return bool(found and found[1] == self._map and found[2] not in self._seen) and self.take(line) is LineKind.ROW

    def _add(self, rows: list[CallRow], row: CallRow, calls: str) -> LineKind:
        number = count(calls)
        if number is None:
            return LineKind.MALFORMED
        rows.append(replace(row, calls=number))
        return LineKind.ROW

    def contents(self) -> Contents | None:
        """Both maps."""
        if not self._rows:
            return None
        tables = [as_printed(self._rows), counted(self._rows)]
        if self._processes:
            tables.append(as_printed(self._processes, "imported_process_calls"))
        note = f"system calls are numbers, assumed to be of {self._architecture} (--arch)"
        return Contents(
            tuple(tables),
            len(self._rows) + len(self._processes),
            notes=(note,) if self._numbers else (),
            unknown=("which threads made the calls", "the timeouts of blocking calls"),
            only_most_frequent=self._max_rows is not None and len(self._rows) >= self._max_rows,
        )
