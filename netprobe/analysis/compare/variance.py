"""Rates over time intervals, with a variance that allows for autocorrelation between intervals.

A rate is a ratio of sums, R = sum(y) / sum(x), where y is the count in an interval and x its requests or seconds. Its
variance follows from the residuals u = y - R x (Cochran, Sampling Techniques, chapter 6). Their long-run variance is
estimated by projecting them on the first B cosines, each of which gives one independent value, so that the
studentised rate follows Student's t with B degrees of freedom also under autocorrelation (Lazarus, Lewis, Stock
and Watson, HAR Inference: Recommendations for Practice, JBES 2018; Müller, HAC Corrections for Strongly
Autocorrelated Time Series, JBES 2014). B grows with n^(2/3), as they recommend. With few intervals even the first
cosines miss slow variation: each projection is divided by the spectrum of a first-order autoregression with the
correlation of the intervals (prewhitening; Andrews and Monahan, Econometrica 60 (1992)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# The spread of fewer intervals cannot be estimated.
MIN_INTERVALS = 4
_FACTOR, _MIN_COSINES, _MAX_COSINES = 0.4, 4, 16
# A higher correlation cannot be distinguished from a drift.
_MAX_CORRELATION = 0.9


@dataclass(frozen=True)
class RateTotals:
    """Sums over the time of one side. `count` and `variance` have a value per metric; `exposure`: the divisor.

    `variance` is of `count`, given the exposure, from the spread between intervals or Runs; `dof`: its degrees of
    freedom, 0 if the spread is not known. `short` and `short_dof`: the variance that independent intervals would have,
    from the fast part of their spread; None if only the whole variance is known. `rough`: `short` is too inexact to
    separate bursts from a drift, except where one side has hardly any events (significance.py). `event`: variance of
    one independent event, in counts; it differs from 1 if samples are counted in a unit common to both sides.
    """

    count: Floats
    exposure: Floats
    variance: Floats
    dof: int
    short: Floats | None = None
    short_dof: float = 0.0
    rough: bool = False
    event: float = 1.0

    @property
    def rate(self) -> Floats:
        """Count per exposure; 0 if there is no exposure."""
        return np.divide(self.count, self.exposure, out=np.zeros_like(self.count), where=self.exposure > 0)

    @property
    def error(self) -> Floats:
        """Standard error of the rate, from the spread alone."""
        deviation = np.sqrt(self.variance)
        return np.divide(deviation, self.exposure, out=np.zeros_like(self.count), where=self.exposure > 0)

    def where(self, selected: npt.NDArray[np.bool_]) -> RateTotals:
        """The metrics selected by a mask."""
        short = None if self.short is None else self.short[selected]
        count, exposure, variance = self.count[selected], self.exposure[selected], self.variance[selected]
        return replace(self, count=count, exposure=exposure, variance=variance, short=short)


def cosines(intervals: int) -> Floats:
    """The slow cosines for a number of intervals, cosines x intervals, each of norm 1; none for too few intervals."""
    return _basis(intervals, range(1, _slow_count(intervals) + 1))


def fast_cosines(intervals: int) -> Floats:
    """The fastest cosines that `cosines` lacks: variation from one interval to the next; none for few intervals."""
    rest = intervals - 1 - _slow_count(intervals)
    return _basis(intervals, range(intervals - min(rest, _MAX_COSINES), intervals if rest >= _MIN_COSINES else 0))


def _slow_count(intervals: int) -> int:
    if intervals < MIN_INTERVALS:
        return 0
    wanted = int(np.clip(round(_FACTOR * intervals ** (2 / 3)), _MIN_COSINES, _MAX_COSINES))
    return min(wanted, intervals - 1)


def _basis(intervals: int, numbers: range) -> Floats:
    position = (np.arange(intervals) + 0.5) / max(intervals, 1)
    basis: Floats = np.sqrt(2 / max(intervals, 1)) * np.cos(np.pi * np.outer(np.array(numbers, np.float64), position))
    return basis


def over_intervals(counts: Floats, exposure: Floats) -> RateTotals:
    """Totals of metrics x intervals. `exposure`: per interval, or metrics x intervals if each metric has its own."""
    intervals = counts.shape[1]
    basis, exposure = cosines(intervals), np.broadcast_to(exposure, counts.shape)
    totals = RateTotals(counts.sum(1), exposure.sum(1), np.zeros(len(counts)), len(basis))
    if not len(basis):
        return totals
    residual = counts - totals.rate[:, None] * exposure
    power = (residual @ basis.T) ** 2 / _spectrum(_correlation(residual), len(basis), intervals)
    # The variance from differences of neighbours (von Neumann, Annals of Mathematical Statistics 12 (1941)).
    short = intervals * (np.diff(residual) ** 2).mean(1) / 2
    return RateTotals(totals.count, totals.exposure, intervals * power.mean(1), len(basis), short, 2 * intervals / 3)


def _correlation(residual: Floats) -> Floats:
    """Correlation of neighbouring intervals, corrected for bias (Kendall, Biometrika 41 (1954)); at least 0."""
    squares, intervals = (residual**2).sum(1), residual.shape[1]
    products = (residual[:, 1:] * residual[:, :-1]).sum(1)
    found = np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0)
    correlation: Floats = np.clip(found + (1 + 4 * found) / intervals, 0, _MAX_CORRELATION)
    return correlation


def _spectrum(correlation: Floats, count: int, intervals: int) -> Floats:
    """Power of a first-order autoregression at the frequencies of the cosines, relative to frequency 0."""
    phi, frequency = correlation[:, None], np.pi * np.arange(1, count + 1) / intervals
    power: Floats = (1 - phi) ** 2 / (1 - 2 * phi * np.cos(frequency) + phi**2)
    return power


def projected(
    total: Floats, on_basis: Floats, exposure: float, exposure_on_basis: Floats, intervals: int
) -> RateTotals:
    """Totals from sums and projections (metrics x cosines) on `cosines` and `fast_cosines`, without prewhitening.

    For frames: a row of intervals for each of many thousand frames would need too much memory, and their few samples
    are nearly independent.
    """
    slow = _slow_count(intervals)
    totals = RateTotals(total, np.full_like(total, exposure), np.zeros_like(total), slow)
    if not slow:
        return totals
    power = intervals * (on_basis - totals.rate[:, None] * exposure_on_basis) ** 2
    totals, fast = replace(totals, variance=power[:, :slow].mean(1)), power[:, slow:]
    return replace(totals, short=fast.mean(1), short_dof=slow, rough=True) if fast.shape[1] else totals


def over_runs(counts: Floats, exposure: Floats) -> RateTotals:
    """Totals of metrics x Runs. Runs are independent, so this is the plain variance with n - 1 degrees of freedom."""
    runs = counts.shape[1]
    exposure = np.broadcast_to(exposure, counts.shape)
    totals = RateTotals(counts.sum(1), exposure.sum(1), np.zeros(len(counts)), max(runs - 1, 0))
    if runs < 2:
        return totals
    residual = counts - totals.rate[:, None] * exposure
    # Events within a Run are assumed to be independent: any variance beyond that is between Runs.
    variance = runs / (runs - 1) * (residual**2).sum(1)
    return RateTotals(totals.count, totals.exposure, variance, runs - 1, totals.count, 1e6)
