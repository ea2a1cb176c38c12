"""Ways to a recording: a file that can be read at any place, or a stream."""

from __future__ import annotations

import io
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from flamegraph.errors import ProfileError
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.perfdata.problems import Damage
from flamegraph.readers.source import Source

_COPY = 1 << 20
_MOST_REMEMBERED = 256 << 20


@contextmanager
def as_file(source: Source, options: ReadOptions) -> Iterator[tuple[io.FileIO, tuple[str, ...]]]:
    """The recording as a plain file, and notes; a stream is copied to a temporary one: features stand at its end."""
    if source.path:
        with io.FileIO(source.path) as file:
            yield file, ()
        return
    with tempfile.TemporaryFile(buffering=0) as copy:
        yield copy, _copy(source.stream, copy, options)


def _copy(stream: io.BufferedReader, copy: io.FileIO, options: ReadOptions) -> tuple[str, ...]:
    size = 0
    while True:
        try:
            # What was unpacked before a break is kept: read() would lose it.
            piece = stream.read1(_COPY)
        except (OSError, EOFError, zlib.error) as error:
            corruption = Damage(size, f"it cannot be read on: {error}")
            if not options.salvage:
                raise corruption from error
            return (corruption.note(),)
        if not piece:
            return ()
        try:
            # A raw file may take less than it is given.
            view = memoryview(piece)
            while view:
                view = view[copy.write(view) :]
        except OSError as error:
            raise ProfileError(
                f"The recording cannot be copied to a temporary file: {error.strerror}.",
                hint="Set TMPDIR to a folder with room for it, or unpack it and give its path.",
            ) from error
        size += len(piece)


class Remembering:
    """A stream that can be had again from its start, as long as it is not yet known whether that is needed."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._pieces: list[bytes] | None = []
        self._size = 0

    def readinto(self, into: memoryview, /) -> int | None:
        """Read on."""
        got = self._stream.readinto1(into)
        if got and self._pieces is not None:
            self._pieces.append(bytes(into[:got]))
            self._size += got
            if self._size > _MOST_REMEMBERED:
                self.forget()
        return got

    def forget(self) -> None:
        """It is not needed again."""
        self._pieces = None

    def everything(self, into: BinaryIO) -> bool:
        """Write what was read and all that follows; False if the start is gone."""
        if self._pieces is None:
            return False
        for piece in self._pieces:
            into.write(piece)
        buffer = memoryview(bytearray(_COPY))
        while got := self._stream.readinto(buffer):
            into.write(buffer[:got])
        into.flush()
        return True
