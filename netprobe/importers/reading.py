"""From files to reports: each file is a profile as a whole, or a text with reports between other lines."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from flamegraph.readers.sniff import Reader
from flamegraph.readers.source import Source, open_source
from netprobe.errors import NetprobeError
from netprobe.importers import stacks
from netprobe.importers.lines import Line, lines
from netprobe.importers.registry import format_names, hints, text_formats
from netprobe.importers.report import LINES_SHOWN, Context, Format, Parser, Report, Taken

_HEAD = 1 << 16
_SHOWN_OF_A_LINE = 120
# A mail or a page of Markdown in which the text is quoted.
_QUOTED = re.compile(r"\s*(?:> ?)+")
# So many lines that are none of a report's may stand among its rows: broken ones, or words that were written in.
_MOST_BETWEEN = 5


def read_reports(path: str | Path, architecture: str = "x86_64") -> list[Report]:
    """Everything in a file that can be imported; "-" is standard input; .gz is unpacked.

    Raises `NetprobeError` where there is nothing, or the file is no text and no profile; `ProfileError` where it
    cannot be opened.
    """
    name = "standard input" if str(path) == "-" else os.fsencode(path).decode("utf-8", "backslashreplace")
    with open_source(path) as source:
        head = _head(source, name)
        if not head:
            raise NetprobeError(f"{name} is empty.", hint="Check that the tool came to its end.")
        if reader := stacks.reader_of(head, text=False):
            return _found(_profile(reader, source, head, path, name), name)
        if b"\0" in head:
            raise NetprobeError(f"{name} is no text, and none of the profiles that can be read.", hint=_expected())
        if not _text(lines(io.BytesIO(head), name), name, architecture) and (
            reader := stacks.reader_of(head, text=True)
        ):
            return _found(_profile(reader, source, head, path, name), name)
        whole = cast(BinaryIO, stacks.again(head, source.stream))
        return _found(_text(lines(whole, name), name, architecture), name)


def _head(source: Source, name: str) -> bytes:
    """As much as there is: a pipe gives little at a time."""
    gathered = b""
    try:
        while len(gathered) < _HEAD and (chunk := source.stream.read1(_HEAD - len(gathered))):
            gathered += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise NetprobeError(
            f"{name} cannot be read or unpacked: {error}.", hint="Check that it was copied whole."
        ) from error
    return gathered


def _profile(reader: Reader, source: Source, head: bytes, path: str | Path, name: str) -> list[Report]:
    if source.path is not None:
        # A plain file is mapped, and read by two processes.
        with open_source(path) as plain:
            report = stacks.read(reader, plain, name)
    else:
        report = stacks.read(reader, Source(name, stacks.again(head, source.stream), None), name)
    return [report] if report else []


def _found(reports: list[Report], name: str) -> list[Report]:
    if not reports:
        raise NetprobeError(f"There is nothing in {name} that can be imported.", hint=_expected())
    return reports


def _expected() -> str:
    return f"Expected is the output of one of: {', '.join(format_names())}."


def _text(content: Iterable[Line], name: str, architecture: str) -> list[Report]:
    """All reports of a text."""
    reader = _TextReader(name, architecture)
    for line in content:
        reader.feed(line)
    reader.finish()
    return reader.reports


class _TextReader:
    """Gives each line to the report that is being read, or asks the formats whether one begins."""

    def __init__(self, name: str, architecture: str) -> None:
        self.reports: list[Report] = []
        self._name, self._context = name, Context(architecture=architecture)
        self._hints = hints()
        self._parser: Parser | None = None
        self._format: Format | None = None
        self._first = self._last = 0
        self._left: list[str] = []
        self._left_count = 0
        self._between: list[Line] = []
        """Empty lines, and those behind the report's end if this is its end."""
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
        """Whether the line is the report's."""
        if not self._ended:
            taken = parser.take(line)
            if taken is not Taken.END:
                self._note(line, taken)
                return True
        if line.blank or len(self._between) > _MOST_BETWEEN or not parser.resumes(line):
            return False
        for one in self._between:
            self._leave(one)
        self._between, self._ended, self._last = [], False, line.number
        return True

    def _note(self, line: Line, taken: Taken) -> None:
        if taken is Taken.BROKEN:
            self._leave(line)
        elif taken is Taken.ROW:
            self._last = line.number
        if not line.blank:
            self._between = []
        elif len(self._between) <= _MOST_BETWEEN:
            self._between.append(line)

    def _leave(self, line: Line) -> None:
        self._left_count += 1
        if len(self._left) < LINES_SHOWN:
            self._left.append(f"line {line.number}: {line.text[:_SHOWN_OF_A_LINE].strip() or 'empty'}")

    def _begins(self, line: Line) -> bool:
        """Whether a report begins here; the one before it is over then."""
        # Every format sees the line: what is none of its reports may say something of the next one.
        found = [(one, parser) for one in text_formats() if (parser := one.begins(line, self._context))]
        if not found:
            return False
        self.finish()
        self._format, self._parser = found[0]
        self._first = self._last = line.number
        return True

    def _wait(self, line: Line) -> None:
        """The report is over, unless one of the next lines is a row of it."""
        self._ended = True
        self._between.append(line)
        if len(self._between) > _MOST_BETWEEN:
            self.finish()

    def finish(self) -> None:
        """The report that is being read is over."""
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
                    tuple(self._left),
                    self._left_count,
                )
            )
        self._parser = self._format = None
        self._left, self._left_count = [], 0
        self._between, self._ended = [], False
