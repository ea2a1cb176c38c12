"""A report: the output of one tool within a file, and the interface of the modules that read one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Literal, Protocol

from netprobe.importers.lines import Line
from netprobe.run.table import Table

if TYPE_CHECKING:
    from flamegraph.profile import Profile

Kind = Literal[
    "system calls", "failed calls", "calls by process", "machine switches", "thread switches", "load", "listeners",
    "stacks",
]  # fmt: skip
LINES_SHOWN = 5


class LineKind(Enum):
    """The kind of a line within a report."""

    ROW = auto()
    """A row whose numbers were read."""
    OTHER = auto()
    """A heading, a rule or an empty line."""
    MALFORMED = auto()
    """A row that cannot be parsed."""
    END = auto()
    """A line after the end of the report."""


@dataclass
class ImportContext:
    """Data from the lines between reports: the machine in the banner of sysstat, the first lines of syscount."""

    host: dict[str, Any] = field(default_factory=dict)
    announced: dict[str, Any] = field(default_factory=dict)
    architecture: str = "x86_64"


@dataclass(frozen=True)
class Contents:
    """The numbers of a report. The column `interval` of its tables counts the report's own intervals."""

    tables: tuple[Table, ...]
    rows: int
    durations: tuple[float, ...] | None = None
    """Seconds of each interval; None if the text does not contain them."""
    notes: tuple[str, ...] = ()
    """Assumptions and other information for the reader: sentences."""
    unknown: tuple[str, ...] = ()
    """Data that the format never contains; each follows "Not known:"."""
    host: Mapping[str, Any] = field(default_factory=dict)
    only_most_frequent: bool = False
    """Whether system calls that are not listed may have been made."""
    machine: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Context switches and new processes of the whole machine, by interval."""
    requests: int | None = None
    profile: Profile | None = None
    kind: Kind | None = None
    """The kind, if it differs from the format's `KIND`."""


class Parser(Protocol):
    """A report that is being read."""

    def take(self, line: Line) -> LineKind:
        """Read the next line."""

    def resumes(self, line: Line) -> bool:
        """Read the line if it is certainly a row of this report although the lines before it were not."""

    def contents(self) -> Contents | None:
        """All numbers that were read; None if there were none."""


class ReportFormat(Protocol):
    """A module of this package that reads one format."""

    FORMAT: str
    """Name of the format, for messages."""
    KIND: Kind
    HINTS: tuple[str, ...]
    """Regular expressions: every line that `begins` needs to see matches one of them."""

    def begins(self, line: Line, context: ImportContext) -> Parser | None:
        """A parser that has read this line, if a report begins with it."""


@dataclass(frozen=True)
class Report:
    """The output of one tool within a file."""

    format: str
    kind: Kind
    source: str
    first_line: int
    """0 if the whole file is the report."""
    last_line: int
    contents: Contents
    skipped: tuple[str, ...] = ()
    """The first lines that could not be parsed."""
    skipped_lines: int = 0

    @property
    def seconds(self) -> float | None:
        """Length; None if the report does not contain it."""
        return sum(self.contents.durations) if self.contents.durations else None

    @property
    def place(self) -> str:
        """The file and the lines, for messages."""
        return f"{self.source}, lines {self.first_line} to {self.last_line}" if self.first_line else self.source
