"""Busy-poll settings of a running process, read from outside: sysctls, epoll sets, io_uring instances."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import struct
from dataclasses import dataclass

from netprobe.probes.syscall_names import native_number

# Kernel 6.9 (commit 18e2bf0edf4d): struct epoll_params {u32 busy_poll_usecs; u16 budget; u8 prefer; u8 pad}.
_EPIOCGPARAMS = 0x80088A02
_EPOLL_PARAMS = struct.Struct("=IHBB")
_NAPI_LINE = re.compile(r"^(NAPI|napi_busy_poll_to|napi_prefer_busy_poll|napi_busy_poll_dt)\s*:\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class PollParameters:
    """Microseconds to poll (0: off), packets per poll, and whether busy polling is preferred over interrupts."""

    busy_poll_us: int
    budget: int
    prefer: bool


def sysctl(name: str) -> int | None:
    """net.core.busy_poll or busy_read; None where it cannot be read (they exist in the initial namespace only)."""
    try:
        with open(f"/proc/sys/net/core/{name}") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def epoll_parameters(pid: int, fd: int) -> PollParameters | None:
    """The parameters of an epoll set; None where the kernel has none, or the descriptor cannot be duplicated.

    Closing the duplicate has no effect: an epoll set, unlike a socket, sends nothing when it is closed.
    """
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    copy = -1
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copy = int(libc.syscall(native_number("pidfd_getfd"), process, fd, 0))
        if copy < 0:
            return None
        answer = fcntl.ioctl(copy, _EPIOCGPARAMS, bytes(_EPOLL_PARAMS.size))
        busy_poll_us, budget, prefer, _ = _EPOLL_PARAMS.unpack(answer)
        return PollParameters(busy_poll_us, budget, bool(prefer))
    except OSError:
        return None
    finally:
        if copy >= 0:
            os.close(copy)
        os.close(process)


def ring_parameters(pid: int, fd: int) -> PollParameters | None:
    """NAPI parameters of an io_uring, from its fdinfo (kernel 6.11); None where they are not there."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            found = dict(_NAPI_LINE.findall(file.read()))
    except OSError:
        return None
    if "NAPI" not in found:
        return None
    if found["NAPI"] == "disabled":
        return PollParameters(0, 0, False)
    prefer = found.get("napi_prefer_busy_poll") in ("true", "1", "yes")
    # By kernel version, one field in nanoseconds or the other in microseconds (io_uring/fdinfo.c).
    busy_poll_us = int(found.get("napi_busy_poll_dt") or 0) // 1000 or int(found.get("napi_busy_poll_to") or 0)
    return PollParameters(busy_poll_us, 0, prefer)


def busy_poll_packets(pid: int) -> int | None:
    """BusyPollRxPackets of the process's network namespace since its creation; None if it cannot be read."""
    try:
        with open(f"/proc/{pid}/net/netstat") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        row = dict(zip(names.split(), values.split(), strict=False))
        if "BusyPollRxPackets" in row:
            return int(row["BusyPollRxPackets"])
    return None


def voluntary_switches(pid: int, tid: int) -> int:
    """Voluntary context switches of a thread since its creation, 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/task/{tid}/status") as file:
            for line in file:
                if line.startswith("voluntary_ctxt_switches:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0
