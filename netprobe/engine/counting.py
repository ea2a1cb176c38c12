"""Read cumulative counters and return the differences since the previous snapshot.

Counters are never cleared, so no event is lost. The exception: the counters of a thread that has ended are reset before
its slot is reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from netprobe.engine.deferred import Deferred
from netprobe.engine.maps import Fields, HashReader, MappedArray, Numbers
from netprobe.engine.program import Program
from netprobe.engine.target import Target
from netprobe.probes.base import Counters, KeyedCounters, ThreadCounters, ThreadScratch, ThreadTimes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from netprobe.probes.base import Rows

    Words = npt.NDArray[np.uint32]
    Counts = npt.NDArray[np.uint64]
    Positions = npt.NDArray[np.intp]
else:
    np = Deferred("numpy")


class CounterReader(Protocol):
    """Differences of one map's counters."""

    def begin(self, target: Target) -> None:
        """The first snapshot: what was counted before is not in any difference. NumPy is not loaded yet."""

    def added(self, target: Target) -> Rows:
        """Rows with the differences since the last call."""

    def open_window(self, target: Target) -> None:
        """Exclude what the kernel counted outside of sampling windows; called when a window has opened."""

    def reset(self, slots: Sequence[int]) -> None:
        """Reset the counters of these slots, whose threads have ended."""

    def close(self) -> None:
        """Free its memory."""


def open_reader(program: Program, counters: Counters) -> CounterReader:
    """The reader for a probe's map."""
    if isinstance(counters, ThreadCounters):
        return _ThreadReader(program, counters)
    if isinstance(counters, ThreadTimes):
        from netprobe.engine.thread_times import ThreadTimesReader

        return ThreadTimesReader(program, counters)
    return _KeyedReader(program, counters)


class ScratchCleaner:
    """Clears the scratch memory of a thread that has ended, before its slot is reused."""

    def __init__(self, memory: MappedArray) -> None:
        self._memory = memory

    def reset(self, slots: Sequence[int]) -> None:
        """Clear the memory of these slots."""
        self._memory.view[slots] = 0


def open_scratch(program: Program, scratch: ThreadScratch) -> ScratchCleaner:
    """The cleaner for a probe's map."""
    return ScratchCleaner(MappedArray(program.map(scratch.map), Numbers("u8", (scratch.words,))))


THREAD_ROWS = [("thread", "u4"), ("cell", "u4"), ("count", "u8")]


class _ThreadReader:
    def __init__(self, program: Program, counters: ThreadCounters) -> None:
        bpf_map = program.map(counters.map)
        self._map = MappedArray(bpf_map, Numbers("u8", (counters.width,)))
        self._first: dict[int, bytes] = {}

    def begin(self, target: Target) -> None:
        self._first = {slot: self._map.copy(slot) for slot in target.slots_in_use()}

    @cached_property
    def _before(self) -> Counts:
        # Pages that are never written take no memory.
        before = np.zeros(self._map.view.shape, np.uint64)
        for slot, row in self._first.items():
            before[slot] = np.frombuffer(row, np.uint64)
        self._first.clear()
        return before

    def added(self, target: Target) -> Rows:
        slots = target.used_slots()
        now = self._map.view[slots]
        difference = now - self._before[slots]
        self._before[slots] = now
        which, cells = np.nonzero(difference)
        rows = np.empty(len(which), THREAD_ROWS)
        rows["thread"] = target.thread_of_slot[slots[which]]
        rows["cell"] = cells
        rows["count"] = difference[which, cells]
        return rows

    def open_window(self, target: Target) -> None:
        """Nothing: programs count in sampling windows only."""

    def reset(self, slots: Sequence[int]) -> None:
        self._map.view[slots] = 0
        self._before[slots] = 0

    def close(self) -> None:
        self._map.close()


