"""Who has which socket open, and which epoll set holds it, from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from netprobe.probes.syscall_names import native_number

_SOCKET = re.compile(r"socket:\[(\d+)\]")
# Documentation/filesystems/proc.rst, "Eventpoll files"; ino is hexadecimal.
_WATCHED = re.compile(r"^tfd:.* ino:([0-9a-f]+) ", re.MULTILINE)
_SHOWN = 5


@dataclass
class Descriptors:
    """Of one process: socket inode by descriptor, the inodes in each epoll set by descriptor, and its io_urings."""

    sockets: dict[int, int] = field(default_factory=dict)
    epolls: dict[int, set[int]] = field(default_factory=dict)
    rings: list[int] = field(default_factory=list)


def read_descriptors(pid: int) -> Descriptors:
    """What the process has open now; nothing for a process that is gone."""
    found = Descriptors()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found
    for name in names:
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
            if match := _SOCKET.match(link):
                found.sockets[int(name)] = int(match[1])
            elif link == "anon_inode:[eventpoll]":
                with open(f"/proc/{pid}/fdinfo/{name}") as file:
                    found.epolls[int(name)] = {int(inode, 16) for inode in _WATCHED.findall(file.read())}
            elif link == "anon_inode:[io_uring]":
                found.rings.append(int(name))
        except OSError:
            continue
    return found


def unreadable(pids: Iterable[int]) -> list[str]:
    """In words, the processes whose descriptors the kernel does not show: those of other users, without a capability.

    Their directory /proc/PID/fd is their user's alone, which CAP_SYS_PTRACE does not change (fs/proc/fd.c).
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
        f"sockets and epoll sets of processes of other users ({shown}), so that who serves what is not known: run "
        "netprobe as their user, or give it CAP_DAC_READ_SEARCH as well."
    ]


def blocked_call(pid: int, tid: int) -> tuple[int, int] | None:
    """(number, first argument) of the system call that a thread sleeps in; None if it runs or is gone."""
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall") as file:
            words = file.read().split()
        return int(words[0]), int(words[1], 16) & 0xFFFFFFFF
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
    """The CPU that the thread ran on last, -1 if it is gone (field 39 of proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/task/{tid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[36])
    except (OSError, ValueError, IndexError):
        return -1
