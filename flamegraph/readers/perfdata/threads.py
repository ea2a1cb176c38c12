"""Who was running, with which name and which maps, at each time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.readers.perfdata.maps import Layout
from flamegraph.readers.perfdata.rows import MOST_CONTEXTS
from flamegraph.readers.perfdata.sideband import (
    Change,
    Forked,
    KernelMapped,
    KernelSymbol,
    Lost,
    Mapped,
    Mapping,
    Named,
)

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.walk import Ints, Words

# 500 MB of them. A build machine copies some hundred thousand.
_MOST_COPIED = 10_000_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KernelSpan(NamedTuple):
    """A piece of code that came into the kernel."""

    start: int
    end: int
    name: str


class Context(NamedTuple):
    """A thread as it was for a while."""

    pid: int
    tid: int
    comm: str
    maps: Layout[Mapping] | None
    kernel: Layout[KernelSpan]


class Track(Generic[K, V]):
    """Values by key, and how they changed since the last batch of samples."""

    def __init__(self) -> None:
        self._now: dict[K, V | None] = {}
        self._changes: dict[K, tuple[list[int], list[V | None]]] = {}

    def now(self, key: K) -> V | None:
        """The latest value."""
        return self._now.get(key)

    def set(self, key: K, value: V | None, time: int) -> None:
        """From this time on."""
        before = self._now.get(key)
        if before is value:
            return
        times, values = self._changes.setdefault(key, ([], [before]))
        times.append(max(time, times[-1] if times else 0))
        values.append(value)
        self._now[key] = value

    def times(self, key: K) -> list[int]:
        """When it changed."""
        return self._changes[key][0] if key in self._changes else []

    def at(self, key: K, time: int) -> V | None:
        """The value at a time since the last batch."""
        if key not in self._changes:
            return self._now.get(key)
        times, values = self._changes[key]
        return values[int(np.searchsorted(times, time, "right"))]

    def settle(self) -> None:
        """The batch is done."""
        self._changes.clear()


class Threads:
    """Follows the records in the order of time, and says which context a sample belongs to."""

    def __init__(self) -> None:
        self._comms: Track[int, str] = Track()
        self._maps: Track[int, Layout[Mapping]] = Track()
        self._kernel: Track[int, Layout[KernelSpan]] = Track()
        self._kernel.set(0, Layout(), 0)
        self._kernel.settle()
        self._numbers: dict[tuple[int, int, str, int, int], int] = {}
        self.contexts: list[Context] = []
        self._sampled: set[int] = set()
        self._copied = 0
        self.kernel_maps: list[Mapping] = []
        self.lost = [0, 0]
        """By the count of the buffers, and by that of the events."""

    def apply(self, time: int, change: Change) -> None:
        """What this record says holds from `time` on."""
        if isinstance(change, Mapped):
            self._map(change.mapping, time)
        elif isinstance(change, Named):
            self._comms.set(change.tid, change.comm, time)
            if change.exec:
                self._maps.set(change.pid, None, time)
        elif isinstance(change, Forked):
            self._fork(change, time)
        elif isinstance(change, KernelSymbol):
            self._kernel_symbol(change, time)
        elif isinstance(change, KernelMapped):
            self.kernel_maps.append(change.mapping)
        elif isinstance(change, Lost):
            self.lost[change.counted] += change.samples

    def expect(self, threads: Iterable[int]) -> None:
        """Say which threads (TID words) have samples in the batch that comes: what changes for others is not kept."""
        self._sampled = {_signed(thread & 0xFFFFFFFF) for thread in threads}

    @property
    def gave_up(self) -> bool:
        """Whether there were more changes of maps than any machine makes, and later ones were taken for all times."""
        return self._copied > _MOST_COPIED

    def settle(self) -> None:
        """All samples up to now have their contexts."""
        for track in (self._comms, self._maps, self._kernel):
            track.settle()

    def resolve(self, thread: int, orders: Words) -> Ints | int:
        """Contexts of the samples of one thread: one for each sample, or one for all. `thread`: the TID word."""
        pid, tid = _signed(thread & 0xFFFFFFFF), _signed(thread >> 32)
        times = sorted({*self._comms.times(tid), *self._maps.times(pid), *self._kernel.times(0)})
        if not times:
            return self._context(pid, tid, -1)
        segments = np.searchsorted(np.array(times, np.uint64), orders, "right")
        present, inverse = np.unique(segments, return_inverse=True)
        starts = [0, *times]
        numbers = [self._context(pid, tid, starts[segment]) for segment in present.tolist()]
        found: Ints = np.array(numbers, np.int64)[inverse.reshape(-1)]
        return found

    def _context(self, pid: int, tid: int, time: int) -> int:
        if time < 0:
            comm, maps, kernel = self._comms.now(tid), self._maps.now(pid), self._kernel.now(0)
        else:
            comm, maps, kernel = self._comms.at(tid, time), self._maps.at(pid, time), self._kernel.at(0, time)
        assert kernel is not None
        name = comm if comm is not None else _unnamed(tid)
        key = (pid, tid, name, maps.number if maps else -1, kernel.number)
        number = self._numbers.setdefault(key, len(self._numbers))
        if number == len(self.contexts):
            if number >= MOST_CONTEXTS:
                raise ProfileError("The recording has more threads than can be told apart.")
            self.contexts.append(Context(pid, tid, name, maps, kernel))
            if maps and not self.gave_up:
                maps.kept = True
        return number

    def _map(self, mapping: Mapping, time: int) -> None:
        before = self._maps.now(mapping.pid) or Layout()
        keep = mapping.pid in self._sampled and not self.gave_up
        after = before.with_span(mapping, keep)
        if after is not before:
            self._copied += len(after.spans)
        self._maps.set(mapping.pid, after, time)

    def _fork(self, change: Forked, time: int) -> None:
        self._comms.set(change.tid, self._comms.now(change.parent_tid), time)
        if change.pid != change.parent_pid and not change.made_up:
            maps = self._maps.now(change.parent_pid)
            self._maps.set(change.pid, maps.shared() if maps and not self.gave_up else None, time)

    def _kernel_symbol(self, change: KernelSymbol, time: int) -> None:
        before = self._kernel.now(0)
        if before is not None and not change.gone and change.length:
            span = KernelSpan(change.address, change.address + change.length, change.name)
            after = before.with_span(span, not self.gave_up)
            if after is not before:
                self._copied += len(after.spans)
            self._kernel.set(0, after, time)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number


def _unnamed(tid: int) -> str:
    """What perf shows for a thread whose name it never heard."""
    return "swapper" if tid == 0 else f":{tid}"
