"""A Run: the tables of one recording, and its description."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    import pandas as pd

    from flamegraph.profile import Profile
    from netprobe.run.description import RunInfo
    from netprobe.run.table import Table


class LazyTables(Mapping[str, "Table"]):
    """Tables that are read from their files when they are first used."""

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
    """The result of one recording.

    `info`: its description, the content of run.json: host, target, time, attach points, what was dropped or not
    available, netprobe's own cost. `tables`: its tables by name. `path`: the directory that it was read from, if any.
    """

    def __init__(self, info: RunInfo, tables: Mapping[str, Table], path: Path | None = None) -> None:
        self.info, self.tables, self.path = info, tables, path

    def table(self, name: str) -> pd.DataFrame:
        """A table as a DataFrame; units are in the names of the columns.

        Raises `NetprobeError` if the Run has no such table, with the names of those that it has.
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

    @cached_property
    def profile(self) -> Profile:
        """The profile, read once. Raises `NetprobeError` if the Run has no stacks."""
        from netprobe.run.profile import read_profile

        return read_profile(self.tables)

    @property
    def seconds(self) -> float:
        """Seconds that were counted; NaN where an imported report does not contain the length."""
        seconds = self.info.recording.seconds
        return float("nan") if seconds is None else seconds

    @property
    def elapsed_seconds(self) -> float:
        """Seconds from start to stop: more than `seconds` in a duty-cycled recording."""
        elapsed = self.info.recording.elapsed_seconds
        return self.seconds if elapsed is None else elapsed

    @property
    def duty_cycled(self) -> bool:
        """Whether events were counted in sampling windows only (`netprobe record --light`)."""
        return self.elapsed_seconds > self.seconds

    def length_as_text(self, digits: int = 1) -> str:
        """The length, and how much of it was counted."""
        if self.info.recording.seconds is None:
            return "length not known"
        counted = f"{self.seconds:.{digits}f} s"
        return f"{counted} counted of {self.elapsed_seconds:.{digits}f} s" if self.duty_cycled else counted

    @property
    def imported(self) -> bool:
        """Whether the Run was made of reports of other tools (`netprobe import`)."""
        return self.info.imported is not None

    def __repr__(self) -> str:
        target = self.info.target.description
        return f"<Run of {target}, {self.length_as_text()}, tables {', '.join(sorted(self.tables))}>"
