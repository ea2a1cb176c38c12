"""What was imported, and what the rules say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netprobe.analysis.requests import requests_of
from netprobe.analysis.syscalls import summarise
from netprobe.render import findings
from netprobe.render.text import Column, TextTable
from netprobe.render.units import rate
from netprobe.rules.finding import Finding, Inconclusive, Result
from netprobe.rules.registry import evaluate

if TYPE_CHECKING:
    from netprobe.importers.report import Report
    from netprobe.run.model import Run


_CALLS, _LEAST = 5, 0.005


def blocks_as_text(reports: Sequence[tuple[int, Report]]) -> TextTable:
    """One row a report."""
    columns = [
        Column("BLOCK", True), Column("FORMAT"), Column("ROWS", True), Column("SECONDS", True), Column("LEFT", True),
        Column("WHERE"),
    ]  # fmt: skip
    rows = [
        [
            str(number),
            report.format,
            str(report.contents.rows),
            "?" if report.seconds is None else f"{report.seconds:.2f}".rstrip("0").rstrip("."),
            str(report.left_count),
            report.place,
        ]
        for number, report in reports
    ]
    return TextTable(columns, rows)


def whole_lines(run: Run) -> list[str]:
    """All that is to be said of one Run."""
    results = evaluate(run)
    lines = [load_sentence(run), *reported(run), *_counted(run)]
    found = [one for one in results if isinstance(one, Finding)]
    for number, finding in enumerate(found, 1):
        lines += ["", *findings.finding_lines(number, finding)]
    lines += ["", *_reasons(results), findings.summary(results), *_notes(run)]
    return lines


def short_lines(run: Run, number: int) -> list[str]:
    """One of several Runs: its number, its findings by their summaries, what is missing."""
    found = [one for one in evaluate(run) if isinstance(one, Finding)]
    lines = [f"{number}. {load_sentence(run)}", *(f"   {text}" for text in (*reported(run), *_counted(run)))]
    lines += [f"   {one.code}: {one.summary}" for one in found]
    lines += [f"   Not complete: {text}." for text in run.info["dropped"]]
    return lines


def load_sentence(run: Run) -> str:
    """How long, and how many requests."""
    seconds = run.info["recording"]["seconds"]
    length = "Length not known" if seconds is None else f"{seconds:g} s"
    requests = requests_of(run)
    if requests is None:
        return f"{length}; requests not known."
    about = "about " if requests.estimated else ""
    paced = "" if seconds is None else f", {rate(requests.count, seconds)} a second"
    return f"{length}; {about}{requests.count:.0f} requests{paced} ({requests.source})."


def reported(run: Run) -> list[str]:
    """Rate and latency as the load generator printed them, in a sentence; none where there was none."""
    if "load_results" not in run.tables:
        return []
    rows = list(run.columns("load_results").rows("quantity", "statistic", "text"))
    rates = [f"{text} requests a second" for what, name, text in rows if (what, name) == ("requests", "a second")]
    means = [f"mean {text}" for what, name, text in rows if (what, name) == ("latency", "avg")]
    latencies = [f"{name} {text}" for what, name, text in rows if what == "latency" and name.startswith("p")]
    parts = [*rates, *([f"latency {', '.join([*means, *latencies])}"] if means or latencies else [])]
    return [f"The load generator: {'; '.join(parts)}."] if parts else []


def _counted(run: Run) -> list[str]:
    """The numbers that one looks for first in such a table: calls for each request, switches a second."""
    lines = []
    requests = requests_of(run)
    if requests and "syscalls" in run.tables:
        calls = sorted(summarise(run.tables, "syscall"), key=lambda row: -row.calls)[:_CALLS]
        each = [
            f"{row.syscall} {row.calls / requests.count:.2f}" for row in calls if row.calls >= _LEAST * requests.count
        ]
        lines.append(f"For each request: {', '.join(each)}.")
    seconds = run.info["recording"]["seconds"]
    reports = run.tables.get("intervals")
    if reports is not None and "machine_switches" in reports.columns and seconds:
        switches = sum(reports.columns["machine_switches"])
        lines.append(f"The whole machine: {rate(switches, seconds)} context switches a second.")
    return lines


def _reasons(results: Sequence[Result]) -> list[str]:
    """Why a rule that had a part of what it needs inconclusive; those without anything are only counted."""
    unknown = [
        one for one in results if isinstance(one, Inconclusive) and not one.reason.startswith("needs the probe ")
    ]
    return [f"INCONCLUSIVE {one.code}: {one.reason}." for one in unknown]


def _notes(run: Run) -> list[str]:
    about = run.info["imported"]
    return [
        *(f"Note: {note}." for note in about["notes"]),
        *(f"Not complete: {text}." for text in run.info["dropped"]),
        f"Not known: {', '.join(about['unknown'])}.",
    ]


def as_json(run: Run, path: str | None, numbers: Sequence[int]) -> dict[str, Any]:
    """As documented in schema/import.json."""
    about, requests = run.info["imported"], requests_of(run)
    return {
        "path": path,
        "target": run.info["target"]["description"],
        "seconds": run.info["recording"]["seconds"],
        "requests": None if requests is None else requests.count,
        "requests_source": None if requests is None else requests.source,
        "requests_estimated": None if requests is None else requests.estimated,
        "intervals": [{"number": number, **part} for number, part in zip(numbers, about["parts"], strict=True)],
        "notes": about["notes"],
        "unknown": about["unknown"],
        "dropped": run.info["dropped"],
        "tables": sorted(run.tables),
        "results": findings.as_json(evaluate(run)),
    }
