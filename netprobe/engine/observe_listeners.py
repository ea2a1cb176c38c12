"""Observe the TCP listeners of the target: which process holds them, and how many connections wait to be accepted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netprobe.engine.options import RecordOptions
from netprobe.probes.base import Counted, TracedThread
from netprobe.procfs import descriptor_links, listening_sockets, socket_inode
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

# Processes of a target whose descriptors are read.
_MAX_PROCESSES = 1000


def observer(options: RecordOptions) -> ListenerObserver:
    """The observer of a recording."""
    return ListenerObserver()


class ListenerObserver:
    """Snapshots under load and at stop; the longest queue is kept."""

    probe = ""

    def __init__(self) -> None:
        # (pid, port, inode) -> most connections in the queue.
        self._queues: dict[tuple[int, int, int], int] = {}

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """Nothing: the load may not have started."""

    def mark(self) -> None:
        """Nothing is counted at the edges."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot with the queues of the load."""
        pids = {thread.pid for thread in threads if thread.tid and not thread.exit_ns}
        for key, queued in _listeners(sorted(pids)[:_MAX_PROCESSES]).items():
            self._queues[key] = max(queued, self._queues.get(key, 0))

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        self.under_load(program, threads)

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`listeners`."""
        rows = [(pid, port, inode, queued) for (pid, port, inode), queued in sorted(self._queues.items())]
        return [table_of_rows("listeners", rows)]


def _listeners(pids: Iterable[int]) -> dict[tuple[int, int, int], int]:
    """(pid, port, inode) -> connections that wait to be accepted."""
    namespaces: dict[str, dict[int, tuple[int, int]]] = {}
    found = {}
    for pid in pids:
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        if namespace not in namespaces:
            namespaces[namespace] = {one.inode: (one.port, one.receive_queue) for one in listening_sockets(pid)}
        for _, link in descriptor_links(pid):
            if (inode := socket_inode(link)) in namespaces[namespace] and inode is not None:
                port, queued = namespaces[namespace][inode]
                found[pid, port, inode] = queued
    return found
