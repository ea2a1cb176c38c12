"""A snapshot of the kernel's socket tables: SO_REUSEPORT groups and connections."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from netprobe.engine.background import Background
from netprobe.engine.machine import possible_cpus
from netprobe.engine.maps import Fields, HashReader, Numbers
from netprobe.errors import NetprobeError
from netprobe.probes.kernel_text import kernel_text
from netprobe.probes.sockets import (
    CONNECTION_RECORD,
    FILTER,
    FILTER_LENGTH,
    MEMBER_RECORD,
    ORDER_RECORD,
    PROGRAM_RECORD,
    PROGRAM_RECORD_SIZE,
)

if TYPE_CHECKING:
    from netprobe.engine.program import Program

_Read = TypeVar("_Read")

# Kinds of records in bpf/sockets.c.
_MEMBER, _ORDER, _PROGRAM, _CONNECTION = 1, 2, 3, 4
_JOINING = Fields(("ns", "u8"), ("tid", "u4"), ("cpu", "u4"), ("comm", "S16"))
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Joining:
    """When and where a socket joined its group; nanoseconds of the monotonic clock."""

    ns: int
    tid: int
    cpu: int
    thread: str


@dataclass
class SocketMember:
    """A socket in a group. `index` is None when the group changed while it was read."""

    sock: int
    inode: int
    incoming_cpu: int
    index: int | None = None
    joining: Joining | None = None


@dataclass
class Steering:
    """The BPF program that chooses the index. `classic` holds a classic program's instructions (code, jt, jf, k)."""

    program_id: int
    name: str
    classic: list[tuple[int, int, int, int]]
    # Instructions beyond those in `classic`.
    omitted: int = 0


@dataclass
class SocketGroup:
    """A reuseport group; `steering` None: the kernel's hash."""

    protocol: str
    address: str
    port: int
    device: int
    ipv6_only: bool
    network_namespace: int
    size: int
    members: list[SocketMember] = field(default_factory=list)
    steering: Steering | None = None


@dataclass(frozen=True)
class Connection:
    """Busy-poll parameters of an established TCP socket; `napi_id` 0: its packets come from no NAPI instance."""

    inode: int
    port: int
    napi_id: int
    busy_poll_us: int
    budget: int
    prefer: bool


@dataclass
class SocketTables:
    """Groups with their members by index; connections, if the probe was compiled for them."""

    groups: list[SocketGroup] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)


def read_socket_tables(program: Program, pids: Iterable[int]) -> SocketTables:
    """The sockets in the network namespaces of these processes (PIDs of netprobe's own PID namespace)."""
    tables = SocketTables()
    for namespace, pid in network_namespaces(pids).items():
        found = _parse(in_network(namespace, pid, lambda: _read_sockets(program)), namespace)
        tables.groups += found.groups
        tables.connections += found.connections
    joining = _read_joining(program)
    for group in tables.groups:
        for member in group.members:
            member.joining = joining.get(member.sock)
    return tables


def network_namespaces(pids: Iterable[int]) -> dict[int, int]:
    """Inode of each network namespace -> a process in it."""
    found: dict[int, int] = {}
    for pid in pids:
        try:
            found.setdefault(os.stat(f"/proc/{pid}/ns/net").st_ino, pid)
        except OSError:
            continue
    return found


def _read_sockets(program: Program) -> bytes:
    return program.iterate("bpf_iter__tcp") + program.iterate("bpf_iter__udp")


def in_network(namespace: int, pid: int, read: Callable[[], _Read]) -> _Read:
    """The result of a function that runs in the network namespace of a process.

    Raises `NetprobeError` if netprobe may not enter it.
    """
    if os.stat("/proc/self/ns/net").st_ino == namespace:
        return read()

    # setns() affects the calling thread only.
    def read_inside() -> _Read:
        _enter_network(pid)
        return read()

    return Background(read_inside).result()


def _enter_network(pid: int) -> None:
    import ctypes

    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno())
            raise NetprobeError(f"netprobe may not enter the network namespace of process {pid}: {reason}.")
    finally:
        os.close(fd)


