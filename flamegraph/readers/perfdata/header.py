"""The header of a perf.data file: events and features."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from flamegraph.readers.perfdata.events import Event, parse_event
from flamegraph.readers.perfdata.formats import HEADER_BYTES, PIPE_HEADER_BYTES, Corruption, Feature

# Real ones are some kilobytes; a length beyond this is corruption, not data.
_MAX_BYTES = 64 << 20
_SECTION = struct.Struct("<QQ")


@dataclass
class Features:
    """What perf recorded about the machine, its files and the events."""

    release: str = ""
    build_ids: dict[str, bytes] = field(default_factory=dict)
    """By file; that of the kernel under `[kernel.kallsyms]`."""
    names: dict[int, str] = field(default_factory=dict)
    """Event names by event id."""

    def take(self, feature: int, data: bytes) -> None:
        """Parse a section; a corrupt one is skipped, since no stack depends on it."""
        readers: dict[int, Callable[[bytes], None]] = {
            Feature.OSRELEASE: self._take_release,
            Feature.BUILD_ID: self._take_build_ids,
            Feature.EVENT_DESC: self._take_names,
        }
        if read := readers.get(feature):
            with suppress(struct.error):
                read(data)

    def take_build_id(self, record: bytes) -> None:
        """Parse one BUILD_ID record, including its header."""
        misc, size = struct.unpack_from("<HH", record, 4)
        length = record[32] if misc & 1 << 15 and record[32] <= 20 else 20
        if name := text(record[36:size]):
            self.build_ids[name] = record[12 : 12 + length]

    def _take_release(self, data: bytes) -> None:
        self.release = _string(data, 0)[0]

    def _take_build_ids(self, data: bytes) -> None:
        position = 0
        while position + 36 <= len(data):
            (size,) = struct.unpack_from("<H", data, position + 6)
            if size < 36:
                return
            self.take_build_id(data[position : position + size])
            position += size

    def _take_names(self, data: bytes) -> None:
        count, attr_size = struct.unpack_from("<II", data)
        position = 8
        for _ in range(min(count, len(data) // 16)):
            (ids,) = struct.unpack_from("<I", data, position + attr_size)
            name, position = _string(data, position + attr_size + 4)
            for number in struct.unpack_from(f"<{ids}Q", data, position):
                self.names[number] = name
            position += 8 * ids


@dataclass
class FileHeader:
    """Layout of a file that was not written to a pipe."""

    data_offset: int
    data_size: int
    events: list[Event]
    features: Features
    truncated: Corruption | None = None
    """Set where the file ends inside features that are needed."""
    notes: tuple[str, ...] = ()


def read_header(file: io.FileIO, file_size: int) -> FileHeader:
    """Read events and features; moves the file offset. Raises `Corruption`."""
    file.seek(0)
    head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise Corruption(len(head), "the file ends inside its header")
    size, attr_size, attrs, attrs_size, data, data_size = struct.unpack_from("<6Q", head, 8)
    if size < HEADER_BYTES:
        raise Corruption(8, f"a header of {size} bytes, less than the minimum of {HEADER_BYTES}")
    events = _read_events(file, attr_size, attrs, attrs_size)
    features, truncated = Features(), None
    bits = int.from_bytes(head[72:104], "little")
    notes: tuple[str, ...] = ()
    if data_size and data + data_size <= file_size:
        sections, truncated = _sections(file, data + data_size, bits)
        truncated = _read_features(file, features, sections) or truncated
        if not truncated and any(place + length > file_size for _, place, length in sections):
            notes = (f"The file ends at byte {file_size}, inside its features: it was truncated after the samples.",)
    for event in events:
        event.name = next((features.names[number] for number in event.ids if number in features.names), event.name)
    return FileHeader(data, data_size, events, features, truncated, notes)


def read_pipe_header(head: bytes) -> None:
    """Check that the header is complete."""
    if len(head) < PIPE_HEADER_BYTES:
        raise Corruption(len(head), "the stream ends inside its header")


def parse_attr_record(record: bytes) -> Event:
    """Parse an ATTR record of pipe mode: the attribute, then its ids."""
    (size,) = struct.unpack_from("<I", record, 12)
    if size < 64 or 8 + size > len(record):
        raise struct.error(f"an attribute of {size} bytes in a record of {len(record)}")
    event = parse_event(record[8 : 8 + size])
    event.ids = struct.unpack_from(f"<{(len(record) - 8 - size) // 8}Q", record, 8 + size)
    return event


def text(data: bytes) -> str:
    """A string up to its zero byte; bytes that are not UTF-8 are replaced."""
    return data.split(b"\0", 1)[0].decode(errors="replace")


def _read_events(file: io.FileIO, entry_size: int, offset: int, size: int) -> list[Event]:
    if not 64 + 16 <= entry_size <= 4096:
        raise Corruption(16, f"attributes of {entry_size} bytes")
    if not size or size % entry_size or size > _MAX_BYTES:
        raise Corruption(32, f"{size} bytes of attributes of {entry_size} bytes each")
    table = _read_at(file, offset, size, "attributes")
    events = []
    for start in range(0, size, entry_size):
        # The entry ends in the position of the ids; attr.size may be smaller than the space before it.
        entry = table[start : start + entry_size]
        (known,) = struct.unpack_from("<I", entry, 4)
        own = min(known or 64, entry_size - 16)
        if own < 64:
            raise Corruption(offset + start + 4, f"an attribute of {known} bytes")
        event = parse_event(entry[:own])
        ids_offset, ids_size = _SECTION.unpack_from(entry, entry_size - 16)
        if ids_size % 8 or ids_size > _MAX_BYTES:
            raise Corruption(offset + start + entry_size - 8, f"{ids_size} bytes of event ids")
        event.ids = struct.unpack(f"<{ids_size // 8}Q", _read_at(file, ids_offset, ids_size, "event ids"))
        events.append(event)
    return events


def _sections(file: io.FileIO, offset: int, bits: int) -> tuple[list[tuple[int, int, int]], Corruption | None]:
    """Number, offset and length of each feature."""
    present = [bit for bit in range(256) if bits >> bit & 1]
    table = _seek_and_read(file, offset, 16 * len(present))
    truncated = None
    if len(table) < 16 * len(present):
        truncated = Corruption(offset + len(table), "the file ends inside the list of its features")
    whole = table[: len(table) // 16 * 16]
    return [(bit, *entry) for bit, entry in zip(present, _SECTION.iter_unpack(whole), strict=False)], truncated


def _read_features(file: io.FileIO, features: Features, sections: list[tuple[int, int, int]]) -> Corruption | None:
    for feature, place, size in sections:
        if feature in set(Feature) and size <= _MAX_BYTES:
            data = _seek_and_read(file, place, size)
            features.take(feature, data)
            if len(data) < size:
                return Corruption(place + len(data), "the file ends inside one of its features")
    return None


def _read_at(file: io.FileIO, offset: int, size: int, part: str) -> bytes:
    data = _seek_and_read(file, offset, size)
    if len(data) < size:
        raise Corruption(offset + len(data), f"the file ends inside the {part}")
    return data


def _seek_and_read(file: io.FileIO, offset: int, size: int) -> bytes:
    """The bytes at an offset, as many as there are; none at an impossible offset."""
    try:
        file.seek(offset)
        return file.read(size)
    except (OSError, OverflowError):
        return b""


def _string(data: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", data, position)
    return text(data[position + 4 : position + 4 + length]), position + 4 + length
