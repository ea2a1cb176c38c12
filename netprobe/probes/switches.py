"""Context switches by thread, voluntary and involuntary, and the next task; optionally run-queue latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netprobe.probes.base import (
    AttachPoint,
    BtfTracepoint,
    Counted,
    Counters,
    KernelLayout,
    KeyedCounters,
    ThreadCounters,
    ThreadScratch,
)
from netprobe.probes.histogram import LOG_LINEAR_BUCKETS, bucket_start
from netprobe.probes.kernel_text import kernel_text
from netprobe.probes.threads import thread_columns
from netprobe.run.table import Table, declared_table

IDLE = "(idle)"
_NEXT_TASKS = 16384


@dataclass(frozen=True)
class SwitchOptions:
    """What to measure in addition to switches."""

    run_queue: bool = False


class Probe:
    """Counts every context switch away from a traced thread."""

    name = "switches"
    source = "switches.c"
    optional = False
    dropped: Mapping[str, str] = {
        "DROPPED_NEXT_TASK": "{count} switches are counted without their next task: the map was full"
    }

    def __init__(self, options: SwitchOptions | None = None) -> None:
        self._options = options or SwitchOptions()

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """How this kernel passes the state of the previous thread."""
        defines: dict[str, str | int] = {"SWITCH_STATE": kernel.switch_state, "NEXT_TASKS": _NEXT_TASKS}
        return defines | ({"RUN_QUEUE": 1} if self._options.run_queue else {})

    def attach_points(self) -> tuple[AttachPoint, ...]:
        """`sched_switch`; with run-queue latency also the wake-ups."""
        points: list[AttachPoint] = [BtfTracepoint("on_switch", "sched_switch", frequent=True)]
        if self._options.run_queue:
            points.append(BtfTracepoint("on_wakeup", "sched_wakeup"))
            points.append(BtfTracepoint("on_wakeup", "sched_wakeup_new"))
        return tuple(points)

    def counters(self) -> tuple[Counters, ...]:
        """Switches by thread, and by thread, CPU and next task."""
        counters: list[Counters] = [
            ThreadCounters("thread_switches", 2),
            KeyedCounters(
                "next_tasks",
                (("cpu", "u4"), ("next_tid", "u4")),
                2,
                (("next_user_tid", "u8"), ("next", "S16")),
            ),
        ]
        if self._options.run_queue:
            counters.append(ThreadCounters("run_queue_latency", 1 + LOG_LINEAR_BUCKETS))
        return tuple(counters)

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """The time at which each thread became runnable."""
        return (ThreadScratch("runnable_since", 1),) if self._options.run_queue else ()

    def tables(self, counted: Counted) -> list[Table]:
        """`switches`, `next_tasks`; with run-queue latency also `run_queue` and `run_queue_histogram`."""
        tables = [self._switches(counted), self._next_tasks(counted)]
        return tables + (self._run_queue(counted) if self._options.run_queue else [])

    def _switches(self, counted: Counted) -> Table:
        import numpy as np

        interval, rows = counted.rows("thread_switches")
        key = interval * (len(counted.threads) + 1) + rows["thread"]
        unique, place = np.unique(key, return_inverse=True)
        counts = np.zeros((len(unique), 2), np.int64)
        counts[place, rows["cell"]] = rows["count"]
        first = np.zeros(len(unique), np.int64)
        first[place] = np.arange(len(key))
        return declared_table(
            "switches",
            {
                "interval": interval[first],
                **thread_columns(counted.threads, rows["thread"][first]),
                "voluntary": counts[:, 0],
                "involuntary": counts[:, 1],
            },
        )

    def _next_tasks(self, counted: Counted) -> Table:
        import numpy as np

        interval, rows = counted.rows("next_tasks")
        # The map has the task's name at the first switch to it; for a traced thread, its last name is more recent.
        last_names = {thread.tid: thread.name for thread in counted.threads if thread.tid}
        names = [
            last_names.get(tid) or kernel_text(name)
            for tid, name in zip(rows["next_user_tid"].tolist(), rows["next"].tolist(), strict=True)
        ]
        idle = rows["next_tid"] == 0
        return declared_table(
            "next_tasks",
            {
                "interval": interval,
                **thread_columns(counted.threads, rows["thread"]),
                "cpu": rows["cpu"],
                "next_tid": rows["next_user_tid"],
                "next_thread": np.where(idle, IDLE, np.array(names, object)),
                "next_idle": idle,
                "voluntary": rows["count"][:, 0],
                "involuntary": rows["count"][:, 1],
            },
        )

    def _run_queue(self, counted: Counted) -> list[Table]:
        interval, rows = counted.rows("run_queue_latency")
        is_total = rows["cell"] == 0
        totals = {
            "interval": interval[is_total],
            **thread_columns(counted.threads, rows["thread"][is_total]),
            "total_ns": rows["count"][is_total],
        }
        interval, rows = interval[~is_total], rows[~is_total]
        histogram = {
            "interval": interval,
            **thread_columns(counted.threads, rows["thread"]),
            "bucket_start_ns": [bucket_start(cell - 1) for cell in rows["cell"].tolist()],
            "waits": rows["count"],
        }
        return [declared_table("run_queue", totals), declared_table("run_queue_histogram", histogram)]
