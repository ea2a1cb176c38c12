"""The text that `perf script` prints, in every layout of its -F option."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flamegraph.readers.perf_script.perf_lines import parse_frame, parse_header
from flamegraph.readers.source import HEAD

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions
    from flamegraph.readers.source import InputSource

FORMAT = "perf script text"
IS_TEXT = True
ORDER = 30


def recognises(head: bytes) -> bool:
    """Whether the first lines contain the first line of a sample, or a frame of a stack without such a line."""
    lines = head.split(b"\n")
    if len(head) >= HEAD:
        lines.pop()
    lines = [line.rstrip(b"\r") for line in lines]
    return any(_belongs_to_sample(line) for line in lines if not line.startswith(b"#")) or head.startswith(
        b"# ========"
    )


def _belongs_to_sample(line: bytes) -> bool:
    if b"\0" in line:
        return False
    header = None if line.startswith(b"\t") else parse_header(line)
    if header:
        return header.seconds is not None or bool(header.event)
    frame = parse_frame(line)
    return frame is not None and bool(frame.address and frame.symbol and frame.module) and line[:1].isspace()


def read(source: InputSource, options: ReadOptions) -> Profile:
    """Read the text as a stream; the second half of a large file is read by a second process.

    Raises `BrokenProfileError` with the line number, `ProfileError` for an unknown event.
    """
    from flamegraph.readers.perf_script.two_processes import read_text

    return read_text(source, options)
