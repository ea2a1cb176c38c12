"""Finds the records in a chunk: samples at once for all, the few others one by one."""

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
# perf pads neither these nor, of BUILD_ID, anything but the name.
# perf does not round up what it makes up itself for a pipe.
_ODD_SIZES = (*_PACKED, Record.TRACING_DATA, Record.BUILD_ID, Record.FEATURE)
_LAST_KNOWN = 1 << 16
_END_OF_ROUND = np.uint64(8 << 48 | Record.FINISHED_ROUND)


class Stop(Enum):
    """Why a walk ended."""

    END = 0
    """The chunk is used up, but for a record that goes on in the next."""
    SKIP = 1
    """A record is followed by bytes that are no records, or upsets the alignment."""
    PACKED = 2
    """The next record is compressed."""
    BROKEN = 3
    """The next record cannot be one."""


class Records(NamedTuple):
    """Where the records of a chunk are, in words from its start."""

    samples: Ints
    others: list[int]
    rounds: int
    """Ends of rounds that are not among the others."""
    end: int
    """Bytes used."""
    stop: Stop
    skip: int = 0
    """Bytes to leave out after `end`."""
    why: str = ""


def walk(words: Words, filled: int, inside: bool = False) -> Records:
    """Walk from the first word, a record's header. `inside`: this was compressed, and holds no such records."""
    return _Walk(words, filled, inside).records()


class _Walk:
    """Every word that looks like the header of a sample is a candidate; a candidate whose size leads to the next
    candidate needs no look of its own. Only where this chain breaks, records are followed one by one.
    """

    def __init__(self, words: Words, filled: int, inside: bool) -> None:
        self._words, self._filled, self._inside = words, filled, inside
        kinds = words.view(np.uint32)[: filled // 8 * 2 : 2]
        candidates = np.flatnonzero(kinds == Record.SAMPLE)
        sizes = (words[candidates] >> np.uint64(48)).astype(np.int64)
        # A chain of nine frames looks like one as well, but for its size.
        self._candidates, sizes = candidates[sizes >= 8], sizes[sizes >= 8]
        self._link(sizes)
        self._runs: list[Ints] = []
        self._others: list[int] = []
        self._rounds = self._position = 0

    def _link(self, sizes: Ints) -> None:
        """Find the candidates that do not lead to the next one, or to the end of a round ahead of it."""
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
        """Walk."""
        while self._position < self._filled // 8:
            first = int(self._candidates.searchsorted(self._position))
            if first < len(self._candidates) and self._candidates[first] == self._position:
                self._take_run(first)
            if found := self._one():
                return found
        return self._found(Stop.END)

    def _take_run(self, first: int) -> None:
        """All samples up to one that does not lead to another."""
        last = int(self._breaks[self._breaks.searchsorted(first)])
        self._runs.append(self._candidates[first:last])
        self._rounds += int(self._over_rounds.searchsorted(last) - self._over_rounds.searchsorted(first))
        self._position = int(self._candidates[last])

    def _one(self) -> Records | None:
        """Follow one record; the outcome if the walk ends here."""
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
        return f"a record of {size} bytes, which is no multiple of 8"
    return ""


def _payload(words: Words, position: int, kind: int) -> int:
    """Bytes that follow a record without being part of its size."""
    if kind == Record.AUXTRACE:
        return int(words[position + 1])
    if kind == Record.TRACING_DATA:
        return int(words[position + 1]) & 0xFFFFFFFF
    return 0
