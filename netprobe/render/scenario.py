"""The scenario's steps as rows: what each gave, what netprobe named on the step below, and whether that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netprobe.analysis.confidence import ConfidenceInterval
from netprobe.render.findings import as_json as findings_as_json
from netprobe.render.text import Column, TextTable
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
    words: str
    fault: str
    """The finding that the next step is to fix; empty on the highest."""
    below: int | None
    """The number of the step it is compared with."""
    fixed: str
    """That step's fault."""
    throughput: ConfidenceInterval
    """Requests a second, of short rounds without recording."""
    gain_pct: ConfidenceInterval | None
    """Over the step it is compared with."""
    latency_us: dict[str, ConfidenceInterval]
    """By percentile, of the same rounds."""
    errors: int
    context: RunContext
    """Of the Run."""
    results: tuple[Result, ...]
    comparison: Comparison | None

    @property
    def findings(self) -> list[Finding]:
        """What netprobe says of it."""
        return [one for one in self.results if isinstance(one, Finding)]

    def has(self, code: str) -> bool:
        """Whether that finding is there."""
        return any(one.code == code for one in self.findings)

    @property
    def calls_per_request(self) -> float | None:
        """All system calls of the server by request."""
        requests = self.context.requests
        return sum(row.calls for row in self.context.calls) / requests.count if requests else None

    @property
    def switches_per_second(self) -> float:
        """Context switches of the server's threads."""
        return sum(row.switches for row in self.context.switches) / self.context.seconds

    @property
    def local_pct(self) -> float | None:
        """Messages that were read on the CPU that received them."""
        try:
            matrix = self.context.matrix
        except MissingDataError:
            return None
        return 100 * matrix.local / matrix.total if matrix.total else None

    @property
    def hit_pct(self) -> float | None:
        """Busy polls that found a packet; None where there was no poll."""
        rows = self.context.polling.rows
        attempts = sum(row.attempts for row in rows)
        return 100 * sum(row.hits for row in rows) / attempts if attempts else None

    @property
    def polled_pct(self) -> float | None:
        """Packets that came by busy polling."""
        return self.context.polling.share_pct


def verdict(steps: Sequence[MeasuredStep], step: MeasuredStep) -> str:
    """What became of the fault of the step below: `gone` if it was named there and is not here."""
    if not step.fixed or step.below is None:
        return ""
    before = next(one for one in steps if one.number == step.below)
    if not before.has(step.fixed):
        return f"{step.fixed}: was not named"
    return f"{step.fixed}: {'still there' if step.has(step.fixed) else 'gone'}"


def as_text(steps: Sequence[MeasuredStep], percentiles: Sequence[str] = PERCENTILES) -> TextTable:
    """The table at the end; of latency, these percentiles."""
    columns = [
        Column("", True), Column("RUNG"), Column("REQUESTS/s", True), Column("GAIN", True), Column("AT 95 %"),
        *(Column(name, True) for name in percentiles), Column("CALLS/REQUEST", True),
        Column("SWITCHES/s", True), Column("LOCAL %", True), Column("POLLED %", True), Column("HIT %", True),
        Column("NAMED ON THE RUNG BELOW"),
    ]  # fmt: skip
    return TextTable(columns, [_cells(steps, step, percentiles) for step in steps], styles={
        number: "dim" for number, step in enumerate(steps) if step.below is not None and not step.fixed
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
    """Of every step, with intervals."""
    columns = [Column("", True), Column("RUNG"), *(Column(name, True) for name in PERCENTILES)]
    cells = [[_microseconds_with_margin(step.latency_us[name]) for name in PERCENTILES] for step in steps]
    rows = [[str(step.number), step.name, *row] for step, row in zip(steps, cells, strict=True)]
    return TextTable(columns, rows)


def with_margin(value: ConfidenceInterval) -> str:
    """A rate with its interval's half."""
    half = "" if value.low is None or value.high is None else f" ± {(value.high - value.low) / 2:.0f}"
    return f"{value.value:.0f}{half}"


def _microseconds_with_margin(value: ConfidenceInterval) -> str:
    half = "" if value.low is None or value.high is None else f" ± {microseconds((value.high - value.low) / 2)}"
    return f"{microseconds(value.value)}{half}"


def gain(step: MeasuredStep) -> str:
    """Over the step below, in words."""
    if step.gain_pct is None:
        return ""
    value = step.gain_pct.value
    return f"x {value / 100 + 1:.1f}" if value >= 100 else f"{value:+.1f} %"


def gain_interval(step: MeasuredStep) -> str:
    """Of the gain; a gain whose interval holds 0 was not seen."""
    one = step.gain_pct
    if one is None or one.low is None or one.high is None:
        return ""
    unseen = " (none seen)" if one.low <= 0 <= one.high else ""
    return f"{one.low:+.0f} to {one.high:+.0f} %{unseen}"


def microseconds(value: float) -> str:
    """A latency."""
    return f"{value / 1000:.2f} ms" if value >= 1000 else f"{value:.0f} µs"


def number(value: float | None, digits: int) -> str:
    """A dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def as_json(steps: Sequence[MeasuredStep], seconds: float, notes: Sequence[str]) -> dict[str, Any]:
    """As documented in schema/scenario.json."""
    return {"seconds": seconds, "notes": list(notes), "steps": [_plain(steps, step) for step in steps]}


def _plain(steps: Sequence[MeasuredStep], step: MeasuredStep) -> dict[str, Any]:
    return {
        "number": step.number,
        "name": step.name,
        "words": step.words,
        "requests_per_second": step.throughput.as_dict(),
        "gain_pct": step.gain_pct.as_dict() if step.gain_pct else None,
        "compared_with": step.below,
        "latency_us": {name: value.as_dict() for name, value in step.latency_us.items()},
        "errors": step.errors,
        "calls_per_request": step.calls_per_request,
        "switches_per_second": step.switches_per_second,
        "local_pct": step.local_pct,
        "polled_pct": step.polled_pct,
        "hit_pct": step.hit_pct,
        "fault": step.fault or None,
        "fault_named": step.has(step.fault) if step.fault else None,
        "fixed": step.fixed or None,
        "fixed_is_gone": not step.has(step.fixed) if step.fixed else None,
        **findings_as_json(step.results),
    }
