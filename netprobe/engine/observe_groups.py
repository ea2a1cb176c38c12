"""Observes reuseport groups while a recording runs: who is at which index, and which thread serves it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netprobe.engine.descriptors import Descriptors, last_cpu, read_descriptors, waiting_calls
from netprobe.engine.listening import mark_listening
from netprobe.engine.socket_tables import Group, Member, read_socket_tables
from netprobe.engine.target import cpu_list
from netprobe.probes.base import Counted, Thread
from netprobe.probes.serving import HOW
from netprobe.run.schema.tables import TABLES
from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    from netprobe.engine.program import Program

Serving = tuple[int, int, int, str]


@dataclass(frozen=True)
class Server:
    """A thread that serves a member."""

    pid: int
    tid: int
    process: str
    thread: str
    how: str
    cpus_allowed: str
    last_cpu: int


@dataclass
class _Look:
    """The groups at one moment, what the processes had open, and who slept where."""

    groups: list[Group] = field(default_factory=list)
    descriptors: dict[int, Descriptors] = field(default_factory=dict)
    waiting: list[Serving] = field(default_factory=list)
    threads: dict[tuple[int, int], Thread] = field(default_factory=dict)
    places: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)


class GroupObserver:
    """Looks at the beginning and at the end; the later look counts, unless the target is gone by then."""

    probe = "sockets"

    def __init__(self, whole_machine: bool) -> None:
        self._whole_machine = whole_machine
        self._first = self._last = _Look()

    def begin(self, program: Program, threads: Sequence[Thread], held: int | None) -> None:
        """Look once the probes are attached."""
        self._first = self._last = self._look(program, threads)
        mark_listening(program, self._first.descriptors)

    def mark(self) -> None:
        """Nothing is counted at the window's edges."""

    def end(self, program: Program, threads: Sequence[Thread]) -> None:
        """Look again before they are detached."""
        look = self._look(program, threads)
        if look.groups or not self._first.groups:
            self._last = look

    def _look(self, program: Program, threads: Sequence[Thread]) -> _Look:
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
        return _Look(
            groups,
            descriptors,
            waiting_calls(ids),
            {(thread.pid, thread.tid): thread for thread in threads},
            {key: (_affinity(key[1]), last_cpu(*key)) for key in ids},
        )

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`reuseport_groups` and `reuseport_members`, one row a member and serving thread."""
        look = self._last
        serving = {*look.waiting, *self._first.waiting, *_counted_serving(counted)}
        groups: list[dict[str, Any]] = []
        members: list[dict[str, Any]] = []
        for number, group in enumerate(look.groups):
            groups.append(_group_row(number, group) | {"changed_while_recording": self._changed(group)})
            for member in group.members:
                owners = sorted(
                    pid for pid, found in look.descriptors.items() if member.inode in found.sockets.values()
                )
                common = _member_row(number, member, owners, started_ns)
                servers: list[Server | None] = [*_servers(look, member, serving)]
                for server in servers or [None]:
                    members.append(common | _server_row(server))
        return [_table("reuseport_groups", groups), _table("reuseport_members", members)]

    def _changed(self, group: Group) -> bool:
        for before in self._first.groups:
            if (before.protocol, before.address, before.port, before.network_namespace) == (
                group.protocol, group.address, group.port, group.network_namespace
            ):  # fmt: skip
                return [member.sock for member in before.members] != [member.sock for member in group.members]
        # A group that was not there at first has not changed: it is new.
        return False


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = [column.name for column in TABLES[name].columns]
    return declared_table(name, {column: [row[column] for row in rows] for column in columns})


def _group_row(number: int, group: Group) -> dict[str, Any]:
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
        "program_omitted": program.cut if program else 0,
    }


def _member_row(number: int, member: Member, owners: Sequence[int], started_ns: int) -> dict[str, Any]:
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


def _server_row(server: Server | None) -> dict[str, Any]:
    if server is None:
        server = Server(-1, -1, "", "", "", "", -1)
    names = ("pid", "tid", "process", "thread", "how", "cpus_allowed", "last_cpu")
    return {name: getattr(server, name) for name in names}


def _servers(look: _Look, member: Member, serving: set[Serving]) -> list[Server]:
    """The threads that wait on an epoll set with the member in it, or accept from it."""
    found: dict[tuple[int, int], Server] = {}
    # "epoll" comes after "accept": a thread that does both is one that waits in its epoll set.
    for pid, tid, fd, how in sorted(serving, key=lambda one: (one[3], one)):
        opened = look.descriptors.get(pid)
        if opened is None:
            continue
        in_set = how == "epoll" and member.inode in opened.epolls.get(fd, ())
        accepts = how == "accept" and opened.sockets.get(fd) == member.inode
        if in_set or accepts:
            found[pid, tid] = _server(look, pid, tid, how)
    return list(found.values())


def _server(look: _Look, pid: int, tid: int, how: str) -> Server:
    thread = look.threads.get((pid, tid))
    allowed, cpu = look.places.get((pid, tid), ("", -1))
    name = thread.name if thread else _comm(f"/proc/{pid}/task/{tid}/comm")
    process = thread.process if thread else _comm(f"/proc/{pid}/comm")
    return Server(pid, tid, process, name, how, allowed, cpu)


def _counted_serving(counted: Counted) -> Iterable[Serving]:
    if not counted.intervals or "served" not in counted.intervals[0].rows:
        return
    _, rows = counted.rows("served")
    for number, fd, how in zip(rows["thread"].tolist(), rows["fd"].tolist(), rows["how"].tolist(), strict=True):
        thread = counted.threads[number]
        yield thread.pid, thread.tid, fd, HOW[how]


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
