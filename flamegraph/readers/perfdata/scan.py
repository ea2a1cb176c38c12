"""Reads all records of a recording: sums of samples by raw stack, and the data needed to name them."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.readers.perfdata.events import Event, choose, id_word, shown_names
from flamegraph.readers.perfdata.formats import Corruption, Record
from flamegraph.readers.perfdata.header import Features, parse_attr_record, text
from flamegraph.readers.perfdata.samples import Extract, Extractor, SampleRows
from flamegraph.readers.perfdata.sideband import Change, KernelMapped, Sideband
from flamegraph.readers.perfdata.stack_table import AddressTable, StackHasher, StackTable
from flamegraph.readers.perfdata.symbolizing import difference
from flamegraph.readers.perfdata.thread_contexts import ThreadTracker
from flamegraph.symbols.kallsyms import KernelSymbols

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.stream import Chunk, Feed
    from flamegraph.readers.perfdata.walk import Ints, Words

# Chunks whose samples are extracted while the next chunk is read.
_AHEAD = 3
# Limit of chunks that wait for the FINISHED_ROUND records of perf, which some recordings do not have.
_MAX_WAITING = 64
_EVENT_UPDATE_NAME = 2


class NeedsUnwindingError(Exception):
    """The records contain copies of stack memory, which have to be unwound; perf can do that."""

    def __init__(self, event: Event) -> None:
        super().__init__(event.needs_unwinding)
        self.event = event


class _Waiting(NamedTuple):
    """A chunk that was read and whose samples are not summed yet."""

    chunk: Chunk
    changes: list[tuple[int, Change]]
    rounds: int
    extract: Future[Extract] | None


class _PendingSamples(NamedTuple):
    """Samples whose thread context is not final yet."""

    stack: Ints
    extract: Extract


class Scan:
    """One pass over a recording."""

    _feed: Feed

    def __init__(self, events: list[Event], features: Features, wanted: str | None) -> None:
        self._described = bool(events)
        self.events, self.features, self._wanted = events, features, wanted
        self.event: Event | None = None
        self.stacks, self.threads, self.rows = StackTable(), ThreadTracker(), SampleRows()
        self.corruption: Corruption | None = None
        self.kernel_symbols: Future[KernelSymbols] | None = None
        """Symbols of the running kernel, parsed ahead in the thread pool: they are most likely needed."""
        self._prefetched = False
        self._corrupt_record: Corruption | None = None
        self._corrupt_sample: Corruption | None = None
        self._hasher = StackHasher()
        self._extractor: Extractor | None = None
        self._sideband = Sideband(events)
        self._rounds = 0
        self._ends: deque[tuple[int, int]] = deque()
        self._changes: list[tuple[int, int, Change]] = []
        self._pending: list[_PendingSamples] = []
        self._latest = 0
        self._sequence = 0
        self._prepared: Callable[[], None] | None = None

    def run(self, feed: Feed, prepared: Callable[[], None] | None = None) -> None:
        """Read to the end, or to a corruption (then in `corruption`). `prepared`: called before the first sample."""
        self._prepared, self._feed = prepared, feed
        waiting: deque[_Waiting] = deque()
        with ThreadPoolExecutor(1) as pool:
            for chunk in feed:
                waiting.append(self._begin(chunk, pool))
                if len(waiting) > _AHEAD:
                    self._end(waiting.popleft())
                if self._corrupt_record or self._corrupt_sample:
                    break
            while waiting and not self._corrupt_sample:
                self._end(waiting.popleft())
        # Samples are extracted later than other records are read, so a corrupt sample is the earlier corruption.
        self.corruption = self._corrupt_sample or self._corrupt_record or feed.corruption
        self._settle(1 << 64)
        if self.event is None:
            self.event = self._chosen()

    def _begin(self, chunk: Chunk, pool: ThreadPoolExecutor) -> _Waiting:
        changes = []
        self._rounds += chunk.records.rounds
        for position in chunk.records.others:
            try:
                if change := self._read_record(chunk, position):
                    changes.append(change)
            except (struct.error, IndexError):
                kind = int(chunk.words[position]) & 0xFFFFFFFF
                self._corrupt_record = Corruption(chunk.place(position), f"a record of type {kind} that is too short")
                chunk.records = chunk.records._replace(
                    samples=chunk.records.samples[: int(chunk.records.samples.searchsorted(position))]
                )
                break
        self._prefetch_symbols(changes, pool)
        extract = None
        if len(chunk.records.samples):
            if self._extractor is None:
                self._extractor = self._prepare()
                if self._prepared:
                    self._prepared()
            extract = pool.submit(self._extractor.extract, chunk)
        return _Waiting(chunk, changes, self._rounds, extract)

    def _prefetch_symbols(self, changes: list[tuple[int, Change]], pool: ThreadPoolExecutor) -> None:
        if self.kernel_symbols is None and not self._prefetched:
            maps = [change.mapping for _, change in changes if isinstance(change, KernelMapped)]
            self._prefetched = bool(maps)
            if maps and not difference(self.features, maps):
                self.kernel_symbols = pool.submit(KernelSymbols.read)

    def _read_record(self, chunk: Chunk, position: int) -> tuple[int, Change] | None:
        words = chunk.words
        header = int(words[position])
        kind = header & 0xFFFFFFFF
        if kind == Record.FINISHED_ROUND:
            self._rounds += 1
        elif kind in (Record.ATTR, Record.FEATURE, Record.EVENT_UPDATE, Record.BUILD_ID):
            self._about_recording(kind, words[position : position + (header >> 51)].tobytes())
        elif found := self._sideband.read(words, position):
            time, change = found
            if not self._sideband.has_time:
                time = chunk.position + 8 * position + 1
            return time, change
        return None

    def _about_recording(self, kind: int, record: bytes) -> None:
        if kind == Record.ATTR and not self._described:
            self.events.append(parse_attr_record(record))
            self._sideband = Sideband(self.events)
        elif kind == Record.FEATURE:
            (feature,) = struct.unpack_from("<Q", record, 8)
            self.features.take(feature, record[16:])
        elif kind == Record.BUILD_ID:
            self.features.take_build_id(record)
        elif kind == Record.EVENT_UPDATE:
            update, number = struct.unpack_from("<QQ", record, 8)
            if update == _EVENT_UPDATE_NAME:
                self.features.names[number] = text(record[24:])

    def _prepare(self) -> Extractor:
        """Choose the event and its layout, at the first sample."""
        self.event = event = self._chosen()
        if event.needs_unwinding:
            raise NeedsUnwindingError(event)
        own = -1
        if sum(not other.is_dummy for other in self.events) > 1 or len({other.layout for other in self.events}) > 1:
            own = id_word(self.events)
            if own < 0:
                names = ", ".join(shown_names(self.events))
                raise ProfileError(f"The samples of {names} cannot be distinguished: they carry no event id.")
        by_time = self._sideband.has_time and event.layout.time >= 0
        return Extractor(event, own, by_time, self._hasher, AddressTable())

    def _chosen(self) -> Event:
        for event in self.events:
            event.name = next((self.features.names[n] for n in event.ids if n in self.features.names), event.name)
        if not self.events:
            raise Corruption(0, "it describes no event")
        if chosen := choose(self.events, self._wanted):
            return chosen
        names = ", ".join(shown_names([event for event in self.events if not event.is_dummy]))
        raise ProfileError(f"The recording has no event {self._wanted}.", hint=f"It has: {names}.")

    def _end(self, waiting: _Waiting) -> None:
        for time, change in waiting.changes:
            self._change(time, change)
        if waiting.extract:
            extract = waiting.extract.result()
            self._corrupt_sample = extract.corruption
            if len(extract):
                words = waiting.chunk.words
                numbers = self.stacks.intern(words, extract.starts, extract.lengths, extract.modes, extract.hashes)
                self._latest = max(self._latest, int(extract.order.max()))
                self._pending.append(_PendingSamples(numbers, extract))
        self._feed.recycle(waiting.chunk)
        self._ends.append((waiting.rounds, self._latest))
        self._settle_known()

    def _change(self, time: int, change: Change) -> None:
        if time == 0:
            self.threads.apply(0, change)
        else:
            self._sequence += 1
            self._changes.append((time, self._sequence, change))
            self._latest = max(self._latest, time)

    def _settle_known(self) -> None:
        """Settle up to the end of round N once round N + 2 begins: its records are not older than those of round N."""
        until = -1
        while self._ends and (self._ends[0][0] + 2 <= self._rounds_read() or len(self._ends) > _MAX_WAITING):
            until = self._ends.popleft()[1]
        if until >= 0:
            self._settle(until)

    def _rounds_read(self) -> int:
        return self._ends[-1][0]

    def _settle(self, until: int) -> None:
        """Sum all samples up to a time, with the thread contexts of that time."""
        self.threads.expect(thread for pending in self._pending for thread in pending.extract.threads)
        self._changes.sort(key=lambda change: change[:2])
        done = 0
        for time, _, change in self._changes:
            if time > until:
                break
            self.threads.apply(time, change)
            done += 1
        del self._changes[:done]
        later = []
        for pending in self._pending:
            early = pending.extract.order <= np.uint64(min(until, (1 << 64) - 1))
            if early.all():
                self._add(pending)
            elif early.any():
                self._add(_pick(pending, early))
                later.append(_pick(pending, ~early))
            else:
                later.append(pending)
        self._pending = later
        self.threads.settle()

    def _add(self, pending: _PendingSamples) -> None:
        extract = pending.extract
        found = [self.threads.resolve(thread, extract.order[:0]) for thread in extract.threads]
        contexts = np.array([number if isinstance(number, int) else -1 for number in found], np.int64)
        context = contexts[extract.thread]
        for number in np.flatnonzero(contexts < 0).tolist():
            own = np.flatnonzero(extract.thread == number)
            context[own] = self.threads.resolve(extract.threads[number], extract.order[own])
        self.rows.add(pending.stack, context, extract.time, extract.weight)


def _pick(pending: _PendingSamples, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> _PendingSamples:
    extract = pending.extract
    time: Words | None = None if extract.time is None else extract.time[chosen]
    picked = replace(
        extract,
        thread=extract.thread[chosen],
        order=extract.order[chosen],
        time=time,
        weight=extract.weight[chosen],
    )
    return _PendingSamples(pending.stack[chosen], picked)
