"""A Run: what one recording measured, and how it was taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    import pandas as pd

    from netprobe.run.table import Table

FORMAT_VERSION = 1


class LazyTables(Mapping[str, "Table"]):
    """Tables that are read when they are asked for."""

    def __init__(self, names: tuple[str, ...], read: Callable[[str], Table]) -> None:
        self._names, self._read = names, read
        self._loaded: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._read(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Run:
    """What one recording measured.

    `info` is the content of run.json: format version, host, target, window, attach points, what was missed
    or unavailable, netprobe's own cost. `tables` maps a table's name to its columns.
    """

    def __init__(self, info: Mapping[str, Any], tables: Mapping[str, Table]) -> None:
        self.info, self.tables = info, tables

    def table(self, name: str) -> pd.DataFrame:
        """A table as a DataFrame; column names carry the units.

        Raises `NetprobeError` if the Run has no such table, naming those that it has.
        """
        return self.columns(name).to_frame()

    def columns(self, name: str) -> Table:
        """The same without pandas."""
        try:
            return self.tables[name]
        except KeyError:
            raise NetprobeError(
                f"This Run has no table {name!r}.", todo=f"It has: {', '.join(sorted(self.tables))}."
            ) from None

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return float(self.info["window"]["seconds"])

    def __repr__(self) -> str:
        target = self.info["target"]["description"]
        return f"<Run of {target}, {self.seconds:.1f} s, tables {', '.join(sorted(self.tables))}>"
