"""The text that `perf script` prints, in every layout that its -F option makes."""

from __future__ import annotations

from flamegraph.profile import Profile
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.perf_halves import SecondHalf, second_half
from flamegraph.readers.perf_lines import parse_frame, parse_header
from flamegraph.readers.perf_text import BrokenTextError, PerfText
from flamegraph.readers.source import HEAD, Source
from flamegraph.readers.text import Salvager, chunks

FORMAT = "perf script text"
ORDER = 30


def recognises(head: bytes) -> bool:
    """Whether a sample's first line, or a stack without one, stands among the first lines."""
    whole = head.split(b"\n")
    if len(head) >= HEAD:
        whole.pop()
    whole = [line.rstrip(b"\r") for line in whole]
    return any(_begins(line) for line in whole if not line.startswith(b"#")) or head.startswith(b"# ========")


def _begins(line: bytes) -> bool:
    if b"\0" in line:
        return False
    header = None if line.startswith(b"\t") else parse_header(line)
    if header:
        return header.seconds is not None or bool(header.event)
    frame = parse_frame(line)
    return frame is not None and bool(frame.address and frame.symbol and frame.module) and line[:1].isspace()


def read(source: Source, options: ReadOptions) -> Profile:
    """Read it as it comes; of a large file another process reads the second half.

    Raises `BrokenProfileError` naming the line, `ProfileError` for an unknown event.
    """
    salvager = Salvager(source.name, options.salvage)
    text = PerfText(options)
    try:
        with second_half(source) as half:
            if half is None or not _read_in_two(source, salvager, text, half):
                for chunk in chunks(source, salvager):
                    text.feed(chunk)
                if not salvager.notes:
                    text.end()
    except BrokenTextError as broken:
        salvager.broken(str(broken))
    return text.profile(source.name, salvager)


def _read_in_two(source: Source, salvager: Salvager, text: PerfText, half: SecondHalf) -> bool:
    """Whether all is read; if not, the stream stands at the second half."""
    for number, chunk in enumerate(chunks(source, salvager, half.begin)):
        text.feed(chunk)
        if number == 0:
            # What the first samples teach (the event, the first time, names) both processes know.
            half.start(text)
    part = half.part()
    return part is not None and text.absorb(part)
