"""Where a profile is read from: a file, a pipe or standard input, plain or gzip."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from flamegraph.errors import BrokenProfileError, ProfileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

HEAD = 4096
_GZIP = b"\x1f\x8b"


class _Unpacked(gzip.GzipFile):
    """Gives what it has: with corruption in the middle of a large read, all of that read would be lost."""

    def readinto(self, buffer: Buffer) -> int:
        content = self.read1(len(memoryview(buffer)))
        memoryview(buffer)[: len(content)] = content
        return len(content)


class Source:
    """An open stream and its first bytes, which stay readable."""

    def __init__(self, name: str, stream: io.BufferedReader, path: Path | None) -> None:
        self.name, self.stream, self.path = name, stream, path
        """`path` is set where the stream is a plain file, which can be mapped and read at any place."""
        self.head = _peek(stream, name)

    def __repr__(self) -> str:
        return f"Source({self.name!r})"


@contextmanager
def open_source(path: str | Path) -> Iterator[Source]:
    """Open a profile; "-" is standard input. Raises `ProfileError` if it cannot be opened."""
    name = "standard input" if str(path) == "-" else str(path)
    with _open(path, name) as raw:
        head = _peek(raw, name)
        if head.startswith(_GZIP):
            packed = cast(BinaryIO, _Unpacked(fileobj=raw, mode="rb"))
            yield _marked(Source(name, io.BufferedReader(cast(io.RawIOBase, packed), 1 << 20), None))
        else:
            plain = raw.seekable() and str(path) != "-"
            yield _marked(Source(name, raw, Path(path) if plain else None))


def _marked(source: Source) -> Source:
    """Without the byte order mark that editors and shells of other systems put before text."""
    if source.head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ProfileError(
            f"{source.name} is text in UTF-16.", hint="Convert it: iconv -f UTF-16 -t UTF-8 FILE | netprobe flame -"
        )
    if not source.head.startswith(codecs.BOM_UTF8):
        return source
    source.stream.read(len(codecs.BOM_UTF8))
    return Source(source.name, source.stream, source.path)


@contextmanager
def _open(path: str | Path, name: str) -> Iterator[io.BufferedReader]:
    if str(path) == "-":
        if sys.stdin is None:
            raise ProfileError("Standard input is closed.", hint="Give it a file or a pipe, or name a file.")
        yield cast(io.BufferedReader, sys.stdin.buffer)
        return
    try:
        stream: io.BufferedReader = io.BufferedReader(io.FileIO(path), 1 << 20)
    except OSError as error:
        raise ProfileError(
            f"{name} cannot be read: {error.strerror}.", hint="Check the name and the rights."
        ) from error
    with stream:
        yield stream


def _peek(stream: io.BufferedReader, name: str) -> bytes:
    try:
        head = stream.peek(HEAD)[:HEAD]
    except (OSError, EOFError, zlib.error) as error:
        raise BrokenProfileError(f"{name} cannot be read: {error}.") from error
    return head
