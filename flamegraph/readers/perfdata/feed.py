"""The records of a recording as one stream of chunks, each of which begins with a record."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import numpy as np

from flamegraph.readers.perfdata.problems import Damage
from flamegraph.readers.perfdata.walk import Stop, walk

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.packed import Unpacker
    from flamegraph.readers.perfdata.walk import Records, Words

    Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

CHUNK = 4 << 20
# After a record that upsets the alignment: chunks grow again from here, so that many such records cost little.
_SMALL = 64 << 10
_SKIP = 1 << 20
# A recording has one such record a file that was mapped, or one a buffer of a tracing unit.
_MOST_STOPS = 200_000


class Readable(Protocol):
    """What is read: a file, standard input, a decompressing stream."""

    def readinto(self, into: memoryview, /) -> int | None:
        """Fill with what there is; 0 or None at the end."""


class Chunk:
    """A piece of the stream, whole words, and where its records are."""

    def __init__(self, words: Words, offset: int, position: int, records: Records, packed: bool) -> None:
        self.words, self.records = words, records
        """`words` has one more than belongs to it."""
        self.position = position
        """Byte of the uncompressed stream."""
        self._offset, self._packed = offset, packed

    def place(self, word: int) -> int:
        """Byte of the file where a record stands, or the compressed record that holds it."""
        return self._offset if self._packed else self._offset + 8 * word


class Feed:
    """Reads chunks until the end. What ends it too early is in `corruption` then."""

    def __init__(self, file: Readable, offset: int, left: int | None) -> None:
        """`left`: bytes that belong to the data; None: all that come."""
        self._file, self._offset, self._left = file, offset, left
        self._position = 0
        self._rest: Bytes = np.empty(0, np.uint8)
        self._size = CHUNK
        self._unpacker: Unpacker | None = None
        self._stops = 0
        self._free: list[Bytes] = []
        self.corruption: Damage | None = None

    def recycle(self, chunk: Chunk) -> None:
        """Take back the memory of a chunk: malloc would leave a hole that something small then spoils."""
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
        except Damage as corruption:
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
        """Keep what was not used, and see why the walk stopped."""
        records = chunk.records
        used = min(records.end, filled)
        self._offset += used
        # A chunk that was cut from the rest leaves the rest where it is: nothing is copied twice.
        self._rest = self._rest[used:] if filled <= len(self._rest) else buffer[used:filled].copy()
        if records.stop is Stop.BROKEN:
            self.corruption = Damage(self._offset, records.why)
        elif records.stop is Stop.PACKED:
            self._start_unpacking()
        elif records.stop is Stop.SKIP:
            self._size = _SMALL
            self._stops += 1
            if self._stops > _MOST_STOPS:
                self.corruption = Damage(self._offset, f"more than {_MOST_STOPS} records of odd sizes")
            self._skip(records.skip + records.end - used)
        elif used == 0:
            self.corruption = Damage(self._offset + filled, "the file ends inside a record")

    def _fill(self) -> tuple[Bytes, int]:
        """A fresh buffer with the next bytes; there is one word more than it needs."""
        size, self._size = self._size, min(2 * self._size, CHUNK)
        buffer = self._buffer(size)
        filled = min(len(self._rest), size)
        buffer[:filled] = self._rest[:filled]
        filled += self._read(memoryview(buffer.data)[filled:size])
        buffer[filled : filled + 8 + -filled % 8] = 0
        return buffer, filled

    def _buffer(self, size: int) -> Bytes:
        """Memory for a chunk, and a word more."""
        return self._free.pop() if size == CHUNK and self._free else np.empty(size + 8, np.uint8)

    def _read(self, into: memoryview) -> int:
        filled, want = 0, len(into) if self._left is None else min(len(into), self._left)
        while filled < want:
            try:
                got = self._file.readinto(into[filled:want])
            except (OSError, EOFError, zlib.error) as error:
                raise Damage(self._offset + filled, f"it cannot be read on: {error}") from error
            if not got:
                break
            filled += got
        if self._left is not None:
            self._left -= filled
        return filled

    def _check_end(self) -> None:
        if self._left:
            raise Damage(self._offset, f"the file ends, and {self._left} bytes of its data are missing")

    def _skip(self, size: int) -> None:
        """Leave out what belongs to a record without being part of its size."""
        self._offset += size
        taken = min(size, len(self._rest))
        self._rest = self._rest[taken:]
        size -= taken
        scratch = memoryview(bytearray(min(size, _SKIP)))
        while size > 0:
            got = self._read(scratch[: min(size, _SKIP)])
            if not got:
                self.corruption = Damage(self._offset - size, "the file ends inside a record")
                return
            size -= got

    def _start_unpacking(self) -> None:
        from flamegraph.readers.perfdata.packed import Unpacker

        self._unpacker = Unpacker(self._exactly, self._offset)

    def _exactly(self, size: int) -> bytes:
        """Bytes for the unpacker; fewer at the end only."""
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
            self.corruption = Damage(offset, f"in what this compressed record holds: {records.why}")
        chunk = Chunk(words, offset, self._position, records, packed=True)
        self._position += records.end
        return chunk
