"""Observe the TCP connections of the target by TCP_INFO: outstanding data, full buffers, retransmissions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netprobe.engine.options import RecordOptions
from netprobe.engine.sock_diag import TcpInfo, tcp_connections
from netprobe.engine.socket_tables import in_network, network_namespaces
from netprobe.errors import NetprobeError
from netprobe.probes.base import Counted, TracedThread
from netprobe.procfs import descriptor_links, listening_sockets, socket_inode
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

# The connections of a target that are kept; the busiest of more.
_MAX_CONNECTIONS = 5000
_Snapshot = dict[int, TcpInfo]


def observer(options: RecordOptions) -> TcpObserver:
    """The observer of a recording."""
    return TcpObserver()


class TcpObserver:
    """Snapshots under load and at stop. A connection that is open at one of them only counts from its beginning."""

    probe = ""

    def __init__(self) -> None:
        # (time, connections by inode) of each snapshot.
        self._snapshots: list[tuple[float, _Snapshot]] = []
        self._pids: dict[int, int] = {}
        self._listening: set[int] = set()

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The connections that are there already."""
        self.under_load(program, threads)

    def mark(self) -> None:
        """TCP_INFO is read at start, under load and at stop."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """A snapshot."""
        pids = {thread.pid for thread in threads if thread.tid and not thread.exit_ns}
        self._pids |= _owners(pids)
        found: _Snapshot = {}
        for namespace, pid in network_namespaces(pids).items():
            self._listening |= {one.port for one in listening_sockets(pid)}
            # Without sock_diag, or without access to the namespace, the table has no rows.
            with contextlib.suppress(OSError, NetprobeError):
                for one in in_network(namespace, pid, lambda: list(tcp_connections())):
                    if one.inode in self._pids:
                        found[one.inode] = one
        self._snapshots.append((time.monotonic(), found))

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        self.under_load(program, threads)

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`tcp_connections`: between the first and the last snapshot that have a connection."""
        first: dict[int, tuple[float, TcpInfo]] = {}
        last: dict[int, tuple[float, TcpInfo]] = {}
        for at, found in self._snapshots:
            for inode, info in found.items():
                first.setdefault(inode, (at, info))
                last[inode] = at, info
        rows = [self._row(inode, *first[inode], *last[inode]) for inode in last if last[inode][0] > first[inode][0]]
        rows.sort(key=lambda row: -row[4])
        return [table_of_rows("tcp_connections", rows[:_MAX_CONNECTIONS])]

    def _row(
        self, inode: int, began: float, first: TcpInfo, ended: float, last: TcpInfo
    ) -> tuple[int | float | bool, ...]:
        return (
            self._pids[inode],
            last.local_port,
            last.local_port in self._listening,
            ended - began,
            1000 * (last.busy_us - first.busy_us),
            1000 * (last.receiver_limited_us - first.receiver_limited_us),
            1000 * (last.buffer_limited_us - first.buffer_limited_us),
            last.data_segments - first.data_segments,
            last.retransmitted - first.retransmitted,
            last.unsent_bytes,
            last.unacked,
            1000 * last.min_rtt_us,
        )


def _owners(pids: Iterable[int]) -> dict[int, int]:
    """Inode of each open socket of these processes -> one of them."""
    return {
        inode: pid
        for pid in pids
        for _, link in descriptor_links(pid)
        if (inode := socket_inode(link)) is not None
    }  # fmt: skip
