"""Messages by receiving CPU and reading CPU; packets by sending CPU and TX queue."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from netprobe.probes.base import (
    AttachPoint,
    BtfTracepoint,
    Counted,
    Counters,
    KernelLayout,
    KeyedCounters,
    ThreadScratch,
)
from netprobe.probes.kernel_text import kernel_text
from netprobe.probes.threads import thread_columns
from netprobe.run.table import Table, declared_table

_MESSAGE_CELLS = 16384
_TCP_LISTEN = 10  # include/net/tcp_states.h
LISTENING_MAP = "listening"
_SENT_CELLS = 16384


class Probe:
    """Counts every read of data from a TCP socket, and every packet sent on a device with several TX queues.

    The receiving CPU is the one that processed the last packet of the socket (`sk_incoming_cpu`).
    """

    name = "locality"
    source = "locality.c"
    optional = False
    dropped: Mapping[str, str] = {
        "DROPPED_MESSAGE": "{count} messages are missing from the matrix: its map was full",
        "DROPPED_SENT": "{count} sent packets are missing: their map was full",
    }

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """Offsets of CPU, device and queue."""
        defines: dict[str, str | int] = {
            "MESSAGE_CELLS": _MESSAGE_CELLS,
            "SENT_CELLS": _SENT_CELLS,
            "TCP_LISTEN": _TCP_LISTEN,
            "SKC_NUM": kernel.offset("sock_common", "skc_num"),
            "SKC_INCOMING_CPU": kernel.offset("sock_common", "skc_incoming_cpu"),
            "AF_INET6": int(socket.AF_INET6),
            "SKC_FAMILY": kernel.offset("sock_common", "skc_family"),
            "SKC_DADDR": kernel.offset("sock_common", "skc_daddr"),
            "SKC_RCV_SADDR": kernel.offset("sock_common", "skc_rcv_saddr"),
            "SKB_QUEUE_MAPPING": kernel.offset("sk_buff", "queue_mapping"),
            "DEVICE_IFINDEX": kernel.offset("net_device", "ifindex"),
            "DEVICE_TX_QUEUES": kernel.offset("net_device", "real_num_tx_queues"),
            "DEVICE_NET": kernel.offset("net_device", "nd_net.net"),
            "TASK_NSPROXY": kernel.offset("task_struct", "nsproxy"),
            "NSPROXY_NET": kernel.offset("nsproxy", "net_ns"),
            "DEVICE_NAME": kernel.offset("net_device", "name"),
        }
        if kernel.has_field("sock_common", "skc_v6_daddr"):
            defines["SKC_V6_DADDR"] = kernel.offset("sock_common", "skc_v6_daddr")
            defines["SKC_V6_RCV_SADDR"] = kernel.offset("sock_common", "skc_v6_rcv_saddr")
        return defines

    def attach_points(self) -> tuple[AttachPoint, ...]:
        """Reads of data, and transmissions of packets."""
        return (
            BtfTracepoint("on_listen", "inet_sock_set_state"),
            BtfTracepoint("on_read", "tcp_rcv_space_adjust", frequent=True),
            BtfTracepoint("on_send", "net_dev_start_xmit", frequent=True),
        )

    def counters(self) -> tuple[Counters, ...]:
        """Both matrices."""
        return (
            KeyedCounters("messages", (("rx_cpu", "u4"), ("cpu", "u4")), 3),
            KeyedCounters(
                "sent_packets",
                (("device", "u4"), ("queue", "u4"), ("cpu", "u4")),
                1,
                (("queues", "u8"), ("device_name", "S16")),
            ),
        )

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """None."""
        return ()

    def tables(self, counted: Counted) -> list[Table]:
        """`messages` and `sent_packets`."""
        interval, rows = counted.rows("messages")
        messages = {"interval": interval, **thread_columns(counted.threads, rows["thread"])}
        # Signed: -1 if no packet of the socket has been processed.
        messages |= {"rx_cpu": rows["rx_cpu"].astype("i4"), "cpu": rows["cpu"]}
        messages |= {name: rows["count"][:, place] for place, name in enumerate(("messages", "accepted", "same_host"))}
        interval, rows = counted.rows("sent_packets")
        sent = {"interval": interval, **thread_columns(counted.threads, rows["thread"])}
        sent |= {
            "device": [kernel_text(name) for name in rows["device_name"].tolist()],
            "tx_queues": rows["queues"],
            "tx_queue": rows["queue"],
            "cpu": rows["cpu"],
            "packets": rows["count"][:, 0],
        }
        return [declared_table("messages", messages), declared_table("sent_packets", sent)]
