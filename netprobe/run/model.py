"""A Run: what one recording measured, and how it was taken.

History of the format, as docs/run-format.md describes it. Fields and tables may be added within a version; a reader
of version n reads all from 1 to n.

1   The first.
2   What a Run does not tell is null or not there, which readers of version 1 take for corruption or fail at.
    Imported Runs (`imported` in run.json): `window.seconds` and `window.started`, the fields of `host`; 0 and empty
    names for calls without threads. Runs of a load generator alone: no table `intervals`, but `load_rounds`.
3   Other names of tables, columns and fields, listed in netprobe/run/versions.py. Integers are int64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    import pandas as pd

    from netprobe.run.table import Table

FORMAT_VERSION = 3


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

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Run:
    """What one recording measured.

    `info` is the content of run.json: format version, host, target, window, attach points, what was dropped
    or unavailable, netprobe's own cost. `tables` maps a table's name to its columns. `path`: its directory, where
    it was read from one.
    """

    def __init__(self, info: Mapping[str, Any], tables: Mapping[str, Table], path: Path | None = None) -> None:
        self.info, self.tables, self.path = info, tables, path

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
                f"This Run has no table {name!r}.", hint=f"It has: {', '.join(sorted(self.tables))}."
            ) from None

    @property
    def seconds(self) -> float:
        """Length of what was counted; NaN where what was imported does not say."""
        seconds = self.info["recording"]["seconds"]
        return float("nan") if seconds is None else float(seconds)

    @property
    def elapsed_seconds(self) -> float:
        """From its beginning to its end: longer than what was counted, where the recording was a light one."""
        return float(self.info["recording"].get("elapsed_seconds", self.seconds))

    @property
    def duty_cycled(self) -> bool:
        """Whether it was counted in windows, for a part of the time (`netprobe record --light`)."""
        return self.elapsed_seconds > self.seconds

    def length_in_words(self, digits: int = 1) -> str:
        """How long it was recorded, and for how much of that it was counted."""
        if self.info["recording"]["seconds"] is None:
            return "length not known"
        counted = f"{self.seconds:.{digits}f} s"
        return f"{counted} counted of {self.elapsed_seconds:.{digits}f} s" if self.duty_cycled else counted

    @property
    def imported(self) -> bool:
        """Whether it was made of what other tools printed (`netprobe import`)."""
        return "imported" in self.info

    def __repr__(self) -> str:
        target = self.info["target"]["description"]
        return f"<Run of {target}, {self.length_in_words()}, tables {', '.join(sorted(self.tables))}>"
