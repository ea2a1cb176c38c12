"""The rows that two sides are compared in: counted metrics, time on CPU by role, functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Kind
from netprobe.analysis.compare import noise
from netprobe.analysis.compare.evaluation import Batch, Label
from netprobe.analysis.compare.functions import (
    FunctionSums,
    FunctionSumsByRun,
    MatchedFrames,
    functions_of,
    match,
    totals_of,
    totals_of_runs,
    weight_of_sample,
)
from netprobe.analysis.compare.metrics import (
    COUNTED,
    Metric,
    Rows,
    family_of,
    names_nobody,
    role_names,
    with_common_roles,
    with_families,
)
from netprobe.analysis.compare.regressions import worse
from netprobe.analysis.compare.sides import Side
from netprobe.analysis.compare.variance import RateTotals, over_runs

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    from netprobe.run.model import Run


def all_batches(a: Side, b: Side, per: str) -> list[Batch]:
    """Of what both sides have."""
    roles = role_names(run.tables for side in (a, b) for run in side.runs)
    # What only one side measured would be nothing, and no zero, on the other.
    shared = [table for table in COUNTED if a.measured(table) and b.measured(table)]
    before, after = with_common_roles(a.rows(roles, shared), b.rows(roles, shared))
    # The same work by another call of a family is to be seen as the same.
    before, after = with_families(before, after)
    unlisted = _unlisted(before, after, a) | _unlisted(after, before, b)
    metrics = sorted((before.keys() | after.keys()) - unlisted)
    batches = [
        *_counted([metric for metric in metrics if metric.of == "time or requests"], before, after, a, b, per),
        *_parts([metric for metric in metrics if metric.of != "time or requests"], before, after, a, b),
        *load_batches(a, b),
    ]
    if a.has_profile and b.has_profile:
        batches += _stacks(a, b, per, roles)
    return batches


def _unlisted(rows: Rows, other: Rows, side: Side) -> set[Metric]:
    """Calls that only the other side lists, where this side lists only the most frequent ones."""
    if not side.only_most_frequent:
        return set()
    return {metric for metric in other.keys() - rows.keys() if metric.group == "system calls"}


def _load(a: Side, b: Side, per: str, rows: int, allowed: bool = True) -> tuple[Floats, Floats]:
    low = high = 1.0
    if allowed and a.requests and b.requests:
        low, high = noise.explained_by_load(a.requests / a.seconds, b.requests / b.seconds, per)
    return np.full(rows, low), np.full(rows, high)


def _of_load(a: Side, b: Side) -> float:
    return (a.requests / a.seconds) / (b.requests / b.seconds) if a.requests and b.requests else 1.0


def _tau(a: Side, b: Side, metrics: list[Metric], per: str) -> Floats:
    pinned = a.pinned and b.pinned
    if a.series:
        return np.full(len(metrics), noise.OF_SERIES)
    found = [noise.run_to_run(metric, pinned) for metric in metrics]
    return np.array([noise.with_load(tau) for tau in found] if per == "second" else found, np.float64)


def _matrix(metrics: list[Metric], rows: Rows, units: int, whole: bool = False) -> Floats:
    empty = np.zeros(units)
    found = [(rows.get(metric) or (empty, empty))[1 if whole else 0] for metric in metrics]
    return np.array(found, np.float64).reshape(len(metrics), units)


def _counted(metrics: list[Metric], before: Rows, after: Rows, a: Side, b: Side, per: str) -> Iterator[Batch]:
    if not metrics:
        return
    labels = [_label(one, before, after, per) for one in metrics]
    counts = _matrix(metrics, before, a.units), _matrix(metrics, after, b.units)
    events = np.array([one.group in ("system calls", "switches", "busy polling") and not one.detail for one in metrics])

    def by(denominator: str) -> Batch:
        left = a.totals(counts[0], a.exposures(denominator))
        right = b.totals(counts[1], b.exposures(denominator))
        everything = np.full(len(metrics), np.maximum(left.rate, right.rate)[events].sum())
        load = _load(a, b, denominator, len(metrics), allowed=per == "request")
        return Batch(labels, left, right, _tau(a, b, metrics, per), load, everything)

    yield _both_ways(by, a, b, per)


def _label(metric: Metric, before: Rows, after: Rows, per: str, unit_of_count: float = 1.0) -> Label:
    family = family_of(metric)
    compared = family.words if family and family in before and family in after else ""
    return Label(
        "metric",
        metric.group,
        metric.words,
        metric.role,
        unit=metric.unit,
        per=per,
        scale=unit_of_count,
        worse=worse(metric, after),
        family=compared,
    )


def _both_ways(by: Callable[[str], Batch], a: Side, b: Side, per: str) -> Batch:
    if per == "second":
        return by("second")
    if not (a.timed and b.timed):
        return by("request")
    return replace(by("request"), by_time=by("second"), of_load=_of_load(a, b))


def _parts(metrics: list[Metric], before: Rows, after: Rows, a: Side, b: Side) -> Iterator[Batch]:
    """Shares of all messages, means by call: they have a denominator of their own."""
    for metric in metrics:
        counts = [_matrix([metric], rows, side.units) for rows, side in ((before, a), (after, b))]
        wholes = [_matrix([metric], rows, side.units, True) for rows, side in ((before, a), (after, b))]
        if not all(whole.sum() for whole in wholes):
            continue
        scale = 100.0
        if metric.of == "mean":
            # In units in which the mean of both is 1 a sum counts as many as there were calls.
            scale = sum(count.sum() for count in counts) / sum(whole.sum() for whole in wholes) or 1.0
            counts = [count / scale for count in counts]
        left, right = a.totals(counts[0], wholes[0]), b.totals(counts[1], wholes[1])
        per = "message" if metric.of == "share" else "call"
        label = _label(metric, before, after, per, scale)
        of_all = np.maximum(left.rate, right.rate) if metric.of == "mean" else np.ones(1)
        yield Batch(
            [label],
            left,
            right,
            _tau(a, b, [metric], "own"),
            (np.ones(1), np.ones(1)),
            of_all,
            share=metric.of == "share",
        )


# ---- Stacks ----


def _stacks(a: Side, b: Side, per: str, roles: Mapping[str, str]) -> Iterator[Batch]:
    profiles = [*a.profiles, *b.profiles]
    if any(profile.info.unit != profiles[0].info.unit or not profile.count for profile in profiles):
        return
    unit = weight_of_sample(profiles)
    yield _cpu_time(a, b, per, roles, unit)
    yield from _functions(a, b, per, unit)


def _cpu_time(a: Side, b: Side, per: str, roles: Mapping[str, str], unit: float) -> Batch:
    found = [_by_role(side, roles, unit) for side in (a, b)]
    if any(names_nobody(rows) for rows in found):
        found = [{"": np.sum(list(rows.values()), axis=0)} if rows else rows for rows in found]
    names = sorted(found[0].keys() | found[1].keys())
    counts = [
        np.array([rows.get(role, np.zeros(side.units)) for role in names], np.float64).reshape(len(names), side.units)
        for rows, side in zip(found, (a, b), strict=True)
    ]
    name = a.profiles[0].info.unit
    words = [f"time on CPU, {role}" if role else "time on CPU" for role in names]
    labels = [
        Label("metric", "CPU time", text, role, "", name, per, unit, "more")
        for text, role in zip(words, names, strict=True)
    ]

    def by(denominator: str) -> Batch:
        left, right = (
            side.totals(count, side.exposures(denominator)) for side, count in zip((a, b), counts, strict=True)
        )
        whole = max(float(one.rate.sum()) for one in (left, right))
        return _batch(
            labels, left, right, whole, _cpu_tau(a, b, per), _load(a, b, denominator, len(names), per == "request")
        )

    return _both_ways(by, a, b, per)


def _functions(a: Side, b: Side, per: str, unit: float) -> Iterator[Batch]:
    matched = match([*a.profiles, *b.profiles])
    sums = [_sums(a, matched, 0, unit), _sums(b, matched, len(a.profiles), unit)]
    known = np.array([frame.kind is not Kind.UNKNOWN for frame in matched.frames], bool)
    name = a.profiles[0].info.unit
    denominators = ("second", "request") if per == "request" else ("second",)
    whole = {key: max(_whole(a, key, unit), _whole(b, key, unit)) for key in denominators}
    for part, kind in ((0, "function itself"), (1, "function")):
        labels = [
            Label(kind, "functions", frame.name, "", frame.module, name, per, unit, "more")  # type: ignore[arg-type]
            for frame in itertools.compress(matched.frames, known)
        ]

        def by(denominator: str, part: int = part, labels: list[Label] = labels) -> Batch:
            left, right = (
                of.over(side.exposures(denominator))[part].where(known)
                for of, side in zip(sums, (a, b), strict=True)
            )  # fmt: skip
            load = _load(a, b, denominator, len(labels), per == "request")
            return replace(_batch(labels, left, right, whole[denominator], _cpu_tau(a, b, per), load), functions=True)

        yield _both_ways(by, a, b, per)


def _whole(side: Side, denominator: str, unit: float) -> float:
    return sum(profile.total for profile in side.profiles) / unit / float(side.exposures(denominator).sum())


def _sums(side: Side, matched: MatchedFrames, first: int, unit: float) -> FunctionSums | FunctionSumsByRun:
    if side.series:
        return totals_of_runs(side.profiles, matched, first, unit)
    profile = side.profiles[0]
    places = functions_of(profile, matched.numbers[first], len(matched.frames))
    return totals_of(profile, places, profile.samples.stack, unit, len(profile.stacks), side.exposures("second"))


def _batch(
    labels: list[Label], before: RateTotals, after: RateTotals, whole: float, tau: float, load: tuple[Floats, Floats]
) -> Batch:
    rows = len(labels)
    return Batch(labels, before, after, np.full(rows, tau), load, np.full(rows, whole))


def _cpu_tau(a: Side, b: Side, per: str) -> float:
    if a.series:
        return noise.OF_SERIES
    tau = noise.of_cpu_time(a.pinned and b.pinned)
    return noise.with_load(tau) if per == "second" else tau


def _by_role(side: Side, roles: Mapping[str, str], unit: float) -> dict[str, Floats]:
    """Samples' weight by role and interval, or by role and Run in a series."""
    found: dict[str, Floats] = {}
    for number, profile in enumerate(side.profiles):
        samples, width = profile.samples, side.units
        place = np.full(len(samples), number) if side.series else samples.interval
        flat = np.bincount(samples.thread * width + place, samples.weight / unit, len(profile.threads) * width)
        for thread, row in zip(profile.threads, flat.reshape(-1, width), strict=True):
            role = roles.get(thread.comm, thread.comm)
            found[role] = found.get(role, np.zeros(width)) + row
    return found


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
        if (quantity, statistic) == ("requests", "per second"):
            found[_SERVED] = np.array([value], np.float64)
        elif quantity == "latency" and unit == "ns" and statistic.startswith(("avg", "p")):
            found[_latency(statistic)] = np.array([value], np.float64)
    return found


def _latency(statistic: str) -> Metric:
    return Metric("load", "latency", detail=statistic, of="mean", unit="ns")
