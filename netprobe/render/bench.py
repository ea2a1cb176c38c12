"""What a benchmark gave, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netprobe.analysis.confidence import ConfidenceInterval
from netprobe.render.text import Column, TextTable
from netprobe.rules.context import RunContext

_CALLS = 8


@dataclass(frozen=True)
class Benchmark:
    """Rounds, added up; and the Run of the same time, where there is one."""

    url: str
    load: str
    """How many connections from which CPUs, in words."""
    rounds: int
    requests: int
    errors: int
    throughput: ConfidenceInterval
    """Requests a second."""
    spread_pct: float
    """Standard deviation of the rounds."""
    latency_us: dict[str, ConfidenceInterval]
    warnings: Sequence[str]
    context: RunContext | None
    run: str


def heading(shown: Benchmark) -> str:
    """One line on what was done."""
    failed = f", {shown.errors} failed" if shown.errors else ""
    return f"{shown.url}: {shown.rounds} rounds, {shown.requests} requests{failed}; {shown.load}"


def as_text(shown: Benchmark) -> TextTable:
    """Throughput and latency with their intervals."""
    columns = [Column(""), Column("MEAN", True), Column("95 % INTERVAL", True), Column("±", True)]
    rows = [["requests/s", f"{shown.throughput.value:.0f}", *_interval(shown.throughput, _rate)]]
    rows += [
        [f"latency {name}", _time(value.value), *_interval(value, _time)] for name, value in shown.latency_us.items()
    ]
    return TextTable(columns, rows)


def per_request_as_text(context: RunContext) -> TextTable | None:
    """What one request took; None where the number of requests is not known."""
    figures = per_request(context)
    if figures is None:
        return None
    rows = [[f"{one['syscall']} calls", f"{one['per_request']:.3f}"] for one in figures["system_calls"][:_CALLS]]
    rows.append(["context switches", f"{figures['switches']:.3f}"])
    if figures["cpu_us"] is not None:
        rows.append(["CPU time", _time(figures["cpu_us"])])
    return TextTable([Column("A REQUEST TOOK"), Column("", True)], rows)


def per_request(context: RunContext) -> dict[str, Any] | None:
    """Calls, switches and CPU time (in µs; None without samples by a clock) of the server by request."""
    requests = context.requests
    if requests is None or not requests.count:
        return None
    calls = sorted(context.calls, key=lambda row: -row.calls)
    return {
        "requests": requests.count,
        "system_calls": [{"syscall": row.syscall, "per_request": row.calls / requests.count} for row in calls],
        "switches": sum(row.switches for row in context.switches) / requests.count,
        "cpu_us": _cpu_us(context, requests.count),
    }


def _cpu_us(context: RunContext, requests: float) -> float | None:
    from netprobe.rules.context import MissingDataError

    try:
        profile = context.profile
    except MissingDataError:
        return None
    return profile.total / 1000 / requests if profile.info.unit == "ns" else None


def _interval(value: ConfidenceInterval, words: Any) -> list[str]:
    if value.low is None or value.high is None:
        return ["-", "-"]
    half = "-" if value.half_pct is None else f"{value.half_pct:.1f} %"
    return [f"{words(max(0.0, value.low))} to {words(value.high)}", half]


def _rate(value: float) -> str:
    return f"{value:.0f}"


def _time(us: float) -> str:
    return f"{us / 1000:.2f} ms" if us >= 1000 else f"{us:.1f} µs"


def as_json(shown: Benchmark) -> dict[str, Any]:
    """As documented in schema/bench.json."""
    return {
        "url": shown.url,
        "load": shown.load,
        "rounds": shown.rounds,
        "requests": shown.requests,
        "errors": shown.errors,
        "requests_per_second": shown.throughput.as_dict(),
        "spread_pct": shown.spread_pct,
        "latency_us": {name: value.as_dict() for name, value in shown.latency_us.items()},
        "warnings": list(shown.warnings),
        "per_request": per_request(shown.context) if shown.context else None,
        "run": shown.run,
    }
