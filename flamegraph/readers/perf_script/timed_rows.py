"""Sums of samples by stack, thread and time interval; memory does not grow with the length of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flamegraph.profile import Samples

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

SHORTEST_INTERVAL_S = 0.1
MAX_INTERVALS = 600
_PENDING = 1 << 19
_LONGEST_NS = 1e18


class TimedRows:
    """Intervals of 0.1 s; their length doubles whenever there would be more than 600. NaN is an unknown time."""

    def __init__(self) -> None:
        self._interval_ns = round(SHORTEST_INTERVAL_S * 1e9)
        self._origin: float | None = None
        self._first = self._last = 0
        self._rows: list[tuple[Ints, Ints, Ints, Ints, Floats]] = []
        self._pending = 0

    def extend(
        self, stack: Sequence[int], thread: Sequence[int], seconds: Sequence[float], weight: Sequence[float]
    ) -> None:
        """Add samples as columns of equal length."""
        if not stack:
            return
        since = self._since_origin(np.array(seconds, np.float64))
        while self.intervals > MAX_INTERVALS:
            self._double()
        interval = since // self._interval_ns
        counts = np.ones(len(interval), np.int64)
        self._rows.append(
            (np.array(stack, np.int64), np.array(thread, np.int64), interval, counts, np.array(weight, np.float64))
        )
        self._pending += len(interval)
        # Each sum sorts all rows again: wait for as many new rows as there are old ones.
        if self._pending > max(_PENDING, len(self._rows[0][0])):
            self._sum()

    def without_rows(self) -> TimedRows:
        """An empty table with the same first time."""
        empty = TimedRows()
        empty._origin = self._origin
        return empty

    def fits(self, other: TimedRows) -> bool:
        """Whether both have the same first time, so that intervals can be compared."""
        return self._origin == other._origin

    def absorb(self, other: TimedRows, stack: Ints, thread: Ints) -> None:
        """Add the rows of a table that `fits`; `stack` and `thread` map its indices to indices of this table."""
        self._first, self._last = min(self._first, other._first), max(self._last, other._last)
        while self.intervals > MAX_INTERVALS or self._interval_ns < other._interval_ns:
            self._double()
        while other._interval_ns < self._interval_ns:
            other._double()
        self._rows += [(stack[rows[0]], thread[rows[1]], rows[2], rows[3], rows[4]) for rows in other._rows]

    def samples(self) -> Samples:
        """The sums; the first interval with samples is interval 0."""
        self._sum()
        if not self._rows:
            none = np.zeros(0, np.int64)
            return Samples(none, none, none, none, np.zeros(0))
        stack, thread, interval, count, weight = self._rows[0]
        return Samples(stack, thread, interval - interval.min(), count, weight)

    @property
    def seconds(self) -> float:
        """Time from the first to the last sample; 0 without times."""
        return (self._last - self._first) / 1e9

    @property
    def interval_s(self) -> float:
        """Length of an interval; 0 without times."""
        return self._interval_ns / 1e9 if self._origin is not None else 0.0

    @property
    def intervals(self) -> int:
        """Number of intervals from the first to the last sample."""
        return self._last // self._interval_ns - self._first // self._interval_ns + 1

    def _since_origin(self, seconds: Floats) -> Ints:
        """Nanoseconds since the first known time."""
        known = seconds[np.isfinite(seconds)]
        if not len(known):
            return np.zeros(len(seconds), np.int64)
        if self._origin is None:
            self._origin = float(known[0])
        since_ns = np.rint((np.nan_to_num(seconds, nan=self._origin) - self._origin) * 1e9)
        since = np.clip(since_ns, -_LONGEST_NS, _LONGEST_NS).astype(np.int64)
        self._first = min(self._first, int(since.min()))
        self._last = max(self._last, int(since.max()))
        return since

    def _double(self) -> None:
        self._interval_ns *= 2
        self._rows = [
            (stack, thread, interval // 2, count, weight) for stack, thread, interval, count, weight in self._rows
        ]

    def _sum(self) -> None:
        if not self._rows:
            return
        columns: list[Any] = [np.concatenate(column) for column in zip(*self._rows, strict=True)]
        stack, thread, interval, count, weight = columns
        first = int(interval.min())
        # A product beyond 2**63 would need more stacks and threads than fit in memory.
        threads, intervals = int(thread.max()) + 1, int(interval.max()) - first + 1
        keys, row = np.unique((stack * threads + thread) * intervals + (interval - first), return_inverse=True)
        rest, interval = np.divmod(keys, intervals)
        stack, thread = np.divmod(rest, threads)
        counts = np.bincount(row, count, len(keys)).astype(np.int64)
        weights = np.bincount(row, weight, len(keys)).astype(np.float64, copy=False)
        self._rows = [(stack, thread, interval + first, counts, weights)]
        self._pending = 0
