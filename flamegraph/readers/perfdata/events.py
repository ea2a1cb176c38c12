"""Events of a recording: attributes, names, and the layout of their records."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flamegraph.readers.perfdata.formats import (
    BRANCH_CALL_STACK,
    DEFAULT_MAX_STACK,
    Read,
    Sample,
)

# Fields of eight bytes before the READ values, in the order in which the kernel writes them.
_FIXED = (
    Sample.IDENTIFIER,
    Sample.IP,
    Sample.TID,
    Sample.TIME,
    Sample.ADDR,
    Sample.ID,
    Sample.STREAM_ID,
    Sample.CPU,
    Sample.PERIOD,
)
_TRAILER = (Sample.TID, Sample.TIME, Sample.ID, Sample.STREAM_ID, Sample.CPU, Sample.IDENTIFIER)
_HARDWARE = (
    "cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branches",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
)
_SOFTWARE = (
    "cpu-clock",
    "task-clock",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "minor-faults",
    "major-faults",
    "alignment-faults",
    "emulation-faults",
    "dummy",
    "bpf-output",
    "cgroup-switches",
)
_TYPE_HARDWARE, _TYPE_SOFTWARE, _TYPE_TRACEPOINT = 0, 1, 2
_DUMMY = 9
_MODIFIERS = re.compile(r":[ukhHGpPSDIWeb]+$")
# The first published attribute: perf_event_attr as of Linux 2.6.31.
SMALLEST = 64
_FLAG_SAMPLE_ID_ALL = 18


class SampleLayout(NamedTuple):
    """Index of the word of each field of a SAMPLE record, from its header on; -1: the field is absent."""

    identifier: int
    ip: int
    tid: int
    time: int
    id: int
    period: int
    read: int
    callchain: int
    """Valid where READ is absent or has a fixed size; the size of a READ group differs by record."""


class TrailerLayout(NamedTuple):
    """Index of the word of each field at the end of other records, counted from the end; 0: the field is absent."""

    time: int
    id: int


@dataclass
class Event:
    """One attribute of the recording."""

    kind: int
    config: int
    period: int
    sample_type: int
    read_format: int
    flags: int
    branch_sample_type: int
    max_stack: int
    ids: tuple[int, ...] = ()
    name: str = ""
    layout: SampleLayout = field(init=False)
    trailer: TrailerLayout = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.name or self._usual_name()
        self.layout = _sample_layout(self.sample_type, self.read_format)
        self.trailer = (
            _trailer_layout(self.sample_type) if self.flags >> _FLAG_SAMPLE_ID_ALL & 1 else TrailerLayout(0, 0)
        )

    @property
    def base_name(self) -> str:
        """The name without modifiers: `cycles` for `cycles:P`; a tracepoint has no modifiers."""
        return self.name if self.kind == _TYPE_TRACEPOINT else _MODIFIERS.sub("", self.name)

    @property
    def is_dummy(self) -> bool:
        """Whether this is the dummy event, which carries the records of maps and threads and has no samples."""
        return (self.kind, self.config) == (_TYPE_SOFTWARE, _DUMMY)

    @property
    def unit(self) -> str:
        """The unit of a period."""
        name = self.base_name
        return "ns" if name in ("cpu-clock", "task-clock") else name or "samples"

    @property
    def has_read_group(self) -> bool:
        """Whether each record gives the size of its READ values."""
        return bool(self.sample_type & Sample.READ and self.read_format & Read.GROUP)

    @property
    def stack_limit(self) -> int:
        """Number of frames at which the kernel truncates a stack."""
        return self.max_stack or DEFAULT_MAX_STACK

    @property
    def needs_unwinding(self) -> str:
        """The option of `perf record` that requires unwinding; empty where the records contain addresses."""
        if self.sample_type & Sample.STACK_USER:
            return "--call-graph dwarf"
        if self.sample_type & Sample.BRANCH_STACK and self.branch_sample_type & BRANCH_CALL_STACK:
            return "--call-graph lbr"
        return ""

    def _usual_name(self) -> str:
        names = {_TYPE_HARDWARE: _HARDWARE, _TYPE_SOFTWARE: _SOFTWARE}.get(self.kind, ())
        return names[self.config] if self.config < len(names) else f"type {self.kind} config {self.config:#x}"


def parse_event(data: bytes, order: str = "<") -> Event:
    """Parse an attribute of any version's size. Raises `struct.error` below the smallest size."""
    if len(data) < SMALLEST:
        raise struct.error(f"an attribute of {len(data)} bytes")
    whole = data[:128].ljust(128, b"\0")
    kind, _, config, period, sample_type, read_format, flags = struct.unpack_from(f"{order}IIQQQQQ", whole)
    (branch,) = struct.unpack_from(f"{order}Q", whole, 72)
    (max_stack,) = struct.unpack_from(f"{order}H", whole, 108)
    return Event(kind, config, period, sample_type, read_format, flags, branch, max_stack)


def id_word(events: Sequence[Event]) -> int:
    """Index of the word of a SAMPLE with its event id, the same for all events; -1 where it differs."""
    if all(event.layout.identifier >= 0 for event in events):
        return events[0].layout.identifier
    words = {event.layout.id for event in events}
    return words.pop() if len(words) == 1 else -1


def choose(events: Sequence[Event], wanted: str | None) -> Event | None:
    """The event of this name, with or without modifiers; by default the first that was sampled."""
    if wanted is not None:
        exact = [event for event in events if event.name == wanted]
        return (exact + [event for event in events if event.base_name == wanted] + [None])[0]
    real = [event for event in events if not event.is_dummy] or list(events)
    return ([event for event in real if event.period] + real + [None])[0]


def shown_names(events: Sequence[Event]) -> list[str]:
    """A unique name of each event: without modifiers where that is unique."""
    short = [event.base_name for event in events]
    return [event.name if short.count(event.base_name) > 1 else event.base_name for event in events]


def _sample_layout(sample_type: int, read_format: int) -> SampleLayout:
    words: dict[Sample, int] = {}
    word = 1
    for bit in _FIXED:
        words[bit] = word if sample_type & bit else -1
        word += bool(sample_type & bit)
    read = word if sample_type & Sample.READ else -1
    if read >= 0 and not read_format & Read.GROUP:
        word += 1 + (read_format & ~Read.GROUP & 0x1F).bit_count()
    return SampleLayout(
        words[Sample.IDENTIFIER],
        words[Sample.IP],
        words[Sample.TID],
        words[Sample.TIME],
        words[Sample.ID],
        words[Sample.PERIOD],
        read,
        word if sample_type & Sample.CALLCHAIN else -1,
    )


def _trailer_layout(sample_type: int) -> TrailerLayout:
    word, words = 0, dict.fromkeys(_TRAILER, 0)
    for bit in reversed(_TRAILER):
        if sample_type & bit:
            word += 1
            words[bit] = word
    return TrailerLayout(words[Sample.TIME], words[Sample.IDENTIFIER] or words[Sample.ID])
