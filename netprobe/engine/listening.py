"""Tells the locality probe on which TCP ports somebody listens already."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from netprobe.engine.maps import MappedArray
from netprobe.engine.program import Program
from netprobe.engine.socket_tables import network_namespaces
from netprobe.probes.locality import LISTENING_MAP

_LISTEN = "0A"


def mark_listening(program: Program, pids: Iterable[int]) -> None:
    """Set the bit of every port with a listener in the network namespaces of these processes."""
    bits = MappedArray(program.map_fd(LISTENING_MAP), program.map_entries(LISTENING_MAP), "u8")
    for pid in network_namespaces(sorted(pids)).values():
        for port in listening_ports(pid):
            bits.view[port >> 6] |= 1 << (port & 63)
    bits.close()


def listening_ports(pid: int) -> set[int]:
    """TCP ports with a listener in a process's network namespace (Documentation/networking/proc_net_tcp.rst)."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}") as file:
                found |= _listeners(islice(file, 1, None))
        except OSError:
            continue
    return found


def _listeners(lines: Iterable[str]) -> set[int]:
    """Listeners stand before all connections, of which there may be a million."""
    found = set()
    for line in lines:
        _, local, _, state, _ = line.split(None, 4)
        if state != _LISTEN:
            break
        found.add(int(local.rpartition(":")[2], 16))
    return found