@dataclass
class _Records:
    """Records of the iterators: members by group, indexes by group, programs by address."""

    groups: dict[int, SocketGroup] = field(default_factory=dict)
    programs_of: dict[int, int] = field(default_factory=dict)
    indexes: dict[int, dict[int, int]] = field(default_factory=dict)
    programs: dict[int, Steering] = field(default_factory=dict)
    connections: list[Connection] = field(default_factory=list)


def _parse(data: bytes, namespace: int) -> SocketTables:
    records, position, cpus = _Records(), 0, possible_cpus()
    while position < len(data):
        kind = int.from_bytes(data[position : position + 4], "little")
        if kind == _MEMBER:
            _take_member(records, data, position, namespace)
            position += MEMBER_RECORD.size
        elif kind == _ORDER:
            _, first, group, *socks = ORDER_RECORD.unpack_from(data, position)
            indexes = records.indexes.setdefault(group, {})
            for offset, sock in enumerate(socks):
                # A socket that took the index of a closed one may still be listed behind the end of the group.
                indexes.setdefault(sock, first + offset)
            position += ORDER_RECORD.size
        elif kind == _PROGRAM:
            _take_program(records, data, position)
            position += PROGRAM_RECORD_SIZE
        elif kind == _CONNECTION:
            _, napi_id, inode, busy_poll_us, budget, prefer, port = CONNECTION_RECORD.unpack_from(data, position)
            # Without a NAPI id, the field has the CPU of the sender + 1 (struct sk_buff.sender_cpu); real ids begin
            # above the number of CPUs that the kernel was built for (MIN_NAPI_ID).
            napi_id = napi_id if napi_id > cpus else 0
            records.connections.append(Connection(inode, port, napi_id, busy_poll_us, budget, bool(prefer)))
            position += CONNECTION_RECORD.size
        else:
            raise NetprobeError(f"netprobe's socket iterator wrote a record of unknown kind {kind}.")
    return _joined(records)


def _take_member(records: _Records, data: bytes, position: int, namespace: int) -> None:
    (_, udp, sock, group, program, inode, address, incoming_cpu, size, family, port, device, ipv6_only) = (
        MEMBER_RECORD.unpack_from(data, position)
    )
    if group not in records.groups:
        version = 4 if family == socket.AF_INET else 16
        text = socket.inet_ntop(family, address[:version])
        records.groups[group] = SocketGroup(
            "udp" if udp else "tcp", text, port, device, bool(ipv6_only) or family == socket.AF_INET, namespace, size
        )
    records.groups[group].members.append(SocketMember(sock, inode, incoming_cpu))
    records.programs_of[group] = program


def _take_program(records: _Records, data: bytes, position: int) -> None:
    _, _, program, number, length, name = PROGRAM_RECORD.unpack_from(data, position)
    start, read = position + PROGRAM_RECORD.size, min(length, FILTER_LENGTH)
    classic = [FILTER.unpack_from(data, start + index * FILTER.size) for index in range(read)]
    text = kernel_text(name)
    records.programs[program] = Steering(number, text, classic, length - read)


def _joined(records: _Records) -> SocketTables:
    for address, group in records.groups.items():
        indexes = records.indexes.get(address, {})
        for member in group.members:
            index = indexes.get(member.sock)
            # Entries behind the size of the group are closed sockets.
            member.index = index if index is not None and index < group.size else None
        group.members.sort(key=lambda member: (member.index is None, member.index))
        group.steering = records.programs.get(records.programs_of[address])
    return SocketTables(list(records.groups.values()), records.connections)


def _read_joining(program: Program) -> dict[int, Joining]:
    keys, values = HashReader(program.map("joining"), Numbers("u8"), _JOINING).read_bytes()
    return {
        sock: Joining(ns, tid, cpu, kernel_text(comm.rstrip(b"\0")))
        for sock, (ns, tid, cpu, comm) in zip(
            memoryview(keys).cast("Q"), _JOINING.struct.iter_unpack(values), strict=True
        )
    }
