"""Converts reports to a Run. Data that the reports do not contain are None, and listed as not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

from netprobe.importers.report import Report
from netprobe.importers.selection import TIMELESS, same_length
from netprobe.run.description import (
    HostInfo,
    ImportedInfo,
    ImportedReport,
    RecordingInfo,
    RequestsInfo,
    RunInfo,
    TargetInfo,
)
from netprobe.run.model import Run
from netprobe.run.profile import profile_tables
from netprobe.run.table import Table, declared_table
from netprobe.version import __version__

if TYPE_CHECKING:
    from flamegraph.profile import Profile


def as_run(reports: Sequence[Report], seconds: float | None = None, requests: float | None = None) -> Run:
    """A Run of reports of one recording.

    `seconds`: length of the reports that do not contain it. `requests`: requests served in that time, from the user.
    """
    counts = [report for report in reports if report.kind not in TIMELESS]
    length = _length(reports, counts, seconds)
    durations = _interval_lengths(counts, length)
    tables = [table for report in reports for table in _tables(report, one_interval=len(durations) == 1)]
    tables += [_intervals(counts, durations), *_threads(tables)]
    served, notes = _requests(reports, length, requests)
    info = RunInfo(
        netprobe_version=__version__,
        host=_host(reports),
        target=_target(reports, tables),
        recording=RecordingInfo(seconds=length, intervals=len(durations)),
        probes=list(dict.fromkeys(report.format for report in reports)),
        dropped=[sentence for report in reports for sentence in _skipped(report)],
        requests=served,
        imported=ImportedInfo(
            reports=[_imported_report(report) for report in reports],
            notes=[*notes, *(note for report in reports for note in report.contents.notes)],
            unknown=_unknown(reports, length),
            only_most_frequent=any(report.contents.only_most_frequent for report in reports),
        ),
    )
    return Run(info, {table.name: table for table in tables})


def _length(reports: Sequence[Report], counts: Sequence[Report], seconds: float | None) -> float | None:
    """Length of the recording; the length of a load generator's report only if there is no other report."""
    known = [report.seconds for report in counts or reports if report.seconds is not None]
    return max(known) if known else seconds


def _interval_lengths(counts: Sequence[Report], length: float | None) -> tuple[float, ...]:
    """Lengths of the Run's intervals: those that all counts share, otherwise one interval."""
    all_lengths = {report.contents.durations for report in counts}
    (shared,) = all_lengths if len(all_lengths) == 1 else (None,)
    return shared or (nan if length is None else length,)


def _tables(report: Report, one_interval: bool) -> list[Table]:
    tables = list(report.contents.tables)
    if report.contents.profile is not None:
        tables += profile_tables(_without_times(report.contents.profile) if one_interval else report.contents.profile)
    if not one_interval:
        return tables
    return [
        Table(one.name, {**one.columns, "interval": [0] * len(one)}) if "interval" in one.columns else one
        for one in tables
    ]


def _without_times(profile: Profile) -> Profile:
    return replace(
        profile,
        samples=replace(profile.samples, interval=profile.samples.interval * 0),
        info=replace(profile.info, interval_s=0.0, intervals=1),
    )


def _intervals(counts: Sequence[Report], durations: tuple[float, ...]) -> Table:
    starts = [sum(durations[:number]) for number in range(len(durations))] if len(durations) < 2 else _starts(durations)
    columns: dict[str, list[Any]] = {
        "interval": list(range(len(durations))),
        "start_s": starts,
        "duration_s": list(durations),
    }
    machine = next((report.contents.machine for report in counts if report.contents.machine), None)
    if machine:
        whole = [list(values) if len(values) == len(durations) else [sum(values)] for values in machine]
        columns |= {"machine_switches": whole[0], "machine_forks": whole[1]}
    return declared_table("intervals", columns)


def _starts(durations: tuple[float, ...]) -> list[float]:
    starts, passed = [], 0.0
    for length in durations:
        starts.append(passed)
        passed += length
    return starts


def _threads(tables: Sequence[Table]) -> list[Table]:
    """The threads in the tables."""
    seen: dict[tuple[int, int], tuple[str, str]] = {}
    for table in tables:
        if table.name in ("syscalls", "switches"):
            for pid, tid, process, thread in table.rows("pid", "tid", "process", "thread"):
                if tid > 0:
                    seen[pid, tid] = process, thread
    if not seen:
        return []
    count = len(seen)
    columns: Mapping[str, list[Any]] = {
        "pid": [pid for pid, _ in seen],
        "tid": [tid for _, tid in seen],
        "process": [process for process, _ in seen.values()],
        "thread": [thread for _, thread in seen.values()],
        "cpus_allowed": [""] * count,
        "first_seen_s": [nan] * count,
        "ended_s": [nan] * count,
    }
    return [declared_table("threads", columns)]


def _requests(
    reports: Sequence[Report], length: float | None, specified: float | None
) -> tuple[RequestsInfo | None, list[str]]:
    """The number that the user specified, otherwise that of the load generator if it is of the same time."""
    if specified:
        return RequestsInfo(count=specified, source="--requests"), []
    for report in reports:
        if report.contents.requests and same_length(report.seconds, length):
            return RequestsInfo(count=report.contents.requests, source=report.format), []
        if report.contents.requests:
            others = "an unknown time (specify it with -d)" if length is None else f"{length:g} s"
            return None, [
                f"the requests of {report.format} are not used: "
                f"it took {report.seconds:g} s, the other reports {others}"
            ]
    return None, []


def _host(reports: Sequence[Report]) -> HostInfo:
    host: dict[str, Any] = {}
    for report in reports:
        host |= report.contents.host
    return HostInfo(**host)


def _target(reports: Sequence[Report], tables: Sequence[Table]) -> TargetInfo:
    formats = ", ".join(dict.fromkeys(report.format for report in reports))
    sources = ", ".join(dict.fromkeys(report.source for report in reports))
    threads = next((len(table) for table in tables if table.name == "threads"), 0)
    return TargetInfo(description=f"{formats} output, from {sources}", threads=threads)


def _skipped(report: Report) -> list[str]:
    if not report.skipped_lines:
        return []
    one = report.skipped_lines == 1
    lines = f"{report.skipped_lines} line{'' if one else 's'}"
    more = "; …" if report.skipped_lines > len(report.skipped) else ""
    skipped = f"could not be parsed and {'was' if one else 'were'} skipped: {'; '.join(report.skipped)}{more}"
    return [f"{lines} of {report.format} ({report.place}) {skipped}"]


def _imported_report(report: Report) -> ImportedReport:
    return ImportedReport(
        format=report.format,
        kind=report.kind,
        source=report.source,
        first_line=report.first_line or None,
        last_line=report.last_line or None,
        rows=report.contents.rows,
        seconds=report.seconds,
        skipped_lines=report.skipped_lines,
    )


def _unknown(reports: Sequence[Report], length: float | None) -> list[str]:
    host = _host(reports)
    unknown = ["start of the recording"]
    if length is None:
        unknown.append("length of the recording")
    if not host.hostname:
        unknown.append("host and kernel")
    unknown += ["which CPUs were online"]
    return list(dict.fromkeys([*unknown, *(item for report in reports for item in report.contents.unknown)]))
