"""TCP sockets with their TCP_INFO, by netlink (sock_diag): the process that has them is neither read nor changed."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLMSG_ERROR, _NLMSG_DONE = 4, 20, 2, 3
_REQUEST, _DUMP = 0x1, 0x300
_INET_DIAG_INFO = 2
# TCP_ESTABLISHED and TCP_CLOSE_WAIT in include/net/tcp_states.h.
_STATES = 1 << 1 | 1 << 8
# struct inet_diag_req_v2: family, protocol, ext, pad, states, id (48 bytes).
_REQUEST_BODY = struct.Struct("=BBBxI48x")
_MESSAGE_HEADER = struct.Struct("=IHHII")
_MESSAGE_BYTES = 72
_TIMEOUT_S, _RECEIVE_BYTES = 5.0, 1 << 18
# Offsets in struct tcp_info of include/uapi/linux/tcp.h; a shorter one of an older kernel has zeros.
_FIELDS = {
    "unacked": ("I", 24), "min_rtt_us": ("I", 148), "data_segments": ("I", 156), "retransmitted": ("I", 100),
    "unsent_bytes": ("I", 144), "busy_us": ("Q", 168), "receiver_limited_us": ("Q", 176),
    "buffer_limited_us": ("Q", 184),
}  # fmt: skip


class TcpInfo(NamedTuple):
    """A connection: numbers since it was opened, and what is outstanding now. Times in microseconds."""

    inode: int
    local_port: int
    remote_port: int
    unacked: int
    min_rtt_us: int
    data_segments: int
    retransmitted: int
    unsent_bytes: int
    busy_us: int
    receiver_limited_us: int
    buffer_limited_us: int


def tcp_connections(most: int = 20_000) -> Iterator[TcpInfo]:
    """The established TCP connections of the calling thread's network namespace, `most` at most.

    Raises `OSError` if the kernel has no sock_diag.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _REQUEST_BODY.pack(family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), _STATES)
            size = _MESSAGE_HEADER.size + len(body)
            netlink.send(_MESSAGE_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, family, 0) + body)
            for message in _messages(netlink):
                if most <= 0:
                    return
                most -= 1
                yield _parse(message)


def _messages(netlink: socket.socket) -> Iterator[bytes]:
    while True:
        data, position = netlink.recv(_RECEIVE_BYTES), 0
        while position + _MESSAGE_HEADER.size <= len(data):
            size, kind, *_ = _MESSAGE_HEADER.unpack_from(data, position)
            body = data[position + _MESSAGE_HEADER.size : position + size]
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number or errno.EIO, os.strerror(number or errno.EIO))
            if len(body) >= _MESSAGE_BYTES:
                yield body
            position += max(size + 3 & ~3, _MESSAGE_HEADER.size)


def _parse(message: bytes) -> TcpInfo:
    local_port, remote_port = struct.unpack_from("!HH", message, 4)
    (inode,) = struct.unpack_from("=I", message, 68)
    info, position = b"", _MESSAGE_BYTES
    while position + 4 <= len(message):
        size, kind = struct.unpack_from("=HH", message, position)
        if kind == _INET_DIAG_INFO:
            info = message[position + 4 : position + size]
        position += max(size + 3 & ~3, 4)
    values = {
        name: struct.unpack_from(f"={kind}", info, at)[0] if at + struct.calcsize(kind) <= len(info) else 0
        for name, (kind, at) in _FIELDS.items()
    }
    return TcpInfo(inode, local_port, remote_port, **values)
