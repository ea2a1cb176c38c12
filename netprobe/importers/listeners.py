"""The listing of a trace of reuseport_alloc() and reuseport_add_sock(): `reactor-1, cpu=2, socket 1`."""

from __future__ import annotations

import re

from netprobe.importers.lines import Line
from netprobe.importers.report import Contents, Context, Kind, Parser, Taken
from netprobe.run.table import Table

FORMAT = "reuseport listing (name, cpu=N, socket I)"
KIND: Kind = "listeners"
HINTS = ("socket",)

_ROW = re.compile(r"\s*(\S.{0,63}?),\s*cpu\s?=\s?(\d{1,5}),\s*socket\s?=?\s?(\d{1,5})\s*")
_LIKE_A_ROW = re.compile(r".{1,80},\s*cpu\b.{0,40}|.{1,80},\s*socket\b.{0,40}")


def begins(line: Line, context: Context) -> Parser | None:
    """At the first row."""
    found = _Listing()
    return found if found.take(line) is Taken.ROW else None


class _Listing:
    def __init__(self) -> None:
        self._rows: list[tuple[int, int, str, int, int]] = []  # line, group, name, cpu, socket
        self._group = -1
        self._seen: set[int] = set()

    def take(self, line: Line) -> Taken:
        """A listener; one whose number was there already begins another group."""
        found = _ROW.fullmatch(line.text)
        if not found:
            return Taken.BROKEN if self._rows and _LIKE_A_ROW.fullmatch(line.text) else Taken.END
        socket = int(found[3])
        if not self._rows or socket in self._seen:
            self._group, self._seen = self._group + 1, set()
        self._seen.add(socket)
        self._rows.append((line.number, self._group, found[1], int(found[2]), socket))
        return Taken.ROW

    def resumes(self, line: Line) -> bool:
        """A listener with a higher number than those before; any other begins another listing."""
        found = _ROW.fullmatch(line.text)
        return bool(found and int(found[3]) > max(self._seen)) and self.take(line) is Taken.ROW

    def contents(self) -> Contents | None:
        """Groups and members as netprobe's own probe has them; steering and address are not in the listing."""
        names = ("line", "group", "name", "cpu", "socket")
        columns = dict(zip(names, map(list, zip(*self._rows, strict=True)), strict=True))
        return Contents(
            (Table("imported_listeners", columns), self._groups(), self._members()),
            len(self._rows),
            notes=("how the group is steered is not in the listing: taken to go by the order of the CPUs",),
            unknown=("address and port", "how the group is steered", "where the threads may run later"),
        )

    def _groups(self) -> Table:
        sizes = [sum(row[1] == group for row in self._rows) for group in range(self._group + 1)]
        count = len(sizes)
        return Table(
            "reuseport_groups",
            {
                "group": list(range(count)),
                "protocol": ["?"] * count,
                "address": [""] * count,
                "port": [0] * count,
                "dual_stack": [False] * count,
                "size": sizes,
                "steering": ["not known"] * count,
                "program": ["[]"] * count,
                "program_omitted": [0] * count,
                "program_name": [""] * count,
                "changed_while_recording": [False] * count,
            },
        )

    def _members(self) -> Table:
        rows = sorted(self._rows, key=lambda row: (row[1], row[4]))
        count = len(rows)
        nan = float("nan")
        return Table(
            "reuseport_members",
            {
                "group": [row[1] for row in rows],
                "index": [row[4] for row in rows],
                "inode": list(range(1, count + 1)),
                "incoming_cpu": [-1] * count,
                "owner_pids": [""] * count,
                "pid": [0] * count,
                # Numbers of their own: the listing has none, and each row is another thread.
                "tid": [-number for number in range(2, count + 2)],
                "process": [""] * count,
                "thread": [row[2] for row in rows],
                "how": ["listing"] * count,
                "cpus_allowed": [str(row[3]) for row in rows],
                "last_cpu": [row[3] for row in rows],
                "joined_s": [nan] * count,
                "joined_tid": [-1] * count,
                "joined_thread": [row[2] for row in rows],
                "joined_cpu": [row[3] for row in rows],
            },
        )
