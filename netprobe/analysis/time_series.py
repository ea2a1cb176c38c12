"""Counts of a Run by interval, as rates over time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from netprobe.run.model import Run
    from netprobe.run.table import Values

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TimeAxis:
    """Start and length of each interval, in seconds from the start of the recording."""

    start_s: Floats
    duration_s: Floats

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def middle_s(self) -> Floats:
        """The time at which the value of an interval is drawn."""
        return self.start_s + self.duration_s / 2

    @property
    def end_s(self) -> float:
        """End of the last interval."""
        return float(self.start_s[-1] + self.duration_s[-1]) if len(self) else 0.0

    def by_interval(self, intervals: Values, counts: Values) -> Floats:
        """Sum of the counts of each interval; rows of intervals outside the axis are ignored."""
        numbers, amounts = np.asarray(intervals, np.int64), np.asarray(counts, np.float64)
        inside = (numbers >= 0) & (numbers < len(self))
        return np.bincount(numbers[inside], amounts[inside], len(self)).astype(np.float64)

    def rate(self, intervals: Values, counts: Values) -> Floats:
        """Counts per second of each interval."""
        return self.per_second(self.by_interval(intervals, counts))

    def per_second(self, counts: Floats) -> Floats:
        """Counts of each interval, divided by its length."""
        return np.divide(counts, self.duration_s, out=np.zeros_like(counts), where=self.duration_s > 0)


def table_rate(run: Run, axis: TimeAxis, table: str, *columns: str) -> Floats | None:
    """Sum of the columns of a table per second; None if the Run lacks the table."""
    if table not in run.tables:
        return None
    found = run.tables[table].columns
    total: Floats = np.sum([axis.rate(found["interval"], found[name]) for name in columns], axis=0)
    return total


def call_rates(run: Run, axis: TimeAxis, most: int) -> dict[str, Floats]:
    """Calls per second of the most frequent system calls."""
    if "syscalls" not in run.tables:
        return {}
    rows = run.tables["syscalls"].rows("interval", "syscall", "calls")
    totals: Counter[str] = Counter()
    series: dict[str, tuple[list[int], list[int]]] = {}
    for interval, syscall, calls in rows:
        totals[syscall] += calls
        intervals, counts = series.setdefault(syscall, ([], []))
        intervals.append(interval)
        counts.append(calls)
    return {name: axis.rate(*series[name]) for name, _ in totals.most_common(most)}


def machine_switch_rate(run: Run, axis: TimeAxis) -> Floats | None:
    """Context switches of the whole machine per second; None if the kernel's counter was not read."""
    counts = np.asarray(run.tables["intervals"].columns.get("machine_switches", ()), np.float64)
    if len(counts) != len(axis) or not np.isfinite(counts).all() or not counts.any():
        return None
    return axis.per_second(counts)


def local_share(run: Run, axis: TimeAxis) -> Floats | None:
    """Percentage of messages read on the CPU that received them; NaN for an interval without messages."""
    if "messages" not in run.tables or not len(run.tables["messages"]):
        return None
    local: Floats = np.zeros(len(axis))
    total: Floats = np.zeros(len(axis))
    for interval, rx_cpu, cpu, count in run.tables["messages"].rows("interval", "rx_cpu", "cpu", "messages"):
        if rx_cpu >= 0 and 0 <= interval < len(total):
            total[interval] += count
            local[interval] += count * (rx_cpu == cpu)
    return np.divide(100 * local, total, out=np.full_like(total, np.nan), where=total > 0)


def busy_cpus(run: Run, axis: TimeAxis) -> tuple[Floats, Floats] | None:
    """CPUs busy with the target and with other threads, from samples; None without samples weighted by time."""
    from netprobe.run.profile import has_profile

    if not has_profile(run.tables):
        return None
    profile = run.profile
    info, samples = profile.info, profile.samples
    if info.unit != "ns" or not profile.count or info.intervals != len(axis):
        return None
    of_target = np.array([thread.pid > 0 for thread in profile.threads], bool)[samples.thread]
    target, others = (
        axis.rate(samples.interval[chosen], samples.weight[chosen] / 1e9) for chosen in (of_target, ~of_target)
    )
    return target, others


def mean_min_max(values: Floats) -> tuple[float, float, float] | None:
    """Of the finite values; None if there are none."""
    known = values[np.isfinite(values)]
    return (float(known.mean()), float(known.min()), float(known.max())) if len(known) else None
