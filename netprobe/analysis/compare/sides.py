"""One side of a comparison: a Run with its time intervals, or a series of Runs; what its counts are divided by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.compare.metrics import Metric, counts_of, measured
from netprobe.analysis.compare.variance import RateTotals, over_intervals, over_runs
from netprobe.analysis.requests import requests_of
from netprobe.run.model import Run
from netprobe.run.profile import has_profile, read_profile

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clock:
    """Seconds (NaN where an imported Run does not tell) and requests of each interval; requests None where not known."""

    seconds: Floats
    requests: Floats | None
    estimated: bool


def clock_of(run: Run) -> Clock:
    """Requests by interval are messages read from accepted connections, scaled to the total where that was told."""
    if "intervals" not in run.tables:
        return _clock_without_intervals(run)
    seconds = np.asarray(run.tables["intervals"].columns["duration_s"], np.float64)
    requests = requests_of(run)
    if requests is None:
        return Clock(seconds, None, True)
    messages = run.tables.get("messages")
    by_interval: Floats = np.zeros(len(seconds))
    if messages is not None and "accepted" in messages.columns:
        places = np.asarray(messages.columns["interval"], np.int64)
        accepted = np.asarray(messages.columns["accepted"], np.float64)
        by_interval = np.bincount(places, accepted, len(seconds)).astype(np.float64)
    if not by_interval.sum():
        # Of an unknown length there is one interval.
        by_interval = np.where(np.isfinite(seconds), seconds, 1.0)
    return Clock(seconds, by_interval * (requests.count / by_interval.sum()), requests.estimated)


def _clock_without_intervals(run: Run) -> Clock:
    """Of a benchmark its rounds; else all of the recording as one stretch."""
    rounds = run.tables.get("load_rounds")
    if rounds is not None and len(rounds):
        seconds, served = (np.asarray(rounds.columns[name], np.float64) for name in ("duration_s", "requests"))
        return Clock(seconds, served, False)
    requests = requests_of(run)
    count = None if requests is None else np.array([requests.count], np.float64)
    return Clock(np.array([run.seconds]), count, requests is None or requests.estimated)


class Side:
    """A Run, or Runs of the same thing. `series`: the Runs are what is repeated, not the intervals."""

    def __init__(self, runs: Sequence[Run], name: str, series: bool = False) -> None:
        self.runs, self.name, self.series = tuple(runs), name, series
        self.clocks = [clock_of(run) for run in runs]

    @property
    def run(self) -> Run:
        """The first Run: what is the same in all of them is read from it."""
        return self.runs[0]

    @property
    def tables(self) -> list[Mapping[str, object]]:
        """The tables of each Run."""
        return [run.tables for run in self.runs]

    def has(self, table: str) -> bool:
        """Whether every Run has it."""
        return all(table in run.tables for run in self.runs)

    def measured(self, table: str) -> bool:
        """Whether every Run has the table with what is read from it, and time intervals to count it by."""
        return self.has("intervals") and all(measured(run.tables, table) for run in self.runs)

    @property
    def seconds(self) -> float:
        """Of all Runs; NaN where one does not tell."""
        return float(sum(clock.seconds.sum() for clock in self.clocks))

    @property
    def requests(self) -> float | None:
        """Of all Runs; None unless known for each."""
        if any(clock.requests is None for clock in self.clocks):
            return None
        return float(sum(clock.requests.sum() for clock in self.clocks if clock.requests is not None))

    @property
    def timed(self) -> bool:
        """Whether it is known how long it took."""
        return bool(np.isfinite(self.seconds))

    @property
    def only_most_frequent(self) -> bool:
        """Whether a system call that is not in it may have been made all the same."""
        return any(run.info.get("imported", {}).get("only_most_frequent") for run in self.runs)

    @property
    def has_profile(self) -> bool:
        """Whether every Run has stacks, and time intervals to count them by."""
        return self.has("intervals") and all(has_profile(run.tables) for run in self.runs)

    @cached_property
    def profiles(self) -> list[Profile]:
        """Of each Run."""
        return [read_profile(run.tables) for run in self.runs]

    @cached_property
    def pinned(self) -> bool:
        """Whether every thread that reads messages (any thread, where that is not known) may run on one CPU only."""
        return all(_pinned(run) for run in self.runs)

    def exposure(self, per: str, run: int = 0) -> Floats:
        """Seconds or requests by interval of one Run."""
        clock = self.clocks[run]
        if per == "second":
            return clock.seconds
        assert clock.requests is not None
        return clock.requests

    @property
    def units(self) -> int:
        """Intervals (of a benchmark without them, rounds), or Runs of a series: what is repeated."""
        return len(self.runs) if self.series else len(self.clocks[0].seconds)

    def rows(self, roles: Mapping[str, str], tables: Collection[str]) -> dict[Metric, tuple[Floats, Floats | None]]:
        """Counts of each metric of these tables by interval (by Run in a series), and of what it is a share or mean."""
        found = [
            counts_of(run.tables, len(clock.seconds), roles, tables)
            for run, clock in zip(self.runs, self.clocks, strict=True)
        ]
        if not self.series:
            return {metric: (row, found[0].whole.get(metric)) for metric, row in found[0].counts.items()}
        metrics = {metric for counts in found for metric in counts.counts}
        return {
            metric: (
                np.array([counts.counts[metric].sum() if metric in counts.counts else 0.0 for counts in found]),
                None
                if metric.of == "time or requests"
                else np.array([counts.whole[metric].sum() if metric in counts.whole else 0.0 for counts in found]),
            )
            for metric in metrics
        }

    def exposures(self, per: str) -> Floats:
        """Seconds or requests by interval, or by Run in a series."""
        if not self.series:
            return self.exposure(per)
        return np.array([self.exposure(per, number).sum() for number in range(len(self.runs))])

    def totals(self, counts: Floats, exposure: Floats) -> RateTotals:
        """Sums of metrics x intervals (or Runs) with their spread."""
        return over_runs(counts, exposure) if self.series else over_intervals(counts, exposure)


def _pinned(run: Run) -> bool:
    if "threads" not in run.tables or "cpus_allowed" not in run.tables["threads"].columns:
        return False
    serving = {tid for *_, tid in run.tables["messages"].rows("tid")} if "messages" in run.tables else set()
    allowed = [cpus for tid, cpus in run.tables["threads"].rows("tid", "cpus_allowed") if tid in serving or not serving]
    return bool(allowed) and all(cpus.isdigit() for cpus in allowed)
