"""A table by columns, light enough to exist where pandas is not loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

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


def _plain(column: Any) -> Sequence[Any]:
    plain: Sequence[Any] = column.tolist() if hasattr(column, "tolist") else column
    return plain


def thread_rows(tables: Mapping[str, Table], name: str, *columns: str) -> Iterable[tuple[Any, ...]]:
    """(pid, tid, process, thread, *columns) of a table of that name; nothing where the Run has none."""
    if name not in tables:
        return ()
    return tables[name].rows("pid", "tid", "process", "thread", *columns)
