"""The process that listens on an address of this machine, and the CPUs that its busy threads may run on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from netprobe.procfs import descriptor_links, listening_sockets, socket_inode, stat_fields

_BUSY_SHARE = 0.05
_PPID, _UTIME, _STIME = 1, 11, 12  # of /proc/PID/stat, counted from the state


def is_local(host: str) -> bool:
    """Whether the name resolves to an address of this network namespace."""
    try:
        found = {(family, address[0]) for family, *_, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return any(_can_bind(family, str(address)) for family, address in found)


def _can_bind(family: int, address: str) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def listening_processes(port: int) -> list[int]:
    """Processes that hold a TCP listener on this port, except those whose parent holds one as well."""
    inodes = {found.inode for found in listening_sockets() if found.port == port}
    if not inodes:
        return []
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    holders = {pid for pid in pids if any(socket_inode(link) in inodes for _, link in descriptor_links(pid))}
    return sorted(pid for pid in holders if _parent(pid) not in holders)


def _parent(pid: int) -> int:
    fields = stat_fields(f"/proc/{pid}/stat")
    return int(fields[_PPID]) if fields else 0


def cpu_times(pid: int) -> dict[int, int]:
    """CPU time of each thread of a process and its descendants so far, in clock ticks."""
    found = {}
    for process in _descendants(pid):
        for tid in _threads(process):
            fields = stat_fields(f"/proc/{process}/task/{tid}/stat")
            if fields:
                found[tid] = int(fields[_UTIME]) + int(fields[_STIME])
    return found


def busy_cpus(before: dict[int, int], after: dict[int, int]) -> set[int]:
    """CPUs that the busy threads may run on: those with at least 5 % of the CPU time between two snapshots."""
    ticks_of = {tid: ticks - before.get(tid, 0) for tid, ticks in after.items()}
    total = sum(ticks_of.values())
    return _allowed(tid for tid, ticks in ticks_of.items() if ticks and ticks >= _BUSY_SHARE * total)


def _allowed(tids: Iterable[int]) -> set[int]:
    found: set[int] = set()
    for tid in tids:
        try:
            found |= os.sched_getaffinity(tid)
        except OSError:
            continue
    return found


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _descendants(pid: int) -> Iterator[int]:
    """The process itself and its descendants."""
    yield pid
    for tid in _threads(pid):
        try:
            children = Path(f"/proc/{pid}/task/{tid}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _descendants(int(child))
