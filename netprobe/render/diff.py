"""The comparison of two Runs as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netprobe.analysis.compare.variance import MIN_INTERVALS
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import duration

if TYPE_CHECKING:
    from netprobe.analysis.compare.change import Change
    from netprobe.analysis.compare.comparison import Comparison
    from netprobe.analysis.compare.explanations import Explained
    from netprobe.analysis.compare.sides import Side

# Metrics with a larger smallest detectable change are not shown as examples.
_MAX_EXAMPLE_PCT = 3000.0
_GROUPS = (
    *("load", "system calls", "timeouts", "switches", "preemptions", "machine"),
    *("locality", "busy polling", "packets", "CPU time", "functions"),
)


def heading(comparison: Comparison) -> list[str]:
    """Both sides and the comparability warnings."""
    lines = [_side(side) for side in (comparison.a, comparison.b)]
    if not comparison.comparability_warnings:
        return [*lines, "Comparable: same host, kernel, program, probes, load and length."]
    warnings = (f"  - {warning.message}" for warning in comparison.comparability_warnings)
    return [*lines, "Comparability warnings:", *warnings]


def _side(side: Side) -> str:
    runs = f"{len(side.runs)} Runs, " if side.series else ""
    length = f"{side.seconds:.1f} s" if side.series and side.timed else side.run.length_as_text()
    text = f"{side.name}: {side.run.info.target.description}, {runs}{length}"
    if side.requests is None:
        return f"{text}; requests not known."
    about = "about " if side.requests_estimated else ""
    if not side.timed:
        return f"{text}, {about}{side.requests:.0f} requests."
    return f"{text}, {about}{side.requests / side.seconds:.0f} requests/s."


# ---- Tables ----


def changes_as_text(rows: Sequence[Change], top: int) -> TextTable:
    """Metrics with their rates, change and confidence interval."""
    columns = [
        *(TextColumn("METRIC"), TextColumn("A", True), TextColumn("B", True)),
        *(TextColumn("PER"), TextColumn("CHANGE"), TextColumn("95 % CI")),
    ]
    cells = [[*_rates(row), row.per, change(row), confidence_interval(row)] for row in (rows[:top] if top else rows)]
    return TextTable(columns, cells)


def single_values_as_text(rows: Sequence[Change], top: int) -> TextTable:
    """Metrics and functions with their rates and ratio, without a verdict."""
    columns = [
        TextColumn("METRIC"),
        TextColumn("A", True),
        TextColumn("B", True),
        TextColumn("PER"),
        TextColumn("B / A", True),
    ]
    cells = [
        [*_rates(row), row.per, f"{row.rate_b / row.rate_a:.2g}" if row.rate_a else "-"]
        for row in (rows[:top] if top else rows)
    ]
    return TextTable(columns, cells)


def _rates(row: Change) -> tuple[str, str, str]:
    """Name and both rates; the unit of time on CPU is added if it is not ns."""
    other_unit = row.group in ("CPU time", "functions") and row.unit != "ns"
    name = f"{row.name} ({row.unit or 'no unit'})" if other_unit else row.name
    return name, rate(row.rate_a, row.unit), rate(row.rate_b, row.unit)


def single_values(comparison: Comparison) -> list[Change]:
    """Metrics with too few values on one side for a verdict: load first, then the most frequent."""
    rows = [row for row in _single(comparison) if row.kind == "metric"]
    return sorted(rows, key=lambda row: (row.group != "load", row.group, row.unit, -max(row.rate_a, row.rate_b)))


def single_functions(comparison: Comparison) -> list[Change]:
    """Self time of functions with too few values for a verdict, the largest differences first."""
    rows = [row for row in _single(comparison) if row.kind == "function self"]
    return sorted(rows, key=lambda row: -abs(row.rate_b - row.rate_a))


def _single(comparison: Comparison) -> Iterable[Change]:
    if comparison.a.series:
        return []
    few = min(comparison.a.repetitions, comparison.b.repetitions) < MIN_INTERVALS
    return [row for row in comparison.rows if row.verdict == "inconclusive" and (few or row.group == "load")]


def explained_title(comparison: Comparison) -> str:
    """Functions may change although the total time on CPU does not."""
    if any(row.group == "CPU time" for row in comparison.changed):
        return f"Functions that explain the change in time on CPU per {comparison.per}"
    return f"Functions that changed per {comparison.per}; the total time on CPU is within noise"


def explained_as_text(rows: Sequence[Explained], top: int) -> TextTable:
    """Functions with their share of the change in time on CPU."""
    columns = [
        *(TextColumn("Δ", True), TextColumn("SHARE OF Δ", True), TextColumn("RELATIVE GROWTH", True)),
        *(TextColumn("FUNCTION"), TextColumn("CALLED FROM")),
    ]
    cells = [
        [
            f"{'+' if row.delta > 0 else '-'}{rate(abs(row.delta), row.unit)}"
            + (f" {row.unit}" if row.unit != "ns" else ""),
            f"{100 * row.share_of_delta:.0f} %",
            "new"
            if row.relative_growth is None
            else "gone"
            if not row.relative_growth
            else f"x {row.relative_growth:.2f}",
            row.function,
            row.path[-1] if row.path else "",
        ]
        for row in (rows[:top] if top else rows)
    ]
    return TextTable(columns, cells)


# ---- Lines ----

_STATUS = {
    "appeared": "Appeared    ",
    "went away": "Went away   ",
    "stayed": "Stayed      ",
    "inconclusive": "Inconclusive",
}


def findings_as_lines(comparison: Comparison) -> list[str]:
    """Findings that appeared, went away, stayed, or are inconclusive."""
    return [f"{_STATUS[finding.status]}  {finding.code}: {finding.message}" for finding in comparison.findings]


def renamed_as_lines(comparison: Comparison) -> list[str]:
    """Functions that may only have been renamed or inlined."""
    return [
        f"Possibly renamed: {pair.before} to {pair.after}."
        if pair.how == "renamed"
        else f"Possibly inlined: {pair.before} into {pair.after}."
        for pair in comparison.possibly_renamed
    ]


def within_noise(comparison: Comparison) -> list[str]:
    """The number of metrics within noise, and examples of the smallest detectable change."""
    rows = [row for row in comparison.rows if row.verdict == "within noise"]
    if not rows:
        return []
    title = f"Within noise: {counted(len(rows), bool(comparison.changed))}. Smallest detectable changes:"
    return [title, *(f"  {smallest_detectable_change(row)}" for row in examples(rows))]


def counted(count: int, others: bool = False) -> str:
    """The number of compared metrics and functions."""
    return f"{count} {'other ' * others}{'metric or function' if count == 1 else 'metrics and functions'}"


def examples(rows: Sequence[Change]) -> Iterable[Change]:
    """One row per group: the highest rate, self time of functions, the throughput of load."""
    for group in _GROUPS:
        candidates = [
            row
            for row in rows
            if row.group == group and (row.smallest_detectable_change_pct or _MAX_EXAMPLE_PCT) < _MAX_EXAMPLE_PCT
        ]
        if group == "functions":
            candidates = [row for row in candidates if row.kind == "function self"]
        if candidates:
            yield max(candidates, key=lambda row: (row.unit == "requests", max(row.rate_a, row.rate_b)))


def smallest_detectable_change(row: Change) -> str:
    """The smallest detectable growth of a row, or loss if less is worse."""
    assert row.smallest_detectable_change_pct is not None
    if row.worse == "less":
        loss = percent(loss_of(row.smallest_detectable_change_pct))
        return f">= {loss} less {row.name} ({rate(row.rate_a, row.unit)} per {row.per})"
    of_self = " (self)" if row.kind == "function self" else ""
    return f">= {percent(row.smallest_detectable_change_pct)} of {row.name}{of_self} ({_rate_per(row.rate_a, row)})"


def _rate_per(value: float, row: Change) -> str:
    return f"{rate(value, row.unit)} {'' if row.unit in ('ns', '%') else row.unit + ' '}per {row.per}"


def regression(row: Change) -> str:
    """A regression as a gate reports it: name and change, or the rate if it is new."""
    return f"{row.name} ({'new, ' + _rate_per(row.rate_b, row) if row.verdict == 'new' else change(row)})"


# ---- Numbers ----


def loss_of(growth_pct: float) -> float:
    """The loss whose logarithm has the same size as that of a growth, both in percent."""
    return 100 - 100 / (1 + growth_pct / 100)


def rate(value: float, unit: str) -> str:
    """A rate as text."""
    if unit == "ns":
        return duration(value) if value else "0"
    if unit == "%":
        return f"{value:.1f} %"
    if value and value < 0.01:
        return f"{value:.2g}"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def percent(value: float) -> str:
    """A growth in percent; as a factor from 10 on."""
    if value >= 900:
        return f"x {value / 100 + 1:.0f}"
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"


def change(row: Change) -> str:
    """A change in percent, percentage points or as a factor; the verdict if it has no ratio."""
    if row.verdict in ("new", "gone") or row.change_pct is None:
        return row.verdict
    if row.unit == "%":
        return f"{row.rate_b - row.rate_a:+.1f} points"
    return f"x {row.change_pct / 100 + 1:.0f}" if row.change_pct >= 900 else f"{row.change_pct:+.1f} %"


def confidence_interval(row: Change) -> str:
    """The 95 % confidence interval of a change, run-to-run variation included; empty if it has no ratio."""
    if row.verdict in ("new", "gone") or row.low_pct is None or row.high_pct is None:
        return ""
    if row.high_pct >= 900:
        return f"x {row.low_pct / 100 + 1:.1f} to {row.high_pct / 100 + 1:.1f}"
    return f"{row.low_pct:+.1f} to {row.high_pct:+.1f} %"


# ---- JSON ----


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The document that schema/diff.json describes."""
    return {
        "per": comparison.per,
        "sides": [
            {
                "name": side.name,
                "target": side.run.info.target.description,
                "runs": len(side.runs),
                "seconds": side.seconds if side.timed else None,
                "requests": side.requests,
                "requests_estimated": side.requests_estimated if side.requests else None,
            }
            for side in (comparison.a, comparison.b)
        ],
        "comparability_warnings": [
            {
                "aspect": warning.aspect,
                "message": warning.message,
                "before": warning.before,
                "after": warning.after,
            }
            for warning in comparison.comparability_warnings
        ],
        "skipped": list(comparison.skipped),
        "changes": [row.as_dict() for row in comparison.rows],
        "explained": [row.as_dict() for row in comparison.explained],
        "possibly_renamed": [pair.as_dict() for pair in comparison.possibly_renamed],
        "findings": [finding.as_dict() for finding in comparison.findings],
    }
