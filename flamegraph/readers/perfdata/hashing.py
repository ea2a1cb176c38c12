"""128 bits for each stack, many stacks at once."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.walk import Ints, Words

_BITS = 64
# Measured: less costs calls, more the cache.
_PART = 1 << 16
# words of the longest record
_LONGEST = 1 << 13
_SIZE = _PART + _LONGEST + 2


class StackHasher:
    """Two polynomials modulo 2^64 over scrambled words; multipliers and bases are drawn anew in each process.

    One serves one thread at a time.

    The hash of a run of words does not depend on where in the array it stands: the power that goes with its
    place is divided out, which an odd base allows.
    """

    def __init__(self) -> None:
        self._scramble, self._powers, self._inverse = _tables()
        self._scratch = [np.empty(_SIZE, np.uint64) for _ in range(2)]

    def hash(self, words: Words, starts: Ints, lengths: Ints) -> tuple[Words, Words]:
        """Of each run; runs are in order, and a word follows the last one."""
        first, second = np.empty(len(starts), np.uint64), np.empty(len(starts), np.uint64)
        ends = starts + lengths
        position = 0
        while position < len(starts):
            low = int(starts[position])
            beyond = max(int(ends.searchsorted(low + _PART, "right")), position + 1)
            part = slice(position, beyond)
            first[part], second[part] = self._part(
                words[low : int(ends[beyond - 1]) + 1], starts[part] - low, lengths[part]
            )
            position = beyond
        return first, second

    def _part(self, words: Words, starts: Ints, lengths: Ints) -> tuple[Words, Words]:
        edges = np.empty(2 * len(starts), np.int64)
        edges[::2], edges[1::2] = starts, starts + lengths
        size = len(words)
        # In place: fresh memory costs more than the arithmetic.
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
        # reduceat gives the word itself for an empty run
        first, second = np.where(lengths > 0, first, 0), np.where(lengths > 0, second, 0)
        return first * self._inverse[0][starts] + count, second * self._inverse[1][starts] + count


@cache
def _tables() -> tuple[list[np.uint64], list[Words], list[Words]]:
    """Multipliers, powers of the bases and of their inverses; secret, so that no file can be made to collide."""
    bases = [_odd() for _ in range(2)]
    powers = [_powers(int(base)) for base in bases]
    return [_odd() for _ in range(2)], powers, [_powers(pow(int(base), -1, 1 << _BITS)) for base in bases]


def _odd() -> np.uint64:
    return np.uint64(int.from_bytes(os.urandom(8), "little") | 1)


def _powers(base: int) -> Words:
    powers = np.full(_SIZE, np.uint64(base))
    powers[0] = 1
    return np.cumprod(powers)
