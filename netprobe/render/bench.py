"""The result of a benchmark, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from netprobe.analysis.confidence import ConfidenceInterval
from netprobe.render.text import TextColumn, TextTable
from netprobe.rules.context import RunContext

_CALLS_SHOWN = 8


@dataclass(frozen=True)
class Benchmark:
    """All rounds together, and the recording of the same time if there is one."""

    url: str
    load: str
    """Connections and CPUs of the load generator, as text."""
    rounds: int
    requests: int
    errors: int
    throughput: ConfidenceInterval
    """Requests per second."""
    spread_pct: float
    """Standard deviation of the rounds, percent of the mean."""
    latency_us: dict[str, ConfidenceInterval]
    warnings: Sequence[str]
    context: RunContext | None
    run: str


def heading(benchmark: Benchmark) -> str:
    """One line with the URL, the rounds and the load."""
    failed = f", {benchmark.errors} failed" if benchmark.errors else ""
    return f"{benchmark.url}: {benchmark.rounds} rounds, {benchmark.requests} requests{failed}; {benchmark.load}"


def as_text(benchmark: Benchmark) -> TextTable:
    """Throughput and latency with confidence intervals."""
    columns = [
        TextColumn(""),
        TextColumn("MEAN", True),
        TextColumn("95 % CONFIDENCE INTERVAL", True),
        TextColumn("±", True),
    ]
    rows = [["requests/s", f"{benchmark.throughput.value:.0f}", *_interval(benchmark.throughput, _rate)]]
    rows += [
        [f"latency {name}", _time(latency.value), *_interval(latency, _time)]
        for name, latency in benchmark.latency_us.items()
    ]
    return TextTable(columns, rows)


def per_request_as_text(context: RunContext) -> TextTable | None:
    """Counts per request; None if the number of requests is unknown."""
    counts = per_request(context)
    if counts is None:
        return None
    rows = [[f"{one['syscall']} calls", f"{one['per_request']:.3f}"] for one in counts["system_calls"][:_CALLS_SHOWN]]
    rows.append(["context switches", f"{counts['switches']:.3f}"])
    if counts["cpu_us"] is not None:
        rows.append(["CPU time", _time(counts["cpu_us"])])
    return TextTable([TextColumn("PER REQUEST"), TextColumn("", True)], rows)


def per_request(context: RunContext) -> dict[str, Any] | None:
    """System calls, context switches and CPU time in µs (None without clock samples) of the server, per request."""
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


def _interval(value: ConfidenceInterval, format_value: Callable[[float], str]) -> list[str]:
    if value.low is None or value.high is None:
        return ["-", "-"]
    half_width = "-" if value.half_pct is None else f"{value.half_pct:.1f} %"
    return [f"{format_value(max(0.0, value.low))} to {format_value(value.high)}", half_width]


def _rate(value: float) -> str:
    return f"{value:.0f}"


def _time(us: float) -> str:
    return f"{us / 1000:.2f} ms" if us >= 1000 else f"{us:.1f} µs"


def as_json(benchmark: Benchmark) -> dict[str, Any]:
    """As documented in schema/bench.json."""
    return {
        "url": benchmark.url,
        "load": benchmark.load,
        "rounds": benchmark.rounds,
        "requests": benchmark.requests,
        "errors": benchmark.errors,
        "requests_per_second": benchmark.throughput.as_dict(),
        "spread_pct": benchmark.spread_pct,
        "latency_us": {name: value.as_dict() for name, value in benchmark.latency_us.items()},
        "warnings": list(benchmark.warnings),
        "per_request": per_request(benchmark.context) if benchmark.context else None,
        "run": benchmark.run,
    }
