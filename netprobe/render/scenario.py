"""The steps of the scenario as text and as JSON: measurements, and whether the fault of the step before is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netprobe.analysis.confidence import ConfidenceInterval
from netprobe.render.findings import as_json as findings_as_json
from netprobe.render.text import TextColumn, TextTable
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.finding import Finding, Result

if TYPE_CHECKING:
    from netprobe.analysis.compare.comparison import Comparison


PERCENTILES = ("p50", "p90", "p99", "p99.99")


@dataclass(frozen=True)
class MeasuredStep:
    """One step, measured, recorded, evaluated and compared."""

    number: int
    name: str
    change: str
    """The difference from the step before."""
    fault: str
    """Code of the finding that the next step fixes; empty for the last step."""
    base: int | None
    """Number of the step that this one is compared with."""
    fixed: str
    """The fault of that step."""
    throughput: ConfidenceInterval
    """Requests per second, from short rounds without recording."""
    gain_pct: ConfidenceInterval | None
    """Compared with the base."""
    latency_us: dict[str, ConfidenceInterval]
    """By percentile, from the same rounds."""
    errors: int
    context: RunContext
    results: tuple[Result, ...]
    comparison: Comparison | None

    @property
    def findings(self) -> list[Finding]:
        """The findings among the results."""
        return [one for one in self.results if isinstance(one, Finding)]

    def has(self, code: str) -> bool:
        """Whether there is a finding with this code."""
        return any(one.code == code for one in self.findings)

    @property
    def calls_per_request(self) -> float | None:
        """System calls of the server per request."""
        requests = self.context.requests
        return sum(row.calls for row in self.context.calls) / requests.count if requests else None

    @property
    def switches_per_second(self) -> float:
        """Context switches of the server's threads per second."""
        return sum(row.switches for row in self.context.switches) / self.context.seconds

    @property
    def local_pct(self) -> float | None:
        """Percentage of messages that were read on the CPU that received them."""
        try:
            matrix = self.context.matrix
        except MissingDataError:
            return None
        return 100 * matrix.local / matrix.total if matrix.total else None

    @property
    def hit_pct(self) -> float | None:
        """Percentage of busy polls that found a packet; None if there was no poll."""
        rows = self.context.polling.rows
        attempts = sum(row.attempts for row in rows)
        return 100 * sum(row.hits for row in rows) / attempts if attempts else None

    @property
    def polled_pct(self) -> float | None:
        """Percentage of packets that busy polling received."""
        return self.context.polling.share_pct


def verdict(steps: Sequence[MeasuredStep], step: MeasuredStep) -> str:
    """Whether the fault of the base is gone: found there, and not found in this step."""
    if not step.fixed or step.base is None:
        return ""
    base = next(one for one in steps if one.number == step.base)
    if not base.has(step.fixed):
        return f"{step.fixed}: was not found"
    return f"{step.fixed}: {'still present' if step.has(step.fixed) else 'gone'}"


def as_text(steps: Sequence[MeasuredStep], percentiles: Sequence[str] = PERCENTILES) -> TextTable:
    """The table of all steps, with these percentiles of the latency."""
    columns = [
        TextColumn("", True),
        TextColumn("STEP"),
        TextColumn("REQUESTS/s", True),
        TextColumn("GAIN", True),
        TextColumn("95 % CI"),
        *(TextColumn(name, True) for name in percentiles),
        TextColumn("CALLS/REQUEST", True),
        TextColumn("SWITCHES/s", True),
        TextColumn("LOCAL %", True),
        TextColumn("POLLED %", True),
        TextColumn("HIT %", True),
        TextColumn("FAULT OF THE STEP BEFORE"),
    ]
    return TextTable(columns, [_cells(steps, step, percentiles) for step in steps], styles={
        number: "dim" for number, step in enumerate(steps) if step.base is not None and not step.fixed
    })  # fmt: skip


def _cells(steps: Sequence[MeasuredStep], step: MeasuredStep, percentiles: Sequence[str]) -> list[str]:
    return [
        str(step.number),
        step.name,
        with_margin(step.throughput),
        gain(step),
        gain_interval(step),
        *(microseconds(step.latency_us[name].value) for name in percentiles),
        number(step.calls_per_request, 2),
        f"{step.switches_per_second:.0f}",
        number(step.local_pct, 1),
        number(step.polled_pct, 1),
        number(step.hit_pct, 2),
        verdict(steps, step),
    ]


def latencies(steps: Sequence[MeasuredStep]) -> TextTable:
    """Latency of each step, with confidence intervals."""
    columns = [TextColumn("", True), TextColumn("STEP"), *(TextColumn(name, True) for name in PERCENTILES)]
    cells = [[_microseconds_with_margin(step.latency_us[name]) for name in PERCENTILES] for step in steps]
    rows = [[str(step.number), step.name, *row] for step, row in zip(steps, cells, strict=True)]
    return TextTable(columns, rows)


def with_margin(value: ConfidenceInterval) -> str:
    """A rate with half the width of its confidence interval."""
    half = "" if value.low is None or value.high is None else f" ± {(value.high - value.low) / 2:.0f}"
    return f"{value.value:.0f}{half}"


def _microseconds_with_margin(value: ConfidenceInterval) -> str:
    half = "" if value.low is None or value.high is None else f" ± {microseconds((value.high - value.low) / 2)}"
    return f"{microseconds(value.value)}{half}"


def gain(step: MeasuredStep) -> str:
    """The gain over the base as text."""
    if step.gain_pct is None:
        return ""
    value = step.gain_pct.value
    return f"x {value / 100 + 1:.1f}" if value >= 100 else f"{value:+.1f} %"


def gain_interval(step: MeasuredStep) -> str:
    """The confidence interval of the gain; it is within noise if the interval includes 0."""
    interval = step.gain_pct
    if interval is None or interval.low is None or interval.high is None:
        return ""
    within_noise = " (within noise)" if interval.low <= 0 <= interval.high else ""
    return f"{interval.low:+.0f} to {interval.high:+.0f} %{within_noise}"


def microseconds(value: float) -> str:
    """A latency as text."""
    return f"{value / 1000:.2f} ms" if value >= 1000 else f"{value:.0f} µs"


def number(value: float | None, digits: int) -> str:
    """A number as text; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def as_json(steps: Sequence[MeasuredStep], seconds: float, notes: Sequence[str]) -> dict[str, Any]:
    """As documented in schema/scenario.json."""
    return {"seconds": seconds, "notes": list(notes), "steps": [_plain(steps, step) for step in steps]}


def _plain(steps: Sequence[MeasuredStep], step: MeasuredStep) -> dict[str, Any]:
    return {
        "number": step.number,
        "name": step.name,
        "change": step.change,
        "requests_per_second": step.throughput.as_dict(),
        "gain_pct": step.gain_pct.as_dict() if step.gain_pct else None,
        "compared_with": step.base,
        "latency_us": {name: value.as_dict() for name, value in step.latency_us.items()},
        "errors": step.errors,
        "calls_per_request": step.calls_per_request,
        "switches_per_second": step.switches_per_second,
        "local_pct": step.local_pct,
        "polled_pct": step.polled_pct,
        "hit_pct": step.hit_pct,
        "fault": step.fault or None,
        "fault_found": step.has(step.fault) if step.fault else None,
        "fixed": step.fixed or None,
        "fixed_is_gone": not step.has(step.fixed) if step.fixed else None,
        **findings_as_json(step.results),
    }
