"""The listing of a trace of reuseport_alloc() and reuseport_add_sock(): `reactor-1, cpu=2, socket 1`."""

from __future__ import annotations

import re

from netprobe.importers.lines import Line
from netprobe.importers.report import Contents, ImportContext, Kind, LineKind, Parser
from netprobe.run.table import Table, declared_table

FORMAT = "reuseport listing (name, cpu=N, socket I)"
KIND: Kind = "listeners"
HINTS = ("socket",)

_ROW = re.compile(r"\s*(\S.{0,63}?),\s*cpu\s?=\s?(\d{1,5}),\s*socket\s?=?\s?(\d{1,5})\s*")
_LIKE_A_ROW = re.compile(r".{1,80},\s*cpu\b.{0,40}|.{1,80},\s*socket\b.{0,40}")


def begins(line: Line, context: ImportContext) -> Parser | None:
    """A parser, if this is a row."""
    listing = _Listing()
    return listing if listing.take(line) is LineKind.ROW else None


class _Listing:
    def __init__(self) -> None:
        self._rows: list[tuple[int, int, str, int, int]] = []  # line, group, name, cpu, socket
        self._group = -1
        self._seen: set[int] = set()

    def take(self, line: Line) -> LineKind:
        """A listener; a number that has been read before begins another group."""
        found = _ROW.fullmatch(line.text)
        if not found:
            return LineKind.MALFORMED if self._rows and _LIKE_A_ROW.fullmatch(line.text) else LineKind.END
        socket = int(found[3])
        if not self._rows or socket in self._seen:
            self._group, self._seen = self._group + 1, set()
        self._seen.add(socket)
        self._rows.append((line.number, self._group, found[1], int(found[2]), socket))
        return LineKind.ROW

    def resumes(self, line: Line) -> bool:
        """A listener with a higher number than all before it; any other number begins another listing."""
        found = _ROW.fullmatch(line.text)
        return bool(found and int(found[3]) > max(self._seen)) and self.take(line) is LineKind.ROW

    def contents(self) -> Contents | None:
        """Groups and members as the probe of netprobe records them, without steering and address."""
        names = ("line", "group", "name", "cpu", "socket")
        columns = dict(zip(names, map(list, zip(*self._rows, strict=True)), strict=True))
        return Contents(
            (declared_table("imported_listeners", columns), self._groups(), self._members()),
            len(self._rows),
            notes=(
                "the listing does not contain how the group is steered: steering by the order of the CPUs is assumed",
            ),
            unknown=("address and port", "how the group is steered", "later CPU affinity of the threads"),
        )

    def _groups(self) -> Table:
        sizes = [sum(row[1] == group for row in self._rows) for group in range(self._group + 1)]
        count = len(sizes)
        return declared_table(
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
        return declared_table(
            "reuseport_members",
            {
                "group": [row[1] for row in rows],
                "index": [row[4] for row in rows],
                "inode": list(range(1, count + 1)),
                "incoming_cpu": [-1] * count,
                "owner_pids": [""] * count,
                "pid": [0] * count,
                # Invented, because the listing has no TIDs and each row is another thread.
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
