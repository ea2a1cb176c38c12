"""Parsers for files of /proc: TCP sockets, open descriptors, and the fields of stat."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

TCP_ESTABLISHED, TCP_LISTEN = 0x01, 0x0A  # include/net/tcp_states.h
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class TcpSocket(NamedTuple):
    """A row of /proc/net/tcp or tcp6."""

    state: int
    port: int
    """Local port."""
    inode: int
    receive_queue: int
    """Bytes to be read; of a listener, connections to be accepted."""


def listening_sockets(pid: int | str = "self") -> Iterator[TcpSocket]:
    """The TCP listeners of the network namespace that a process is in; none if the process has ended.

    The kernel lists listeners before connections, of which there may be a million: those are not read.
    """
    for name in ("tcp", "tcp6"):
        yield from takewhile(lambda found: found.state == TCP_LISTEN, _read_sockets(Path(f"/proc/{pid}/net/{name}")))


class UdpSocket(NamedTuple):
    """A UDP socket of a network namespace. `dropped`: datagrams that did not fit in its receive buffer, so far."""

    port: int
    inode: int
    dropped: int


def udp_sockets(pid: int | str = "self") -> list[UdpSocket]:
    """The UDP sockets with a local port of the network namespace of a process; none if the process has ended."""
    found = []
    for name in ("udp", "udp6"):
        try:
            with open(f"/proc/{pid}/net/{name}") as file:
                for line in islice(file, 1, None):
                    fields = line.split()
                    found.append(UdpSocket(int(fields[1].rpartition(":")[2], 16), int(fields[9]), int(fields[12])))
        except OSError:
            continue
    return found


class TcpConnection(NamedTuple):
    """An established TCP connection of a network namespace, as one of its two sockets has it."""

    local: str
    """Address and port, in the hexadecimal form of /proc/net/tcp."""
    remote: str
    inode: int

    @property
    def local_port(self) -> int:
        """The port of this socket."""
        return int(self.local.rpartition(":")[2], 16)

    @property
    def remote_port(self) -> int:
        """The port of the other socket."""
        return int(self.remote.rpartition(":")[2], 16)


def connections(pid: int | str = "self", most: int = 100_000) -> list[TcpConnection]:
    """The established TCP connections of the network namespace of a process, `most` at most; none if it has ended."""
    found: list[TcpConnection] = []
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}") as file:
                for line in islice(file, 1, None):
                    fields = line.split()
                    if int(fields[3], 16) == TCP_ESTABLISHED:
                        found.append(TcpConnection(fields[1], fields[2], int(fields[9])))
                        if len(found) == most:
                            return found
        except OSError:
            continue
    return found


def _read_sockets(path: Path) -> Iterator[TcpSocket]:
    try:
        with path.open() as file:
            for line in islice(file, 1, None):
                fields = line.split()
                yield TcpSocket(
                    int(fields[3], 16),
                    int(fields[1].rpartition(":")[2], 16),
                    int(fields[9]),
                    int(fields[4].rpartition(":")[2], 16),
                )
    except OSError:
        return


def descriptor_links(pid: int) -> Iterator[tuple[int, str]]:
    """The open descriptors of a process and their link targets; none if it is gone or belongs to another user."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            yield int(name), os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue


def socket_inode(link: str) -> int | None:
    """The inode in the link target of a descriptor; None if the descriptor is not a socket."""
    found = _SOCKET.fullmatch(link)
    return int(found[1]) if found else None


def stat_fields(path: str | Path) -> list[str]:
    """The fields of a stat file from the state on; empty if the task is gone. The name before them may hold spaces."""
    try:
        return Path(path).read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
