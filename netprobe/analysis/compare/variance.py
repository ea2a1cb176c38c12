"""Rates over time intervals, with a variance that allows for intervals that resemble their neighbours.

A rate is a ratio of sums, R = sum(y) / sum(x): y what was counted in an interval, x its requests or seconds. What
spreads are the residuals u = y - R x (Cochran, Sampling Techniques, chapter 6). Their long-run variance is
estimated by projecting them on the first B cosines, each of which gives one independent value, so that the
studentised rate follows Student's t with B degrees of freedom also under autocorrelation (Lazarus, Lewis, Stock
and Watson, HAR Inference: Recommendations for Practice, JBES 2018; Müller, HAC Corrections for Strongly
Autocorrelated Time Series, JBES 2014). B goes with n^(2/3), as they recommend. With few intervals even the first
cosines are too fast for what is slow: each is set right by the spectrum that a first-order autoregression of the
intervals' own correlation has (prewhitening; Andrews and Monahan, Econometrica 60 (1992)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Fewer intervals than this say nothing about their spread.
FEWEST_BLOCKS = 4
_FACTOR, _FEWEST_COSINES, _MOST_COSINES = 0.4, 4, 16
# Beyond this a correlation cannot be told from a drift.
_MOST_CORRELATED = 0.9


@dataclass(frozen=True)
class RateTotals:
    """Sums over one side's time. `count`, `variance`: one for each metric; `exposure`: what it is divided by.

    `variance` is of `count`, given the exposure, from the spread between intervals or Runs; `dof` its degrees of
    freedom (0: nothing is known of the spread). `short`, with `short_dof`: what it would be if the intervals did not
    depend on each other, from what is fast in them; None where only the whole is known. `rough`: it is known too
    little of that to be told from a drift by it, but where one side has next to nothing of a metric (significance.py).
    `event`: the variance of one independent event, in counts; of samples counted in a unit of both sides it is not 1.
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
        """Count by exposure; 0 where there is no exposure."""
        return np.divide(self.count, self.exposure, out=np.zeros_like(self.count), where=self.exposure > 0)

    @property
    def error(self) -> Floats:
        """Standard error of the rate, from the spread alone."""
        deviation = np.sqrt(self.variance)
        return np.divide(deviation, self.exposure, out=np.zeros_like(self.count), where=self.exposure > 0)

    def where(self, chosen: npt.NDArray[np.bool_]) -> RateTotals:
        """The metrics of a mask."""
        short = None if self.short is None else self.short[chosen]
        count, exposure, variance = self.count[chosen], self.exposure[chosen], self.variance[chosen]
        return replace(self, count=count, exposure=exposure, variance=variance, short=short)


def cosines(intervals: int) -> Floats:
    """The basis for a number of intervals: cosines x intervals, each of length 1; none for too few intervals."""
    return _basis(intervals, range(1, _slow(intervals) + 1))


def fast_cosines(intervals: int) -> Floats:
    """The fastest ones that `cosines` has not: what spreads from one interval to the next; none for few intervals."""
    rest = intervals - 1 - _slow(intervals)
    return _basis(intervals, range(intervals - min(rest, _MOST_COSINES), intervals if rest >= _FEWEST_COSINES else 0))


def _slow(intervals: int) -> int:
    if intervals < FEWEST_BLOCKS:
        return 0
    wanted = int(np.clip(round(_FACTOR * intervals ** (2 / 3)), _FEWEST_COSINES, _MOST_COSINES))
    return min(wanted, intervals - 1)


def _basis(intervals: int, numbers: range) -> Floats:
    place = (np.arange(intervals) + 0.5) / max(intervals, 1)
    basis: Floats = np.sqrt(2 / max(intervals, 1)) * np.cos(np.pi * np.outer(np.array(numbers, np.float64), place))
    return basis


def over_intervals(counts: Floats, exposure: Floats) -> RateTotals:
    """Totals of metrics x intervals; `exposure`: by interval, or metrics x intervals where each has its own."""
    intervals = counts.shape[1]
    basis, exposure = cosines(intervals), np.broadcast_to(exposure, counts.shape)
    totals = RateTotals(counts.sum(1), exposure.sum(1), np.zeros(len(counts)), len(basis))
    if not len(basis):
        return totals
    residual = counts - totals.rate[:, None] * exposure
    power = (residual @ basis.T) ** 2 / _spectrum(_correlation(residual), len(basis), intervals)
    # Of neighbours' differences (von Neumann, Annals of Mathematical Statistics 12 (1941)).
    short = intervals * (np.diff(residual) ** 2).mean(1) / 2
    return RateTotals(totals.count, totals.exposure, intervals * power.mean(1), len(basis), short, 2 * intervals / 3)


def _correlation(residual: Floats) -> Floats:
    """Of neighbouring intervals, less the bias that comes from the mean (Kendall, Biometrika 41 (1954)); 0 or more."""
    squares, intervals = (residual**2).sum(1), residual.shape[1]
    products = (residual[:, 1:] * residual[:, :-1]).sum(1)
    found = np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0)
    correlation: Floats = np.clip(found + (1 + 4 * found) / intervals, 0, _MOST_CORRELATED)
    return correlation


def _spectrum(correlation: Floats, count: int, intervals: int) -> Floats:
    """Power of a first-order autoregression at the cosines' frequencies, over that at frequency 0."""
    phi, frequency = correlation[:, None], np.pi * np.arange(1, count + 1) / intervals
    power: Floats = (1 - phi) ** 2 / (1 - 2 * phi * np.cos(frequency) + phi**2)
    return power


def projected(
    total: Floats, on_basis: Floats, exposure: float, exposure_on_basis: Floats, intervals: int
) -> RateTotals:
    """The same from sums and projections (metrics x cosines) on `cosines` and `fast_cosines`, without prewhitening.

    For frames: a row of intervals for each of many thousands would be too large, and their few samples hardly
    depend on each other.
    """
    slow = _slow(intervals)
    totals = RateTotals(total, np.full_like(total, exposure), np.zeros_like(total), slow)
    if not slow:
        return totals
    power = intervals * (on_basis - totals.rate[:, None] * exposure_on_basis) ** 2
    totals, fast = replace(totals, variance=power[:, :slow].mean(1)), power[:, slow:]
    return replace(totals, short=fast.mean(1), short_dof=slow, rough=True) if fast.shape[1] else totals


def over_runs(counts: Floats, exposure: Floats) -> RateTotals:
    """Totals of metrics x Runs, which do not depend on each other: the plain variance, n - 1 degrees of freedom."""
    runs = counts.shape[1]
    exposure = np.broadcast_to(exposure, counts.shape)
    totals = RateTotals(counts.sum(1), exposure.sum(1), np.zeros(len(counts)), max(runs - 1, 0))
    if runs < 2:
        return totals
    residual = counts - totals.rate[:, None] * exposure
    # Within Runs events are taken to be independent, so that all that is more is of the Runs.
    variance = runs / (runs - 1) * (residual**2).sum(1)
    return RateTotals(totals.count, totals.exposure, variance, runs - 1, totals.count, 1e6)
