"""What changed between two Runs, as a page of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netprobe.analysis.compare.variance import FEWEST_BLOCKS
from netprobe.render.text import Column, TextTable
from netprobe.render.units import duration

if TYPE_CHECKING:
    from netprobe.analysis.compare.change import Change
    from netprobe.analysis.compare.comparison import Comparison
    from netprobe.analysis.compare.explanations import Explained
    from netprobe.analysis.compare.sides import Side

# What would have had to be so many percent more is no example of what would have been seen.
_HOPELESS = 3000.0
_GROUPS = (
    *("load", "system calls", "timeouts", "switches", "preemptions", "machine"),
    *("locality", "busy polling", "packets", "CPU time", "functions"),
)


def heading(comparison: Comparison) -> list[str]:
    """Both sides, and whether they can be compared."""
    lines = [_side(side) for side in (comparison.a, comparison.b)]
    if not comparison.comparable:
        return [*lines, "Comparable: host, kernel, program, load, length and what was recorded are the same."]
    return [*lines, "Before anything else:", *(f"  - {one.words}" for one in comparison.comparable)]


def _side(side: Side) -> str:
    runs = f"{len(side.runs)} Runs, " if side.series else ""
    length = f"{side.seconds:.1f} s" if side.series and side.timed else side.run.length_in_words()
    words = f"{side.name}: {side.run.info['target']['description']}, {runs}{length}"
    if side.requests is None:
        return f"{words}; requests not known."
    about = "about " if any(clock.estimated for clock in side.clocks) else ""
    if not side.timed:
        return f"{words}, {about}{side.requests:.0f} requests."
    return f"{words}, {about}{side.requests / side.seconds:.0f} requests/s."


def changes_as_text(rows: Sequence[Change], top: int) -> TextTable:
    """What changed, apart from functions."""
    columns = [Column("WHAT"), Column("A", True), Column("B", True), Column("PER"), Column("CHANGE"), Column("AT 95 %")]
    chosen = rows[:top] if top else rows
    cells = [
        [_what(row), amount(row.rate_a, row.unit), amount(row.rate_b, row.unit), row.per, change(row), interval(row)]
        for row in chosen
    ]
    return TextTable(columns, cells)


def single_values(comparison: Comparison) -> list[Change]:
    """Metrics of which one side has too few values for a verdict; load first, then what is counted most."""
    rows = [row for row in _single(comparison) if row.kind == "metric"]
    return sorted(rows, key=lambda row: (row.group != "load", row.group, row.unit, -max(row.rate_a, row.rate_b)))


def single_functions(comparison: Comparison) -> list[Change]:
    """The same of functions without what they call, those that differ most first."""
    rows = [row for row in _single(comparison) if row.kind == "function itself"]
    return sorted(rows, key=lambda row: -abs(row.rate_b - row.rate_a))


def _single(comparison: Comparison) -> Iterable[Change]:
    if comparison.a.series:
        return []
    few = min(comparison.a.units, comparison.b.units) < FEWEST_BLOCKS
    return [row for row in comparison.rows if row.verdict == "inconclusive" and (few or row.group == "load")]


def single_as_text(rows: Sequence[Change], top: int) -> TextTable:
    """Both values side by side: nothing is said of a change."""
    columns = [Column("WHAT"), Column("A", True), Column("B", True), Column("PER"), Column("B / A", True)]
    chosen = rows[:top] if top else rows
    cells = [
        [
            _what(row),
            amount(row.rate_a, row.unit),
            amount(row.rate_b, row.unit),
            row.per,
            f"{row.rate_b / row.rate_a:.2g}" if row.rate_a else "-",
        ]
        for row in chosen
    ]
    return TextTable(columns, cells)


def _what(row: Change) -> str:
    """Its name; of time that is not in seconds, with the unit."""
    is_time = row.group in ("CPU time", "functions") and row.unit != "ns"
    return f"{row.name} ({row.unit or 'no unit'})" if is_time else row.name


def explained_title(comparison: Comparison) -> str:
    """What the functions explain: they may change where all of them together do not."""
    if any(row.group == "CPU time" for row in comparison.changed):
        return f"Functions that explain the change in time on CPU by {comparison.per}"
    return f"Functions that changed by {comparison.per}; of all time on CPU no change was seen"


def explained_as_text(rows: Sequence[Explained], top: int) -> TextTable:
    """Functions that explain the change in time on CPU."""
    columns = [
        Column("OVERWEIGHT", True), Column("PART %", True), Column("CHANGE", True), Column("FUNCTION"), Column("BELOW"),
    ]  # fmt: skip
    chosen = rows[:top] if top else rows
    cells = [
        [
            "new" if one.overweight is None else "gone" if not one.overweight else f"x {one.overweight:.2f}",
            f"{100 * one.responsibility:.0f}",
            f"{'+' if one.change > 0 else '-'}{amount(abs(one.change), one.unit)}"
            + (f" {one.unit}" if one.unit != "ns" else ""),
            one.function,
            one.path[-1] if one.path else "",
        ]
        for one in chosen
    ]
    return TextTable(columns, cells)


def meaning(comparison: Comparison) -> list[str]:
    """Findings that appeared, went or stayed; functions that may only be called otherwise."""
    lines = [f"{_BECAME[one.became]}  {one.code}: {one.words}" for one in comparison.findings]
    for one in comparison.renamed:
        if one.how == "renamed":
            lines.append(f"Perhaps only renamed: {one.before} may be {one.after} now.")
        else:
            lines.append(f"Perhaps only inlined: {one.before} may be a part of {one.after} now.")
    return lines


_BECAME = {"appeared": "Appeared ", "went away": "Went away", "stayed": "Stayed   ", "inconclusive": "CANNOT TELL"}


def unseen(comparison: Comparison) -> list[str]:
    """What did not change, and how large a change would have been seen."""
    rows = [row for row in comparison.rows if row.verdict == "no change seen"]
    if not rows:
        return []
    lines = [f"No change seen in {numbers(len(rows), bool(comparison.changed))}. Would have seen:"]
    lines += [f"  {limit(row)}" for row in examples(rows)]
    return lines


def numbers(count: int, others: bool = False) -> str:
    """How many of them, in words."""
    return f"{count} {'other ' * others}number{'' if count == 1 else 's'}"


def examples(rows: Sequence[Change]) -> Iterable[Change]:
    """Of each group the one that is counted most; of functions a wide one, of load the throughput."""
    for group in _GROUPS:
        fitting = [row for row in rows if row.group == group and (row.detectable_pct or _HOPELESS) < _HOPELESS]
        if group == "functions":
            fitting = [row for row in fitting if row.kind == "function itself"]
        if fitting:
            yield max(fitting, key=lambda row: (row.unit == "requests", max(row.rate_a, row.rate_b)))


def limit(row: Change) -> str:
    """How small a growth of it, or loss where that is worse, would have been seen."""
    assert row.detectable_pct is not None
    if row.worse == "less":
        return f">= {percent(loss(row.detectable_pct))} less {row.name} ({amount(row.rate_a, row.unit)} a {row.per})"
    itself = " itself" if row.kind == "function itself" else ""
    return f">= {percent(row.detectable_pct)} of {row.name}{itself} ({_rate(row.rate_a, row)})"


def _rate(value: float, row: Change) -> str:
    return f"{amount(value, row.unit)} {'' if row.unit in ('ns', '%') else row.unit + ' '}a {row.per}"


def reason(row: Change) -> str:
    """Why a gate fails: what it is, and how much more; of what is new, how much it costs."""
    return f"{row.name} ({'new, ' + _rate(row.rate_b, row) if row.verdict == 'new' else change(row)})"


def loss(growth_pct: float) -> float:
    """The loss that is as far from no change as a growth, by the logarithm."""
    return 100 - 100 / (1 + growth_pct / 100)


def amount(value: float, unit: str) -> str:
    """A rate for people."""
    if unit == "ns":
        return duration(value) if value else "0"
    if unit == "%":
        return f"{value:.1f} %"
    if value and value < 0.01:
        return f"{value:.2g}"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def percent(value: float) -> str:
    """How much more, in percent; in multiples from 10 on."""
    if value >= 900:
        return f"x {value / 100 + 1:.0f}"
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"


def change(row: Change) -> str:
    """In a word."""
    if row.verdict in ("new", "gone") or row.change_pct is None:
        return row.verdict
    if row.unit == "%":
        return f"{row.rate_b - row.rate_a:+.1f} points"
    return f"x {row.change_pct / 100 + 1:.0f}" if row.change_pct >= 900 else f"{row.change_pct:+.1f} %"


def interval(row: Change) -> str:
    """Of the change, run-to-run variation included."""
    if row.verdict in ("new", "gone") or row.low_pct is None or row.high_pct is None:
        return ""
    if row.high_pct >= 900:
        return f"x {row.low_pct / 100 + 1:.1f} to {row.high_pct / 100 + 1:.1f}"
    return f"{row.low_pct:+.1f} to {row.high_pct:+.1f} %"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """As documented in schema/diff.json."""
    from netprobe.analysis.compare.comparison import as_plain

    return as_plain(comparison)
