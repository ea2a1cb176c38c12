"""How the throughput of the two sides compares."""

from __future__ import annotations

import numpy as np

from netprobe.analysis.compare import noise
from netprobe.analysis.compare.change import Change
from netprobe.analysis.compare.comparison import Comparison
from netprobe.analysis.compare.evaluation import Batch, RowLabel, evaluate_batches


def throughput_change(comparison: Comparison) -> Change | None:
    """Requests per second from the load generator's numbers, else from the requests by interval."""
    for row in comparison.rows:
        if (row.group, row.name, row.per) == ("load", "requests served", "second"):
            return row
    a, b = comparison.a, comparison.b
    if not (a.requests and b.requests and a.timed and b.timed):
        return None
    before, after = (side.totals(side.exposure("request")[None, :], side.exposure("second")) for side in (a, b))
    label = RowLabel("metric", "load", "requests served", unit="requests", worse="less")
    tau = noise.OF_SERIES if a.series else noise.with_load(0.0)
    ones = np.ones(1)
    batch = Batch([label], before, after, np.full(1, tau), (ones, ones), np.maximum(before.rate, after.rate))
    rows = evaluate_batches([batch])
    return rows[0] if rows else None


def load_is_worse(comparison: Comparison) -> bool:
    """Whether the throughput or a latency is significantly worse in B."""
    throughput = throughput_change(comparison)
    fell = throughput is not None and throughput.verdict == "less"
    return fell or any(row.group == "load" and row.changed and row.verdict == row.worse for row in comparison.rows)


def cpu_time_unchanged(comparison: Comparison) -> bool:
    """Whether the CPU time per request was compared and no change was seen.

    A change of the throughput then comes from the load, or from time that the server waits.
    """
    if comparison.per != "request":
        return False
    rows = [row for row in comparison.rows if row.group == "CPU time" and row.kind == "metric"]
    return bool(rows) and not any(row.changed for row in rows) and any(row.verdict == "within noise" for row in rows)