class _KeyedReader:
    def __init__(self, program: Program, counters: KeyedCounters) -> None:
        bpf_map = program.map(counters.map)
        value = Fields(("count", "u8", (counters.counters,)), *counters.extra)
        self._reader = HashReader(bpf_map, Fields(("slot", "u4"), *counters.key), value)
        self._counters, self._words = counters, bpf_map.key_size // 4
        self._first = bytearray(), bytearray()

    def begin(self, target: Target) -> None:
        self._first = self._reader.read_bytes()

    @cached_property
    def _before(self) -> KeyedSnapshot:
        before = KeyedSnapshot(self._words, self._counters.counters)
        keys, values = self._reader.arrays(*self._first)
        before.replace(keys.view("u4").reshape(len(keys), self._words), values["count"])
        return before

    @cached_property
    def rows(self) -> np.dtype[Any]:
        counters = self._counters
        return np.dtype([("thread", "u4"), *counters.key, ("count", "u8", (counters.counters,)), *counters.extra])

    def added(self, target: Target) -> Rows:
        keys, values = self._reader.read()
        # After the read: every slot in a key then has its thread number.
        target.slots_in_use()
        difference = self._before.replace(keys.view("u4").reshape(len(keys), self._words), values["count"])
        changed = difference.any(axis=1)
        rows = np.empty(int(changed.sum()), self.rows)
        rows["thread"] = target.thread_of_slot[keys["slot"][changed]]
        rows["count"] = difference[changed]
        for name, _ in self._counters.key:
            rows[name] = keys[name][changed]
        for name, _ in self._counters.extra:
            rows[name] = values[name][changed]
        return rows

    def open_window(self, target: Target) -> None:
        """Nothing: programs count in sampling windows only."""

    def reset(self, slots: Sequence[int]) -> None:
        for key in self._before.reset(slots):
            self._reader.delete(key.tobytes())

    def close(self) -> None:
        self._before.reset_all()


class KeyedSnapshot:
    """The counters of each key at the last read. Keys are rows of u32 words, the first of which is a slot.

    Two arrays: a recording may have tens of thousands of keys, each of which would be several Python objects.
    """

    def __init__(self, words: int, counters: int) -> None:
        self._keys, self._counts = np.empty((0, words), np.uint32), np.empty((0, counters), np.uint64)

    def replace(self, keys: Words, counts: Counts) -> Counts:
        """Store a new snapshot; return its differences to the previous one. A new key had zeros before."""
        old, new = self._matching(keys)
        difference = counts.copy()
        difference[new] -= self._counts[old]
        kept = np.ones(len(self._keys), bool)
        kept[old] = False
        self._keys = np.concatenate((self._keys[kept], keys))
        self._counts = np.concatenate((self._counts[kept], counts))
        return difference

    def _matching(self, keys: Words) -> tuple[Positions, Positions]:
        """Positions of equal keys in the previous snapshot and in the new one."""
        both = np.concatenate((self._keys, keys))
        # The sort is stable: of two equal keys, that of the previous snapshot comes first.
        order = np.lexsort(both.T[::-1])
        again = np.flatnonzero((both[order[1:]] == both[order[:-1]]).all(axis=1))
        return order[again], order[again + 1] - len(self._keys)

    def reset(self, slots: Sequence[int]) -> Words:
        """Remove the keys of these slots and return them."""
        if not len(slots):
            return self._keys[:0]
        gone = np.isin(self._keys[:, 0], np.array(slots, np.uint32))
        keys = self._keys[gone]
        self._keys, self._counts = self._keys[~gone], self._counts[~gone]
        return keys

    def reset_all(self) -> None:
        """Remove all keys."""
        self._keys, self._counts = self._keys[:0].copy(), self._counts[:0].copy()


def merged(parts: Sequence[Rows]) -> Rows:
    """Merge the rows of several intervals: counts of equal keys are added up."""
    rows = np.concatenate(parts)
    if not len(rows):
        return rows
    fields = [name for name in rows.dtype.names or () if name != "count"]
    order = np.lexsort([rows[name] for name in reversed(fields)])
    rows = rows[order]
    changed = np.any([rows[name][1:] != rows[name][:-1] for name in fields], axis=0)
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    out = rows[starts]
    out["count"] = np.add.reduceat(rows["count"], starts, axis=0)
    return out
