"""Means of repeated rounds, and the gain of one series over another, with 95 % confidence intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_ERROR_PROBABILITY = 0.05


@dataclass(frozen=True)
class ConfidenceInterval:
    """A value with its 95 % confidence interval; `low` and `high` are None without repetitions."""

    value: float
    low: float | None
    high: float | None

    @property
    def half_pct(self) -> float | None:
        """Half the width of the confidence interval, in percent of the value."""
        if self.low is None or self.high is None or not self.value:
            return None
        return 50 * (self.high - self.low) / abs(self.value)

    def as_dict(self) -> dict[str, float | None]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def mean(values: Sequence[float]) -> ConfidenceInterval:
    """The mean of independent rounds, with Student's t. Raises `ValueError` if there are none."""
    value = statistics.fmean(values)
    if len(values) < 2:
        return ConfidenceInterval(value, None, None)
    half = _t(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return ConfidenceInterval(value, value - half, value + half)


def gain_pct(before: Sequence[float], after: Sequence[float]) -> ConfidenceInterval:
    """The gain of `after` over `before` in percent, from means of logarithms, with Welch's t. Values must be > 0."""
    left, right = [math.log(value) for value in before], [math.log(value) for value in after]
    change = statistics.fmean(right) - statistics.fmean(left)
    if len(left) < 2 or len(right) < 2:
        return ConfidenceInterval(_pct(change), None, None)
    variances = [statistics.variance(side) / len(side) for side in (left, right)]
    error = math.sqrt(sum(variances))
    if not error:
        return ConfidenceInterval(_pct(change), _pct(change), _pct(change))
    dof = sum(variances) ** 2 / sum(
        variance**2 / (len(side) - 1) for variance, side in zip(variances, (left, right), strict=True)
    )
    half = _t(dof) * error
    return ConfidenceInterval(_pct(change), _pct(change - half), _pct(change + half))


def spread_pct(values: Sequence[float]) -> float:
    """Standard deviation in percent of the mean; 0 for fewer than two values."""
    return 100 * statistics.stdev(values) / statistics.fmean(values) if len(values) > 1 else 0.0


def share_at_least(part: int, whole: int) -> float:
    """One-sided lower 95 % confidence limit of a share: `part` of `whole` independent samples have a property.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927).
    """
    if not whole:
        return 0.0
    share, square = part / whole, statistics.NormalDist().inv_cdf(1 - _ERROR_PROBABILITY) ** 2
    half = math.sqrt(square * (share * (1 - share) / whole + square / (4 * whole**2)))
    return (share + square / (2 * whole) - half) / (1 + square / whole)


def _pct(logarithm: float) -> float:
    return 100 * math.expm1(logarithm)


def _t(dof: float) -> float:
    from netprobe.analysis.student import quantile

    return float(quantile(_ERROR_PROBABILITY, dof))


def wilson_pct(count: int, total: int) -> ConfidenceInterval:
    """A share in percent with its Wilson score interval, which is accurate for shares near 0 and 100 % as well.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    z = statistics.NormalDist().inv_cdf(1 - _ERROR_PROBABILITY / 2)
    share = count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # Rounding must not move a limit past the share: at 0 and 100 % they are equal.
    low, high = max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
    return ConfidenceInterval(100 * share, 100 * low, 100 * high)
