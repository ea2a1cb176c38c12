"""Read the time of each thread: the kernel's sums from the task iterator, sleeps from the map of bpf/thread_time.c.

The values are cumulative; the reader returns the differences from the previous snapshot. The current state of a thread
is included up to the time of the snapshot.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from netprobe.engine.bpf import read_iterator
from netprobe.engine.deferred import Deferred
from netprobe.engine.maps import Fields, MappedArray, Numbers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from netprobe.engine.program import Program
    from netprobe.engine.target import Target
    from netprobe.probes.base import Rows, ThreadTimes

    Integers = npt.NDArray[np.int64]
    Records = npt.NDArray[np.void]
else:
    np = Deferred("numpy")

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
_RECORD = [("now_ns", "i8"), ("run_ns", "i8"), ("wait_ns", "i8"), ("slot", "u4"), ("tid", "u4"), ("time", list(_TIME))]
# Slot and sequence of a record.
_HEAD = struct.Struct(f"=24xI4xI{_TIME.struct.size - 4}x")
_NUMBER = struct.Struct("=I")
# Passes of the iterator over a thread whose record is inconsistent, because the thread was being updated.
_PASSES = 4
# Threads whose times are compared at once: a thread takes 7 KB in each of several arrays.
_CHUNK = 256


class _First(NamedTuple):
    """The first snapshot: records of the iterator; times and sleeps of the slots in use, one after another."""

    passes: list[bytes]
    slots: list[int]
    times: bytes
    sleeps: bytes


class ThreadTimesReader:
    """Reads the times of all threads by state, as differences from the previous snapshot."""

    def __init__(self, program: Program, counters: ThreadTimes) -> None:
        self._reasons, self._cells = counters.reasons, counters.cells
        self._slots = program.slots
        self._times = MappedArray(program.map(counters.map), _TIME)
        self._sleeps = MappedArray(program.map(counters.sleeps), Numbers("i8", (counters.cells,)))
        calls = MappedArray(program.map(counters.reason_of_call), Numbers("u4"))
        for number, reason in enumerate(counters.reasons_by_call):
            _NUMBER.pack_into(calls.memory, number * calls.stride, reason)
        calls.close()
        self._link = program.open_iterator(counters.iterator)
        states = counters.reasons + 3
        self._running, self._runnable, self._alive = range(counters.reasons, states)
        self._states = states
        self._first: _First | None = None

    @cached_property
    def _before(self) -> Integers:
        # Pages that are never written take no memory.
        return np.zeros((self._slots, self._states, self._cells), np.int64)

    @cached_property
    def _rows(self) -> np.dtype[Any]:
        return np.dtype([("thread", "u4"), ("state", "u4"), ("count", "u8", (self._cells,))])

    def begin(self, target: Target) -> None:
        """The first snapshot, as bytes: NumPy is not loaded yet."""
        passes, slots, row = self._passes(), target.slots_in_use()[1:], self._reasons * self._sleeps.stride
        times = b"".join(self._times.copy(slot) for slot in slots)
        sleeps = b"".join(self._sleeps.memory[slot * row : (slot + 1) * row] for slot in slots)
        self._first = _First(passes, slots, times, sleeps)

    def added(self, target: Target) -> Rows:
        """Rows with the differences since the last call."""
        if self._first:
            self._take_first(self._first, target)
            self._first = None
        records = self._records(self._passes())
        # Read after the iterator, so that every slot in a record has a thread number.
        slots = target.used_slots()[1:]
        sleeps = self._sleeps.view.reshape(self._slots, self._reasons, self._cells)
        chunks = [slots[at : at + _CHUNK] for at in range(0, len(slots), _CHUNK)]
        parts = (self._differences(chunk, self._times.view[chunk], sleeps[chunk], records, target) for chunk in chunks)
        return np.concatenate([np.empty(0, self._rows), *parts])

    def _take_first(self, first: _First, target: Target) -> None:
        records, slots = self._records(first.passes), np.array(first.slots, np.int64)
        times = np.frombuffer(first.times, np.dtype(_TIME))
        sleeps = np.frombuffer(first.sleeps, np.int64).reshape(len(slots), self._reasons, self._cells)
        for at in range(0, len(slots), _CHUNK):
            part = slice(at, at + _CHUNK)
            self._differences(slots[part], times[part], sleeps[part], records, target)

    def open_window(self, target: Target) -> None:
        """Exclude the time outside of sampling windows: the kernel adds up run time and run delay all the time."""
        self.added(target)

    def _differences(self, slots: Integers, times: Records, sleeps: Integers, records: Records, target: Target) -> Rows:
        now = np.zeros((len(slots), *self._before.shape[1:]), np.int64)
        now[:, : self._reasons] = sleeps
        seen = self._add_ended(now, times) | self._add_living(now, slots, records)
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

    def _passes(self) -> list[bytes]:
        """All records, then again while there are threads whose record was being updated in each pass."""
        passes: list[bytes] = []
        changing: set[int] | None = None
        while len(passes) <= _PASSES and changing != set():
            passes.append(read_iterator(self._link))
            odd = {slot for slot, sequence in _HEAD.iter_unpack(passes[-1]) if sequence % 2}
            changing = odd if changing is None else changing & odd
        return passes

    def _records(self, passes: list[bytes]) -> Records:
        """A record per living thread, from the first pass in which it was not being updated."""
        kind = np.dtype(_RECORD)
        records = np.frombuffer(passes[0], kind)
        for data in passes[1:]:
            again = np.frombuffer(data, kind)
            changing = records["slot"][records["time"]["sequence"] % 2 == 1]
            again = again[np.isin(again["slot"], changing)]
            records = np.concatenate((records[~np.isin(records["slot"], again["slot"])], again))
        return records

    def _add_ended(self, now: Integers, times: Records) -> npt.NDArray[np.bool_]:
        """Fill in the final sums of ended threads. Returns a mask of these threads."""
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
