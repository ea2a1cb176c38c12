"""Stacks by thread: samples of running threads, or the time for which threads were off-CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netprobe.probes.base import (
    AttachPoint,
    BtfTracepoint,
    Counted,
    Counters,
    FallbackChain,
    KernelLayout,
    KeyedCounters,
    PerfEvent,
    ThreadScratch,
)
from netprobe.run.table import Table

# Default limit of the kernel (kernel.perf_event_max_stack).
STACK_DEPTH = 127
# A stack takes 1 KiB in the kernel.
_STACKS = 16384
_ROWS = 32768
STACKS_MAP, WEIGHTS_MAP = "stacks", "stack_weights"
DEPTH_DROPPED = "{count} stacks were deeper than " + str(STACK_DEPTH) + " frames: their outermost callers are omitted"
STACKS_DROPPED = "{count} stacks are not known: their map was full"
SAMPLES_DROPPED = "{count} samples were lost: the map of samples was full"


@dataclass(frozen=True)
class StackOptions:
    """Stacks of running threads, or of threads that were off-CPU for at least `shortest_ns`."""

    frequency: int = 99
    off_cpu: bool = False
    shortest_ns: int = 1000
    kernel: bool = True
    user: bool = True


class Probe:
    """Counts stacks in the kernel."""

    name = "stacks"
    source = "stacks.c"
    # Many kernels restrict perf events to CAP_SYS_ADMIN.
    optional = True
    dropped: Mapping[str, str] = {
        "DROPPED_STACK": STACKS_DROPPED,
        "DROPPED_STACK_END": DEPTH_DROPPED,
        "DROPPED_SAMPLE": SAMPLES_DROPPED,
    }

    def __init__(self, options: StackOptions | None = None) -> None:
        self._options = options or StackOptions()

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """Sizes, and the kind of stacks."""
        options = self._options
        defines: dict[str, str | int] = {"STACK_DEPTH": STACK_DEPTH, "STACKS": _STACKS, "STACK_ROWS": _ROWS}
        if options.off_cpu:
            defines |= {"OFF_CPU": 1, "SHORTEST_NS": options.shortest_ns}
        if not options.kernel:
            defines["USER_STACKS_ONLY"] = 1
        if not options.user:
            defines["KERNEL_STACKS_ONLY"] = 1
        return defines

    def attach_points(self) -> tuple[AttachPoint | FallbackChain, ...]:
        """The context switch; or samples by CPU cycles where the CPU can count them, else by a timer."""
        if self._options.off_cpu:
            return (BtfTracepoint("on_switch_for_stacks", "sched_switch"),)
        events = ("cycles", "cpu-clock")
        mechanisms = tuple((event, (PerfEvent("on_sample", event, self._options.frequency),)) for event in events)
        return (FallbackChain("samples", mechanisms),)

    def counters(self) -> tuple[Counters, ...]:
        """Samples and weight by thread, execs of its process, kernel stack and user stack."""
        key = (("execs", "u4"), ("kernel_stack", "u8"), ("user_stack", "u8"))
        return (KeyedCounters(WEIGHTS_MAP, key, 2),)

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """When a thread was switched off its CPU, and its stack."""
        return (ThreadScratch("blocked_threads", 4),) if self._options.off_cpu else ()

    def tables(self, counted: Counted) -> list[Table]:
        """None: the observer symbolizes the addresses and makes the tables."""
        return []
