"""Observer of the prerequisites of busy polling: settings, NAPI ids, the counters of the kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netprobe.engine.descriptors import read_descriptors
from netprobe.engine.maps import Fields, HashReader, Numbers
from netprobe.engine.observe_groups import all_processes
from netprobe.engine.options import RecordOptions
from netprobe.engine.polling_settings import (
    PollParameters,
    busy_poll_packets,
    epoll_parameters,
    ring_parameters,
    sysctl,
    voluntary_switches,
)
from netprobe.engine.socket_tables import Connection, network_namespaces, read_socket_tables
from netprobe.probes.base import Counted, TracedThread
from netprobe.probes.kernel_text import kernel_text
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

# struct napi in bpf/busypoll.c
_NAPI = Fields(("queue", "u8"), ("defer_hard_irqs", "u8"), ("gro_flush_timeout_ns", "u8"), ("device", "S16"))


@dataclass(frozen=True)
class _Set:
    """An epoll set or an io_uring: its parameters, and its connections by NAPI id."""

    pid: int
    fd: int
    kind: str
    parameters: PollParameters | None
    napi_ids: Counter[int]


@dataclass
class _KernelCounters:
    """Counters of the kernel at start or stop of the counted time."""

    packets: dict[int, int | None] = field(default_factory=dict)
    switches: dict[tuple[int, int], int] = field(default_factory=dict)


def observer(options: RecordOptions) -> PollingObserver:
    """The observer of a recording."""
    return PollingObserver(options.whole_machine)


class PollingObserver:
    """Snapshots of settings and connections at start and stop. The last one with connections is used."""

    probe = "busypoll"

    def __init__(self, whole_machine: bool) -> None:
        self._whole_machine = whole_machine
        self._connections: list[tuple[int, Connection]] = []
        self._sets: list[_Set] = []
        self._marks: list[_KernelCounters] = []
        self._alive: list[tuple[int, int]] = []
        self._namespaces: dict[int, int] = {}
        self._napis: list[tuple[int, Any]] = []
        self._settings: dict[str, int | None] = {}

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The snapshot at start."""
        self._take(program, threads)

    def mark(self) -> None:
        """Read the counters of the kernel."""
        self._marks.append(
            _KernelCounters(
                {namespace: busy_poll_packets(pid) for namespace, pid in self._namespaces.items()},
                {key: voluntary_switches(*key) for key in self._alive},
            )
        )

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot with the connections of the load."""
        self._take(program, threads)

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop, with the connections of the load."""
        self._take(program, threads)
        keys, values = HashReader(program.map("napis"), Numbers("u4"), _NAPI).read()
        self._napis = list(zip(keys.tolist(), values.tolist(), strict=True))

    def _take(self, program: Program, threads: Sequence[TracedThread]) -> None:
        alive = [(thread.pid, thread.tid) for thread in threads if thread.tid and not thread.exit_ns]
        pids = sorted(all_processes() if self._whole_machine else {pid for pid, _ in alive})
        self._settings = {
            "net.core.busy_poll": sysctl("busy_poll"),
            "net.core.busy_read": sysctl("busy_read"),
        }
        owners: dict[int, int] = {}
        sets: list[tuple[int, int, str, set[int]]] = []
        for pid in pids:
            opened = read_descriptors(pid)
            owners |= dict.fromkeys(opened.sockets.values(), pid)
            sets += [(pid, fd, "epoll", inodes) for fd, inodes in opened.epolls.items()]
            sets += [(pid, fd, "io_uring", set(opened.sockets.values())) for fd in opened.rings]
        tables = read_socket_tables(program, pids)
        connections = [(owners[found.inode], found) for found in tables.connections if found.inode in owners]
        if connections or not self._connections:
            napi_ids = {found.inode: found.napi_id for _, found in connections}
            self._connections = connections
            self._sets = [_describe(pid, fd, kind, inodes, napi_ids) for pid, fd, kind, inodes in sets]
        self._alive = self._alive or alive
        self._namespaces = self._namespaces or network_namespaces(pids)

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`polling_settings`, `polling_sets`, `polling_connections`, `napis`, `polling_kernel`, `polling_sleeps`."""
        by_kind = Counter(
            (pid, found.napi_id, found.busy_poll_us, found.budget, found.prefer) for pid, found in self._connections
        )
        packets, sleeps = self._kernel_counts()
        return [
            table_of_rows("polling_settings", self._settings.items()),
            table_of_rows("polling_sets", (row for found in self._sets for row in _set_rows(found))),
            table_of_rows("polling_connections", ((*key, count) for key, count in sorted(by_kind.items()))),
            table_of_rows("napis", ((number, *row[:3], kernel_text(row[3])) for number, row in self._napis)),
            table_of_rows("polling_kernel", packets.items()),
            table_of_rows("polling_sleeps", ((*key, count) for key, count in sleeps.items())),
        ]

    def _kernel_counts(self) -> tuple[Counter[int], Counter[tuple[int, int]]]:
        """Packets by network namespace, and sleeps by thread, in the counted time."""
        packets: Counter[int] = Counter()
        sleeps: Counter[tuple[int, int]] = Counter()
        for first, last in zip(self._marks[::2], self._marks[1::2], strict=False):
            packets.update(dict(_differences(first.packets, last.packets)))
            sleeps.update({key: count - first.switches.get(key, 0) for key, count in last.switches.items()})
        return packets, sleeps


def _describe(pid: int, fd: int, kind: str, inodes: Iterable[int], napi_ids: dict[int, int]) -> _Set:
    parameters = epoll_parameters(pid, fd) if kind == "epoll" else ring_parameters(pid, fd)
    return _Set(pid, fd, kind, parameters, Counter(napi_ids[inode] for inode in inodes if inode in napi_ids))


def _set_rows(found: _Set) -> Iterable[tuple[Any, ...]]:
    """A row per NAPI id in the set; a set without connections has a row with NAPI id -1."""
    parameters = found.parameters or PollParameters(0, 0, False)
    settings = (parameters.busy_poll_us, parameters.budget, parameters.prefer)
    head = (found.pid, found.fd, found.kind, found.parameters is not None, *settings)
    return [(*head, napi_id, count) for napi_id, count in sorted(found.napi_ids.items())] or [(*head, -1, 0)]


def _differences(first: dict[int, int | None], last: dict[int, int | None]) -> Iterable[tuple[int, int]]:
    for namespace, after in last.items():
        before = first.get(namespace)
        if after is not None and before is not None:
            yield namespace, after - before
