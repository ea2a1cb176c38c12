"""What a gate (`netprobe diff --fail-on`) could not evaluate: it may pass although something became worse."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

from netprobe.render.diff import counted, examples, loss_of, smallest_detectable_change

if TYPE_CHECKING:
    from netprobe.analysis.compare.change import Change
    from netprobe.analysis.compare.comparison import Comparison

_MAX_NAMES = 5


def findings_not_evaluated(comparison: Comparison) -> Iterator[str]:
    """Rules that are inconclusive in B, or in A if B has the finding."""
    for finding in comparison.findings:
        if finding.status == "inconclusive":
            yield f"{finding.code} is inconclusive: {finding.message}."
    listed = {finding.code for finding in comparison.findings}
    if rest := [code for code in sorted(comparison.inconclusive_in_b) if code not in listed]:
        yield f"not evaluated, because inconclusive in B: {'; '.join(rest)}."


def regressions_not_evaluated(comparison: Comparison, percent: float) -> Iterator[str]:
    """Skipped and inconclusive metrics, and metrics whose smallest detectable change is larger than `percent`."""
    for sentence in comparison.skipped:
        yield f"{sentence}."
    relevant = [row for row in comparison.rows if row.worse]
    if unknown := [row for row in relevant if row.verdict == "inconclusive"]:
        yield f"not evaluated, because the variation is not known: {_names(unknown)}."
    unchanged = [row for row in relevant if row.verdict == "within noise"]
    insensitive = [row for row in unchanged if _smallest_detectable_pct(row) > percent]
    if limits := [smallest_detectable_change(row) for row in examples(insensitive)]:
        yield f"within noise: {counted(len(unchanged))}. Smallest detectable changes: {'; '.join(limits)}."
    if not relevant:
        yield "nothing could be evaluated."


def _smallest_detectable_pct(row: Change) -> float:
    """The smallest detectable change for the worse, in percent."""
    if row.smallest_detectable_change_pct is None:
        return inf
    growth = row.smallest_detectable_change_pct
    return loss_of(growth) if row.worse == "less" else growth


def _names(rows: list[Change]) -> str:
    return "; ".join(row.name for row in rows[:_MAX_NAMES]) + ("; …" if len(rows) > _MAX_NAMES else "")
