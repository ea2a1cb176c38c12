"""Observer of reuseport groups: the index of each member, and the thread that serves it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from netprobe.engine.descriptors import Descriptors, last_cpu, read_descriptors, waiting_calls
from netprobe.engine.maps import MappedArray, Numbers
from netprobe.engine.options import RecordOptions
from netprobe.engine.socket_tables import SocketGroup, SocketMember, network_namespaces, read_socket_tables
from netprobe.engine.target import cpu_list
from netprobe.probes.base import Counted, TracedThread
from netprobe.probes.locality import LISTENING_MAP
from netprobe.probes.serving import HOW
from netprobe.procfs import listening_sockets
from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    from netprobe.engine.program import Program

Serving = tuple[int, int, int, str]


@dataclass(frozen=True)
class ServingThread:
    """A thread that serves a member."""

    pid: int
    tid: int
    process: str
    thread: str
    how: str
    cpus_allowed: str
    last_cpu: int


@dataclass
class _Snapshot:
    """The groups, the descriptors of the processes, and the calls that threads waited in."""

    groups: list[SocketGroup] = field(default_factory=list)
    descriptors: dict[int, Descriptors] = field(default_factory=dict)
    waiting: list[Serving] = field(default_factory=list)
    threads: dict[tuple[int, int], TracedThread] = field(default_factory=dict)
    # CPUs that a thread may run on, and the CPU that it ran on last.
    cpus: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)


def observer(options: RecordOptions) -> GroupObserver:
    """The observer of a recording."""
    return GroupObserver(options.whole_machine)


class GroupObserver:
    """Snapshots at start and stop. The one at stop is used, unless the target has exited."""

    probe = "sockets"

    def __init__(self, whole_machine: bool) -> None:
        self._whole_machine = whole_machine
        self._first = self._last = _Snapshot()

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The snapshot at start; the locality probe gets the ports that have a listener already."""
        self._first = self._last = self._take(program, threads)
        _mark_listening(program, self._first.descriptors)

    def mark(self) -> None:
        """Nothing is read here."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Nothing: groups do not depend on the load."""

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        snapshot = self._take(program, threads)
        if snapshot.groups or not self._first.groups:
            self._last = snapshot

    def _take(self, program: Program, threads: Sequence[TracedThread]) -> _Snapshot:
        alive = [thread for thread in threads if thread.tid and not thread.exit_ns]
        pids = all_processes() if self._whole_machine else {thread.pid for thread in alive}
        descriptors = {pid: read_descriptors(pid) for pid in pids}
        owned = {inode for found in descriptors.values() for inode in found.sockets.values()}
        groups = [
            group
            for group in read_socket_tables(program, pids).groups
            if any(member.inode in owned for member in group.members)
        ]
        ids = _threads_of(pids) if groups else []
        return _Snapshot(
            groups,
            descriptors,
            waiting_calls(ids),
            {(thread.pid, thread.tid): thread for thread in threads},
            {key: (_affinity(key[1]), last_cpu(*key)) for key in ids},
        )

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`reuseport_groups` and `reuseport_members`."""
        snapshot = self._last
        serving = {*snapshot.waiting, *self._first.waiting, *_counted_serving(counted)}
        groups: list[dict[str, Any]] = []
        members: list[dict[str, Any]] = []
        for number, group in enumerate(snapshot.groups):
            groups.append(_group_row(number, group) | {"changed_while_recording": self._changed(group)})
            for member in group.members:
                owners = sorted(
                    pid for pid, found in snapshot.descriptors.items() if member.inode in found.sockets.values()
                )
                common = _member_row(number, member, owners, started_ns)
                served_by: list[ServingThread | None] = [*_serving_threads(snapshot, member, serving)]
                for thread in served_by or [None]:
                    members.append(common | _thread_row(thread))
        return [_table("reuseport_groups", groups), _table("reuseport_members", members)]

    def _changed(self, group: SocketGroup) -> bool:
        for before in self._first.groups:
            if (before.protocol, before.address, before.port, before.network_namespace) == (
                group.protocol, group.address, group.port, group.network_namespace
            ):  # fmt: skip
                return [member.sock for member in before.members] != [member.sock for member in group.members]
        # A group that did not exist at start has not changed: it is new.
        return False


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    from netprobe.run.schema.tables import TABLES

    columns = [column.name for column in TABLES[name].columns]
    return declared_table(name, {column: [row[column] for row in rows] for column in columns})


def _group_row(number: int, group: SocketGroup) -> dict[str, Any]:
    program = group.steering
    if program is not None:
        steering = "cbpf" if program.classic else "ebpf"
    else:
        steering = "incoming-cpu" if any(member.incoming_cpu >= 0 for member in group.members) else "none"
    return {
        "group": number,
        "protocol": group.protocol,
        "address": group.address,
        "port": group.port,
        "dual_stack": not group.ipv6_only,
        "network_namespace": group.network_namespace,
        "size": group.size,
        "steering": steering,
        "program_id": program.program_id if program else 0,
        "program_name": program.name if program else "",
        "program": json.dumps(program.classic) if program else "[]",
        "program_omitted": program.omitted if program else 0,
    }


def _member_row(number: int, member: SocketMember, owners: Sequence[int], started_ns: int) -> dict[str, Any]:
    joining = member.joining
    return {
        "group": number,
        "index": -1 if member.index is None else member.index,
        "inode": member.inode,
        "incoming_cpu": member.incoming_cpu,
        "owner_pids": ",".join(map(str, owners)),
        "joined_s": (joining.ns - started_ns) / 1e9 if joining else float("nan"),
        "joined_tid": joining.tid if joining else -1,
        "joined_thread": joining.thread if joining else "",
        "joined_cpu": joining.cpu if joining else -1,
    }


def _thread_row(thread: ServingThread | None) -> dict[str, Any]:
    return asdict(thread or ServingThread(-1, -1, "", "", "", "", -1))


def _serving_threads(snapshot: _Snapshot, member: SocketMember, serving: set[Serving]) -> list[ServingThread]:
    """The threads that wait on an epoll set that contains the member, or accept from it."""
    found: dict[tuple[int, int], ServingThread] = {}
    # "epoll" sorts after "accept": a thread that does both counts as one that waits in its epoll set.
    for pid, tid, fd, how in sorted(serving, key=lambda call: (call[3], call)):
        opened = snapshot.descriptors.get(pid)
        if opened is None:
            continue
        in_set = how == "epoll" and member.inode in opened.epolls.get(fd, ())
        accepts = how == "accept" and opened.sockets.get(fd) == member.inode
        if in_set or accepts:
            found[pid, tid] = _serving_thread(snapshot, pid, tid, how)
    return list(found.values())


def _serving_thread(snapshot: _Snapshot, pid: int, tid: int, how: str) -> ServingThread:
    thread = snapshot.threads.get((pid, tid))
    allowed, cpu = snapshot.cpus.get((pid, tid), ("", -1))
    name = thread.name if thread else _comm(f"/proc/{pid}/task/{tid}/comm")
    process = thread.process if thread else _comm(f"/proc/{pid}/comm")
    return ServingThread(pid, tid, process, name, how, allowed, cpu)


def _counted_serving(counted: Counted) -> Iterable[Serving]:
    if not counted.intervals or "served" not in counted.intervals[0].rows:
        return
    _, rows = counted.rows("served")
    for number, fd, how in zip(rows["thread"].tolist(), rows["fd"].tolist(), rows["how"].tolist(), strict=True):
        thread = counted.threads[number]
        yield thread.pid, thread.tid, fd, HOW[how]


def _mark_listening(program: Program, pids: Iterable[int]) -> None:
    """Set the bit of every port with a listener in the network namespaces of these processes."""
    bits = MappedArray(program.map(LISTENING_MAP), Numbers("u8"))
    for pid in network_namespaces(sorted(pids)).values():
        for listener in listening_sockets(pid):
            bits.memory[listener.port >> 3] |= 1 << (listener.port & 7)
    bits.close()


def all_processes() -> set[int]:
    """PIDs of all processes that this PID namespace shows."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _threads_of(pids: Iterable[int]) -> list[tuple[int, int]]:
    found = []
    for pid in pids:
        try:
            found += [(pid, int(name)) for name in os.listdir(f"/proc/{pid}/task")]
        except OSError:
            continue
    return found


def _affinity(tid: int) -> str:
    try:
        return cpu_list(sorted(os.sched_getaffinity(tid)))
    except OSError:
        return ""


def _comm(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().rstrip(b"\n").decode("utf-8", "backslashreplace")
    except OSError:
        return ""
