"""Text that is read as a stream: pieces of bounded size, however long the file or its lines are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from math import inf

from flamegraph.errors import BrokenProfileError
from flamegraph.readers.source import Source

CHUNK = 1 << 22
LONGEST_LINE = 1 << 24
SALVAGE = "To read what stands before the break: --salvage, in Python ReadOptions(salvage=True)."


def decode(raw: bytes) -> str:
    """A name as text; bytes that are no UTF-8 stand as `\\xff`."""
    return raw.decode("utf-8", "backslashreplace")


class Salvager:
    """Raises at a break, or remembers it where the caller wants what stands before."""

    def __init__(self, name: str, salvage: bool) -> None:
        self._name, self._salvage = name, salvage
        self.notes: list[str] = []

    def broken(self, what: str) -> None:
        """Returns only when salvaging; the caller then stops reading."""
        if not self._salvage:
            raise BrokenProfileError(f"{self._name}: {what}.", hint=SALVAGE)
        self.notes.append(f"{what}; what stands before it was kept.")


def chunks(source: Source, salvager: Salvager, limit: float = inf) -> Iterator[bytes]:
    """The content, `CHUNK` bytes at a time and `limit` at most; ends early at corruption that is salvaged."""
    offset = 0
    failure = None
    while not failure:
        gathered: list[bytes] = []
        size = missing = int(min(CHUNK, limit - offset))
        try:
            # One read at a time: what was unpacked before the corruption is not lost with it.
            while missing > 0 and (piece := source.stream.read1(missing)):
                gathered.append(piece)
                missing -= len(piece)
        except (OSError, EOFError, zlib.error) as error:
            failure = error
        if not gathered:
            break
        offset += size - missing
        yield b"".join(gathered)
    if failure:
        salvager.broken(f"Cannot be read or unpacked beyond byte {offset} ({failure})")


def lines(source: Source, salvager: Salvager) -> Iterator[list[bytes]]:
    """The lines, without their ends, a list a chunk."""
    rest, before = b"", 0
    for chunk in chunks(source, salvager):
        if len(rest) > LONGEST_LINE:
            salvager.broken(f"Line {before + 1} is longer than {LONGEST_LINE} bytes")
            return
        found = (rest + chunk).split(b"\n")
        rest = found.pop()
        before += len(found)
        yield found
    if rest and not salvager.notes:
        salvager.notes.append("The last line has no line end; if the file was cut there, its last number is wrong.")
        yield [rest]
