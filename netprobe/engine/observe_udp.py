"""Observe the UDP sockets of the target: how many datagrams each dropped because its receive buffer was full."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netprobe.engine.options import RecordOptions
from netprobe.probes.base import Counted, TracedThread
from netprobe.procfs import descriptor_links, socket_inode, udp_sockets
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

# Processes of a target whose descriptors are read.
_MAX_PROCESSES = 1000


def observer(options: RecordOptions) -> UdpObserver:
    """The observer of a recording."""
    return UdpObserver()


class UdpObserver:
    """Snapshots at start, under load and at stop."""

    probe = ""

    def __init__(self) -> None:
        # Network namespace and inode -> drops at start; a socket that is not in it was opened later.
        self._before: dict[tuple[str, int], int] = {}
        # (pid, port, inode) -> drops since the start.
        self._dropped: dict[tuple[int, int, int], int] = {}

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The snapshot at start."""
        pids = {thread.pid for thread in threads if thread.tid} | ({suspended} if suspended else set())
        for _, namespace, (_, inode, dropped) in _sockets(pids):
            self._before[namespace, inode] = dropped

    def mark(self) -> None:
        """Drops are read at start and stop only: one outside of a sampling window counts as well."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Kept in case that the target exits."""
        for pid, namespace, (port, inode, dropped) in _sockets({one.pid for one in threads if not one.exit_ns}):
            self._dropped[pid, port, inode] = max(0, dropped - self._before.get((namespace, inode), 0))

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        self.under_load(program, threads)

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`udp_sockets`."""
        return [table_of_rows("udp_sockets", [(*key, dropped) for key, dropped in sorted(self._dropped.items())])]


def _sockets(pids: Iterable[int]) -> list[tuple[int, str, tuple[int, int, int]]]:
    """Process, network namespace, and port, inode and drops of each of its UDP sockets."""
    namespaces: dict[str, dict[int, tuple[int, int, int]]] = {}
    found = []
    for pid in sorted(pids)[:_MAX_PROCESSES]:
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        if namespace not in namespaces:
            namespaces[namespace] = {one.inode: (one.port, one.inode, one.dropped) for one in udp_sockets(pid)}
        # Most servers have no UDP socket: their descriptors, of which there may be many, are not read.
        if not namespaces[namespace]:
            continue
        inodes = {socket_inode(link) for _, link in descriptor_links(pid)}
        found += [(pid, namespace, one) for inode, one in namespaces[namespace].items() if inode in inodes]
    return found
