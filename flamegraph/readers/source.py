"""Input of a profile (a file, a pipe or standard input; plain or gzip) and its content in pieces of bounded size."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from flamegraph.errors import BrokenProfileError, ProfileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

HEAD = 4096
CHUNK = 1 << 22
LONGEST_LINE = 1 << 24
SALVAGE = "To read the file up to this place: --salvage, in Python ReadOptions(salvage=True)."
_GZIP = b"\x1f\x8b"


class _Unpacked(gzip.GzipFile):
    """Returns bytes as they are decompressed: a large read that meets corruption would lose the bytes before it."""

    def readinto(self, buffer: Buffer) -> int:
        content = self.read1(len(memoryview(buffer)))
        memoryview(buffer)[: len(content)] = content
        return len(content)


class InputSource:
    """An open stream and its first bytes (`head`), which remain to be read."""

    def __init__(self, name: str, stream: io.BufferedReader, path: Path | None) -> None:
        self.name, self.stream, self.path = name, stream, path
        """`path`: set where the stream is a plain file, which can be mapped and read at any offset."""
        self.head = _peek(stream, name)

    def __repr__(self) -> str:
        return f"InputSource({self.name!r})"


@contextmanager
def open_source(path: str | Path) -> Iterator[InputSource]:
    """Open a profile; "-" is standard input. Raises `ProfileError` where it cannot be opened."""
    name = "standard input" if str(path) == "-" else str(path)
    with _open(path, name) as raw:
        head = _peek(raw, name)
        if head.startswith(_GZIP):
            compressed = cast(BinaryIO, _Unpacked(fileobj=raw, mode="rb"))
            yield _after_byte_order_mark(
                InputSource(name, io.BufferedReader(cast(io.RawIOBase, compressed), 1 << 20), None)
            )
        else:
            plain = raw.seekable() and str(path) != "-"
            yield _after_byte_order_mark(InputSource(name, raw, Path(path) if plain else None))


def _after_byte_order_mark(source: InputSource) -> InputSource:
    """Skip the UTF-8 byte order mark that editors and shells of other systems put before text; refuse UTF-16."""
    if source.head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ProfileError(
            f"{source.name} is text in UTF-16.", hint="Convert it: iconv -f UTF-16 -t UTF-8 FILE | netprobe flame -"
        )
    if not source.head.startswith(codecs.BOM_UTF8):
        return source
    source.stream.read(len(codecs.BOM_UTF8))
    return InputSource(source.name, source.stream, source.path)


@contextmanager
def _open(path: str | Path, name: str) -> Iterator[io.BufferedReader]:
    if str(path) == "-":
        if sys.stdin is None:
            raise ProfileError("Standard input is closed.", hint="Connect a file or a pipe to it, or name a file.")
        yield cast(io.BufferedReader, sys.stdin.buffer)
        return
    try:
        stream: io.BufferedReader = io.BufferedReader(io.FileIO(path), 1 << 20)
    except OSError as error:
        raise ProfileError(
            f"{name} cannot be read: {error.strerror}.", hint="Check the name and the permissions."
        ) from error
    with stream:
        yield stream


def _peek(stream: io.BufferedReader, name: str) -> bytes:
    try:
        head = stream.peek(HEAD)[:HEAD]
    except (OSError, EOFError, zlib.error) as error:
        raise BrokenProfileError(f"{name} cannot be read: {error}.") from error
    return head


def decode(raw: bytes) -> str:
    """A name as text; bytes that are not UTF-8 become `\\xff`."""
    return raw.decode("utf-8", "backslashreplace")


class Salvager:
    """Raises an error at corruption, or records a note where the caller salvages the content before it."""

    def __init__(self, name: str, salvage: bool) -> None:
        self._name, self._salvage = name, salvage
        self.notes: list[str] = []

    def broken(self, message: str) -> None:
        """Raise `BrokenProfileError`; return only when salvaging, and the caller then stops reading."""
        if not self._salvage:
            raise BrokenProfileError(f"{self._name}: {message}.", hint=SALVAGE)
        self.notes.append(f"{message}; the content before it was kept.")


def chunks(source: InputSource, salvager: Salvager, limit: float = inf) -> Iterator[bytes]:
    """The content in pieces of `CHUNK` bytes, `limit` bytes in total; ends early at corruption that is salvaged."""
    offset = 0
    failure = None
    while not failure:
        pieces: list[bytes] = []
        size = missing = int(min(CHUNK, limit - offset))
        try:
            # One read at a time, so that bytes decompressed before the corruption are kept.
            while missing > 0 and (piece := source.stream.read1(missing)):
                pieces.append(piece)
                missing -= len(piece)
        except (OSError, EOFError, zlib.error) as error:
            failure = error
        if not pieces:
            break
        offset += size - missing
        yield b"".join(pieces)
    if failure:
        salvager.broken(f"Cannot be read or decompressed beyond byte {offset} ({failure})")


def lines(source: InputSource, salvager: Salvager) -> Iterator[list[bytes]]:
    """The lines without their line ends, one list per chunk."""
    rest, before = b"", 0
    for chunk in chunks(source, salvager):
        if len(rest) > LONGEST_LINE:
            salvager.broken(f"Line {before + 1} is longer than {LONGEST_LINE} bytes")
            return
        complete = (rest + chunk).split(b"\n")
        rest = complete.pop()
        before += len(complete)
        yield complete
    if rest and not salvager.notes:
        salvager.notes.append("The last line has no line end; if the file was truncated there, its number is wrong.")
        yield [rest]
