"""Who listens on an address of this machine, and on which CPUs its busy threads may run."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

_LISTEN = "0A"
_BUSY_SHARE = 0.05
_UTIME, _STIME = 11, 12  # after the name in /proc/PID/task/TID/stat


def is_here(host: str) -> bool:
    """Whether the name stands for an address of this network namespace."""
    try:
        found = {(family, address[0]) for family, *_, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return any(_is_own(family, str(address)) for family, address in found)


def _is_own(family: int, address: str) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def listening_processes(port: int) -> list[int]:
    """Processes that hold a TCP listener on this port, without those whose parent holds one too."""
    inodes = {f"socket:[{inode}]" for inode in _listeners(port)}
    if not inodes:
        return []
    holders = {pid for pid in _pids() if inodes.intersection(_links(pid))}
    return sorted(pid for pid in holders if _parent(pid) not in holders)


def _listeners(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/self/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _links(pid: int) -> Iterator[str]:
    """Where its descriptors lead; none of a process that has gone or may not be looked at."""
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for number in numbers:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue


def _fields(path: str) -> list[str]:
    """Of a stat file, from the state on: the name before may hold anything."""
    try:
        return Path(path).read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    fields = _fields(f"/proc/{pid}/stat")
    return int(fields[1]) if fields else 0


def cpu_times(pid: int) -> dict[int, int]:
    """CPU time so far of each thread of a process and its descendants, in clock ticks."""
    found = {}
    for process in _family(pid):
        for tid in _threads(process):
            fields = _fields(f"/proc/{process}/task/{tid}/stat")
            if fields:
                found[tid] = int(fields[_UTIME]) + int(fields[_STIME])
    return found


def busy_cpus(before: dict[int, int], after: dict[int, int]) -> set[int]:
    """CPUs on which the threads may run that took at least a twentieth of the time meanwhile."""
    taken = {tid: ticks - before.get(tid, 0) for tid, ticks in after.items()}
    total = sum(taken.values())
    return _allowed(tid for tid, ticks in taken.items() if ticks and ticks >= _BUSY_SHARE * total)


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


def _family(pid: int) -> Iterator[int]:
    yield pid
    for tid in _threads(pid):
        try:
            children = Path(f"/proc/{pid}/task/{tid}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))
