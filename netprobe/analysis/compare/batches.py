"""The batches of rows that are compared: counted metrics, results of load generators, time on CPU, functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Kind
from netprobe.analysis.compare import noise
from netprobe.analysis.compare.change import RowKind
from netprobe.analysis.compare.evaluation import Batch, RowLabel
from netprobe.analysis.compare.functions import (
    FunctionSums,
    FunctionSumsByRun,
    MatchedFrames,
    attribution_to_functions,
    match,
    sums_over_intervals,
    sums_over_runs,
    weight_of_sample,
)
from netprobe.analysis.compare.metrics import (
    Metric,
    Rows,
    family_of,
    role_names,
    with_common_roles,
    with_families,
    without_roles,
)
from netprobe.analysis.compare.regressions import worse
from netprobe.analysis.compare.sides import Side
from netprobe.analysis.compare.variance import RateTotals, over_runs

if TYPE_CHECKING:
    import numpy.typing as npt

    from netprobe.run.model import Run

    Floats = npt.NDArray[np.float64]


def all_batches(a: Side, b: Side, per: str) -> list[Batch]:
    """A batch for all that both sides recorded. `per`: what counts are divided by."""
    roles = role_names(run.tables for side in (a, b) for run in side.runs)
    # A count that only one side has is unknown on the other, not 0.
    shared = a.sources & b.sources
    before, after = with_common_roles(a.rows(roles, shared), b.rows(roles, shared))
    before, after = with_families(before, after)
    unlisted = _unlisted(before, after, a) | _unlisted(after, before, b)
    metrics = sorted((before.keys() | after.keys()) - unlisted)
    batches = [
        *_counted([metric for metric in metrics if metric.of == "time or requests"], before, after, a, b, per),
        *_shares_and_means([metric for metric in metrics if metric.of != "time or requests"], before, after, a, b),
        *_load_results(a, b),
    ]
    if a.has_profile and b.has_profile:
        batches += _stacks(a, b, per, roles)
    return batches


def _unlisted(rows: Rows, other: Rows, side: Side) -> set[Metric]:
    """Calls that only the other side has, if this side lists only the most frequent calls."""
    if not side.only_most_frequent:
        return set()
    return {metric for metric in other.keys() - rows.keys() if metric.group == "system calls"}


def _explained_by_load(a: Side, b: Side, per: str, rows: int, allowed: bool = True) -> tuple[Floats, Floats]:
    low = high = 1.0
    if allowed and a.requests and b.requests:
        low, high = noise.explained_by_load(a.requests / a.seconds, b.requests / b.seconds, per)
    return np.full(rows, low), np.full(rows, high)


def _load_ratio(a: Side, b: Side) -> float:
    return (a.requests / a.seconds) / (b.requests / b.seconds) if a.requests and b.requests else 1.0


def _per_request_and_second(make: Callable[[str], Batch], a: Side, b: Side, per: str) -> Batch:
    """The batch that `make` returns per second, or per request with the alternative per second."""
    if per == "second":
        return make("second")
    if not (a.timed and b.timed):
        return make("request")
    return replace(make("request"), per_second=make("second"), load_ratio=_load_ratio(a, b))


# ---- Counted metrics ----


def _tau(a: Side, b: Side, metrics: list[Metric], per: str) -> Floats:
    pinned = a.pinned and b.pinned
    if a.series:
        return np.full(len(metrics), noise.OF_SERIES)
    found = [noise.run_to_run(metric, pinned) for metric in metrics]
    return np.array([noise.with_load(tau) for tau in found] if per == "second" else found, np.float64)


def _matrix(metrics: list[Metric], rows: Rows, repetitions: int, whole: bool = False) -> Floats:
    """Metrics x repetitions; 0 for metrics that the side does not have."""
    empty = np.zeros(repetitions)
    found = [(rows.get(metric) or (empty, empty))[1 if whole else 0] for metric in metrics]
    return np.array(found, np.float64).reshape(len(metrics), repetitions)


def _counted(metrics: list[Metric], before: Rows, after: Rows, a: Side, b: Side, per: str) -> Iterator[Batch]:
    if not metrics:
        return
    labels = [_label(metric, before, after, per) for metric in metrics]
    counts = _matrix(metrics, before, a.repetitions), _matrix(metrics, after, b.repetitions)
    in_total = np.array(
        [metric.group in ("system calls", "switches", "busy polling") and not metric.detail for metric in metrics]
    )

    def make(divisor: str) -> Batch:
        left = a.totals(counts[0], a.exposure(divisor))
        right = b.totals(counts[1], b.exposure(divisor))
        total = np.full(len(metrics), np.maximum(left.rate, right.rate)[in_total].sum())
        load = _explained_by_load(a, b, divisor, len(metrics), allowed=per == "request")
        return Batch(labels, left, right, _tau(a, b, metrics, per), load, total)

    yield _per_request_and_second(make, a, b, per)


def _label(metric: Metric, before: Rows, after: Rows, per: str, scale: float = 1.0) -> RowLabel:
    family = family_of(metric)
    return RowLabel(
        "metric",
        metric.group,
        metric.title,
        metric.role,
        unit=metric.unit,
        per=per,
        scale=scale,
        worse=worse(metric, after),
        family=family.title if family and family in before and family in after else "",
    )


def _shares_and_means(metrics: list[Metric], before: Rows, after: Rows, a: Side, b: Side) -> Iterator[Batch]:
    """Shares of all messages and means per call, each divided by counts of its own."""
    for metric in metrics:
        counts = [_matrix([metric], rows, side.repetitions) for rows, side in ((before, a), (after, b))]
        wholes = [_matrix([metric], rows, side.repetitions, True) for rows, side in ((before, a), (after, b))]
        if not all(whole.sum() for whole in wholes):
            continue
        scale = 100.0
        if metric.of == "mean":
            # In units of the mean of both sides, a sum has about the size of the number of calls.
            scale = sum(count.sum() for count in counts) / sum(whole.sum() for whole in wholes) or 1.0
            counts = [count / scale for count in counts]
        left, right = a.totals(counts[0], wholes[0]), b.totals(counts[1], wholes[1])
        per = "message" if metric.of == "share" else "call"
        yield Batch(
            [_label(metric, before, after, per, scale)],
            left,
            right,
            _tau(a, b, [metric], per),
            (np.ones(1), np.ones(1)),
            np.maximum(left.rate, right.rate) if metric.of == "mean" else np.ones(1),
            share=metric.of == "share",
        )


# ---- Results of load generators ----

_LOAD_TABLES = ("load_rounds", "load_results")
# These are measurements and not counts of events: with this factor their variance as counts is negligible.
_MEASURED = 1e9
_SERVED = Metric("load", "requests served", of="mean", unit="requests")


def _load_results(a: Side, b: Side) -> Iterator[Batch]:
    """Throughput and latencies that load generators measured on both sides.

    Repetitions are the rounds of `netprobe bench`, and the Runs of a series. A single report has one value of each,
    whose variation is not known.
    """
    before, after = _load_values(a), _load_values(b)
    for metric in sorted(before.keys() & after.keys()):
        values = before[metric], after[metric]
        left, right = (over_runs(side[None, :] * _MEASURED, np.ones(len(side))) for side in values)
        per = "second" if metric is _SERVED else "request"
        label = RowLabel(
            "metric", "load", metric.title, unit=metric.unit, per=per, scale=1 / _MEASURED, worse=worse(metric, {})
        )
        tau = noise.OF_SERIES if a.series else noise.run_to_run(metric, a.pinned and b.pinned)
        no_load = (np.ones(1), np.ones(1))
        yield Batch([label], left, right, np.full(1, tau), no_load, np.maximum(left.rate, right.rate))


def has_load_results(side: Side) -> bool:
    """Whether every Run has results of a load generator."""
    return all(any(table in run.tables for table in _LOAD_TABLES) for run in side.runs)


def _load_values(side: Side) -> dict[Metric, Floats]:
    found = [_load_values_of(run) for run in side.runs]
    if not side.series:
        return found[0]
    shared = set.intersection(*(set(values) for values in found))
    return {metric: np.array([values[metric].mean() for values in found]) for metric in shared}


def _load_values_of(run: Run) -> dict[Metric, Floats]:
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
        if (quantity, statistic) == ("requests", "per second"):
            found[_SERVED] = np.array([value], np.float64)
        elif quantity == "latency" and unit == "ns" and statistic.startswith(("avg", "p")):
            found[_latency(statistic)] = np.array([value], np.float64)
    return found


def _latency(statistic: str) -> Metric:
    return Metric("load", "latency", detail=statistic, of="mean", unit="ns")


# ---- Stacks ----


def _stacks(a: Side, b: Side, per: str, roles: Mapping[str, str]) -> Iterator[Batch]:
    profiles = [*a.profiles, *b.profiles]
    if any(profile.info.unit != profiles[0].info.unit or not profile.count for profile in profiles):
        return
    unit = weight_of_sample(profiles)
    yield _cpu_time(a, b, per, roles, unit)
    yield from _functions(a, b, per, unit)


def _cpu_time(a: Side, b: Side, per: str, roles: Mapping[str, str], sample: float) -> Batch:
    """Time on CPU per role. `sample`: weight of a sample."""
    found = [_weight_by_role(side, roles, sample) for side in (a, b)]
    if any(without_roles(rows) for rows in found):
        found = [{"": np.sum(list(rows.values()), axis=0)} if rows else rows for rows in found]
    names = sorted(found[0].keys() | found[1].keys())
    counts = [
        np.array([rows.get(role, np.zeros(side.repetitions)) for role in names], np.float64).reshape(
            len(names), side.repetitions
        )
        for rows, side in zip(found, (a, b), strict=True)
    ]
    unit = a.profiles[0].info.unit
    titles = [f"time on CPU, {role}" if role else "time on CPU" for role in names]
    labels = [
        RowLabel("metric", "CPU time", title, role, "", unit, per, sample, "more")
        for title, role in zip(titles, names, strict=True)
    ]

    def make(divisor: str) -> Batch:
        left, right = (side.totals(count, side.exposure(divisor)) for side, count in zip((a, b), counts, strict=True))
        total = max(float(totals.rate.sum()) for totals in (left, right))
        load = _explained_by_load(a, b, divisor, len(names), per == "request")
        return _profile_batch(labels, left, right, total, _cpu_tau(a, b, per), load)

    return _per_request_and_second(make, a, b, per)


def _functions(a: Side, b: Side, per: str, sample: float) -> Iterator[Batch]:
    matched = match([*a.profiles, *b.profiles])
    sums = [_function_sums(a, matched, 0, sample), _function_sums(b, matched, len(a.profiles), sample)]
    symbolized = np.array([frame.kind is not Kind.UNKNOWN for frame in matched.frames], bool)
    unit = a.profiles[0].info.unit
    divisors = ("second", "request") if per == "request" else ("second",)
    total = {divisor: max(_total_rate(a, divisor, sample), _total_rate(b, divisor, sample)) for divisor in divisors}
    kinds: tuple[tuple[int, RowKind], ...] = ((0, "function self"), (1, "function"))
    for number, kind in kinds:
        labels = [
            RowLabel(kind, "functions", frame.name, "", frame.module, unit, per, sample, "more")
            for frame in itertools.compress(matched.frames, symbolized)
        ]

        def make(divisor: str, number: int = number, labels: list[RowLabel] = labels) -> Batch:
            left, right = (
                side_sums.over(side.exposure(divisor))[number].where(symbolized)
                for side_sums, side in zip(sums, (a, b), strict=True)
            )
            load = _explained_by_load(a, b, divisor, len(labels), per == "request")
            batch = _profile_batch(labels, left, right, total[divisor], _cpu_tau(a, b, per), load)
            return replace(batch, functions=True)

        yield _per_request_and_second(make, a, b, per)


def _total_rate(side: Side, divisor: str, sample: float) -> float:
    return sum(profile.total for profile in side.profiles) / sample / float(side.exposure(divisor).sum())


def _function_sums(side: Side, matched: MatchedFrames, first: int, sample: float) -> FunctionSums | FunctionSumsByRun:
    if side.series:
        return sums_over_runs(side.profiles, matched, first, sample)
    profile = side.profiles[0]
    attribution = attribution_to_functions(profile, matched.numbers[first], len(matched.frames))
    return sums_over_intervals(
        profile, attribution, profile.samples.stack, sample, len(profile.stacks), side.exposure("second")
    )


def _profile_batch(
    labels: list[RowLabel],
    before: RateTotals,
    after: RateTotals,
    total: float,
    tau: float,
    load: tuple[Floats, Floats],
) -> Batch:
    rows = len(labels)
    return Batch(labels, before, after, np.full(rows, tau), load, np.full(rows, total))


def _cpu_tau(a: Side, b: Side, per: str) -> float:
    if a.series:
        return noise.OF_SERIES
    tau = noise.of_cpu_time(a.pinned and b.pinned)
    return noise.with_load(tau) if per == "second" else tau


def _weight_by_role(side: Side, roles: Mapping[str, str], sample: float) -> dict[str, Floats]:
    """Weight of the samples per role and repetition."""
    found: dict[str, Floats] = {}
    for number, profile in enumerate(side.profiles):
        samples, width = profile.samples, side.repetitions
        repetition = np.full(len(samples), number) if side.series else samples.interval
        flat = np.bincount(samples.thread * width + repetition, samples.weight / sample, len(profile.threads) * width)
        for thread, row in zip(profile.threads, flat.reshape(-1, width), strict=True):
            role = roles.get(thread.comm, thread.comm)
            found[role] = found.get(role, np.zeros(width)) + row
    return found
