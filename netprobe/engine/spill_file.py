"""The intervals of a recording, however long it lasts: few of them, and their rows in a file, not in memory."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from netprobe.engine.counting import merged
from netprobe.errors import NetprobeError
from netprobe.probes.base import Interval

if TYPE_CHECKING:
    from typing import Any

# With this many intervals kept, they are merged two by two.
MOST_BLOCKS = 240


class IntervalStore:
    """At most `MOST_BLOCKS` intervals of equal length: when there are more, each two become one.

    Nearly every sample of a busy server has a stack of its own, so that even merged intervals grow with time. The rows
    therefore lie in a temporary file without a name.
    """

    def __init__(self) -> None:
        self._shelf = _Shelf()
        self._kept: list[_Shelved | Interval] = []
        # Not yet of full length.
        self._last: Interval | None = None
        self._reads_per_interval = 1
        self._reads_in_last = 0
        self.seconds = 0.0
        """The time that was counted."""

    def add(self, interval: Interval) -> None:
        """Keep one read."""
        self.seconds += interval.duration_s
        self._last = interval if self._last is None else _join(self._last, interval)
        self._reads_in_last += 1
        if self._reads_in_last < self._reads_per_interval:
            return
        self._kept.append(self._shelf.put(self._last))
        self._last, self._reads_in_last = None, 0
        if len(self._kept) == MOST_BLOCKS:
            self._merge()

    def _merge(self) -> None:
        shelf = _Shelf()
        pairs = zip(self._kept[::2], self._kept[1::2], strict=True)
        self._kept = [shelf.put(_join(self._shelf.get(one), self._shelf.get(other))) for one, other in pairs]
        self._shelf.close()
        self._shelf = shelf
        self._reads_per_interval *= 2

    def read(self) -> list[Interval]:
        """All of them, in memory."""
        return [self._shelf.get(one) for one in self._kept] + ([self._last] if self._last else [])

    def close(self) -> None:
        """Give the file back."""
        self._shelf.close()


def _join(first: Interval, second: Interval) -> Interval:
    return Interval(
        first.start_s,
        first.duration_s + second.duration_s,
        {name: merged([first.rows[name], second.rows[name]]) for name in first.rows},
        first.machine_switches + second.machine_switches,
        first.machine_forks + second.machine_forks,
    )


class _Shelved(NamedTuple):
    """An interval whose rows lie in the file: from `offset` on, so many of each map."""

    start_s: float
    duration_s: float
    machine_switches: int
    machine_forks: int
    offset: int
    lengths: tuple[int, ...]


class _Shelf:
    """Rows of intervals in a temporary file. What cannot be written there, as the disk is full, stays in memory."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        with suppress(OSError):
            self._file = tempfile.TemporaryFile(prefix="netprobe-intervals-", buffering=0)  # noqa: SIM115 -- until close()
        self._end = 0
        self._layout: list[tuple[str, np.dtype[Any]]] = []

    def put(self, interval: Interval) -> _Shelved | Interval:
        """Take an interval out of memory. All have the same maps."""
        if self._file is None:
            return interval
        self._layout = self._layout or [(name, rows.dtype) for name, rows in interval.rows.items()]
        data = b"".join(interval.rows[name].tobytes() for name, _ in self._layout)
        try:
            _write(self._file.fileno(), data, self._end)
        except OSError:
            return interval
        lengths = tuple(len(interval.rows[name]) for name, _ in self._layout)
        shelved = _Shelved(
            interval.start_s, interval.duration_s, interval.machine_switches, interval.machine_forks, self._end, lengths
        )
        self._end += len(data)
        return shelved

    def get(self, one: _Shelved | Interval) -> Interval:
        """The interval as it was; raises `NetprobeError` where the file cannot be read."""
        if isinstance(one, Interval):
            return one
        rows, offset = {}, one.offset
        for (name, kind), length in zip(self._layout, one.lengths, strict=True):
            rows[name] = np.frombuffer(self._read(length * kind.itemsize, offset), kind)
            offset += length * kind.itemsize
        return Interval(one.start_s, one.duration_s, rows, one.machine_switches, one.machine_forks)

    def _read(self, size: int, offset: int) -> bytearray:
        data = bytearray()
        try:
            assert self._file is not None
            while len(data) < size:
                part = os.pread(self._file.fileno(), size - len(data), offset + len(data))
                if not part:
                    raise OSError("it is shorter than it was")
                data += part
        except OSError as error:
            raise NetprobeError(
                f"What was recorded cannot be read back from a temporary file: {error.strerror or error}.",
                hint="Set TMPDIR to a directory on a disk that works.",
            ) from None
        return data

    def close(self) -> None:
        """The file is gone with its descriptor."""
        if self._file is not None:
            self._file.close()


def _write(fd: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
