"""What a format's file makes of a part of a text: a report."""

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


class Taken(Enum):
    """What became of a line."""

    ROW = auto()
    """Its numbers are in the report."""
    QUIET = auto()
    """A heading, a rule, an empty line."""
    BROKEN = auto()
    """It should be a row, and cannot be read as one."""
    END = auto()
    """It does not belong to the report any more."""


@dataclass
class Context:
    """What lines between reports told: the machine of sysstat's banner, what syscount said of itself."""

    host: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    architecture: str = "x86_64"


@dataclass(frozen=True)
class Contents:
    """A report's numbers. Tables count their `report` column within the report's own stretches of time."""

    tables: tuple[Table, ...]
    rows: int
    durations: tuple[float, ...] | None = None
    """Seconds of each stretch; None where the text does not say."""
    notes: tuple[str, ...] = ()
    """What was assumed, and what a reader has to know: sentences."""
    unknown: tuple[str, ...] = ()
    """What the format never says, in words that follow "not known:"."""
    host: Mapping[str, Any] = field(default_factory=dict)
    only_most_frequent: bool = False
    """Whether what is not in it may have happened all the same."""
    machine: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Context switches and new processes of the machine, by stretch of time."""
    requests: int | None = None
    profile: Profile | None = None
    kind: Kind | None = None
    """Where it is another than the format's usual one."""


class Parser(Protocol):
    """A report that is being read."""

    def take(self, line: Line) -> Taken:
        """The next line."""

    def resumes(self, line: Line) -> bool:
        """Take the line if it is one of its rows beyond doubt, though lines before it were none of the report's."""

    def contents(self) -> Contents | None:
        """All that was read; None where there was no number."""


class Format(Protocol):
    """A file of this package that reads one format."""

    FORMAT: str
    """The format's name, for messages."""
    KIND: Kind
    HINTS: tuple[str, ...]
    """Regular expressions of which one is found in every line that `begins` wants to see."""

    def begins(self, line: Line, context: Context) -> Parser | None:
        """A parser where a report begins with this line, which it has taken already."""


@dataclass(frozen=True)
class Report:
    """A part of a file that one format's file has read."""

    format: str
    kind: Kind
    source: str
    first_line: int
    """0 where the whole file is the report."""
    last_line: int
    contents: Contents
    left: tuple[str, ...] = ()
    """The first lines that could not be read, as they stand."""
    left_count: int = 0

    @property
    def seconds(self) -> float | None:
        """How long it took; None where that is not said."""
        return sum(self.contents.durations) if self.contents.durations else None

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return f"{self.source}, lines {self.first_line} to {self.last_line}" if self.first_line else self.source
