"""The wire format of protocol buffers, as far as pprof needs it (protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIGN = 1 << 63
_MASK = (1 << 64) - 1


class WireError(Exception):
    """A violation of the wire format at the byte `offset` of the message."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message, self.offset = message, offset


def fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Fields of the message in `data[start:end]`: (number, value, -1), or (number, start, end) for bytes.

    Values are unsigned. Raises `WireError`.
    """
    at = start
    while at < end:
        begin = at
        tag, at = varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise WireError("a field without a number", begin)
        if wire == VARINT:
            value, at = varint(data, at, end)
            yield number, value, -1
            continue
        length = 8 if wire == FIXED64 else 4
        if wire == BYTES:
            length, at = varint(data, at, end)
        elif wire not in (FIXED64, FIXED32):
            raise WireError(f"a field of the unknown type {wire}", begin)
        if length > end - at:
            raise WireError(f"a field of {length} bytes where {end - at} remain", begin)
        if wire == BYTES:
            yield number, at, at + length
        else:
            yield number, int.from_bytes(data[at : at + length], "little"), -1
        at += length


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and the offset of its end."""
    value = shift = 0
    for position in range(at, min(at + 10, end)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, position + 1
        shift += 7
    raise WireError("an unterminated number", at)


def packed(data: bytes, start: int, end: int) -> list[int]:
    """The unsigned numbers of a packed field."""
    raw = data[start:end]
    if raw.isascii():
        return list(raw)
    numbers = []
    at = start
    while at < end:
        number, at = varint(data, at, end)
        numbers.append(number)
    return numbers


def signed(number: int) -> int:
    """An int64 from its unsigned form."""
    return number - (_SIGN << 1) if number & _SIGN else number


def encode_varint(number: int) -> bytes:
    """A number of up to 64 bits; negative numbers as int64."""
    number &= _MASK
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field: int, number: int) -> bytes:
    """A field with a number; nothing for 0, the value of an absent field."""
    return encode_varint(field << 3 | VARINT) + encode_varint(number) if number else b""


def bytes_field(field: int, content: bytes) -> bytes:
    """A field with bytes or a message."""
    return encode_varint(field << 3 | BYTES) + encode_varint(len(content)) + content


def packed_field(field: int, numbers: Iterable[int]) -> bytes:
    """A field with numbers."""
    return bytes_field(field, b"".join(map(encode_varint, numbers)))
