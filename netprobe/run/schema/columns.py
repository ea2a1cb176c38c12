"""How a table of a Run is declared: columns with type, unit, range and description; what comparisons do with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Dtype = Literal["int64", "float64", "bool", "string", "list[int64]"]
MetricGroup = Literal[
    "system calls", "timeouts", "switches", "preemptions", "locality", "busy polling", "packets", "machine",
    "CPU time", "load",
]  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """A column that `netprobe diff` compares: its sum per request or per second, by role of the thread.

    `name` and `detail` may name text columns of the same row in braces, as in `"{syscall}"`. Columns of one table with
    the same name are added up. `by_role` is false for counts that belong to no thread. `by_others`: caused by other
    programs than the target. `computed`: the comparison of this group needs more than a sum (a share, a mean, a
    selection of rows), so analysis/compare/metrics.py computes it.
    """

    group: MetricGroup
    name: str = ""
    unit: str = ""
    detail: str = ""
    by_role: bool = True
    by_others: bool = False
    computed: bool = False


@dataclass(frozen=True)
class Column:
    """A column. `minimum` and `maximum` are checked when a Run is loaded; NaN is allowed in every float64 column."""

    name: str
    dtype: Dtype
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    optional: bool = False
    """Missing in some Runs: the description says in which."""
    nullable: bool = False
    """Null where the value is not known."""
    all_64_bits: bool = False
    """An id or an address: the 64 bits of an unsigned number, kept in an int64, which may therefore be negative."""
    compared: Compared | None = None


@dataclass(frozen=True)
class TableSchema:
    """A table. `probe`: the probe that must be recorded to have it, "" if the table comes from elsewhere."""

    name: str
    section: str
    """Heading in docs/run-format.md."""
    description: str
    columns: tuple[Column, ...]
    probe: str = ""
    written_by: str = ""
    """What fills the table, where it is no probe or not a probe alone."""
    used_with: str = ""
    """Name of a group of tables of which each is of use only with all the others."""

    def column(self, name: str) -> Column | None:
        """The column of this name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def source(self) -> str:
        """What fills the table."""
        probes = f"probe{'s' if ',' in self.probe else ''} {self.probe}" if self.probe else ""
        return ", ".join(filter(None, (probes, self.written_by)))


def count(name: str, description: str, compared: Compared | None = None) -> Column:
    """A number of events or things."""
    return Column(name, "int64", description, minimum=0, compared=compared)


def number(name: str, description: str, minimum: float | None = None, maximum: float | None = None) -> Column:
    """An integer that is neither a count nor a time: an id, an index, a setting."""
    return Column(name, "int64", description, minimum=minimum, maximum=maximum)


def cpu(name: str, description: str) -> Column:
    """A CPU; -1 where it is not known."""
    return Column(name, "int64", description, minimum=-1, maximum=1 << 20)


def measured(name: str, description: str, unit: str = "", minimum: float | None = None) -> Column:
    """A float64; NaN where it is not known."""
    return Column(name, "float64", description, unit, minimum=minimum)


def time(name: str, description: str) -> Column:
    """An integral time, at least 0; the unit is the ending of the name."""
    return Column(name, "int64", description, unit=name.rpartition("_")[2], minimum=0)


def text(name: str, description: str) -> Column:
    """A string; text from the traced machine is sanitized when it is shown, not in the table."""
    return Column(name, "string", description)


def flag(name: str, description: str) -> Column:
    """True or false."""
    return Column(name, "bool", description)


def optional(column: Column) -> Column:
    """The same column, missing in some Runs."""
    return replace(column, optional=True)
