"""A side of a comparison: a Run with its time intervals, or a series of Runs; and the divisors of its counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.compare.metrics import Rows, Source, counts_of, sources_of
from netprobe.analysis.compare.variance import RateTotals, over_intervals, over_runs
from netprobe.analysis.request_count import request_count
from netprobe.run.model import Run
from netprobe.run.profile import has_profile

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Exposure:
    """Seconds (NaN if not known) and requests of each interval; `requests` is None if not known."""

    seconds: Floats
    requests: Floats | None
    estimated: bool
    """Whether the requests are an estimate from the server's own receive calls."""


def exposure_of(run: Run) -> Exposure:
    """The seconds and requests of each interval.

    Requests per interval are the messages read from accepted connections, scaled to the total if a load generator
    reported it.
    """
    if "intervals" not in run.tables:
        return _exposure_without_intervals(run)
    seconds = np.asarray(run.tables["intervals"].columns["duration_s"], np.float64)
    requests = request_count(run)
    if requests is None:
        return Exposure(seconds, None, True)
    messages = run.tables.get("messages")
    by_interval: Floats = np.zeros(len(seconds))
    if messages is not None and "accepted" in messages.columns:
        interval = np.asarray(messages.columns["interval"], np.int64)
        accepted = np.asarray(messages.columns["accepted"], np.float64)
        by_interval = np.bincount(interval, accepted, len(seconds)).astype(np.float64)
    if not by_interval.sum():
        # A Run of unknown length has one interval.
        by_interval = np.where(np.isfinite(seconds), seconds, 1.0)
    return Exposure(seconds, by_interval * (requests.count / by_interval.sum()), requests.estimated)


def _exposure_without_intervals(run: Run) -> Exposure:
    """The rounds of a benchmark, else the whole recording as one interval."""
    rounds = run.tables.get("load_rounds")
    if rounds is not None and len(rounds):
        seconds, served = (np.asarray(rounds.columns[name], np.float64) for name in ("duration_s", "requests"))
        return Exposure(seconds, served, False)
    requests = request_count(run)
    count = None if requests is None else np.array([requests.count], np.float64)
    return Exposure(np.array([run.seconds]), count, requests is None or requests.estimated)


class Side:
    """A Run, or several Runs of the same server and load.

    The spread of a number comes from its repetitions: the intervals of a Run (rounds of a benchmark), or with `series`
    the Runs.
    """

    def __init__(self, runs: Sequence[Run], name: str, series: bool = False) -> None:
        self.runs, self.name, self.series = tuple(runs), name, series
        self.by_run = [exposure_of(run) for run in runs]

    @property
    def run(self) -> Run:
        """The first Run, for properties that all Runs of a series share."""
        return self.runs[0]

    def has(self, table: str) -> bool:
        """Whether every Run has the table."""
        return all(table in run.tables for run in self.runs)

    @cached_property
    def sources(self) -> frozenset[Source]:
        """Columns with counts that every Run has, if all Runs have time intervals."""
        if not self.has("intervals"):
            return frozenset()
        return frozenset.intersection(*(sources_of(run.tables) for run in self.runs))

    @property
    def seconds(self) -> float:
        """Seconds of all Runs; NaN if the length of one is not known."""
        return float(sum(exposure.seconds.sum() for exposure in self.by_run))

    @property
    def requests(self) -> float | None:
        """Requests of all Runs; None unless known for each."""
        if any(exposure.requests is None for exposure in self.by_run):
            return None
        return float(sum(exposure.requests.sum() for exposure in self.by_run if exposure.requests is not None))

    @property
    def requests_estimated(self) -> bool:
        """Whether the requests of at least one Run are an estimate."""
        return any(exposure.estimated for exposure in self.by_run)

    @property
    def timed(self) -> bool:
        """Whether the length of every Run is known."""
        return bool(np.isfinite(self.seconds))

    @property
    def only_most_frequent(self) -> bool:
        """Whether system calls may have occurred that the side does not list."""
        return any(run.info.imported is not None and run.info.imported.only_most_frequent for run in self.runs)

    @property
    def has_profile(self) -> bool:
        """Whether every Run has stacks and time intervals."""
        return self.has("intervals") and all(has_profile(run.tables) for run in self.runs)

    @property
    def profiles(self) -> list[Profile]:
        """The profile of each Run."""
        return [run.profile for run in self.runs]

    @cached_property
    def pinned(self) -> bool:
        """Whether every thread that reads messages (any thread, if not known) may run on one CPU only."""
        return all(_pinned(run) for run in self.runs)

    def exposure_of_run(self, per: str, number: int = 0) -> Floats:
        """Seconds or requests of each interval of one Run."""
        exposure = self.by_run[number]
        if per == "second":
            return exposure.seconds
        assert exposure.requests is not None
        return exposure.requests

    def exposure(self, per: str) -> Floats:
        """Seconds or requests of each repetition."""
        if not self.series:
            return self.exposure_of_run(per)
        return np.array([self.exposure_of_run(per, number).sum() for number in range(len(self.runs))])

    @property
    def repetitions(self) -> int:
        """The number of intervals (of rounds of a benchmark without intervals), or of Runs in a series."""
        return len(self.runs) if self.series else len(self.by_run[0].seconds)

    def rows(self, roles: Mapping[str, str], sources: Collection[Source]) -> Rows:
        """Counts of each metric per repetition, and for shares and means also the counts that they relate to."""
        found = [
            counts_of(run.tables, len(exposure.seconds), roles, sources)
            for run, exposure in zip(self.runs, self.by_run, strict=True)
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

    def totals(self, counts: Floats, exposure: Floats) -> RateTotals:
        """Sums over metrics x repetitions, with their spread."""
        return over_runs(counts, exposure) if self.series else over_intervals(counts, exposure)


def _pinned(run: Run) -> bool:
    if "threads" not in run.tables or "cpus_allowed" not in run.tables["threads"].columns:
        return False
    serving = {tid for *_, tid in run.tables["messages"].rows("tid")} if "messages" in run.tables else set()
    allowed = [cpus for tid, cpus in run.tables["threads"].rows("tid", "cpus_allowed") if tid in serving or not serving]
    return bool(allowed) and all(cpus.isdigit() for cpus in allowed)
