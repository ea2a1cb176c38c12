"""What a gate could not evaluate: that it passes says nothing of that."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

from netprobe.render.diff import examples, limit, loss, numbers

if TYPE_CHECKING:
    from netprobe.analysis.compare.change import Change
    from netprobe.analysis.compare.comparison import Comparison

_NAMED = 5


def findings_not_judged(comparison: Comparison) -> Iterator[str]:
    """Rules that can say nothing of B, or nothing of A where B has a finding."""
    for one in comparison.findings:
        if one.became == "inconclusive":
            yield f"inconclusive {one.code}: {one.words}."
    told = {one.code for one in comparison.findings}
    if rest := [code for code in sorted(comparison.undecided) if code not in told]:
        yield f"not evaluated, since B inconclusive: {'; '.join(rest)}."


def regressions_not_judged(comparison: Comparison, percent: float) -> Iterator[str]:
    """What was not measured or has no spread, and of the rest how small a change would have been seen."""
    for sentence in comparison.skipped:
        yield f"{sentence}."
    costs = [row for row in comparison.rows if row.worse]
    if unknown := [row for row in costs if row.verdict == "inconclusive"]:
        yield f"not evaluated, since how much they vary is not known: {_names(unknown)}."
    unseen = [row for row in costs if row.verdict == "no change seen"]
    # What a gate of 5 % lets pass, it has to see from 5 % on.
    blind = [row for row in unseen if _least(row) > percent]
    if limits := [limit(row) for row in examples(blind)]:
        yield f"no change seen in {numbers(len(unseen))}, of which it would have seen: {'; '.join(limits)}."
    if not costs:
        yield "nothing could be evaluated."


def _least(row: Change) -> float:
    """How small a change for the worse would have been seen, in percent."""
    if row.detectable_pct is None:
        return inf
    return loss(row.detectable_pct) if row.worse == "less" else row.detectable_pct


def _names(rows: list[Change]) -> str:
    return "; ".join(row.name for row in rows[:_NAMED]) + ("; …" if len(rows) > _NAMED else "")
