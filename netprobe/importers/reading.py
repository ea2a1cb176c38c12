"""From files to reports: each file is a profile as a whole, or a text with reports between other lines."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from flamegraph.readers.source import InputSource, open_source
from netprobe.errors import NetprobeError
from netprobe.importers import stacks
from netprobe.importers.lines import Line, lines
from netprobe.importers.registry import format_names, hinted_formats, hints
from netprobe.importers.report import LINES_SHOWN, ImportContext, LineKind, Parser, Report, ReportFormat

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from flamegraph.readers import InputFormat

_HEAD_BYTES = 1 << 16
_MAX_LINE_SHOWN = 120
# A mail or a page of Markdown in which the text is quoted.
_QUOTED = re.compile(r"\s*(?:> ?)+")
# Lines of other text that may be between two rows of a report, such as malformed rows or inserted comments.
_MAX_BETWEEN = 5


def read_reports(path: str | Path, architecture: str = "x86_64") -> list[Report]:
    """Every report in a file that can be imported; "-" is standard input; .gz is decompressed.

    Raises `NetprobeError` if there is no report, or the file is neither text nor a profile; `ProfileError` if it
    cannot be opened.
    """
    name = "standard input" if str(path) == "-" else os.fsencode(path).decode("utf-8", "backslashreplace")
    with open_source(path) as source:
        head = _head(source, name)
        if not head:
            raise NetprobeError(f"{name} is empty.", hint="Check that the tool ended without an error.")
        if input_format := stacks.format_of(head, text=False):
            return _found(_profile(input_format, source, head, path, name), name)
        if b"\0" in head:
            raise NetprobeError(f"{name} is neither text nor a profile of a known format.", hint=_expected())
        if not _text(lines(io.BytesIO(head), name), name, architecture) and (
            input_format := stacks.format_of(head, text=True)
        ):
            return _found(_profile(input_format, source, head, path, name), name)
        whole = cast(BinaryIO, _rewound(head, source.stream))
        return _found(_text(lines(whole, name), name, architecture), name)


def _head(source: InputSource, name: str) -> bytes:
    """The first bytes of a file; several reads, because a pipe returns few bytes at a time."""
    head = b""
    try:
        while len(head) < _HEAD_BYTES and (chunk := source.stream.read1(_HEAD_BYTES - len(head))):
            head += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise NetprobeError(
            f"{name} cannot be read or decompressed: {error}.", hint="Check that the copy is complete."
        ) from error
    return head


class _RewoundStream(io.RawIOBase):
    """A stream, preceded by the bytes that have been read from it."""

    def __init__(self, head: bytes, stream: io.BufferedReader) -> None:
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer."""
        view = memoryview(buffer).cast("B")
        content, self._head = self._head[: len(view)], self._head[len(view) :]
        content = content or self._stream.read1(len(view))
        view[: len(content)] = content
        return len(content)


def _rewound(head: bytes, stream: io.BufferedReader) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, _RewoundStream(head, stream)), 1 << 20)


def _profile(input_format: InputFormat, source: InputSource, head: bytes, path: str | Path, name: str) -> list[Report]:
    if source.path is not None:
        # A plain file is mapped into memory, and read by two processes.
        with open_source(path) as plain:
            report = stacks.read(input_format, plain, name)
    else:
        report = stacks.read(input_format, InputSource(name, _rewound(head, source.stream), None), name)
    return [report] if report else []


def _found(reports: list[Report], name: str) -> list[Report]:
    if not reports:
        raise NetprobeError(f"{name} contains no report that can be imported.", hint=_expected())
    return reports


def _expected() -> str:
    return f"Expected is the output of one of: {', '.join(format_names())}."


# ---- Reports between other lines of a text ----


def _text(content: Iterable[Line], name: str, architecture: str) -> list[Report]:
    """All reports of a text."""
    reader = _TextReader(name, architecture)
    for line in content:
        reader.feed(line)
    reader.finish()
    return reader.reports


class _TextReader:
    """Passes each line to the parser of the current report, and to the formats, to detect where a report begins."""

    def __init__(self, name: str, architecture: str) -> None:
        self.reports: list[Report] = []
        self._name, self._context = name, ImportContext(architecture=architecture)
        self._hints = hints()
        self._parser: Parser | None = None
        self._format: ReportFormat | None = None
        self._first = self._last = 0
        self._skipped: list[str] = []
        self._skipped_lines = 0
        self._between: list[Line] = []
        """Empty lines, and lines after the possible end of the report."""
        self._ended = False

    def feed(self, line: Line) -> None:
        """The next line."""
        if quoted := _QUOTED.match(line.text):
            line = Line(line.number, line.text[quoted.end() :])
        if self._parser is not None and self._takes(self._parser, line):
            return
        if self._hints.search(line.text) and self._begins(line):
            return
        if self._parser is not None:
            self._wait(line)

    def _takes(self, parser: Parser, line: Line) -> bool:
        """Whether the line belongs to the current report."""
        if not self._ended:
            kind = parser.take(line)
            if kind is not LineKind.END:
                self._note(line, kind)
                return True
        if line.blank or len(self._between) > _MAX_BETWEEN or not parser.resumes(line):
            return False
        for skipped in self._between:
            self._skip(skipped)
        self._between, self._ended, self._last = [], False, line.number
        return True

    def _note(self, line: Line, kind: LineKind) -> None:
        if kind is LineKind.MALFORMED:
            self._skip(line)
        elif kind is LineKind.ROW:
            self._last = line.number
        if not line.blank:
            self._between = []
        elif len(self._between) <= _MAX_BETWEEN:
            self._between.append(line)

    def _skip(self, line: Line) -> None:
        self._skipped_lines += 1
        if len(self._skipped) < LINES_SHOWN:
            self._skipped.append(f"line {line.number}: {line.text[:_MAX_LINE_SHOWN].strip() or 'empty'}")

    def _begins(self, line: Line) -> bool:
        """Whether a report begins with this line, which ends the report before it."""
        # Every hinted format receives the line: it may store data of the line in the context for a later report.
        found = [(one, parser) for one in hinted_formats(line.text) if (parser := one.begins(line, self._context))]
        if not found:
            return False
        self.finish()
        self._format, self._parser = found[0]
        self._first = self._last = line.number
        return True

    def _wait(self, line: Line) -> None:
        """The report has ended, unless one of the next lines is a row of it."""
        self._ended = True
        self._between.append(line)
        if len(self._between) > _MAX_BETWEEN:
            self.finish()

    def finish(self) -> None:
        """End the current report."""
        contents = self._parser.contents() if self._parser else None
        if contents and self._format:
            self.reports.append(
                Report(
                    self._format.FORMAT,
                    contents.kind or self._format.KIND,
                    self._name,
                    self._first,
                    self._last,
                    contents,
                    tuple(self._skipped),
                    self._skipped_lines,
                )
            )
        self._parser = self._format = None
        self._skipped, self._skipped_lines = [], 0
        self._between, self._ended = [], False
