"""The columns of a thread, the same in every table; the table `threads`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netprobe.probes.base import TracedThread
from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    import numpy.typing as npt


def thread_columns(threads: Sequence[TracedThread], number: npt.NDArray[Any] | Sequence[int]) -> dict[str, Any]:
    """pid, tid, process and thread of the threads with these numbers."""
    import numpy as np

    number = np.asarray(number, np.int64)
    return {
        "pid": np.array([thread.pid for thread in threads], np.int64)[number],
        "tid": np.array([thread.tid for thread in threads], np.int64)[number],
        "process": np.array([thread.process for thread in threads], object)[number],
        "thread": np.array([thread.name for thread in threads], object)[number],
    }


def threads_table(threads: Sequence[TracedThread], started_ns: int) -> Table:
    """A row per traced thread; times since the start of the recording."""
    own = threads[1:]
    columns = thread_columns(threads, range(1, len(threads)))
    columns["cpus_allowed"] = [thread.cpus_allowed for thread in own]
    columns["first_seen_s"] = [(thread.start_ns - started_ns) / 1e9 for thread in own]
    columns["ended_s"] = [(thread.exit_ns - started_ns) / 1e9 if thread.exit_ns else float("nan") for thread in own]
    return declared_table("threads", columns)
