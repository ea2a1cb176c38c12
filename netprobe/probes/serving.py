"""Threads that wait on an epoll set or an io_uring, or accept from a listener, by file descriptor."""

from __future__ import annotations

from collections.abc import Mapping

from netprobe.probes.base import (
    AttachPoint,
    Counted,
    Counters,
    KernelLayout,
    KeyedCounters,
    RawTracepoint,
    ThreadScratch,
)
from netprobe.probes.syscall_names import native_number
from netprobe.probes.threads import thread_columns
from netprobe.run.table import Table, declared_table

HOW = ("epoll", "accept", "io_uring")
_CALLS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "accept", "accept4", "io_uring_enter")


class Probe:
    """Counts waits and accepts by thread and descriptor, duty-cycled.

    The counts matter less than the threads: a thread that does not sleep in its wait calls it thousands of times per
    second, and a thread that sleeps is found by the snapshots of the observers. Any program on system call entry costs
    a busy server several percent of its throughput, as the kernel then uses the slow path of every system call.
    """

    name = "serving"
    source = "serving.c"
    optional = False
    dropped: Mapping[str, str] = {
        "DROPPED_SERVED": "{count} waits are missing from the serving threads: their map was full"
    }

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """Call numbers of this architecture."""
        return {f"NR_{name.upper()}": native_number(name) for name in _CALLS}

    def attach_points(self) -> tuple[AttachPoint, ...]:
        """System call entry."""
        return (RawTracepoint("on_serving_call", "sys_enter", duty_cycled=True),)

    def counters(self) -> tuple[Counters, ...]:
        """Calls by thread, descriptor and kind."""
        return (KeyedCounters("served", (("fd", "u4"), ("how", "u4")), 1),)

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """None."""
        return ()

    def tables(self, counted: Counted) -> list[Table]:
        """`serving`."""
        interval, rows = counted.rows("served")
        columns = {"interval": interval, **thread_columns(counted.threads, rows["thread"])}
        columns |= {"fd": rows["fd"], "how": [HOW[how] for how in rows["how"].tolist()], "calls": rows["count"][:, 0]}
        return [declared_table("serving", columns)]
