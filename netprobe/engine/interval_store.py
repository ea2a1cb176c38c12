"""The intervals of a recording of any length: few of them, with their rows in a spill file instead of in memory."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from netprobe.engine.counting import merged
from netprobe.engine.deferred import Deferred
from netprobe.errors import NetprobeError
from netprobe.probes.base import Interval, MachineCounts

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
else:
    np = Deferred("numpy")

# At this number, intervals are merged in pairs.
MAX_INTERVALS = 240
# mallopt(3). Half of glibc's initial value: the stack tables of a recording exceed it after a few minutes.
_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES = -3, 1 << 16


class IntervalStore:
    """At most `MAX_INTERVALS` intervals of equal length; when there are more, each pair is merged into one.

    Nearly every sample of a busy server has its own stack, so even merged intervals grow with time. The rows are
    therefore in an unnamed temporary file.
    """

    def __init__(self) -> None:
        self._spill = _SpillFile()
        self._stored: list[_Spilled | Interval] = []
        # The interval that is not yet of full length.
        self._last: Interval | None = None
        self._reads_per_interval = 1
        self._reads_in_last = 0
        self.seconds = 0.0
        """The time that was counted."""

    def add(self, interval: Interval) -> None:
        """Store the result of one read of all counters."""
        self.seconds += interval.duration_s
        self._last = interval if self._last is None else _join(self._last, interval)
        self._reads_in_last += 1
        if self._reads_in_last < self._reads_per_interval:
            return
        self._stored.append(self._spill.put(self._last))
        self._last, self._reads_in_last = None, 0
        if len(self._stored) == MAX_INTERVALS:
            self._merge()

    def _merge(self) -> None:
        spill = _SpillFile()
        pairs = zip(self._stored[::2], self._stored[1::2], strict=True)
        self._stored = [spill.put(_join(self._spill.get(first), self._spill.get(second))) for first, second in pairs]
        self._spill.close()
        self._spill = spill
        self._reads_per_interval *= 2

    def read(self) -> list[Interval]:
        """All intervals, in memory."""
        return [self._spill.get(stored) for stored in self._stored] + ([self._last] if self._last else [])

    def close(self) -> None:
        """Delete the spill file."""
        self._spill.close()


def _join(first: Interval, second: Interval) -> Interval:
    return Interval(
        first.start_s,
        first.duration_s + second.duration_s,
        {name: merged([first.rows[name], second.rows[name]]) for name in first.rows},
        first.machine + second.machine,
    )


class _Spilled(NamedTuple):
    """An interval whose rows are in the spill file: from `offset` on, `lengths` rows of each map."""

    start_s: float
    duration_s: float
    machine: MachineCounts
    offset: int
    lengths: tuple[int, ...]


class _SpillFile:
    """Rows of intervals in a temporary file. Rows that cannot be written (the disk is full) stay in memory."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._end = 0
        self._layout: list[tuple[str, np.dtype[Any]]] = []

    def put(self, interval: Interval) -> _Spilled | Interval:
        """Move the rows of an interval to the file. All intervals have the same maps."""
        if self._file is None and not self._layout:
            self._create()
        if self._file is None:
            return interval
        self._layout = self._layout or [(name, rows.dtype) for name, rows in interval.rows.items()]
        data = b"".join(interval.rows[name].tobytes() for name, _ in self._layout)
        try:
            _write(self._file.fileno(), data, self._end)
        except OSError:
            return interval
        lengths = tuple(len(interval.rows[name]) for name, _ in self._layout)
        spilled = _Spilled(interval.start_s, interval.duration_s, interval.machine, self._end, lengths)
        self._end += len(data)
        return spilled

    def _create(self) -> None:
        import tempfile

        with suppress(OSError):
            self._file = tempfile.TemporaryFile(prefix="netprobe-intervals-", buffering=0)  # noqa: SIM115 -- until close()

    def get(self, stored: _Spilled | Interval) -> Interval:
        """The interval with its rows; raises `NetprobeError` where the file cannot be read."""
        if isinstance(stored, Interval):
            return stored
        rows, offset = {}, stored.offset
        for (name, kind), length in zip(self._layout, stored.lengths, strict=True):
            rows[name] = np.frombuffer(self._read(length * kind.itemsize, offset), kind)
            offset += length * kind.itemsize
        return Interval(stored.start_s, stored.duration_s, rows, stored.machine)

    def _read(self, size: int, offset: int) -> bytearray:
        data = bytearray()
        try:
            assert self._file is not None
            while len(data) < size:
                part = os.pread(self._file.fileno(), size - len(data), offset + len(data))
                if not part:
                    raise OSError("it was truncated")
                data += part
        except OSError as error:
            raise NetprobeError(
                f"The recorded intervals cannot be read back from a temporary file: {error.strerror or error}.",
                hint="Set TMPDIR to a directory on a disk without errors.",
            ) from None
        return data

    def close(self) -> None:
        """Close the file; without a name, that deletes it."""
        if self._file is not None:
            self._file.close()


def _write(fd: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def trim_heap() -> None:
    """Return free memory of the heap to the kernel (malloc_trim(3)); no effect with other C libraries than glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def map_large_blocks() -> None:
    """From now on, allocate large blocks of memory as separate mappings, which are unmapped when they are freed.

    On the heap, each new table that is a little larger than its predecessor leaves a hole; and glibc allocates large
    blocks on the heap once such a block was freed, as a compiler does. No effect with other C libraries than glibc.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
