"""What became of the throughput, with its interval, and whether the server or its load is what differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netprobe.analysis.compare import noise
from netprobe.analysis.compare.change import Change
from netprobe.analysis.compare.comparison import Comparison
from netprobe.analysis.compare.evaluation import Batch, Label, evaluate_batches
from netprobe.render.diff import interval


@dataclass(frozen=True)
class Headline:
    """`words`: a sentence; `fell`: whether the throughput, or a latency, is measurably worse in B."""

    words: str
    fell: bool


def headline(comparison: Comparison) -> Headline:
    """Of the throughput; no words where it is not known of both."""
    row = throughput(comparison)
    worse = any(one.group == "load" and one.changed and one.verdict == one.worse for one in comparison.rows)
    if row is None:
        return Headline("", worse)
    fell = worse or row.verdict == "less"
    values = f"Requests a second: {row.rate_a:,.0f} → {row.rate_b:,.0f}"
    moved = row.verdict if row.change_pct is None else f"{row.change_pct:+.{0 if abs(row.change_pct) >= 1 else 1}f} %"
    known = interval(row)
    if row.changed:
        at = f"; at 95 %: {known}" if known else ""
        return Headline(f"{values} ({moved}{at}).{_load(comparison)}", fell)
    if row.verdict == "inconclusive":
        return Headline(f"{values} ({moved}; whether that is more than noise cannot be told).", fell)
    at = f", at 95 % {known}" if known else ""
    return Headline(f"{values}, within noise ({moved}{at}).", fell)


def throughput(comparison: Comparison) -> Change | None:
    """The row that the load generator's numbers made; else one of the requests by interval."""
    for row in comparison.rows:
        if (row.group, row.name, row.per) == ("load", "requests served", "second"):
            return row
    a, b = comparison.a, comparison.b
    if not (a.requests and b.requests and a.timed and b.timed):
        return None
    before, after = (side.totals(side.exposures("request")[None, :], side.exposures("second")) for side in (a, b))
    label = Label("metric", "load", "requests served", unit="requests", worse="less")
    tau = noise.OF_SERIES if a.series else noise.with_load(0.0)
    ones = np.ones(1)
    largest = np.maximum(before.rate, after.rate)
    rows = evaluate_batches([Batch([label], before, after, np.full(1, tau), (ones, ones), largest)])
    return rows[0] if rows else None


def _load(comparison: Comparison) -> str:
    """A server that takes as long for a request as before was given another load, or waited."""
    if comparison.per != "request":
        return ""
    rows = [row for row in comparison.rows if row.group == "CPU time" and row.kind == "metric"]
    if rows and not any(row.changed for row in rows) and any(row.verdict == "no change seen" for row in rows):
        return " No change was seen in the time on CPU by request: perhaps the load differs, not the server."
    return ""
