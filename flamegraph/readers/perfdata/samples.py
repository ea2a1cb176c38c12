"""What a chunk's samples say, all at once: stack, thread, time, period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.readers.perfdata.addresses import AddressTable
from flamegraph.readers.perfdata.formats import MODE_MASK, Read
from flamegraph.readers.perfdata.hashing import StackHasher
from flamegraph.readers.perfdata.problems import Damage

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.readers.perfdata.attributes import Event
    from flamegraph.readers.perfdata.feed import Chunk
    from flamegraph.readers.perfdata.walk import Ints, Words

    Floats = npt.NDArray[np.float64]

_MODE_FACTOR = np.uint64(0x9FB21C651E98DF25)


@dataclass(frozen=True)
class Extract:
    """The wanted samples of a chunk, in its order."""

    hashes: tuple[Words, Words]
    starts: Ints
    """Word of the chunk where the stack begins."""
    lengths: Ints
    modes: Ints
    """To whom frames ahead of the first marker belong."""
    thread: Ints
    """Number among `threads`."""
    threads: list[int]
    """TID words: the thread's id in the upper half, the process's in the lower."""
    order: Words
    """What samples and other records are ordered by: time, or their place in the file."""
    time: Words | None
    weight: Floats
    corruption: Damage | None = None
    """A sample that contradicts itself; those before it are here."""

    def __len__(self) -> int:
        return len(self.thread)


@dataclass(frozen=True)
class Extractor:
    """Knows the layout of the samples of one event."""

    event: Event
    id_word: int
    """Where a sample's event id is; -1: all samples are this event's."""
    by_time: bool
    hasher: StackHasher
    threads: AddressTable
    """TID words seen so far."""

    def extract(self, chunk: Chunk) -> Extract:
        """Of the wanted event's samples."""
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
        # One that is too short to say whose it is, is kept here, and found to be corrupt.
        return samples[short | np.isin(ids, np.array(self.event.ids, np.uint64))]

    def _chains(self, chunk: Chunk, samples: Ints) -> tuple[Ints, Ints, Ints, Damage | None]:
        """Samples that are whole, where their chains begin, how long these are."""
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
        corruption = Damage(chunk.place(int(samples[broken])), "a sample whose parts are longer than itself")
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
    """Words of each record."""
    return (words[samples] >> np.uint64(51)).astype(np.int64)
