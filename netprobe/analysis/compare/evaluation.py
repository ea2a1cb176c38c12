"""From the totals of both sides to rows with a verdict; all metrics and functions are one family of comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netprobe.analysis.compare.change import Change, ChangeVerdict, RowKind, Worse
from netprobe.analysis.compare.significance import RateComparison, compare, first_threshold, threshold
from netprobe.analysis.compare.variance import RateTotals

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Metrics with fewer events on both sides together are not compared: no change of them could be significant, and each
# comparison reduces the power of all others (Bourgon, Gentleman and Huber, Independent filtering, PNAS 107 (2010)).
MIN_EVENTS = 15.0
# A smaller relative change has no practical consequence.
MIN_CHANGE = 0.01


@dataclass(frozen=True)
class RowLabel:
    """Name, unit and other properties of a row that do not depend on the counts."""

    kind: RowKind
    group: str
    name: str
    role: str = ""
    module: str = ""
    unit: str = ""
    per: str = "second"
    scale: float = 1.0
    """One count, in `unit`."""
    worse: Worse = ""
    family: str = ""


@dataclass(frozen=True)
class Batch:
    """Metrics of both sides, one row each.

    `total`: a difference of rates divided by it is the share of the difference in the whole.
    """

    labels: Sequence[RowLabel]
    before: RateTotals
    after: RateTotals
    tau: Floats
    load: tuple[Floats, Floats]
    total: Floats
    functions: bool = False
    share: bool = False
    """Counts are a share of the exposure: the smaller of the share and its complement is compared."""
    per_second: Batch | None = None
    """The same metrics per second, if this batch is per request."""
    load_ratio: float = 1.0
    """With `per_second`: factor that converts a ratio B / A per second to one per request."""


def evaluate_batches(batches: Sequence[Batch]) -> list[Change]:
    """A row per metric and function: significant changes first, the highest score first."""
    compared = [(batch, _compared(batch)) for batch in batches]
    tested = [found.p[_enough(batch) & np.isfinite(found.p)] for batch, found in compared]
    weights = _weights([(batch.functions, len(p)) for (batch, _), p in zip(compared, tested, strict=True)])
    p = np.concatenate([p / weight for p, weight in zip(tested, weights, strict=True)]) if tested else np.zeros(0)
    limit, alone = threshold(p), first_threshold(len(p))
    rows = [
        change
        for (batch, found), weight in zip(compared, weights, strict=True)
        for change in _rows(batch, found, found.p / weight <= limit, alone * weight)
    ]
    return sorted(rows, key=lambda row: (not row.changed, -row.score, row.p if row.p is not None else 2.0))


def _weights(sizes: Sequence[tuple[bool, int]]) -> list[float]:
    """A weight per batch; their mean over all comparisons is 1.

    There are many functions, each with few samples: without weights, their number would make changes of exact counts
    insignificant. Metrics and functions each get half of the false discovery rate (Genovese, Roeder and Wasserman,
    Biometrika 93 (2006)).
    """
    total = sum(size for _, size in sizes)
    of_kind = {kind: sum(size for functions, size in sizes if functions is kind) for kind in (True, False)}
    if not all(of_kind.values()):
        return [1.0] * len(sizes)
    return [0.5 * total / of_kind[functions] for functions, _ in sizes]


def _enough(batch: Batch) -> npt.NDArray[np.bool_]:
    return batch.before.count + batch.after.count >= MIN_EVENTS


def _compared(batch: Batch) -> RateComparison:
    """Compare each metric per request or per second, whichever spreads less.

    Both tests have the same null hypothesis, since both allow for load, and the spread does not depend on the
    difference. So the choice does not bias the result.
    """
    before, after = batch.before, batch.after
    if batch.share:
        before, after = rarer_part(before, after)
    found = compare(before, after, batch.tau, batch.load)
    if batch.per_second is None:
        return found
    other = _compared(batch.per_second).scaled(batch.load_ratio)
    return found.where(other.spread < found.spread, other)


def rarer_part(before: RateTotals, after: RateTotals) -> tuple[RateTotals, RateTotals]:
    """The share or its complement, whichever is smaller in both sides together: tau applies to the odds."""
    mostly = before.count + after.count > 0.5 * (before.exposure + after.exposure)
    return tuple(  # type: ignore[return-value]
        replace(side, count=np.where(mostly, side.exposure - side.count, side.count)) for side in (before, after)
    )


def _rows(batch: Batch, found: RateComparison, significant: npt.NDArray[np.bool_], alone: float) -> Iterator[Change]:
    scale = np.array([label.scale for label in batch.labels])
    rate_a, rate_b = batch.before.rate, batch.after.rate
    enough, in_a = _enough(batch), rate_a > 0
    growth = np.divide(rate_b, rate_a, out=np.full_like(rate_a, np.nan), where=in_a)
    limits = in_a & (not batch.share)
    columns = (
        rate_a * scale,
        rate_b * scale,
        batch.before.error * scale,
        batch.after.error * scale,
        _percent(growth, in_a),
        _percent(found.low, limits),
        _percent(found.high, limits),
        [float(p) if known else None for p, known in zip(found.p, enough & np.isfinite(found.p), strict=True)],
        _verdicts(found.p, significant & enough, rate_a, rate_b),
        _percent(1 + found.smallest_detectable_growth(alone), limits),
        _scores(batch, found),
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
    """Ratios as changes in percent; None if not known."""
    values, valid = (100 * (ratio - 1)).tolist(), (known & np.isfinite(ratio)).tolist()
    return [value if ok else None for value, ok in zip(values, valid, strict=True)]


def _verdicts(p: Floats, significant: npt.NDArray[np.bool_], rate_a: Floats, rate_b: Floats) -> list[ChangeVerdict]:
    changed = significant & (np.abs(rate_b - rate_a) >= MIN_CHANGE * np.maximum(rate_a, rate_b))
    verdicts = np.full(len(p), "within noise", object)
    verdicts[changed & (rate_b > rate_a)] = "more"
    verdicts[changed & (rate_b < rate_a)] = "less"
    verdicts[changed & (rate_a == 0)] = "new"
    verdicts[changed & (rate_b == 0)] = "gone"
    verdicts[np.isnan(p)] = "inconclusive"
    found: list[ChangeVerdict] = verdicts.tolist()
    return found


def _scores(batch: Batch, found: RateComparison) -> Floats:
    """Logarithm of the smallest ratio that the data support beyond load, times the root of the share of the total."""
    load_low, load_high = found.load
    grown = np.log(np.maximum(found.low, 1e-12) / load_high)
    shrunk = -np.log(np.maximum(found.high, 1e-12) / load_low)
    share = np.abs(batch.after.rate - batch.before.rate) / np.maximum(batch.total, 1e-300)
    scores: Floats = np.maximum(np.maximum(grown, shrunk), 0.0) * np.sqrt(np.minimum(share, 1.0))
    return scores
