"""Name and memory map of each thread at each time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.readers.perfdata.samples import MAX_CONTEXTS
from flamegraph.readers.perfdata.sideband import (
    Change,
    Forked,
    KernelMapped,
    KernelSymbol,
    Lost,
    Mapped,
    MapRecord,
    ThreadNamed,
)

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.walk import Ints, Words


class Span(Protocol):
    """A range of addresses."""

    @property
    def start(self) -> int:
        """First address."""

    @property
    def end(self) -> int:
        """First address after the range."""


S = TypeVar("S", bound=Span)
_numbers = count()


class Layout(Generic[S]):
    """Spans in ascending order without overlap; `starts` and `ends` give the part of each span that is not covered.

    A span that covers no other is added in place, since no earlier sample can have an address in it. A span that
    covers another makes a new layout, so that earlier samples keep the old one.
    """

    def __init__(self, starts: list[int] | None = None, ends: list[int] | None = None, spans: list[S] | None = None):
        self.number = next(_numbers)
        self.starts, self.ends, self.spans = starts or [], ends or [], spans or []
        self.kept = False
        """Whether a context refers to this layout: then no span of it may be covered in place."""
        self._shared = False

    def shared(self) -> Layout[S]:
        """The same layout for a second owner; from now on it is never changed in place."""
        self._shared = True
        return self

    def with_span(self, span: S, keep: bool = True) -> Layout[S]:
        """The layout with this span: this object where it may change in place, or where `keep` is false."""
        first = bisect_right(self.ends, span.start)
        last = bisect_left(self.starts, span.end)
        if first < last and self._repeats(first, last, span):
            return self
        in_place = not self._shared and (first >= last or not (keep or self.kept))
        layout = self if in_place else Layout(self.starts.copy(), self.ends.copy(), self.spans.copy())
        layout._replace(first, last, span)
        return layout

    def _repeats(self, first: int, last: int, span: S) -> bool:
        """Whether the span is present already: perf reads maps from /proc that the kernel also reports."""
        return last - first == 1 and self.spans[first] == span and self.starts[first] == span.start

    def _replace(self, first: int, last: int, span: S) -> None:
        starts, ends, spans = [span.start], [span.end], [span]
        if first < last and self.starts[first] < span.start:
            starts.insert(0, self.starts[first])
            ends.insert(0, span.start)
            spans.insert(0, self.spans[first])
        if first < last and self.ends[last - 1] > span.end:
            starts.append(span.end)
            ends.append(self.ends[last - 1])
            spans.append(self.spans[last - 1])
        self.starts[first:last], self.ends[first:last], self.spans[first:last] = starts, ends, spans


# About 500 MB. A build machine copies some hundred thousand.
_MAX_COPIED = 10_000_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KernelSpan(NamedTuple):
    """Code that was loaded into the kernel."""

    start: int
    end: int
    name: str


class ThreadContext(NamedTuple):
    """Name and maps of a thread during some time."""

    pid: int
    tid: int
    comm: str
    maps: Layout[MapRecord] | None
    kernel: Layout[KernelSpan]


class History(Generic[K, V]):
    """Values by key, and their changes since the last batch of samples."""

    def __init__(self) -> None:
        self._now: dict[K, V | None] = {}
        self._changes: dict[K, tuple[list[int], list[V | None]]] = {}

    def now(self, key: K) -> V | None:
        """The latest value."""
        return self._now.get(key)

    def set(self, key: K, value: V | None, time: int) -> None:
        """Set the value from this time on."""
        before = self._now.get(key)
        if before is value:
            return
        times, values = self._changes.setdefault(key, ([], [before]))
        times.append(max(time, times[-1] if times else 0))
        values.append(value)
        self._now[key] = value

    def times(self, key: K) -> list[int]:
        """Times of the changes."""
        return self._changes[key][0] if key in self._changes else []

    def at(self, key: K, time: int) -> V | None:
        """The value at a time since the last batch."""
        if key not in self._changes:
            return self._now.get(key)
        times, values = self._changes[key]
        return values[int(np.searchsorted(times, time, "right"))]

    def settle(self) -> None:
        """Drop the changes: the batch is summed."""
        self._changes.clear()


class ThreadTracker:
    """Applies records in the order of time, and finds the context of each sample."""

    def __init__(self) -> None:
        self._comms: History[int, str] = History()
        self._maps: History[int, Layout[MapRecord]] = History()
        self._kernel: History[int, Layout[KernelSpan]] = History()
        self._kernel.set(0, Layout(), 0)
        self._kernel.settle()
        self._numbers: dict[tuple[int, int, str, int, int], int] = {}
        self.contexts: list[ThreadContext] = []
        self._sampled: set[int] = set()
        self._copied = 0
        self.kernel_maps: list[MapRecord] = []
        self.lost = [0, 0]
        """Lost samples as counted by the buffers, and by the events."""

    def apply(self, time: int, change: Change) -> None:
        """Apply a record from `time` on."""
        if isinstance(change, Mapped):
            self._map(change.mapping, time)
        elif isinstance(change, ThreadNamed):
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
        """Name the threads (TID words) with samples in the next batch: changes of other threads are not kept."""
        self._sampled = {_signed(thread & 0xFFFFFFFF) for thread in threads}

    @property
    def gave_up(self) -> bool:
        """Whether maps changed more often than the limit, so that later maps also apply to earlier samples."""
        return self._copied > _MAX_COPIED

    def settle(self) -> None:
        """Drop the changes: all samples up to now have their contexts."""
        for track in (self._comms, self._maps, self._kernel):
            track.settle()

    def resolve(self, thread: int, orders: Words) -> Ints | int:
        """Contexts of the samples of one thread: one per sample, or one for all. `thread`: the TID word."""
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
            if number >= MAX_CONTEXTS:
                raise ProfileError(f"The recording has more than {MAX_CONTEXTS} different threads.")
            self.contexts.append(ThreadContext(pid, tid, name, maps, kernel))
            if maps and not self.gave_up:
                maps.kept = True
        return number

    def _map(self, mapping: MapRecord, time: int) -> None:
        before = self._maps.now(mapping.pid) or Layout()
        keep = mapping.pid in self._sampled and not self.gave_up
        after = before.with_span(mapping, keep)
        if after is not before:
            self._copied += len(after.spans)
        self._maps.set(mapping.pid, after, time)

    def _fork(self, change: Forked, time: int) -> None:
        self._comms.set(change.tid, self._comms.now(change.parent_tid), time)
        if change.pid != change.parent_pid and not change.synthesized:
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
    """The name that perf shows for a thread without a COMM record."""
    return "swapper" if tid == 0 else f":{tid}"
