"""Adds up samples by stack, context and time interval, in memory that does not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.errors import ProfileError

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.samples import Floats
    from flamegraph.readers.perfdata.walk import Ints, Words

BLOCK_NS = 100_000_000
MOST_BLOCKS = 600
# With more rows than this intervals get longer, however few they are.
MOST_ROWS = 4_000_000
_BATCH = 1 << 20

# A row's key: stack, context, interval.
_BLOCK_BITS, _CONTEXT_BITS, _STACK_BITS = 12, 24, 27
_BLOCK_BIAS = 1 << (_BLOCK_BITS - 1)
MOST_CONTEXTS = 1 << _CONTEXT_BITS
_MOST_STACKS = 1 << _STACK_BITS


class Sums(NamedTuple):
    """The rows in the end."""

    stack: Ints
    context: Ints
    interval: Ints
    samples: Ints
    weight: Floats


class Rows:
    """Counts and weights; one sort for every million samples."""

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
        """Length of a interval."""
        return BLOCK_NS << self._shift

    @property
    def intervals(self) -> int:
        """How many there are."""
        return self._high - self._low + 1

    def add(self, stack: Ints, context: Ints, time: Words | None, weight: Floats) -> None:
        """One row a sample."""
        if len(stack) == 0:
            return
        if int(stack.max()) >= _MOST_STACKS:
            raise ProfileError("The recording has more different stacks than can be told apart.")
        key = stack << _CONTEXT_BITS | context
        key <<= _BLOCK_BITS
        key |= (0 if time is None else self._intervals(time)) + _BLOCK_BIAS
        self._append(key, np.ones(len(key), np.int64), weight)

    def sums(self) -> Sums:
        """All rows, each key once."""
        self._compact()
        if not self._keys:
            empty = np.empty(0, np.int64)
            return Sums(empty, empty, empty, empty, np.empty(0, np.float64))
        key = self._keys[0]
        interval = (key & (1 << _BLOCK_BITS) - 1) - _BLOCK_BIAS - self._low
        key = key >> _BLOCK_BITS
        return Sums(key >> _CONTEXT_BITS, key & MOST_CONTEXTS - 1, interval, self._counts[0], self._weights[0])

    def _intervals(self, time: Words) -> Ints:
        low, high = int(time.min()), int(time.max())
        if self._zero is None:
            self._zero = self.first = low
        assert self.first is not None
        self.first, self.last = min(self.first, low), max(self.last, high)
        while (self.last - self._zero) // self.interval_ns - (
            self.first - self._zero
        ) // self.interval_ns >= MOST_BLOCKS:
            self._lengthen()
        self._low = (self.first - self._zero) // self.interval_ns
        self._high = (self.last - self._zero) // self.interval_ns
        before = -((self.first - self._zero) // self.interval_ns)
        # Unsigned differences, so that times beyond 2^63 in a corrupt file stay in their place.
        base = self._zero - before * self.interval_ns
        return ((time - np.uint64(base & (1 << 64) - 1)) // np.uint64(self.interval_ns)).astype(np.int64) - before

    def _lengthen(self) -> None:
        self._shift += 1
        for number, key in enumerate(self._keys):
            interval = (key & (1 << _BLOCK_BITS) - 1) - _BLOCK_BIAS
            self._keys[number] = key >> _BLOCK_BITS << _BLOCK_BITS | (interval >> 1) + _BLOCK_BIAS

    def _append(self, key: Ints, count: Ints, weight: Floats) -> None:
        self._keys.append(key)
        self._counts.append(count)
        self._weights.append(weight)
        self._waiting += len(key)
        if self._waiting > max(_BATCH, self._limit):
            self._compact()
            while len(self._keys[0]) > MOST_ROWS and self._low != self._high:
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
