"""Observe the CPU time of the other threads of this host: competitors of the target, clients, backends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netprobe.engine.options import RecordOptions
from netprobe.engine.tasks import Task, read_tasks
from netprobe.probes.base import Counted, TracedThread
from netprobe.probes.kernel_text import kernel_text
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

# Threads that ran for less have no row.
_MIN_NS = 1_000_000


def observer(options: RecordOptions) -> TaskObserver:
    """The observer of a recording."""
    return TaskObserver()


class TaskObserver:
    """Snapshots of the CPU time of all threads at start and stop."""

    probe = "thread_time"

    def __init__(self) -> None:
        self._before: dict[int, Task] = {}
        self._after: Sequence[Task] = ()

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The snapshot at start."""
        self._before = {task.tid: task for task in read_tasks(program).tasks}

    def mark(self) -> None:
        """Nothing is counted at the edges."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Threads that start with the recording, as those of a load generator, may have ended when it stops."""
        self._after = read_tasks(program).tasks

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop; threads that have ended keep the CPU time that they had under load."""
        last = read_tasks(program).tasks
        seen = {task.tid for task in last}
        self._after = [*last, *(task for task in self._after if task.tid not in seen)]

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`other_tasks`."""
        traced = {thread.tid for thread in counted.threads}
        names = {task.tgid: kernel_text(task.comm) for task in self._after if task.tid == task.tgid}
        rows = []
        for task in self._after:
            if task.user_tid in traced or task.user_tgid == os.getpid() or not task.user_tid:
                continue
            before = self._before.get(task.tid)
            # The number may have belonged to another thread.
            ran_ns = task.run_ns - (before.run_ns if before and before.run_ns <= task.run_ns else 0)
            if ran_ns >= _MIN_NS:
                name = kernel_text(task.comm)
                rows.append((task.user_tgid, task.user_tid, names.get(task.tgid, name), name, ran_ns))
        return [table_of_rows("other_tasks", sorted(rows))]
