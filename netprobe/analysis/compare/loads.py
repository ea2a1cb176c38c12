"""What a load generator measured: throughput and latencies, by round of `netprobe bench`, by report, or by Run.

What is repeated are the rounds, and in a series the Runs. A single report has one value of each: nothing is known of
how much that varies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.compare import noise
from netprobe.analysis.compare.costs import worse
from netprobe.analysis.compare.intervals import over_runs
from netprobe.analysis.compare.judging import Batch, Label
from netprobe.analysis.compare.metrics import Metric

if TYPE_CHECKING:
    import numpy.typing as npt

    from netprobe.analysis.compare.sides import Side
    from netprobe.run.model import Run

    Floats = npt.NDArray[np.float64]

TABLES = ("load_rounds", "load_results")
# They are measured, and not counted: what such a number would spread by as a count of events is to be nothing.
_MEASURED = 1e9
_SERVED = Metric("load", "requests served", of="mean", unit="requests")


def load_batches(a: Side, b: Side) -> Iterator[Batch]:
    """Of what was measured on both sides."""
    before, after = _values(a), _values(b)
    for metric in sorted(before.keys() & after.keys()):
        values = before[metric], after[metric]
        left, right = (over_runs(one[None, :] * _MEASURED, np.ones(len(one))) for one in values)
        per = "second" if metric is _SERVED else "request"
        label = Label(
            "metric", "load", metric.words, unit=metric.unit, per=per, scale=1 / _MEASURED, worse=worse(metric, {})
        )
        tau = noise.OF_SERIES if a.series else noise.run_to_run(metric, a.pinned and b.pinned)
        unchanged = (np.ones(1), np.ones(1))
        yield Batch([label], left, right, np.full(1, tau), unchanged, np.maximum(left.rate, right.rate))


def has_load(side: Side) -> bool:
    """Whether a load generator measured in every Run."""
    return all(any(table in run.tables for table in TABLES) for run in side.runs)


def _values(side: Side) -> dict[Metric, Floats]:
    found = [_of_run(run) for run in side.runs]
    if not side.series:
        return found[0]
    shared = set.intersection(*(set(values) for values in found))
    return {metric: np.array([values[metric].mean() for values in found]) for metric in shared}


def _of_run(run: Run) -> dict[Metric, Floats]:
    if "load_rounds" in run.tables:
        return _of_rounds(run)
    return _of_report(run) if "load_results" in run.tables else {}


def _of_rounds(run: Run) -> dict[Metric, Floats]:
    columns = run.tables["load_rounds"].columns
    if not len(run.tables["load_rounds"]):
        return {}
    served = np.asarray(columns["requests"], np.float64) / np.asarray(columns["duration_s"], np.float64)
    latencies = {
        _latency(name.removesuffix("_us").replace("_", ".")): 1000 * np.asarray(values, np.float64)
        for name, values in columns.items()
        if name.startswith("p") and name.endswith("_us")
    }
    return {_SERVED: served, **latencies}


def _of_report(run: Run) -> dict[Metric, Floats]:
    found: dict[Metric, Floats] = {}
    for quantity, statistic, value, unit in run.tables["load_results"].rows("quantity", "statistic", "value", "unit"):
        if (quantity, statistic) == ("requests", "a second"):
            found[_SERVED] = np.array([value], np.float64)
        elif quantity == "latency" and unit == "ns" and statistic.startswith(("avg", "p")):
            found[_latency(statistic)] = np.array([value], np.float64)
    return found


def _latency(statistic: str) -> Metric:
    return Metric("load", "latency", detail=statistic, of="mean", unit="ns")
