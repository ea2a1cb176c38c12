"""The records of a recording as one stream of chunks, plain or compressed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from flamegraph.readers.perfdata.formats import Corruption, Record
from flamegraph.readers.perfdata.walk import Stop, walk

if TYPE_CHECKING:
    from zstandard import ZstdDecompressionObj

    from flamegraph.readers.perfdata.walk import Records, Words

    Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

CHUNK = 4 << 20
# Size of the next chunk after a record that breaks the alignment; it doubles again, so that such records cost little.
_SMALL = 64 << 10
_SKIP = 1 << 20
# A recording has one such record per mapped file or per buffer of a tracing unit.
_MAX_STOPS = 200_000


class Readable(Protocol):
    """A file, standard input or a decompressing stream."""

    def readinto(self, into: memoryview, /) -> int | None:
        """Read available bytes; 0 or None at the end."""


class Chunk:
    """A piece of the stream as 64-bit words, with the positions of its records."""

    def __init__(self, words: Words, offset: int, position: int, records: Records, packed: bool) -> None:
        self.words, self.records = words, records
        """`words` has one word more than the chunk."""
        self.position = position
        """Offset in the uncompressed stream."""
        self._offset, self._packed = offset, packed

    def place(self, word: int) -> int:
        """Offset in the file of a record, or of the compressed record that contains it."""
        return self._offset if self._packed else self._offset + 8 * word


class Feed:
    """Iterates over chunks to the end of the data, or to a corruption, which is then in `corruption`."""

    def __init__(self, file: Readable, offset: int, left: int | None) -> None:
        """`left`: size of the data in bytes; None: up to the end of the stream."""
        self._file, self._offset, self._left = file, offset, left
        self._position = 0
        self._rest: Bytes = np.empty(0, np.uint8)
        self._size = CHUNK
        self._unpacker: Unpacker | None = None
        self._stops = 0
        self._free: list[Bytes] = []
        self.corruption: Corruption | None = None

    def recycle(self, chunk: Chunk) -> None:
        """Reuse the memory of a chunk, which malloc would fragment."""
        if len(chunk.words) == CHUNK // 8 + 1:
            self._free.append(chunk.words.view(np.uint8))

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Chunk:
        if self.corruption:
            raise StopIteration
        try:
            if self._unpacker:
                return self._unpacked()
            return self._plain()
        except Corruption as corruption:
            self.corruption = corruption
            raise StopIteration from corruption

    def _plain(self) -> Chunk:
        buffer, filled = self._fill()
        if filled == 0:
            self._check_end()
            raise StopIteration
        words = buffer.view(np.uint64)
        records = walk(words, filled)
        chunk = Chunk(words, self._offset, self._position, records, packed=False)
        self._position += records.end
        self._after(chunk, buffer, filled)
        return chunk

    def _after(self, chunk: Chunk, buffer: Bytes, filled: int) -> None:
        """Keep the bytes that were not used, and act on the reason why the walk stopped."""
        records = chunk.records
        used = min(records.end, filled)
        self._offset += used
        # A chunk that lies inside the rest does not move the rest: no byte is copied twice.
        self._rest = self._rest[used:] if filled <= len(self._rest) else buffer[used:filled].copy()
        if records.stop is Stop.BROKEN:
            self.corruption = Corruption(self._offset, records.why)
        elif records.stop is Stop.PACKED:
            self._start_unpacking()
        elif records.stop is Stop.SKIP:
            self._size = _SMALL
            self._stops += 1
            if self._stops > _MAX_STOPS:
                self.corruption = Corruption(self._offset, f"more than {_MAX_STOPS} records of odd sizes")
            self._skip(records.skip + records.end - used)
        elif used == 0:
            self.corruption = Corruption(self._offset + filled, "the file ends inside a record")

    def _fill(self) -> tuple[Bytes, int]:
        """A buffer with the next bytes and one spare word."""
        size, self._size = self._size, min(2 * self._size, CHUNK)
        buffer = self._buffer(size)
        filled = min(len(self._rest), size)
        buffer[:filled] = self._rest[:filled]
        filled += self._read(memoryview(buffer.data)[filled:size])
        buffer[filled : filled + 8 + -filled % 8] = 0
        return buffer, filled

    def _buffer(self, size: int) -> Bytes:
        """Memory for a chunk and one spare word."""
        return self._free.pop() if size == CHUNK and self._free else np.empty(size + 8, np.uint8)

    def _read(self, into: memoryview) -> int:
        filled, want = 0, len(into) if self._left is None else min(len(into), self._left)
        while filled < want:
            try:
                got = self._file.readinto(into[filled:want])
            except (OSError, EOFError, zlib.error) as error:
                raise Corruption(self._offset + filled, f"reading failed: {error}") from error
            if not got:
                break
            filled += got
        if self._left is not None:
            self._left -= filled
        return filled

    def _check_end(self) -> None:
        if self._left:
            raise Corruption(self._offset, f"the file ends, and {self._left} bytes of its data are missing")

    def _skip(self, size: int) -> None:
        """Skip bytes that follow a record and are not included in its size."""
        self._offset += size
        taken = min(size, len(self._rest))
        self._rest = self._rest[taken:]
        size -= taken
        scratch = memoryview(bytearray(min(size, _SKIP)))
        while size > 0:
            got = self._read(scratch[: min(size, _SKIP)])
            if not got:
                self.corruption = Corruption(self._offset - size, "the file ends inside a record")
                return
            size -= got

    def _start_unpacking(self) -> None:

        self._unpacker = Unpacker(self._exactly, self._offset)

    def _exactly(self, size: int) -> bytes:
        """Read for the decompressor; returns fewer bytes only at the end."""
        buffer = bytearray(size)
        taken = min(size, len(self._rest))
        buffer[:taken] = self._rest[:taken].tobytes()
        self._rest = self._rest[taken:]
        if taken < size:
            taken += self._read(memoryview(buffer)[taken:])
        return bytes(buffer[:taken])

    def _unpacked(self) -> Chunk:
        assert self._unpacker
        found = self._unpacker.chunk(CHUNK)
        if found is None:
            self._check_end()
            raise StopIteration
        unpacked, filled, offset = found
        buffer = self._buffer(max(CHUNK, filled))
        buffer[: filled + 8] = unpacked
        words = buffer.view(np.uint64)
        records = walk(words, filled, inside=True)
        if records.stop is Stop.BROKEN:
            self.corruption = Corruption(offset, f"in the content of this compressed record: {records.why}")
        chunk = Chunk(words, offset, self._position, records, packed=True)
        self._position += records.end
        return chunk


_HEADER = struct.Struct("<IHH")
# Four bytes of zstd can expand to 128 KiB: this much input expands to 32 MiB at most, and only once.
_SLICE, _SMALLEST_SLICE = 1024, 64
_MUCH = 4 << 20
# Real recordings compress to about a tenth; a higher ratio is a decompression bomb.
_MAX_RATIO = 1000
_FREE_BYTES = 256 << 20


class Unpacker:
    """Decompresses `perf record -z` (one zstd stream in many records) into chunks of complete records."""

    def __init__(self, read: Callable[[int], bytes], offset: int) -> None:
        self._read, self._offset = read, offset
        self._record = offset
        self._stream = _zstd_stream()
        self._complete = bytearray()
        self._tail = bytearray()
        self._packed = b""
        self._slice = _SLICE
        self._in_bytes = self._out_bytes = 0
        self._failed: Corruption | None = None

    def chunk(self, size: int) -> tuple[Bytes, int, int] | None:
        """Bytes with a spare word, their number, and the file offset of the last compressed record in them."""
        while len(self._complete) < size and not self._failed:
            try:
                if self._packed:
                    self._unpack()
                elif not self._next_record():
                    break
            except Corruption as corruption:
                self._failed = corruption
        if not self._complete:
            if self._failed:
                raise self._failed
            if self._tail:
                raise Corruption(self._record, "the compressed data ends inside a record")
            return None
        filled = len(self._complete)
        self._complete += b"\0" * 8
        buffer = np.frombuffer(self._complete, np.uint8)
        self._complete = bytearray()
        return buffer, filled, self._record

    def _next_record(self) -> bool:
        head = self._read(8)
        if not head:
            return False
        if len(head) < 8:
            raise Corruption(self._offset + len(head), "the file ends inside a record")
        kind, _, size = _HEADER.unpack(head)
        if size < 8 or kind == 0 or kind >= 1 << 16:
            raise Corruption(self._offset, f"a record of type {kind} and {size} bytes")
        body = self._read(size - 8)
        if len(body) < size - 8:
            raise Corruption(self._offset + 8 + len(body), "the file ends inside a record")
        self._record = self._offset
        self._offset += size
        if kind in (Record.COMPRESSED, Record.COMPRESSED2):
            self._packed = _payload(kind, body, self._record)
        else:
            self._pass_on(kind, head, body)
        return True

    def _pass_on(self, kind: int, head: bytes, body: bytes) -> None:
        """Insert a record that is not compressed before the compressed record that has only begun."""
        if kind == Record.AUXTRACE and len(body) >= 8:
            self._skip(int.from_bytes(body[:8], "little"))
        elif kind == Record.TRACING_DATA and len(body) >= 4:
            self._skip(int.from_bytes(body[:4], "little"))
        else:
            padding = -len(body) % 8
            if padding and kind not in (Record.BUILD_ID, Record.FEATURE):
                raise Corruption(self._record, f"a record of {8 + len(body)} bytes, which is not a multiple of 8")
            size = min(8 + len(body) + padding, 0xFFF8)
            self._complete += head[:6] + size.to_bytes(2, "little") + (body + b"\0" * padding)[: size - 8]

    def _skip(self, size: int) -> None:
        self._offset += size
        while size > 0:
            got = len(self._read(min(size, 1 << 20)))
            if not got:
                raise Corruption(self._offset - size, "the file ends inside a record")
            size -= got

    def _unpack(self) -> None:
        """Decompress a slice; input of the next zstd frame is kept."""
        from zstandard import ZstdError

        piece = self._packed[: self._slice]
        self._packed = self._packed[len(piece) :]
        try:
            self._tail += self._stream.decompress(piece)
        except (ZstdError, MemoryError) as error:
            raise Corruption(self._record, f"the compressed data cannot be decompressed: {error}") from error
        self._in_bytes += len(piece)
        if len(self._tail) > _MUCH:
            self._slice = _SMALLEST_SLICE
        self._move_complete()
        if self._out_bytes > _FREE_BYTES and self._out_bytes > _MAX_RATIO * self._in_bytes:
            raise Corruption(
                self._record, f"the compressed data is more than {_MAX_RATIO} times larger when decompressed"
            )
        if self._stream.eof:
            self._packed = self._stream.unused_data + self._packed
            self._stream = _zstd_stream()

    def _move_complete(self) -> None:
        """Move the complete records out of the buffer; an incomplete last one stays."""
        tail, position, unpack = self._tail, 0, _HEADER.unpack_from
        end = len(tail) - 8
        while position <= end:
            size = unpack(tail, position)[2]
            if size < 8 or size & 7:
                self._complete += tail[:position]
                raise Corruption(self._record, f"in the content of this compressed record: a record of {size} bytes")
            if position + size > end + 8:
                break
            position += size
        self._out_bytes += position
        self._complete += tail[:position]
        del tail[:position]


def _zstd_stream() -> ZstdDecompressionObj:
    from zstandard import ZstdDecompressor

    return ZstdDecompressor().decompressobj()


def _payload(kind: int, body: bytes, offset: int) -> bytes:
    if kind == Record.COMPRESSED:
        return body
    size = int.from_bytes(body[:8], "little")
    if size > len(body) - 8:
        raise Corruption(offset, f"{size} compressed bytes in a record of {8 + len(body)}")
    return body[8 : 8 + size]
