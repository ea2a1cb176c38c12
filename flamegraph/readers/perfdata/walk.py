"""Finds the records in a chunk: all samples at once, the few other records one by one."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.readers.perfdata.formats import Record

if TYPE_CHECKING:
    import numpy.typing as npt

    Words = np.ndarray[tuple[int], np.dtype[np.uint64]]
    Ints = npt.NDArray[np.int64]

_PACKED = (Record.COMPRESSED, Record.COMPRESSED2)
_NEVER_PACKED = (*_PACKED, Record.AUXTRACE, Record.TRACING_DATA)
# perf does not pad these records to a multiple of 8 bytes.
_ODD_SIZES = (*_PACKED, Record.TRACING_DATA, Record.BUILD_ID, Record.FEATURE)
_LAST_KNOWN = 1 << 16
_END_OF_ROUND = np.uint64(8 << 48 | Record.FINISHED_ROUND)


class Stop(Enum):
    """Why the walk ended."""

    END = 0
    """At the end of the chunk, or at a record that continues in the next chunk."""
    SKIP = 1
    """After a record that is followed by other bytes, or that breaks the alignment."""
    PACKED = 2
    """Before a compressed record."""
    BROKEN = 3
    """Before bytes that cannot be a record."""


class Records(NamedTuple):
    """Positions of the records of a chunk, as indices of 64-bit words."""

    samples: Ints
    others: list[int]
    rounds: int
    """Number of FINISHED_ROUND records that are not in `others`."""
    end: int
    """Number of bytes that were read."""
    stop: Stop
    skip: int = 0
    """Number of bytes to skip after `end`."""
    why: str = ""


def walk(words: Words, filled: int, inside: bool = False) -> Records:
    """Walk from the first word, the header of a record. `inside`: the content of a compressed record."""
    return _Walk(words, filled, inside).records()


class _Walk:
    """Every word that looks like the header of a sample is a candidate. Candidates whose size leads to the next
    candidate form a run, which is accepted as a whole; between runs, records are followed one by one.
    """

    def __init__(self, words: Words, filled: int, inside: bool) -> None:
        self._words, self._filled, self._inside = words, filled, inside
        kinds = words.view(np.uint32)[: filled // 8 * 2 : 2]
        candidates = np.flatnonzero(kinds == Record.SAMPLE)
        sizes = (words[candidates] >> np.uint64(48)).astype(np.int64)
        # The length of a call chain of nine frames looks like a header of size 0.
        self._candidates, sizes = candidates[sizes >= 8], sizes[sizes >= 8]
        self._link(sizes)
        self._runs: list[Ints] = []
        self._others: list[int] = []
        self._rounds = self._position = 0

    def _link(self, sizes: Ints) -> None:
        """Find the candidates that lead neither to the next candidate nor to a FINISHED_ROUND record before it."""
        following = self._candidates + (sizes >> 3)
        linked = np.zeros(len(sizes), bool)
        linked[:-1] = (following[:-1] == self._candidates[1:]) & (sizes[:-1] & 7 == 0)
        breaks = np.flatnonzero(~linked[:-1])
        after = following[breaks]
        is_round = self._words[np.minimum(after, len(self._words) - 1)] == _END_OF_ROUND
        self._over_rounds = breaks[is_round & (after + 1 == self._candidates[breaks + 1])]
        linked[self._over_rounds] = True
        self._breaks = np.flatnonzero(~linked)

    def records(self) -> Records:
        """The records up to the end or to a stop."""
        while self._position < self._filled // 8:
            first = int(self._candidates.searchsorted(self._position))
            if first < len(self._candidates) and self._candidates[first] == self._position:
                self._take_run(first)
            if found := self._follow():
                return found
        return self._found(Stop.END)

    def _take_run(self, first: int) -> None:
        """Accept all samples of a run but the last."""
        last = int(self._breaks[self._breaks.searchsorted(first)])
        self._runs.append(self._candidates[first:last])
        self._rounds += int(self._over_rounds.searchsorted(last) - self._over_rounds.searchsorted(first))
        self._position = int(self._candidates[last])

    def _follow(self) -> Records | None:
        """Follow one record; the result if the walk ends here."""
        header = int(self._words[self._position])
        size, kind = header >> 48, header & 0xFFFFFFFF
        if why := _impossible(kind, size, self._inside):
            return self._found(Stop.BROKEN, why=why)
        if kind in _PACKED:
            return self._found(Stop.PACKED)
        if 8 * self._position + size > self._filled:
            return self._found(Stop.END)
        if kind == Record.SAMPLE:
            self._runs.append(np.array([self._position]))
        else:
            self._others.append(self._position)
            skip = _payload(self._words, self._position, kind) if size > 8 else 0
            if (size + skip) & 7 or 8 * self._position + size + skip > self._filled:
                return self._found(Stop.SKIP, size, skip)
            size += skip
        self._position += size >> 3
        return None

    def _found(self, stop: Stop, size: int = 0, skip: int = 0, why: str = "") -> Records:
        samples = np.concatenate([np.empty(0, np.int64), *self._runs])
        return Records(samples, self._others, self._rounds, 8 * self._position + size, stop, skip, why)


def _impossible(kind: int, size: int, inside: bool) -> str:
    if size < 8:
        return f"a record of {size} bytes"
    if kind == 0 or kind >= _LAST_KNOWN:
        return f"a record of the unknown type {kind}"
    if inside and kind in _NEVER_PACKED:
        return f"a record of type {kind} in a compressed one"
    if size & 7 and kind not in _ODD_SIZES:
        return f"a record of {size} bytes, which is not a multiple of 8"
    return ""


def _payload(words: Words, position: int, kind: int) -> int:
    """Number of bytes that follow a record and are not included in its size."""
    if kind == Record.AUXTRACE:
        return int(words[position + 1])
    if kind == Record.TRACING_DATA:
        return int(words[position + 1]) & 0xFFFFFFFF
    return 0
