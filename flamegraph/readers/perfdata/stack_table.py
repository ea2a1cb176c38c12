"""Unique stacks: hashed many at once, and kept as numbers of addresses."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.readers.perfdata.walk import Ints, Words

    Numbers = npt.NDArray[np.int32]

_BITS = 64
# Measured: smaller values cost calls, larger values cost cache misses.
_BATCH_WORDS = 1 << 16
# words of the longest record
_LONGEST = 1 << 13
_SIZE = _BATCH_WORDS + _LONGEST + 2


class StackHasher:
    """128-bit hashes: two polynomials modulo 2^64 over scrambled words; multipliers and bases are random per process.

    Not thread-safe. The hash of a run of words does not depend on its position in the array: the power of the position
    is divided out, which an odd base allows.
    """

    def __init__(self) -> None:
        self._scramble, self._powers, self._inverse = _tables()
        self._scratch = [np.empty(_SIZE, np.uint64) for _ in range(2)]

    def hash(self, words: Words, starts: Ints, lengths: Ints) -> tuple[Words, Words]:
        """Two hashes of each run; runs are in ascending order, and one more word follows the last run."""
        first, second = np.empty(len(starts), np.uint64), np.empty(len(starts), np.uint64)
        ends = starts + lengths
        position = 0
        while position < len(starts):
            low = int(starts[position])
            beyond = max(int(ends.searchsorted(low + _BATCH_WORDS, "right")), position + 1)
            batch = slice(position, beyond)
            first[batch], second[batch] = self._hash_batch(
                words[low : int(ends[beyond - 1]) + 1], starts[batch] - low, lengths[batch]
            )
            position = beyond
        return first, second

    def _hash_batch(self, words: Words, starts: Ints, lengths: Ints) -> tuple[Words, Words]:
        edges = np.empty(2 * len(starts), np.int64)
        edges[::2], edges[1::2] = starts, starts + lengths
        size = len(words)
        # In place: new memory costs more than the arithmetic.
        mixed, product = self._scratch[0][:size], self._scratch[1][:size]
        np.right_shift(words, np.uint64(32), out=mixed)
        np.bitwise_xor(mixed, words, out=mixed)
        np.multiply(mixed, self._scramble[0], out=mixed)
        np.multiply(mixed, self._powers[0][:size], out=product)
        first = np.add.reduceat(product, edges)[::2]
        np.right_shift(mixed, np.uint64(29), out=product)
        np.bitwise_xor(mixed, product, out=mixed)
        np.multiply(mixed, self._powers[1][:size], out=mixed)
        second = np.add.reduceat(mixed, edges)[::2]
        count = lengths.astype(np.uint64) * self._scramble[1]
        # reduceat returns the word itself for an empty run
        first, second = np.where(lengths > 0, first, 0), np.where(lengths > 0, second, 0)
        return first * self._inverse[0][starts] + count, second * self._inverse[1][starts] + count


@cache
def _tables() -> tuple[list[np.uint64], list[Words], list[Words]]:
    """Multipliers, powers of the bases and of their inverses; random, so that no file can provoke collisions."""
    bases = [_odd() for _ in range(2)]
    powers = [_powers(int(base)) for base in bases]
    return [_odd() for _ in range(2)], powers, [_powers(pow(int(base), -1, 1 << _BITS)) for base in bases]


def _odd() -> np.uint64:
    return np.uint64(int.from_bytes(os.urandom(8), "little") | 1)


def _powers(base: int) -> Words:
    powers = np.full(_SIZE, np.uint64(base))
    powers[0] = 1
    return np.cumprod(powers)


_FIRST_BITS = 16


class AddressTable:
    """A hash table with open addressing that numbers many words at once: a frame of a stack then takes four bytes."""

    def __init__(self) -> None:
        # Random, so that no file can provoke collisions.
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
        """The number of each word; new words get the next numbers."""
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
        self._stacks: list[Numbers] = []
        self._lengths: list[Ints] = []
        self._modes: list[Ints] = []

    def __len__(self) -> int:
        return len(self._hashes)

    def intern(self, words: Words, starts: Ints, lengths: Ints, modes: Ints, hashes: tuple[Words, Words]) -> Ints:
        """The number of the stack of each sample.

        `words`: the chunk that contains the stacks; `starts`, `lengths`: their words; `modes`: the mode of the frames
        before the first marker.
        """
        before = len(self)
        numbers = self._numbers_of(*hashes)
        if len(self) > before:
            new = np.flatnonzero(numbers >= before)
            _, first = np.unique(numbers[new], return_index=True)
            new = new[first]
            new_lengths = lengths[new]
            self._stacks.append(self.addresses.intern(words[runs(starts[new], new_lengths)]))
            self._lengths.append(new_lengths)
            self._modes.append(modes[new])
        return numbers

    def _numbers_of(self, first: Words, second: Words) -> Ints:
        numbers = self._intern(first, second)
        wrong = np.flatnonzero(self._seconds[numbers] != second)
        # Two stacks with equal first hashes: the second hash makes a new first one.
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
        """The addresses of all stacks concatenated, the length of each stack, and the mode that it begins in."""
        empty = np.empty(0, np.int64)
        return (
            np.concatenate([np.empty(0, np.int32), *self._stacks]),
            np.concatenate([empty, *self._lengths]),
            np.concatenate([empty, *self._modes]),
        )


def runs(starts: Ints, lengths: Ints) -> Ints:
    """Indices of all words of these runs, concatenated."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - ends + lengths, lengths)
