"""Records other than samples: maps, names of threads, forks, lost samples."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flamegraph.readers.perfdata.events import Event, TrailerLayout
from flamegraph.readers.perfdata.formats import (
    MISC_COMM_EXEC,
    MISC_FORK_SYNTHESIZED,
    MISC_MMAP_BUILD_ID,
    MISC_MMAP_DATA,
    MODE_MASK,
    Mode,
    Record,
)
from flamegraph.readers.perfdata.header import text

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.walk import Words


class MapRecord(NamedTuple):
    """A mapping of a file, or of anonymous memory, in the address space of a process."""

    pid: int
    start: int
    end: int
    offset: int
    path: str
    build_id: bytes | None
    executable: bool


class Mapped(NamedTuple):
    """A process mapped a file or memory."""

    mapping: MapRecord


class KernelMapped(NamedTuple):
    """The text of the kernel or of a module; perf writes these records first."""

    mapping: MapRecord


class ThreadNamed(NamedTuple):
    """A thread got a name; at an exec the process loses its maps."""

    pid: int
    tid: int
    comm: str
    exec: bool


class Forked(NamedTuple):
    """A process or a thread started."""

    pid: int
    parent_pid: int
    tid: int
    parent_tid: int
    synthesized: bool


class KernelSymbol(NamedTuple):
    """A BPF program or other code was loaded into the kernel, or unloaded."""

    address: int
    length: int
    name: str
    gone: bool


class Lost(NamedTuple):
    """Lost samples. `counted`: by the event; otherwise by the buffer."""

    samples: int
    counted: bool


Change = Mapped | KernelMapped | ThreadNamed | Forked | KernelSymbol | Lost
_LOST_BY_FILTER = 1 << 15


class Sideband:
    """Parses these records and their times."""

    def __init__(self, events: Sequence[Event]) -> None:
        trailers = {event.trailer for event in events}
        self._same = trailers.pop() if len(trailers) == 1 else None
        self._by_id = {number: event.trailer for event in events for number in event.ids}
        self._first = events[0].trailer if events else TrailerLayout(0, 0)
        self.has_time = all(event.trailer.time for event in events)
        """Whether samples and these records can be ordered by time."""

    def read(self, words: Words, position: int) -> tuple[int, Change] | None:
        """Time (0: before all others) and content; None for a record that has no effect here."""
        header = int(words[position])
        parse = _PARSERS.get(header & 0xFFFFFFFF)
        if parse is None:
            return None
        record = words[position : position + (header >> 51)].tobytes()
        change = parse(record, header >> 32 & 0xFFFF)
        return None if change is None else (self._time(record), change)

    def _time(self, record: bytes) -> int:
        trailer = self._same
        if trailer is None:
            # The id is the last word where every event has one; otherwise the layouts are assumed to be equal.
            number = int.from_bytes(record[-8:], "little")
            trailer = self._by_id.get(number, self._first)
        if not trailer.time or 8 * trailer.time > len(record) - 8:
            return 0
        place = len(record) - 8 * trailer.time
        return int.from_bytes(record[place : place + 8], "little")


def _mmap(record: bytes, misc: int) -> Change | None:
    pid, _, start, length, offset = struct.unpack_from("<iIQQQ", record, 8)
    executable = not misc & MISC_MMAP_DATA
    return _mapped(MapRecord(pid, start, start + length, offset, text(record[40:]), None, executable), misc)


def _mmap2(record: bytes, misc: int) -> Change | None:
    pid, _, start, length, offset = struct.unpack_from("<iIQQQ", record, 8)
    (protection,) = struct.unpack_from("<I", record, 64)
    build_id = record[44 : 44 + min(record[40], 20)] if misc & MISC_MMAP_BUILD_ID and record[40] else None
    executable = bool(protection & 4) or not misc & MISC_MMAP_DATA
    return _mapped(MapRecord(pid, start, start + length, offset, text(record[72:]), build_id, executable), misc)


def _mapped(mapping: MapRecord, misc: int) -> Change | None:
    if misc & MODE_MASK == Mode.KERNEL:
        return KernelMapped(mapping)
    if misc & MODE_MASK in (Mode.GUEST_KERNEL, Mode.GUEST_USER) or mapping.end <= mapping.start:
        return None
    return Mapped(mapping)


def _comm(record: bytes, misc: int) -> Change:
    pid, tid = struct.unpack_from("<ii", record, 8)
    return ThreadNamed(pid, tid, text(record[16:]), bool(misc & MISC_COMM_EXEC))


def _fork(record: bytes, misc: int) -> Change:
    pid, parent_pid, tid, parent_tid = struct.unpack_from("<iiii", record, 8)
    return Forked(pid, parent_pid, tid, parent_tid, synthesized=bool(misc & MISC_FORK_SYNTHESIZED))


def _ksymbol(record: bytes, misc: int) -> Change:
    address, length, _, flags = struct.unpack_from("<QIHH", record, 8)
    return KernelSymbol(address, length, text(record[24:]), bool(flags & 1))


def _lost(record: bytes, misc: int) -> Change:
    return Lost(struct.unpack_from("<Q", record, 16)[0], counted=False)


def _lost_samples(record: bytes, misc: int) -> Change | None:
    # Samples that a filter of the user rejected are not lost.
    return None if misc & _LOST_BY_FILTER else Lost(struct.unpack_from("<Q", record, 8)[0], counted=True)


_PARSERS: dict[int, Callable[[bytes, int], Change | None]] = {
    Record.MMAP: _mmap,
    Record.MMAP2: _mmap2,
    Record.COMM: _comm,
    Record.FORK: _fork,
    Record.KSYMBOL: _ksymbol,
    Record.LOST: _lost,
    Record.LOST_SAMPLES: _lost_samples,
}
