"""Reuseport groups and connections, which the engine reads through iterators (netprobe/engine/socket_tables.py)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from netprobe.probes.base import (
    AttachPoint,
    Counted,
    Counters,
    FallbackChain,
    FunctionExit,
    KernelLayout,
    Kprobe,
    RawTracepoint,
    ThreadScratch,
)
from netprobe.run.table import Table

_FIELDS = {
    "SOCK_REUSEPORT_CB": ("sock", "sk_reuseport_cb"),
    "SOCK_SOCKET": ("sock", "sk_socket"),
    "SOCK_NAPI_ID": ("sock", "sk_napi_id"),
    "SOCK_LL_USEC": ("sock", "sk_ll_usec"),
    "SOCK_PREFER_BUSY_POLL": ("sock", "sk_prefer_busy_poll"),
    "SOCK_BUSY_POLL_BUDGET": ("sock", "sk_busy_poll_budget"),
    "SKC_FAMILY": ("sock_common", "skc_family"),
    "SKC_STATE": ("sock_common", "skc_state"),
    "SKC_NUM": ("sock_common", "skc_num"),
    "SKC_BOUND_DEV_IF": ("sock_common", "skc_bound_dev_if"),
    "SKC_INCOMING_CPU": ("sock_common", "skc_incoming_cpu"),
    "SKC_RCV_SADDR": ("sock_common", "skc_rcv_saddr"),
    "SKC_V6_RCV_SADDR": ("sock_common", "skc_v6_rcv_saddr"),
    "REUSEPORT_NUM_SOCKS": ("sock_reuseport", "num_socks"),
    "REUSEPORT_PROG": ("sock_reuseport", "prog"),
    "REUSEPORT_SOCKS": ("sock_reuseport", "socks"),
    "PROG_TYPE": ("bpf_prog", "type"),
    "PROG_AUX": ("bpf_prog", "aux"),
    "PROG_ORIG_PROG": ("bpf_prog", "orig_prog"),
    "PROG_AUX_ID": ("bpf_prog_aux", "id"),
    "PROG_AUX_NAME": ("bpf_prog_aux", "name"),
    "FPROG_LEN": ("sock_fprog_kern", "len"),
    "FPROG_FILTER": ("sock_fprog_kern", "filter"),
}
_POLL_FIELDS = ("SOCK_NAPI_ID", "SOCK_LL_USEC", "SOCK_PREFER_BUSY_POLL", "SOCK_BUSY_POLL_BUDGET")


# The records that the iterators of bpf/sockets.c write. It is compiled with these sizes.
MEMBER_RECORD = struct.Struct("=II4Q16siIHHII4x")
ORDER_RECORD = struct.Struct("=IIQ32Q")
PROGRAM_RECORD = struct.Struct("=IIQII16s")
CONNECTION_RECORD = struct.Struct("=IIQIIII")
FILTER = struct.Struct("=HBBI")
FILTER_LENGTH = 24
PROGRAM_RECORD_SIZE = PROGRAM_RECORD.size + FILTER_LENGTH * FILTER.size


class Probe:
    """Reads groups and, unless disabled, connections through iterators; records which thread joins a group."""

    name = "sockets"
    source = "sockets.c"
    dropped: Mapping[str, str] = {"DROPPED_JOINING": "{count} listeners are missing from the order in time"}

    optional = False

    def __init__(self, connections: bool = True) -> None:
        self._connections = connections

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """Offsets of groups and their members; sizes of records."""
        # A kernel without CONFIG_NET_RX_BUSY_POLL does not have these fields.
        polls = kernel.has_field("sock", "sk_napi_id")
        fields = _FIELDS if polls else {name: field for name, field in _FIELDS.items() if name not in _POLL_FIELDS}
        defines: dict[str, str | int] = {name: kernel.offset(*field) for name, field in fields.items()}
        # From a struct socket to the inode number of the file that it belongs to (struct socket_alloc).
        inode = kernel.offset("socket_alloc", "vfs_inode") + kernel.offset("inode", "i_ino")
        defines["SOCKET_TO_INODE"] = inode - kernel.offset("socket_alloc", "socket")
        defines |= {
            "MEMBER_RECORD_SIZE": MEMBER_RECORD.size,
            "ORDER_RECORD_SIZE": ORDER_RECORD.size,
            "PROGRAM_RECORD_SIZE": PROGRAM_RECORD_SIZE,
            "CONNECTION_RECORD_SIZE": CONNECTION_RECORD.size,
        }
        return defines | ({"CONNECTIONS": 1} if self._connections and polls else {})

    def attach_points(self) -> tuple[AttachPoint | FallbackChain, ...]:
        """Functions that add a socket to a group."""
        functions = ("reuseport_alloc", "reuseport_add_sock")
        exits = (FunctionExit("on_alloc_exit", functions[0]), FunctionExit("on_add_sock_exit", functions[1]))
        kprobes = tuple(
            point
            for function in functions
            for point in (Kprobe("on_join_enter", function), Kprobe("on_join_return", function, at_return=True))
        )
        listen = (RawTracepoint("on_set_state", "inet_sock_set_state"),)
        mechanisms = (("fentry", exits), ("kprobe", kprobes), ("tracepoint", listen))
        return (FallbackChain("order in which listeners join", mechanisms),)

    def counters(self) -> tuple[Counters, ...]:
        """None: groups are read, not counted."""
        return ()

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """None."""
        return ()

    def tables(self, counted: Counted) -> list[Table]:
        """None from counters."""
        return []
