"""Reports as a Run. What they do not say is None there, and said to be not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

from netprobe import __version__
from netprobe.importers.choosing import TIMELESS, agree
from netprobe.importers.report import Report
from netprobe.run.model import FORMAT_VERSION, Run
from netprobe.run.profile import profile_tables
from netprobe.run.table import Table

if TYPE_CHECKING:
    from flamegraph.profile import Profile

_HOST = (
    "hostname", "kernel", "kernel_version", "architecture", "boot_parameters", "cpus_online", "cpu_model",
    "memory_kib", "page_size",
)  # fmt: skip
_NO_COST = {
    "programs": [],
    "accounted_seconds": 0.0,
    "estimated_cpu_pct_of_one": None,
    "attach_seconds": 0.0,
    "peak_resident_kib": 0,
}


def as_run(reports: Sequence[Report], seconds: float | None = None, requests: float | None = None) -> Run:
    """One recording. `seconds`: of reports that do not say; `requests`: served meanwhile, as the user says."""
    counts = [report for report in reports if report.kind not in TIMELESS]
    window = _window(reports, counts, seconds)
    durations = _grid(counts, window)
    tables = [table for report in reports for table in _tables(report, one_interval=len(durations) == 1)]
    tables += [_intervals(counts, durations), *_threads(tables)]
    told, notes = _requests(reports, window, requests)
    info: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "netprobe_version": __version__,
        "host": _host(reports),
        "target": _target(reports, tables),
        "recording": {"started": None, "seconds": window, "intervals": len(durations), "stopped_by": None},
        "probes": list(dict.fromkeys(report.format for report in reports)),
        "attached": [],
        "attach_mechanisms": {},
        "unavailable": [],
        "dropped": [sentence for report in reports for sentence in _left(report)],
        "cost": dict(_NO_COST),
        "imported": {
            "parts": [_part(report) for report in reports],
            "notes": [*notes, *(note for report in reports for note in report.contents.notes)],
            "unknown": _unknown(reports, window),
            "only_most_frequent": any(report.contents.only_most_frequent for report in reports),
        },
    }
    if told:
        info["requests"] = told
    return Run(info, {table.name: table for table in tables})


def _window(reports: Sequence[Report], counts: Sequence[Report], seconds: float | None) -> float | None:
    """How long it took; a load generator's time only where nothing was counted beside it."""
    known = [report.seconds for report in counts or reports if report.seconds is not None]
    return max(known) if known else seconds


def _grid(counts: Sequence[Report], window: float | None) -> tuple[float, ...]:
    """Lengths of the Run's time reports: those that all counts have in common, else one."""
    grids = {report.contents.durations for report in counts}
    (grid,) = grids if len(grids) == 1 else (None,)
    return grid or (nan if window is None else window,)


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
    return Table("intervals", columns)


def _starts(durations: tuple[float, ...]) -> list[float]:
    starts, passed = [], 0.0
    for length in durations:
        starts.append(passed)
        passed += length
    return starts


def _threads(tables: Sequence[Table]) -> list[Table]:
    """The threads that the tables name."""
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
    return [Table("threads", columns)]


def _requests(
    reports: Sequence[Report], window: float | None, told: float | None
) -> tuple[dict[str, Any] | None, list[str]]:
    """What the user says; else what the load generator says, where it is of the same time."""
    if told:
        return {"count": told, "source": "--requests"}, []
    for report in reports:
        if report.contents.requests and agree(report.seconds, window):
            return {"count": report.contents.requests, "source": report.format}, []
        if report.contents.requests:
            counted = "an unknown time (say it with -d)" if window is None else f"{window:g} s"
            return None, [
                f"the requests of {report.format} are not used: it took {report.seconds:g} s, what was counted {counted}"
            ]
    return None, []


def _host(reports: Sequence[Report]) -> dict[str, Any]:
    host: dict[str, Any] = dict.fromkeys(_HOST)
    for report in reports:
        host |= report.contents.host
    return host


def _target(reports: Sequence[Report], tables: Sequence[Table]) -> dict[str, Any]:
    formats = ", ".join(dict.fromkeys(report.format for report in reports))
    sources = ", ".join(dict.fromkeys(report.source for report in reports))
    threads = next((len(table) for table in tables if table.name == "threads"), 0)
    return {
        "description": f"what {formats} printed, from {sources}",
        "pids": [],
        "comm": None,
        "command": [],
        "threads": threads,
        "exit_status": None,
    }


def _left(report: Report) -> list[str]:
    if not report.left_count:
        return []
    one = report.left_count == 1
    lines = f"{report.left_count} line{'' if one else 's'}"
    more = "; …" if report.left_count > len(report.left) else ""
    what = f"could not be read and {'was' if one else 'were'} left: {'; '.join(report.left)}{more}"
    return [f"{lines} of {report.format} ({report.place}) {what}"]


def _part(report: Report) -> dict[str, Any]:
    return {
        "format": report.format,
        "kind": report.kind,
        "source": report.source,
        "first_line": report.first_line or None,
        "last_line": report.last_line or None,
        "rows": report.contents.rows,
        "seconds": report.seconds,
        "left": report.left_count,
    }


def _unknown(reports: Sequence[Report], window: float | None) -> list[str]:
    host = _host(reports)
    words = ["when it was recorded"]
    if window is None:
        words.append("how long it took")
    if not host["hostname"]:
        words.append("host and kernel")
    words += ["which CPUs were online"]
    return list(dict.fromkeys([*words, *(word for report in reports for word in report.contents.unknown)]))
