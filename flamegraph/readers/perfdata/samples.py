"""The samples of a chunk (stack, thread, time, period), and their sums by stack, context and time interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.readers.perfdata.formats import MODE_MASK, Corruption, Read
from flamegraph.readers.perfdata.stack_table import AddressTable, StackHasher

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.readers.perfdata.events import Event
    from flamegraph.readers.perfdata.stream import Chunk
    from flamegraph.readers.perfdata.walk import Ints, Words

    Floats = npt.NDArray[np.float64]

_MODE_FACTOR = np.uint64(0x9FB21C651E98DF25)


@dataclass(frozen=True)
class Extract:
    """The wanted samples of a chunk, in the order of the chunk."""

    hashes: tuple[Words, Words]
    starts: Ints
    """Index of the word where the stack begins."""
    lengths: Ints
    modes: Ints
    """Mode of the frames before the first marker."""
    thread: Ints
    """Index into `threads`."""
    threads: list[int]
    """TID words: thread id in the upper half, process id in the lower half."""
    order: Words
    """Order of samples and other records: time, or offset in the stream."""
    time: Words | None
    weight: Floats
    corruption: Corruption | None = None
    """Set at a corrupt sample; this extract has the samples before it."""

    def __len__(self) -> int:
        return len(self.thread)


@dataclass(frozen=True)
class Extractor:
    """Extracts the samples of one event."""

    event: Event
    id_word: int
    """Index of the word with the event id; -1: all samples belong to this event."""
    by_time: bool
    hasher: StackHasher
    threads: AddressTable
    """Numbers of TID words."""

    def extract(self, chunk: Chunk) -> Extract:
        """The samples of the wanted event in a chunk."""
        words, samples = chunk.words, self._own(chunk)
        samples, starts, lengths, corruption = self._chains(chunk, samples)
        layout = self.event.layout
        modes = (words[samples] >> np.uint64(32)).astype(np.int64) & MODE_MASK
        first, second = self.hasher.hash(words, starts, lengths)
        first = first + modes.astype(np.uint64) * _MODE_FACTOR
        tids = words[samples + layout.tid] if layout.tid >= 0 else np.full(len(samples), (1 << 64) - 1, np.uint64)
        numbers = self.threads.intern(tids)
        present = np.flatnonzero(np.bincount(numbers, minlength=len(self.threads)))
        thread = np.searchsorted(present, numbers)
        threads = self.threads.addresses()[present].tolist()
        time = words[samples + layout.time] if layout.time >= 0 else None
        order = time if time is not None and self.by_time else (samples * 8 + chunk.position).astype(np.uint64)
        if layout.period >= 0:
            weight = words[samples + layout.period].astype(np.float64)
        else:
            weight = np.full(len(samples), float(self.event.period or 1))
        return Extract((first, second), starts, lengths, modes, thread, threads, order, time, weight, corruption)

    def _own(self, chunk: Chunk) -> Ints:
        samples = chunk.records.samples
        if self.id_word < 0:
            return samples
        short = _sizes(chunk.words, samples) <= self.id_word
        ids = chunk.words[np.where(short, 0, samples + self.id_word)]
        # A sample too short for an event id is kept here and then reported as corrupt.
        return samples[short | np.isin(ids, np.array(self.event.ids, np.uint64))]

    def _chains(self, chunk: Chunk, samples: Ints) -> tuple[Ints, Ints, Ints, Corruption | None]:
        """Complete samples, the beginning and the length of their call chains, and the corruption that ends them."""
        words, layout = chunk.words, self.event.layout
        sizes = _sizes(words, samples)
        if layout.callchain < 0:
            needed = self._fixed_words()
            whole = sizes >= needed
            length = 1 if layout.ip >= 0 else 0
            starts, lengths = samples + max(layout.ip, 1), np.full(len(samples), length)
        else:
            at, whole = self._callchain_words(words, samples, sizes)
            counts = words[np.where(whole, samples + at, 0)]
            whole &= counts < (sizes - at).clip(0).astype(np.uint64)
            starts, lengths = samples + at + 1, counts.astype(np.int64)
        if whole.all():
            return samples, starts, lengths, None
        broken = int(np.argmin(whole))
        corruption = Corruption(chunk.place(int(samples[broken])), "a sample whose fields exceed its size")
        return samples[:broken], starts[:broken], lengths[:broken], corruption

    def _callchain_words(self, words: Words, samples: Ints, sizes: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        layout, event = self.event.layout, self.event
        if not event.has_read_group:
            return np.full(len(samples), layout.callchain), sizes > layout.callchain
        # nr, then the times of the group, then value (and id, and lost) of each member
        fixed = 1 + (event.read_format & (Read.TIME_ENABLED | Read.TIME_RUNNING)).bit_count()
        each = 1 + (event.read_format & (Read.ID | Read.LOST)).bit_count()
        readable = sizes > layout.read
        members = words[np.where(readable, samples + layout.read, 0)]
        readable &= members < np.uint64(1 << 13)
        at = layout.read + fixed + each * np.where(readable, members, 0).astype(np.int64)
        return at, readable & (sizes > at)

    def _fixed_words(self) -> int:
        layout = self.event.layout
        return 1 + max(layout.identifier, layout.ip, layout.tid, layout.time, layout.id, layout.period, 0)


def _sizes(words: Words, samples: Ints) -> Ints:
    """Size of each record (64-bit words)."""
    return (words[samples] >> np.uint64(51)).astype(np.int64)


INTERVAL_NS = 100_000_000
MAX_INTERVALS = 600
# With more rows than this, intervals get longer.
MAX_ROWS = 4_000_000
_BATCH = 1 << 20

# The key of a row: stack, context, interval.
_INTERVAL_BITS, _CONTEXT_BITS, _STACK_BITS = 12, 24, 27
_INTERVAL_BIAS = 1 << (_INTERVAL_BITS - 1)
MAX_CONTEXTS = 1 << _CONTEXT_BITS
_MAX_STACKS = 1 << _STACK_BITS


class SampleSums(NamedTuple):
    """Sums by stack, context and interval, as columns."""

    stack: Ints
    context: Ints
    interval: Ints
    samples: Ints
    weight: Floats


class SampleRows:
    """Sums samples by stack, context and time interval, with one sort per million samples.

    Memory does not grow with the number of samples.
    """

    def __init__(self) -> None:
        self._keys: list[Ints] = []
        self._counts: list[Ints] = []
        self._weights: list[Floats] = []
        self._waiting = self._limit = 0
        self._zero: int | None = None
        self._shift = 0
        self._low = self._high = 0
        self.first: int | None = None
        self.last = 0
        """Times of the first and last sample, ns; `first` is None where samples have no time."""

    @property
    def interval_ns(self) -> int:
        """Length of an interval in nanoseconds."""
        return INTERVAL_NS << self._shift

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return self._high - self._low + 1

    def add(self, stack: Ints, context: Ints, time: Words | None, weight: Floats) -> None:
        """Add samples, one row per sample."""
        if len(stack) == 0:
            return
        if int(stack.max()) >= _MAX_STACKS:
            raise ProfileError(f"The recording has more than {_MAX_STACKS} different stacks.")
        key = stack << _CONTEXT_BITS | context
        key <<= _INTERVAL_BITS
        key |= (0 if time is None else self._intervals(time)) + _INTERVAL_BIAS
        self._append(key, np.ones(len(key), np.int64), weight)

    def sums(self) -> SampleSums:
        """The sums."""
        self._compact()
        if not self._keys:
            empty = np.empty(0, np.int64)
            return SampleSums(empty, empty, empty, empty, np.empty(0, np.float64))
        key = self._keys[0]
        interval = (key & (1 << _INTERVAL_BITS) - 1) - _INTERVAL_BIAS - self._low
        key = key >> _INTERVAL_BITS
        return SampleSums(key >> _CONTEXT_BITS, key & MAX_CONTEXTS - 1, interval, self._counts[0], self._weights[0])

    def _intervals(self, time: Words) -> Ints:
        low, high = int(time.min()), int(time.max())
        if self._zero is None:
            self._zero = self.first = low
        assert self.first is not None
        self.first, self.last = min(self.first, low), max(self.last, high)
        while (self.last - self._zero) // self.interval_ns - (
            self.first - self._zero
        ) // self.interval_ns >= MAX_INTERVALS:
            self._lengthen()
        self._low = (self.first - self._zero) // self.interval_ns
        self._high = (self.last - self._zero) // self.interval_ns
        before = -((self.first - self._zero) // self.interval_ns)
        # Unsigned differences, so that times beyond 2^63 in a corrupt file keep their order.
        base = self._zero - before * self.interval_ns
        return ((time - np.uint64(base & (1 << 64) - 1)) // np.uint64(self.interval_ns)).astype(np.int64) - before

    def _lengthen(self) -> None:
        self._shift += 1
        for number, key in enumerate(self._keys):
            interval = (key & (1 << _INTERVAL_BITS) - 1) - _INTERVAL_BIAS
            self._keys[number] = key >> _INTERVAL_BITS << _INTERVAL_BITS | (interval >> 1) + _INTERVAL_BIAS

    def _append(self, key: Ints, count: Ints, weight: Floats) -> None:
        self._keys.append(key)
        self._counts.append(count)
        self._weights.append(weight)
        self._waiting += len(key)
        if self._waiting > max(_BATCH, self._limit):
            self._compact()
            while len(self._keys[0]) > MAX_ROWS and self._low != self._high:
                self._lengthen()
                self._low >>= 1
                self._high >>= 1
                self._compact()
            self._waiting = len(self._keys[0])
            self._limit = 2 * self._waiting

    def _compact(self) -> None:
        if not self._keys:
            return
        key = np.concatenate(self._keys)
        order = np.argsort(key)
        key = key[order]
        first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
        self._keys = [key[first]]
        self._counts = [np.add.reduceat(np.concatenate(self._counts)[order], first)]
        self._weights = [np.add.reduceat(np.concatenate(self._weights)[order], first)]
