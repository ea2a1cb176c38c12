"""A table: columns by name, without pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from netprobe.run.schema.columns import TableSchema

    Values = Sequence[Any] | npt.NDArray[Any]


@dataclass(frozen=True)
class Table:
    """Columns of equal length, by name; NumPy arrays or lists."""

    name: str
    columns: Mapping[str, Values]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Rows of the named columns as plain Python values."""
        return zip(*(_plain(self.columns[name]) for name in names), strict=True)

    def to_frame(self) -> pd.DataFrame:
        """The table as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(dict(self.columns))


def _schema(name: str) -> TableSchema:
    # Probes import this module, and the schema of all tables would delay the start of each recording.
    from netprobe.run.schema.tables import TABLES

    return TABLES[name]


def declared_table(name: str, columns: Mapping[str, Values]) -> Table:
    """A table with the columns and types that its schema declares.

    Integers become int64 (the kernel's counters are unsigned), and counts computed from rates are rounded. Raises
    `ValueError` for a column that is missing or not declared.
    """
    import numpy as np

    schema = _schema(name)
    missing = [column.name for column in schema.columns if not column.optional and column.name not in columns]
    unknown = [column for column in columns if schema.column(column) is None]
    if missing or unknown:
        raise ValueError(f"table {name}: columns missing {missing}, not declared {unknown}")
    declared: dict[str, Values] = {}
    for column in schema.columns:
        if column.name not in columns:
            continue
        values = columns[column.name]
        if column.dtype in ("int64", "float64", "bool") and not (column.nullable and None in values):
            array = np.asarray(values)
            if column.all_64_bits and array.dtype == np.uint64:
                array = array.view(np.int64)
            elif column.dtype == "int64" and array.dtype.kind == "f":
                array = np.rint(array)
            declared[column.name] = array.astype(column.dtype, copy=False)
        else:
            declared[column.name] = values
    return Table(name, declared)


def empty_table(name: str) -> Table:
    """A table without rows, with all its columns."""
    return declared_table(name, {column.name: () for column in _schema(name).columns})


def table_of_rows(name: str, rows: Iterable[Sequence[Any]]) -> Table:
    """A table from rows that have a value for each declared column, in the order of the schema."""
    rows = list(rows)
    columns = _schema(name).columns
    return declared_table(name, {column.name: [row[at] for row in rows] for at, column in enumerate(columns)})


def _plain(column: Any) -> Sequence[Any]:
    plain: Sequence[Any] = column.tolist() if hasattr(column, "tolist") else column
    return plain


def thread_rows(tables: Mapping[str, Table], name: str, *columns: str) -> Iterable[tuple[Any, ...]]:
    """(pid, tid, process, thread, *columns) of a table of that name; nothing where the Run has none."""
    if name not in tables:
        return ()
    return tables[name].rows("pid", "tid", "process", "thread", *columns)
