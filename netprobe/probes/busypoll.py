"""Busy polls by thread and NAPI instance, and polls of the same instances by the softirq."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from netprobe.probes.base import (
    AttachPoint,
    BtfTracepoint,
    Counted,
    Counters,
    FallbackChain,
    FunctionEntry,
    FunctionExit,
    KernelLayout,
    KeyedCounters,
    Kprobe,
    ThreadCounters,
    ThreadScratch,
)
from netprobe.probes.threads import thread_columns
from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    from netprobe.probes.base import Rows

# io_uring uses the second function.
_LOOPS = ("napi_busy_loop", "napi_busy_loop_rcu")


class Probe:
    """Counts every poll of every NAPI instance. A poll without packets costs about 15 ns."""

    name = "busypoll"
    source = "busypoll.c"
    optional = False
    dropped: Mapping[str, str] = {
        "DROPPED_BUSY_POLL": "{count} busy-poll episodes are not counted: their map was full",
        "DROPPED_SOFTIRQ_POLL": "{count} softirq polls are not counted: their map was full",
    }

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """Offsets of the owner, the state and the deferral parameters of a NAPI instance."""
        defines: dict[str, str | int] = {
            "NAPI_STATE": kernel.offset("napi_struct", "state"),
            "NAPI_ID": kernel.offset("napi_struct", "napi_id"),
            "NAPI_WEIGHT": kernel.offset("napi_struct", "weight"),
            "NAPI_DEV": kernel.offset("napi_struct", "dev"),
            "NAPI_DEV_LIST": kernel.offset("napi_struct", "dev_list"),
            "NAPI_THREAD": kernel.offset("napi_struct", "thread"),
            "DEVICE_NAME": kernel.offset("net_device", "name"),
            "DEVICE_NAPI_LIST": kernel.offset("net_device", "napi_list"),
            "TASK_STACK": kernel.offset("task_struct", "stack"),
            "TASK_FLAGS": kernel.offset("task_struct", "flags"),
        }
        # Fields of the instance since 6.13 (kernel commit f15e3b3ddb9f), of the device before.
        own = kernel.has_field("napi_struct", "defer_hard_irqs")
        struct, prefix = ("napi_struct", "") if own else ("net_device", "napi_")
        defines["DEFERRAL_OWNER"] = "napi" if own else "device"
        defines["DEFER_HARD_IRQS"] = kernel.offset(struct, f"{prefix}defer_hard_irqs")
        defines["GRO_FLUSH_TIMEOUT"] = kernel.offset(struct, "gro_flush_timeout")
        # On x86 and on arm64; the helper is newer than some kernels (5.15).
        for field in ("orig_ax", "syscallno"):
            if kernel.has_function("bpf_task_pt_regs") and kernel.has_field("pt_regs", field):
                defines["SYSCALL_NUMBER"] = kernel.offset("pt_regs", field)
        return defines

    def attach_points(self) -> tuple[AttachPoint | FallbackChain, ...]:
        """Every poll; and the busy-poll loop, where the kernel allows to trace it."""
        typed: tuple[AttachPoint, ...] = tuple(
            point
            for loop in _LOOPS
            for point in (FunctionEntry("on_loop_enter", loop), FunctionExit("on_loop_exit", loop))
        )
        kprobes: tuple[AttachPoint, ...] = tuple(
            point
            for loop in _LOOPS
            for point in (Kprobe("on_loop_enter", loop), Kprobe("on_loop_exit", loop, at_return=True))
        )
        # napi_busy_loop_rcu is newer than some kernels (6.9).
        mechanisms = (
            ("fentry", typed),
            ("fentry, no io_uring", typed[:2]),
            ("kprobe", kprobes),
            ("kprobe, no io_uring", kprobes[:2]),
        )
        return (
            BtfTracepoint("on_napi_poll", "napi_poll", frequent=True),
            FallbackChain("entries into the poll loop", mechanisms, optional=True),
        )

    def counters(self) -> tuple[Counters, ...]:
        """Busy polls by thread, instance and budget; other polls by instance and CPU; loops by thread."""
        return (
            KeyedCounters("busy_polls", (("napi_id", "u4"), ("budget", "u4")), 6),
            KeyedCounters("softirq_polls", (("napi_id", "u4"), ("threaded", "u4"), ("cpu", "u4")), 2),
            ThreadCounters("busy_loops", 2),
        )

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """When a thread entered the busy-poll loop."""
        return (ThreadScratch("busy_loop_since", 1),)

    def tables(self, counted: Counted) -> list[Table]:
        """`busy_polls`, `softirq_polls`, `busy_loops` (empty where the loop cannot be traced)."""
        interval, rows = counted.rows("busy_polls")
        names = ("attempts", "hits", "packets", "episodes", "last_poll_packets", "polling_ns")
        busy = {"interval": interval, **thread_columns(counted.threads, rows["thread"])}
        busy |= {"napi_id": rows["napi_id"], "budget": rows["budget"]} | _counts(rows, names)
        interval, rows = counted.rows("softirq_polls")
        softirq = {
            "interval": interval,
            "napi_id": rows["napi_id"],
            "threaded": rows["threaded"] != 0,
            "cpu": rows["cpu"],
        }
        softirq |= _counts(rows, ("polls", "packets"))
        interval, rows = counted.rows("busy_loops")
        loops = {"interval": interval, **thread_columns(counted.threads, rows["thread"])}
        loops |= {"quantity": [("entered", "ns")[cell] for cell in rows["cell"].tolist()], "value": rows["count"]}
        return [
            declared_table("busy_polls", busy),
            declared_table("softirq_polls", softirq),
            declared_table("busy_loops", loops),
        ]


def _counts(rows: Rows, names: tuple[str, ...]) -> dict[str, object]:
    return {name: rows["count"][:, index] for index, name in enumerate(names)}
