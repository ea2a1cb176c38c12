"""Numbers for addresses, so that a stack takes four bytes a frame and an address is named once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.readers.perfdata.samples import Extract
    from flamegraph.readers.perfdata.walk import Ints, Words

    Numbers = npt.NDArray[np.int32]

_FIRST_BITS = 16


class AddressTable:
    """A hash table with open addressing, asked for many words at once."""

    def __init__(self) -> None:
        # Drawn anew, so that no file can be made to collide.
        self._factor = np.uint64(int.from_bytes(os.urandom(8), "little") | 1)
        self._bits = _FIRST_BITS
        self._make()
        self._known: list[Words] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def addresses(self) -> Words:
        """The address of each number."""
        return np.concatenate(self._known) if self._known else np.empty(0, np.uint64)

    def intern(self, words: Words) -> Numbers:
        """The number of each word; new ones get the next."""
        numbers = self._find(words)
        missing = np.flatnonzero(numbers < 0)
        if len(missing):
            new = np.unique(words[missing])
            self._add(new)
            numbers[missing] = self._find(words[missing])
        return numbers

    def _make(self) -> None:
        self._keys = np.zeros(1 << self._bits, np.uint64)
        self._numbers: Numbers = np.full(1 << self._bits, -1, np.int32)

    def _slots(self, words: Words) -> Ints:
        return (words * self._factor >> np.uint64(64 - self._bits)).astype(np.int64)

    def _find(self, words: Words) -> Numbers:
        slots = self._slots(words)
        numbers = self._numbers[slots]
        others = np.flatnonzero((numbers >= 0) & (self._keys[slots] != words))
        while len(others):
            slots[others] = (slots[others] + 1) & ((1 << self._bits) - 1)
            at = slots[others]
            numbers[others] = self._numbers[at]
            others = others[(numbers[others] >= 0) & (self._keys[at] != words[others])]
        return numbers

    def _add(self, new: Words) -> None:
        numbers = np.arange(self._count, self._count + len(new), dtype=np.int32)
        self._known.append(new)
        self._count += len(new)
        if 2 * self._count > 1 << self._bits:
            self._bits = (4 * self._count).bit_length()
            self._make()
            self._known = [self.addresses()]
            new, numbers = self._known[0], np.arange(self._count, dtype=np.int32)
        self._place(new, numbers)

    def _place(self, words: Words, numbers: Numbers) -> None:
        slots = self._slots(words)
        while len(words):
            free = np.flatnonzero(self._numbers[slots] < 0)
            taken, first = np.unique(slots[free], return_index=True)
            placed = free[first]
            self._keys[taken], self._numbers[taken] = words[placed], numbers[placed]
            left = np.ones(len(words), bool)
            left[placed] = False
            words, numbers = words[left], numbers[left]
            slots = (slots[left] + 1) & ((1 << self._bits) - 1)


class StackTable:
    """Every unique stack, leaf first, as numbers of addresses."""

    def __init__(self) -> None:
        self.addresses = AddressTable()
        self._hashes = AddressTable()
        self._seconds = np.empty(1 << _FIRST_BITS, np.uint64)
        self._parts: list[Numbers] = []
        self._lengths: list[Ints] = []
        self._modes: list[Ints] = []

    def __len__(self) -> int:
        return len(self._hashes)

    def intern(self, words: Words, extract: Extract) -> Ints:
        """The number of each sample's stack; `words` holds the stacks."""
        before = len(self)
        numbers = self._numbers_of(*extract.hashes)
        if len(self) > before:
            new = np.flatnonzero(numbers >= before)
            _, first = np.unique(numbers[new], return_index=True)
            new = new[first]
            lengths = extract.lengths[new]
            self._parts.append(self.addresses.intern(words[runs(extract.starts[new], lengths)]))
            self._lengths.append(lengths)
            self._modes.append(extract.modes[new])
        return numbers

    def _numbers_of(self, first: Words, second: Words) -> Ints:
        numbers = self._intern(first, second)
        wrong = np.flatnonzero(self._seconds[numbers] != second)
        # Two stacks of one first hash: the second makes a new first one.
        while len(wrong):
            first[wrong] = first[wrong] * np.uint64(3) + second[wrong]
            numbers[wrong] = self._intern(first[wrong], second[wrong])
            wrong = wrong[self._seconds[numbers[wrong]] != second[wrong]]
        return numbers

    def _intern(self, first: Words, second: Words) -> Ints:
        before = len(self._hashes)
        numbers = self._hashes.intern(first).astype(np.int64)
        if len(self._hashes) > len(self._seconds):
            self._seconds = np.resize(self._seconds, 2 * len(self._hashes))
        new = numbers >= before
        self._seconds[numbers[new]] = second[new]
        return numbers

    def columns(self) -> tuple[Numbers, Ints, Ints]:
        """All stacks' addresses one behind the other, the length of each, and the mode that each begins in."""
        empty = np.empty(0, np.int64)
        return (
            np.concatenate([np.empty(0, np.int32), *self._parts]),
            np.concatenate([empty, *self._lengths]),
            np.concatenate([empty, *self._modes]),
        )


def runs(starts: Ints, lengths: Ints) -> Ints:
    """Indices of all words of runs, one run behind the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - ends + lengths, lengths)
