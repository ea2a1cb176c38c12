"""pprof profiles: profile.proto of github.com/google/pprof, as Go, pprof-rs, async-profiler and perf_to_profile write.

Labels name the thread of a sample. The format has no time of a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flamegraph.wire import BYTES, VARINT, WireError, fields, varint

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions
    from flamegraph.readers.source import InputSource

FORMAT = "pprof"
IS_TEXT = False
ORDER = 20

_STRUCTS = frozenset((1, 2, 3, 4, 5, 6, 11, 13))
_NUMBERS = frozenset((7, 8, 9, 10, 12, 13, 14, 15))
_NO_CONTROLS = bytes([*b"\t\n\r\x1b", *range(0x20, 0x100)])


def recognises(head: bytes) -> bool:
    """Whether the file begins with the type of its samples, as nearly all do, or with several other fields."""
    # Text can look like fields, but a profile has lengths and tags that text does not contain.
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


def read(source: InputSource, options: ReadOptions) -> Profile:
    """Read the sample type `options.event`, or the default one. Raises `BrokenProfileError` with the byte offset."""
    from flamegraph.readers.pprof.message import read_message

    return read_message(source, options)
