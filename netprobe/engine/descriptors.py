"""Open sockets, epoll sets and io_uring instances of processes, and the system calls that threads wait in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from netprobe.probes.syscall_names import native_number
from netprobe.procfs import descriptor_links, socket_inode, stat_fields

# Documentation/filesystems/proc.rst, "Eventpoll files"; ino is hexadecimal.
_WATCHED = re.compile(r"^tfd:.* ino:([0-9a-f]+) ", re.MULTILINE)
_SHOWN = 5


@dataclass
class Descriptors:
    """Of one process, by descriptor: inodes of sockets, inodes in each epoll set; and the io_uring instances."""

    sockets: dict[int, int] = field(default_factory=dict)
    epolls: dict[int, set[int]] = field(default_factory=dict)
    rings: list[int] = field(default_factory=list)


def read_descriptors(pid: int) -> Descriptors:
    """The open descriptors of a process; none if it has ended."""
    found = Descriptors()
    for fd, link in descriptor_links(pid):
        if (inode := socket_inode(link)) is not None:
            found.sockets[fd] = inode
        elif link == "anon_inode:[eventpoll]":
            with suppress(OSError), open(f"/proc/{pid}/fdinfo/{fd}") as file:
                found.epolls[fd] = {int(inode, 16) for inode in _WATCHED.findall(file.read())}
        elif link == "anon_inode:[io_uring]":
            found.rings.append(fd)
    return found


def unreadable(pids: Iterable[int]) -> list[str]:
    """A sentence on the processes whose descriptors netprobe may not read, if there are any.

    Only the user of a process may read /proc/PID/fd, which CAP_SYS_PTRACE does not change (fs/proc/fd.c).
    """
    refused = []
    for pid in sorted(pids):
        try:
            os.listdir(f"/proc/{pid}/fd")
        except PermissionError:
            refused.append(str(pid))
        except OSError:
            continue
    if not refused:
        return []
    shown = ", ".join(refused[:_SHOWN]) + (" …" if len(refused) > _SHOWN else "")
    return [
        f"sockets and epoll sets of processes of other users ({shown}), so the threads that serve them are not known: "
        "run netprobe as their user, or give it CAP_DAC_READ_SEARCH as well."
    ]


def blocked_call(pid: int, tid: int) -> tuple[int, int] | None:
    """(number, first argument) of the system call that a thread sleeps in; None if it runs or has ended."""
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall") as file:
            fields = file.read().split()
        return int(fields[0]), int(fields[1], 16) & 0xFFFFFFFF
    except (OSError, ValueError, IndexError):
        return None


def waiting_calls(threads: Iterable[tuple[int, int]]) -> list[tuple[int, int, int, str]]:
    """(pid, tid, descriptor, how) of the threads that sleep in epoll_wait or accept now."""
    how = {native_number(name): "epoll" for name in ("epoll_wait", "epoll_pwait", "epoll_pwait2")}
    how |= {native_number(name): "accept" for name in ("accept", "accept4")}
    found = []
    for pid, tid in threads:
        call = blocked_call(pid, tid)
        if call and call[0] in how:
            found.append((pid, tid, call[1], how[call[0]]))
    return found


def last_cpu(pid: int, tid: int) -> int:
    """The CPU that the thread ran on last, -1 if it has ended (field 39 of proc_pid_stat(5))."""
    fields = stat_fields(f"/proc/{pid}/task/{tid}/stat")
    return int(fields[36]) if fields else -1
