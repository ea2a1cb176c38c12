"""Read the time of each thread: the kernel's sums from the task iterator, sleeps from the map of bpf/thread_time.c.

The values are cumulative; the reader returns the differences from the previous snapshot. The current state of a thread
is included up to the time of the snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from netprobe.engine.bpf import read_iterator
from netprobe.engine.maps import Fields, MappedArray, Numbers

if TYPE_CHECKING:
    from netprobe.engine.program import Program
    from netprobe.engine.target import Target
    from netprobe.probes.base import Rows, ThreadTimes

    Integers = npt.NDArray[np.int64]

# struct thread_time and struct thread_time_record in bpf/thread_time.c
_TIME = Fields(
    ("sequence", "u4"),
    ("window", "u4"),
    *(
        (name, "i8")
        for name in (
            "gone_ns", "run_since", "wait_since", "sleep_since", "run_base", "run_ns", "wait_ns", "slept_from",
            "sleep_ns",
        )
    ),
    ("reason", "u4"),
    ("uninterruptible", "u4"),
    ("waker_kind", "u4"),
    ("unused", "u4"),
    ("object", "u4", (6,)),
)  # fmt: skip
_RECORD = np.dtype(
    [("now_ns", "i8"), ("run_ns", "i8"), ("wait_ns", "i8"), ("slot", "u4"), ("tid", "u4"), ("time", list(_TIME))]
)
# Passes of the iterator over a thread whose record is inconsistent, because the thread was being updated.
_PASSES = 4
# Threads whose times are compared at once: a thread takes 7 KB in each of several arrays.
_CHUNK = 256


class ThreadTimesReader:
    """Reads the times of all threads by state, as differences from the previous snapshot."""

    def __init__(self, program: Program, counters: ThreadTimes) -> None:
        self._reasons, self._cells = counters.reasons, counters.cells
        self._slots = program.slots
        self._times = MappedArray(program.map(counters.map), _TIME)
        self._sleeps = MappedArray(program.map(counters.sleeps), Numbers("i8", (counters.cells,)))
        calls = MappedArray(program.map(counters.reason_of_call), Numbers("u4"))
        calls.view[:] = counters.reasons_by_call
        calls.close()
        self._link = program.open_iterator(counters.iterator)
        states = counters.reasons + 3
        self._running, self._runnable, self._alive = range(counters.reasons, states)
        # Pages that are never written take no memory.
        self._before = np.zeros((self._slots, states, counters.cells), np.int64)
        self._rows = np.dtype([("thread", "u4"), ("state", "u4"), ("count", "u8", (counters.cells,))])

    def begin(self, target: Target) -> None:
        """The first snapshot."""
        self.added(target)

    def added(self, target: Target) -> Rows:
        """Rows with the differences since the last call."""
        records = self._records()
        # Read after the iterator, so that every slot in a record has a thread number.
        slots = target.used_slots()[1:]
        chunks = [slots[at : at + _CHUNK] for at in range(0, len(slots), _CHUNK)]
        return np.concatenate(
            [np.empty(0, self._rows), *(self._differences(chunk, records, target) for chunk in chunks)]
        )

    def open_window(self, target: Target) -> None:
        """Exclude the time outside of sampling windows: the kernel adds up run time and run delay all the time."""
        self.added(target)

    def _differences(self, slots: Integers, records: npt.NDArray[np.void], target: Target) -> Rows:
        sleeps = self._sleeps.view.reshape(self._slots, self._reasons, self._cells)
        now = np.zeros((len(slots), *self._before.shape[1:]), np.int64)
        now[:, : self._reasons] = sleeps[slots]
        seen = self._add_ended(now, slots) | self._add_living(now, slots, records)
        before = self._before[slots]
        fresh = before[:, self._alive, 0] == 0
        known = target.before_slot(slots[fresh])
        for column, state in enumerate((self._alive, self._running, self._runnable)):
            before[fresh, state, 0] = known[:, column]
        difference = np.maximum(now - before, 0)
        difference[~seen] = 0
        self._before[slots[seen]] = now[seen]
        which, states = np.nonzero(difference.any(axis=2))
        rows = np.empty(len(which), self._rows)
        rows["thread"] = target.thread_of_slot[slots[which]]
        rows["state"] = states
        rows["count"] = difference[which, states]
        return rows

    def _records(self) -> npt.NDArray[np.void]:
        """A record per living thread. A thread whose record was being updated is read again."""
        records = self._read()
        for _ in range(_PASSES):
            changing = records["time"]["sequence"] % 2 == 1
            if not changing.any():
                break
            again = self._read()
            again = again[np.isin(again["slot"], records["slot"][changing])]
            records = np.concatenate((records[~np.isin(records["slot"], again["slot"])], again))
        return records

    def _read(self) -> npt.NDArray[np.void]:
        return np.frombuffer(read_iterator(self._link), _RECORD)

    def _add_ended(self, now: Integers, slots: Integers) -> npt.NDArray[np.bool_]:
        """Fill in the final sums of ended threads. Returns a mask of these threads."""
        times = self._times.view[slots]
        ended = times["gone_ns"] > 0
        for state, name in ((self._running, "run_ns"), (self._runnable, "wait_ns"), (self._alive, "gone_ns")):
            now[ended, state, 0] = times[name][ended]
        return np.asarray(ended, np.bool_)

    def _add_living(self, now: Integers, slots: Integers, records: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
        """Fill in the sums of living threads, up to the time of each record. Returns a mask of these threads."""
        position = np.full(self._slots, -1)
        position[slots] = np.arange(len(slots))
        records = records[(position[records["slot"]] >= 0) & (records["time"]["gone_ns"] == 0)]
        at, time, stamp = position[records["slot"]], records["time"], records["now_ns"]
        running, waiting, sleeping = (time[name] > 0 for name in ("run_since", "wait_since", "sleep_since"))
        # The kernel updates the sum of a running thread only at ticks and switches.
        now[at, self._running, 0] = np.where(running, time["run_base"] + stamp - time["run_since"], records["run_ns"])
        now[at, self._runnable, 0] = records["wait_ns"] + np.where(waiting, stamp - time["wait_since"], 0)
        now[at, self._alive, 0] = stamp
        lasts = np.where(sleeping, stamp - time["sleep_since"], 0)
        reason = np.minimum(time["reason"], self._reasons - 1)
        now[at, reason, 0] += lasts
        now[at, reason, 2] += np.where(time["uninterruptible"] > 0, lasts, 0)
        self._take_back(now, at, slots, time["sleep_ns"] + lasts)
        seen = np.zeros(len(slots), np.bool_)
        seen[at] = True
        return seen

    def _take_back(self, now: Integers, at: Integers, slots: Integers, total: Integers) -> None:
        """Subtract sleeps that ended after the record of their thread was read: they belong to the next interval."""
        sleeps = now[at, : self._reasons, 0]
        added = np.maximum(sleeps - self._before[slots[at], : self._reasons, 0], 0)
        all_added = added.sum(axis=1)
        excess = np.clip(sleeps.sum(axis=1) - total, 0, all_added)
        share = np.divide(excess, all_added, out=np.zeros(len(at)), where=all_added > 0)
        now[at, : self._reasons, 0] -= (added * share[:, None]).astype(np.int64)

    def reset(self, slots: Sequence[int]) -> None:
        """Reset the times of these slots, whose threads have ended."""
        self._times.view[slots] = np.zeros(1, self._times.view.dtype)[0]
        self._sleeps.view.reshape(self._slots, self._reasons, self._cells)[slots] = 0
        self._before[slots] = 0

    def close(self) -> None:
        """Unmap the memory of the maps."""
        self._times.close()
        self._sleeps.close()
