"""Reads all records of a recording: samples added up by raw stack, with everything that is needed to name them."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.readers.perfdata.addresses import AddressTable, StackTable
from flamegraph.readers.perfdata.attributes import Event, choose, id_word, shown_names
from flamegraph.readers.perfdata.formats import Record
from flamegraph.readers.perfdata.hashing import StackHasher
from flamegraph.readers.perfdata.header import Features, parse_attr_record, text
from flamegraph.readers.perfdata.kernel import difference
from flamegraph.readers.perfdata.problems import Damage
from flamegraph.readers.perfdata.rows import Rows
from flamegraph.readers.perfdata.samples import Extract, Extractor
from flamegraph.readers.perfdata.sideband import Change, KernelMapped, Sideband
from flamegraph.readers.perfdata.threads import Threads
from flamegraph.symbols.kallsyms import KernelSymbols

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.feed import Chunk, Feed
    from flamegraph.readers.perfdata.walk import Ints, Words

# Chunks whose samples are worked on while the next is read.
_AHEAD = 3
# Chunks that may wait for the marks that perf sets between rounds; a recording that has none goes on without.
_MOST_WAITING = 64
_EVENT_UPDATE_NAME = 2


class NeedsUnwindingError(Exception):
    """The stacks have to be worked out from copies of the stack: perf can do that."""

    def __init__(self, event: Event) -> None:
        super().__init__(event.needs_unwinding)
        self.event = event


class _Waiting(NamedTuple):
    """A chunk between being read and being added up."""

    chunk: Chunk
    changes: list[tuple[int, Change]]
    rounds: int
    extract: Future[Extract] | None


class _Part(NamedTuple):
    """Samples that wait for their context."""

    stack: Ints
    extract: Extract


class Scan:
    """One pass over a recording."""

    _feed: Feed

    def __init__(self, events: list[Event], features: Features, wanted: str | None) -> None:
        self._described = bool(events)
        self.events, self.features, self._wanted = events, features, wanted
        self.event: Event | None = None
        self.stacks, self.threads, self.rows = StackTable(), Threads(), Rows()
        self.corruption: Damage | None = None
        self.kernel_symbols: Future[KernelSymbols] | None = None
        """Of the kernel that runs here; they are most likely needed, and to parse them takes a while."""
        self._foreseen = False
        self._corrupt_record: Damage | None = None
        self._corrupt_sample: Damage | None = None
        self._hasher = StackHasher()
        self._extractor: Extractor | None = None
        self._sideband = Sideband(events)
        self._rounds = 0
        self._ends: deque[tuple[int, int]] = deque()
        self._changes: list[tuple[int, int, Change]] = []
        self._parts: list[_Part] = []
        self._latest = 0
        self._sequence = 0
        self._prepared: Callable[[], None] | None = None

    def run(self, feed: Feed, prepared: Callable[[], None] | None = None) -> None:
        """Read to the end, or to the corruption that is in `corruption` then. `prepared`: called at the first sample."""
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
        # Samples are looked at later than other records: what is wrong with one is the earlier corruption.
        self.corruption = self._corrupt_sample or self._corrupt_record or feed.corruption
        self._settle(1 << 64)
        if self.event is None:
            self.event = self._chosen()

    def _begin(self, chunk: Chunk, pool: ThreadPoolExecutor) -> _Waiting:
        changes = []
        self._rounds += chunk.records.rounds
        for position in chunk.records.others:
            try:
                if change := self._other(chunk, position):
                    changes.append(change)
            except (struct.error, IndexError):
                kind = int(chunk.words[position]) & 0xFFFFFFFF
                self._corrupt_record = Damage(chunk.place(position), f"a record of type {kind} that is too short")
                chunk.records = chunk.records._replace(
                    samples=chunk.records.samples[: int(chunk.records.samples.searchsorted(position))]
                )
                break
        self._foresee_symbols(changes, pool)
        extract = None
        if len(chunk.records.samples):
            if self._extractor is None:
                self._extractor = self._prepare()
                if self._prepared:
                    self._prepared()
            extract = pool.submit(self._extractor.extract, chunk)
        return _Waiting(chunk, changes, self._rounds, extract)

    def _foresee_symbols(self, changes: list[tuple[int, Change]], pool: ThreadPoolExecutor) -> None:
        if self.kernel_symbols is None and not self._foreseen:
            maps = [change.mapping for _, change in changes if isinstance(change, KernelMapped)]
            self._foreseen = bool(maps)
            if maps and not difference(self.features, maps):
                self.kernel_symbols = pool.submit(KernelSymbols.read)

    def _other(self, chunk: Chunk, position: int) -> tuple[int, Change] | None:
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
            what, number = struct.unpack_from("<QQ", record, 8)
            if what == _EVENT_UPDATE_NAME:
                self.features.names[number] = text(record[24:])

    def _prepare(self) -> Extractor:
        """What is needed for the first sample."""
        self.event = event = self._chosen()
        if event.needs_unwinding:
            raise NeedsUnwindingError(event)
        own = -1
        if sum(not other.is_dummy for other in self.events) > 1 or len({other.layout for other in self.events}) > 1:
            own = id_word(self.events)
            if own < 0:
                names = ", ".join(shown_names(self.events))
                raise ProfileError(f"The samples of {names} cannot be told apart: they carry no id.")
        by_time = self._sideband.has_time and event.layout.time >= 0
        return Extractor(event, own, by_time, self._hasher, AddressTable())

    def _chosen(self) -> Event:
        for event in self.events:
            event.name = next((self.features.names[n] for n in event.ids if n in self.features.names), event.name)
        if not self.events:
            raise Damage(0, "no event is described in it")
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
                numbers = self.stacks.intern(words, extract)
                self._latest = max(self._latest, int(extract.order.max()))
                self._parts.append(_Part(numbers, extract))
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
        """Nothing of round N + 2 is older than anything of round N."""
        until = -1
        while self._ends and (self._ends[0][0] + 2 <= self._rounds_read() or len(self._ends) > _MOST_WAITING):
            until = self._ends.popleft()[1]
        if until >= 0:
            self._settle(until)

    def _rounds_read(self) -> int:
        return self._ends[-1][0]

    def _settle(self, until: int) -> None:
        """Add up all samples up to a time, with the contexts that were right then."""
        self.threads.expect(thread for part in self._parts for thread in part.extract.threads)
        self._changes.sort(key=lambda change: change[:2])
        done = 0
        for time, _, change in self._changes:
            if time > until:
                break
            self.threads.apply(time, change)
            done += 1
        del self._changes[:done]
        later = []
        for part in self._parts:
            early = part.extract.order <= np.uint64(min(until, (1 << 64) - 1))
            if early.all():
                self._add(part)
            elif early.any():
                self._add(_pick(part, early))
                later.append(_pick(part, ~early))
            else:
                later.append(part)
        self._parts = later
        self.threads.settle()

    def _add(self, part: _Part) -> None:
        extract = part.extract
        found = [self.threads.resolve(thread, extract.order[:0]) for thread in extract.threads]
        contexts = np.array([one if isinstance(one, int) else -1 for one in found], np.int64)
        context = contexts[extract.thread]
        for number in np.flatnonzero(contexts < 0).tolist():
            own = np.flatnonzero(extract.thread == number)
            context[own] = self.threads.resolve(extract.threads[number], extract.order[own])
        self.rows.add(part.stack, context, extract.time, extract.weight)


def _pick(part: _Part, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> _Part:
    extract = part.extract
    time: Words | None = None if extract.time is None else extract.time[chosen]
    picked = replace(
        extract,
        thread=extract.thread[chosen],
        order=extract.order[chosen],
        time=time,
        weight=extract.weight[chosen],
    )
    return _Part(part.stack[chosen], picked)
