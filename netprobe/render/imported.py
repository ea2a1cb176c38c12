"""Imported reports, and the results of the rules for them, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from netprobe.analysis.request_count import request_count
from netprobe.analysis.syscalls import summarise
from netprobe.render import findings
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import rate
from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding, Inconclusive, Result
from netprobe.rules.registry import evaluate
from netprobe.run.description import ImportedInfo

if TYPE_CHECKING:
    from netprobe.importers.report import Report
    from netprobe.run.model import Run


_CALLS_SHOWN, _MIN_PER_REQUEST = 5, 0.005


def reports_as_text(reports: Sequence[tuple[int, Report]]) -> TextTable:
    """One row per report."""
    columns = [
        TextColumn("REPORT", True), TextColumn("FORMAT"), TextColumn("ROWS", True), TextColumn("SECONDS", True),
        TextColumn("SKIPPED LINES", True), TextColumn("LOCATION"),
    ]  # fmt: skip
    rows = [
        [
            str(number),
            report.format,
            str(report.contents.rows),
            "?" if report.seconds is None else f"{report.seconds:.2f}".rstrip("0").rstrip("."),
            str(report.skipped_lines),
            report.place,
        ]
        for number, report in reports
    ]
    return TextTable(columns, rows)


def run_lines(run: Run) -> list[str]:
    """One Run: its load, its counts and the results of all rules."""
    results = evaluate(context_of(run))
    lines = [load_sentence(run), *reported(run), *_counted(run)]
    found = [one for one in results if isinstance(one, Finding)]
    for number, finding in enumerate(found, 1):
        lines += ["", *findings.finding_lines(number, finding)]
    lines += ["", *findings.summary_lines(results, _with_data(results)), *_notes(run)]
    return lines


def short_run_lines(run: Run, number: int) -> list[str]:
    """One of several Runs: its number, its load, the summaries of its findings, and dropped data."""
    found = [one for one in evaluate(context_of(run)) if isinstance(one, Finding)]
    lines = [f"{number}. {load_sentence(run)}", *(f"   {text}" for text in (*reported(run), *_counted(run)))]
    lines += [f"   {one.code}: {one.summary}" for one in found]
    lines += [f"   Not complete: {text}." for text in run.info.dropped]
    return lines


def load_sentence(run: Run) -> str:
    """Length of the recording, and number of requests."""
    seconds = run.info.recording.seconds
    length = "Length unknown" if seconds is None else f"{seconds:g} s"
    requests = request_count(run)
    if requests is None:
        return f"{length}; number of requests unknown."
    about = "about " if requests.estimated else ""
    per_second = "" if seconds is None else f", {rate(requests.count, seconds)} per second"
    return f"{length}; {about}{requests.count:.0f} requests{per_second} ({requests.source})."


def reported(run: Run) -> list[str]:
    """Rate and latency as the load generator printed them, in a sentence; none without such a report."""
    if "load_results" not in run.tables:
        return []
    rows = list(run.columns("load_results").rows("quantity", "statistic", "text"))
    rates = [f"{text} requests per second" for *key, text in rows if key == ["requests", "per second"]]
    means = [f"mean {text}" for *key, text in rows if key == ["latency", "avg"]]
    latencies = [
        f"{statistic} {text}"
        for quantity, statistic, text in rows
        if quantity == "latency" and statistic.startswith("p")
    ]
    parts = [*rates, *([f"latency {', '.join([*means, *latencies])}"] if means or latencies else [])]
    return [f"The load generator: {'; '.join(parts)}."] if parts else []


def _counted(run: Run) -> list[str]:
    """Calls per request, and context switches per second of the whole machine."""
    lines = []
    requests = request_count(run)
    if requests and "syscalls" in run.tables:
        calls = sorted(summarise(run.tables, "syscall"), key=lambda row: -row.calls)[:_CALLS_SHOWN]
        per_request = [
            f"{row.syscall} {row.calls / requests.count:.2f}"
            for row in calls
            if row.calls >= _MIN_PER_REQUEST * requests.count
        ]
        lines.append(f"System calls per request: {', '.join(per_request)}.")
    seconds = run.info.recording.seconds
    intervals = run.tables.get("intervals")
    if intervals is not None and "machine_switches" in intervals.columns and seconds:
        switches = sum(intervals.columns["machine_switches"])
        lines.append(f"Whole machine: {rate(switches, seconds)} context switches per second.")
    return lines


def _with_data(results: Sequence[Result]) -> list[Result]:
    """Without the rules whose data no imported report contains: they are only counted."""
    return [
        one
        for one in results
        if not (isinstance(one, Inconclusive) and one.reason.startswith(("needs the probe ", "needs the table ")))
    ]


def _notes(run: Run) -> list[str]:
    about = run.info.imported or ImportedInfo()
    return [
        *(f"Note: {note}." for note in about.notes),
        *(f"Not complete: {text}." for text in run.info.dropped),
        f"Not known: {', '.join(about.unknown)}.",
    ]


def as_json(run: Run, path: str | None, numbers: Sequence[int]) -> dict[str, Any]:
    """As documented in schema/import.json."""
    about, requests = run.info.imported or ImportedInfo(), request_count(run)
    return {
        "path": path,
        "target": run.info.target.description,
        "seconds": run.info.recording.seconds,
        "requests": None if requests is None else requests.count,
        "requests_source": None if requests is None else requests.source,
        "requests_estimated": None if requests is None else requests.estimated,
        "reports": [
            {"number": number, **msgspec.to_builtins(report)}
            for number, report in zip(numbers, about.reports, strict=True)
        ],
        "notes": about.notes,
        "unknown": about.unknown,
        "dropped": run.info.dropped,
        "tables": sorted(run.tables),
        "results": findings.as_json(evaluate(context_of(run))),
    }
