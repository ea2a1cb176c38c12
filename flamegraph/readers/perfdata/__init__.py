"""perf.data, as `perf record` writes it: to a file or a pipe, plain, gzip or `-z`; read without perf."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions
    from flamegraph.readers.source import InputSource

FORMAT = "perf.data"
IS_TEXT = False
ORDER = 10

_MAGIC = (b"PERFILE2", b"2ELIFREP")


def recognises(head: bytes) -> bool:
    """Whether the file begins with the magic number of perf, in either byte order."""
    return head.startswith(_MAGIC)


def read(source: InputSource, options: ReadOptions) -> Profile:
    """Read the profile. Raises `BrokenProfileError` with the byte offset of the corruption."""
    from flamegraph.readers.perfdata.perf_recording import read_recording

    return read_recording(source, options)
