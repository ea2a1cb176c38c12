"""Reads cumulative counters and gives what was added since the last look. Nothing is cleared, so nothing is lost.

The one exception: when a thread has ended for good, its counters are set to zero for the slot's next owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from netprobe.engine.maps import HashReader, MappedArray
from netprobe.engine.program import Program
from netprobe.engine.target import Target
from netprobe.probes.base import Counters, KeyedCounters, ThreadCounters, ThreadScratch

if TYPE_CHECKING:
    from netprobe.probes.base import Rows


class Reader(Protocol):
    """Differences of one map's counters."""

    def added(self, target: Target) -> Rows:
        """What was added since the last call, in rows."""

    def forget(self, slots: Sequence[int]) -> None:
        """Zero the counters of these slots, whose owners have ended."""

    def close(self) -> None:
        """Give back what it holds."""


def open_reader(program: Program, counters: Counters) -> Reader:
    """The reader for a probe's map."""
    if isinstance(counters, ThreadCounters):
        return _ThreadReader(program, counters)
    return _KeyedReader(program, counters)


class ScratchCleaner:
    """Zeroes what programs kept for a thread that has ended, before the slot's next owner finds it."""

    def __init__(self, memory: MappedArray) -> None:
        self._memory = memory

    def forget(self, slots: Sequence[int]) -> None:
        """Zero it for these slots."""
        self._memory.view[slots] = 0


def open_scratch(program: Program, kept: ThreadScratch) -> ScratchCleaner:
    """The cleaner for a probe's map."""
    entries = program.map_entries(kept.map)
    return ScratchCleaner(MappedArray(program.map_fd(kept.map), entries, ("u8", (kept.words,))))


THREAD_ROWS = np.dtype([("thread", "u4"), ("cell", "u4"), ("count", "u8")])


class _ThreadReader:
    def __init__(self, program: Program, counters: ThreadCounters) -> None:
        entries = program.map_entries(counters.map)
        self._map = MappedArray(program.map_fd(counters.map), entries, ("u8", (counters.width,)))
        # Pages of it that are never written take no memory.
        self._before = np.zeros((entries, counters.width), np.uint64)

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

    def forget(self, slots: Sequence[int]) -> None:
        self._map.view[slots] = 0
        self._before[slots] = 0

    def close(self) -> None:
        self._map.close()


class _KeyedReader:
    def __init__(self, program: Program, counters: KeyedCounters) -> None:
        key = np.dtype([("slot", "u4"), *counters.key])
        value = np.dtype([("count", "u8", (counters.counters,)), *counters.extra])
        entries = program.map_entries(counters.map)
        self._reader = HashReader(program.map_fd(counters.map), entries, key, value)
        self._counters = counters
        self._before: dict[bytes, npt.NDArray[np.uint64]] = {}
        self.rows = np.dtype([("thread", "u4"), *counters.key, ("count", "u8", (counters.counters,)), *counters.extra])

    def added(self, target: Target) -> Rows:
        keys, values = self._reader.read()
        # Only now: every slot that stands in a key has its thread number then.
        target.used_slots()
        raw = keys.view(f"V{keys.dtype.itemsize}").tolist() if len(keys) else []
        none = np.zeros(self._counters.counters, np.uint64)
        before = np.array([self._before.get(key, none) for key in raw]).reshape(values["count"].shape)
        difference = values["count"] - before
        changed = difference.any(axis=1)
        for index in np.flatnonzero(changed).tolist():
            self._before[raw[index]] = values["count"][index].copy()
        rows = np.empty(int(changed.sum()), self.rows)
        rows["thread"] = target.thread_of_slot[keys["slot"][changed]]
        rows["count"] = difference[changed]
        for name, _ in self._counters.key:
            rows[name] = keys[name][changed]
        for name, _ in self._counters.extra:
            rows[name] = values[name][changed]
        return rows

    def forget(self, slots: Sequence[int]) -> None:
        gone = set(slots)
        for key in [key for key in self._before if int.from_bytes(key[:4], "little") in gone]:
            del self._before[key]
            self._reader.delete(key)

    def close(self) -> None:
        self._before.clear()


def merged(parts: Sequence[Rows]) -> Rows:
    """Rows of several blocks as those of one: counts of equal keys added up."""
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
