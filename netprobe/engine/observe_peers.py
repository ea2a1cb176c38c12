"""Observe the processes of this host at the other end of the target's connections: clients and backends."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netprobe.engine.observe_groups import all_processes
from netprobe.engine.options import RecordOptions
from netprobe.probes.base import Counted, TracedThread
from netprobe.procfs import connections, descriptor_links, listening_sockets, socket_inode
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

_Key = tuple[int, str, str, int, bool]


def observer(options: RecordOptions) -> PeerObserver:
    """The observer of a recording."""
    return PeerObserver()


class PeerObserver:
    """Snapshots under load and at stop; the one with more connections is used.

    The two sockets of a connection within one network namespace have each other's addresses.
    """

    probe = ""

    def __init__(self) -> None:
        self._found: Counter[_Key] = Counter()

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """Nothing: the load may not have started."""

    def mark(self) -> None:
        """Nothing is counted at the edges."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot with the connections of the load."""
        self._keep(_peers({thread.pid for thread in threads if thread.tid and not thread.exit_ns}))

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        self.under_load(program, threads)

    def _keep(self, found: Counter[_Key]) -> None:
        if found.total() > self._found.total():
            self._found = found

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`peers`."""
        rows = [
            (pid, process, kind, port, count, pinned)
            for (pid, process, kind, port, pinned), count in sorted(self._found.items())
        ]
        return [table_of_rows("peers", rows)]


def _peers(pids: Iterable[int]) -> Counter[_Key]:
    """(pid, process, "client" or "backend", port of the server, pinned) -> connections, of processes outside."""
    own = set(pids)
    inodes = _socket_owners(own)
    wanted: dict[int, tuple[str, int]] = {}
    for pid in _one_by_namespace(own):
        ports = {found.port for found in listening_sockets(pid)}
        found = connections(pid)
        by_ends = {(one.local, one.remote): one.inode for one in found}
        for one in found:
            other = by_ends.get((one.remote, one.local))
            if one.inode not in inodes or other is None or other in inodes or not other:
                continue
            accepted = one.local_port in ports
            wanted[other] = ("client", one.local_port) if accepted else ("backend", one.remote_port)
    counts: Counter[_Key] = Counter()
    left = set(wanted)
    for pid in sorted(all_processes() - own - {os.getpid()}, reverse=True):
        if not left:
            break
        inodes_of_peer = left.intersection(_socket_owners([pid]))
        left -= inodes_of_peer
        if inodes_of_peer:
            process, pinned = _process_name(pid), _is_pinned(pid)
            counts.update((pid, process, *wanted[inode], pinned) for inode in inodes_of_peer)
    return counts


def _socket_owners(pids: Iterable[int]) -> dict[int, int]:
    """Inode of each open socket of these processes -> one of the processes."""
    return {
        inode: pid
        for pid in pids
        for _, link in descriptor_links(pid)
        if (inode := socket_inode(link)) is not None
    }  # fmt: skip


def _one_by_namespace(pids: Iterable[int]) -> list[int]:
    """One process for each network namespace."""
    found: dict[str, int] = {}
    for pid in sorted(pids):
        try:
            found.setdefault(os.readlink(f"/proc/{pid}/ns/net"), pid)
        except OSError:
            continue
    return list(found.values())


def _is_pinned(pid: int) -> bool:
    """Whether each thread of a process may run on one CPU only."""
    try:
        return all(len(os.sched_getaffinity(int(tid))) == 1 for tid in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return False


def _process_name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", errors="backslashreplace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""
