"""What `perf record -z` compressed: one zstd stream in many records, with records of perf's own between them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import zstandard

from flamegraph.readers.perfdata.formats import Record
from flamegraph.readers.perfdata.problems import Damage

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.feed import Bytes

_HEADER = struct.Struct("<IHH")
# Four bytes of zstd can stand for 128 KiB: so much input at a time gives at most 32 MiB, and once only.
_SLICE, _SMALLEST_SLICE = 1024, 64
_MUCH = 4 << 20
# Real recordings shrink to a tenth or so; beyond this it is a trap.
_MOST_RATIO = 1000
_FREE_BYTES = 256 << 20


class Unpacker:
    """Gives chunks of whole records, uncompressed, in the order of the file."""

    def __init__(self, read: Callable[[int], bytes], offset: int) -> None:
        self._read, self._offset = read, offset
        self._record = offset
        self._stream = zstandard.ZstdDecompressor().decompressobj()
        self._whole = bytearray()
        self._tail = bytearray()
        self._packed = b""
        self._slice = _SLICE
        self._in_bytes = self._out_bytes = 0
        self._failed: Damage | None = None

    def chunk(self, size: int) -> tuple[Bytes, int, int] | None:
        """Bytes with a spare word, how many count, and the file's byte of the last compressed record in them."""
        while len(self._whole) < size and not self._failed:
            try:
                if self._packed:
                    self._unpack()
                elif not self._next_record():
                    break
            except Damage as corruption:
                self._failed = corruption
        if not self._whole:
            if self._failed:
                raise self._failed
            if self._tail:
                raise Damage(self._record, "the compressed data ends inside a record")
            return None
        filled = len(self._whole)
        self._whole += b"\0" * 8
        buffer = np.frombuffer(self._whole, np.uint8)
        self._whole = bytearray()
        return buffer, filled, self._record

    def _next_record(self) -> bool:
        head = self._read(8)
        if not head:
            return False
        if len(head) < 8:
            raise Damage(self._offset + len(head), "the file ends inside a record")
        kind, _, size = _HEADER.unpack(head)
        if size < 8 or kind == 0 or kind >= 1 << 16:
            raise Damage(self._offset, f"a record of type {kind} and {size} bytes")
        body = self._read(size - 8)
        if len(body) < size - 8:
            raise Damage(self._offset + 8 + len(body), "the file ends inside a record")
        self._record = self._offset
        self._offset += size
        if kind in (Record.COMPRESSED, Record.COMPRESSED2):
            self._packed = _payload(kind, body, self._record)
        else:
            self._pass_on(kind, head, body)
        return True

    def _pass_on(self, kind: int, head: bytes, body: bytes) -> None:
        """A record that is not compressed: it stands before the compressed one that has only begun."""
        if kind == Record.AUXTRACE and len(body) >= 8:
            self._skip(int.from_bytes(body[:8], "little"))
        elif kind == Record.TRACING_DATA and len(body) >= 4:
            self._skip(int.from_bytes(body[:4], "little"))
        else:
            padding = -len(body) % 8
            if padding and kind not in (Record.BUILD_ID, Record.FEATURE):
                raise Damage(self._record, f"a record of {8 + len(body)} bytes, which is no multiple of 8")
            size = min(8 + len(body) + padding, 0xFFF8)
            self._whole += head[:6] + size.to_bytes(2, "little") + (body + b"\0" * padding)[: size - 8]

    def _skip(self, size: int) -> None:
        self._offset += size
        while size > 0:
            got = len(self._read(min(size, 1 << 20)))
            if not got:
                raise Damage(self._offset - size, "the file ends inside a record")
            size -= got

    def _unpack(self) -> None:
        """Unpack a little; what belongs to the next frame is left."""
        piece = self._packed[: self._slice]
        self._packed = self._packed[len(piece) :]
        try:
            self._tail += self._stream.decompress(piece)
        except (zstandard.ZstdError, MemoryError) as error:
            raise Damage(self._record, f"the compressed data cannot be unpacked: {error}") from error
        self._in_bytes += len(piece)
        if len(self._tail) > _MUCH:
            self._slice = _SMALLEST_SLICE
        self._move_whole()
        if self._out_bytes > _FREE_BYTES and self._out_bytes > _MOST_RATIO * self._in_bytes:
            raise Damage(self._record, f"the compressed data is {_MOST_RATIO} times larger when it is unpacked")
        if self._stream.eof:
            self._packed = self._stream.unused_data + self._packed
            self._stream = zstandard.ZstdDecompressor().decompressobj()

    def _move_whole(self) -> None:
        """Separate the complete records from the last one that is not."""
        tail, position, unpack = self._tail, 0, _HEADER.unpack_from
        end = len(tail) - 8
        while position <= end:
            size = unpack(tail, position)[2]
            if size < 8 or size & 7:
                self._whole += tail[:position]
                raise Damage(self._record, f"in what this compressed record holds: a record of {size} bytes")
            if position + size > end + 8:
                break
            position += size
        self._out_bytes += position
        self._whole += tail[:position]
        del tail[:position]


def _payload(kind: int, body: bytes, offset: int) -> bytes:
    if kind == Record.COMPRESSED:
        return body
    size = int.from_bytes(body[:8], "little")
    if size > len(body) - 8:
        raise Damage(offset, f"{size} compressed bytes in a record of {8 + len(body)}")
    return body[8 : 8 + size]
