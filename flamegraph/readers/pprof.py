"""pprof profiles: profile.proto of github.com/google/pprof, as Go, pprof-rs, async-profiler and perf_to_profile write.

Labels say which thread a sample is of; times inside the profile are not kept by the format.
"""

from __future__ import annotations

from flamegraph.errors import ProfileError
from flamegraph.profile import Profile
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.pprof_message import Message
from flamegraph.readers.pprof_profile import assemble
from flamegraph.readers.source import Source
from flamegraph.readers.text import Salvager, chunks
from flamegraph.wire import BYTES, VARINT, WireError, fields, varint

FORMAT = "pprof"
ORDER = 20

LARGEST = 1 << 29
_STRUCTS = frozenset((1, 2, 3, 4, 5, 6, 11, 13))
_NUMBERS = frozenset((7, 8, 9, 10, 12, 13, 14, 15))
_NO_CONTROLS = bytes([*b"\t\n\r\x1b", *range(0x20, 0x100)])


def recognises(head: bytes) -> bool:
    """Whether it begins with the type of its samples, as nearly all do, or with several other fields of a profile."""
    # Text can look like fields; a profile has lengths and tags that no text has.
    if not head.translate(None, _NO_CONTROLS):
        return False
    at = structs = 0
    try:
        while at < len(head):
            tag, at = varint(head, at, len(head))
            number, wire = tag >> 3, tag & 7
            if number in _NUMBERS and wire == VARINT:
                _, at = varint(head, at, len(head))
            elif number in _STRUCTS and wire == BYTES:
                length, at = varint(head, at, len(head))
                if number == 1:
                    return _is_value_type(head[at : at + length])
                at += length
                structs += 1
            else:
                return False
    except WireError:
        return False
    return structs > 1


def _is_value_type(message: bytes) -> bool:
    numbers = [number for number, _, end in fields(message, 0, len(message)) if end < 0]
    return bool(numbers) and set(numbers) <= {1, 2}


def read(source: Source, options: ReadOptions) -> Profile:
    """Read the samples' type `options.event`, or the default one. Raises `BrokenProfileError` naming the byte."""
    salvager = Salvager(source.name, options.salvage)
    data = bytearray()
    for chunk in chunks(source, salvager):
        data += chunk
        if len(data) > LARGEST:
            raise ProfileError(f"{source.name} is larger than {LARGEST >> 20} MiB, which no profile of pprof is.")
    message = Message(bytes(data))
    try:
        message.parse()
    except WireError as error:
        salvager.broken(f"Byte {error.offset}: {error.message}")
    return assemble(message, source.name, options, salvager)
