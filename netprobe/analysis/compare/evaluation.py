"""From totals of both sides to rows with a verdict: all metrics and functions are one family of comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from netprobe.analysis.compare.change import Change, Verdict, Worse
from netprobe.analysis.compare.significance import RateComparison, compare, first_threshold, threshold
from netprobe.analysis.compare.variance import RateTotals

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# What both sides together have less of is not compared: it could not be seen to change, and would only take from
# the chance to see others (Bourgon, Gentleman and Huber, Independent filtering, PNAS 107 (2010)).
_FEWEST = 15.0
# A smaller change is none that anyone would act upon.
_LEAST = 0.01


@dataclass(frozen=True)
class Label:
    """What the rows of a batch have in common with their names."""

    kind: Literal["metric", "function", "function itself"]
    group: str
    name: str
    role: str = ""
    module: str = ""
    unit: str = ""
    per: str = "second"
    scale: float = 1.0
    """What one count is, in the unit."""
    worse: Worse = ""
    family: str = ""


@dataclass(frozen=True)
class Batch:
    """Metrics of both sides, one row each. `of_all`: by what a difference is divided to tell its part in all."""

    labels: Sequence[Label]
    before: RateTotals
    after: RateTotals
    tau: Floats
    load: tuple[Floats, Floats]
    of_all: Floats
    functions: bool = False
    share: bool = False
    """Counts are parts of the exposure: the rarer of part and rest is compared."""
    by_time: Batch | None = None
    """The same by second, where this is by request."""
    of_load: float = 1.0
    """With `by_time`: what a ratio B / A by second is to be multiplied with to be one by request."""


def evaluate_batches(batches: Sequence[Batch]) -> list[Change]:
    """A row for each, best first."""
    compared = [(batch, _compared(batch)) for batch in batches]
    tested = [one.p[_enough(batch) & np.isfinite(one.p)] for batch, one in compared]
    weights = _weights([(batch.functions, len(p)) for (batch, _), p in zip(compared, tested, strict=True)])
    p = np.concatenate([p / weight for p, weight in zip(tested, weights, strict=True)]) if tested else np.zeros(0)
    limit, alone = threshold(p), first_threshold(len(p))
    rows = [
        change
        for (batch, one), weight in zip(compared, weights, strict=True)
        for change in _rows(batch, one, one.p / weight <= limit, alone * weight)
    ]
    return sorted(rows, key=lambda row: (not row.changed, -row.score, row.p if row.p is not None else 2.0))


def _weights(sizes: Sequence[tuple[bool, int]]) -> list[float]:
    """By batch; their mean over all comparisons is 1.

    Functions are many and each has few samples: without weights their number would hide what was counted exactly.
    Either kind gets half of the chance of a false discovery (Genovese, Roeder and Wasserman, Biometrika 93 (2006)).
    """
    total = sum(size for _, size in sizes)
    of_kind = {kind: sum(size for functions, size in sizes if functions is kind) for kind in (True, False)}
    if not all(of_kind.values()):
        return [1.0] * len(sizes)
    return [0.5 * total / of_kind[functions] for functions, _ in sizes]


def _enough(batch: Batch) -> npt.NDArray[np.bool_]:
    return batch.before.count + batch.after.count >= _FEWEST


def _compared(batch: Batch) -> RateComparison:
    """By request and by second, whichever spreads less for a metric: some things go with the one, some with the other.

    Since load is allowed for, both ask the same; which of the two spreads less says nothing of the difference.
    """
    before, after = batch.before, batch.after
    if batch.share:
        before, after = rarer(before, after)
    one = compare(before, after, batch.tau, batch.load)
    if batch.by_time is None:
        return one
    other = _compared(batch.by_time).scaled(batch.of_load)
    return one.where(other.spread < one.spread, other)


def rarer(before: RateTotals, after: RateTotals) -> tuple[RateTotals, RateTotals]:
    """Part or rest of each share, whichever is less in both sides together: tau is of its odds."""
    mostly = before.count + after.count > 0.5 * (before.exposure + after.exposure)
    return tuple(  # type: ignore[return-value]
        replace(side, count=np.where(mostly, side.exposure - side.count, side.count)) for side in (before, after)
    )


def _rows(batch: Batch, one: RateComparison, seen: npt.NDArray[np.bool_], alone: float) -> Iterator[Change]:
    scale = np.array([label.scale for label in batch.labels])
    rate_a, rate_b = batch.before.rate, batch.after.rate
    enough, there = _enough(batch), rate_a > 0
    growth = np.divide(rate_b, rate_a, out=np.full_like(rate_a, np.nan), where=there)
    limits = there & (not batch.share)
    columns = (
        rate_a * scale,
        rate_b * scale,
        batch.before.error * scale,
        batch.after.error * scale,
        _percent(growth, there),
        _percent(one.least, limits),
        _percent(one.most, limits),
        [float(p) if known else None for p, known in zip(one.p, enough & np.isfinite(one.p), strict=True)],
        _verdicts(one.p, seen & enough, rate_a, rate_b),
        _percent(1 + one.detectable(alone), limits),
        _scores(batch, one),
    )
    lists: list[list[Any]] = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
    for i in np.flatnonzero((rate_a > 0) | (rate_b > 0)).tolist():
        label = batch.labels[i]
        yield Change(
            label.kind,
            label.group,
            label.name,
            label.role,
            label.module,
            label.unit,
            label.per,
            label.worse,
            label.family,
            *(column[i] for column in lists),
        )


def _percent(ratio: Floats, known: npt.NDArray[np.bool_]) -> list[float | None]:
    """Of a ratio, how much more it is than 1; None where it is not known."""
    values, fits = (100 * (ratio - 1)).tolist(), (known & np.isfinite(ratio)).tolist()
    return [value if fit else None for value, fit in zip(values, fits, strict=True)]


def _verdicts(p: Floats, seen: npt.NDArray[np.bool_], rate_a: Floats, rate_b: Floats) -> list[Verdict]:
    seen = seen & (np.abs(rate_b - rate_a) >= _LEAST * np.maximum(rate_a, rate_b))
    words = np.full(len(p), "no change seen", object)
    words[seen & (rate_b > rate_a)] = "more"
    words[seen & (rate_b < rate_a)] = "less"
    words[seen & (rate_a == 0)] = "new"
    words[seen & (rate_b == 0)] = "gone"
    words[np.isnan(p)] = "inconclusive"
    found: list[Verdict] = words.tolist()
    return found


def _scores(batch: Batch, one: RateComparison) -> Floats:
    """The logarithm of the ratio, at least, beyond what load explains; times the root of the part in all."""
    least, most = one.load
    grown = np.log(np.maximum(one.least, 1e-12) / most)
    shrunk = -np.log(np.maximum(one.most, 1e-12) / least)
    part = np.abs(batch.after.rate - batch.before.rate) / np.maximum(batch.of_all, 1e-300)
    scores: Floats = np.maximum(np.maximum(grown, shrunk), 0.0) * np.sqrt(np.minimum(part, 1.0))
    return scores
