"""Is the difference of two rates significant? One test for counts of any size, and the control of false discoveries.

A count y of mean m has the variance Var(y) = phi m + (s^2 + tau^2) m^2. phi is the overdispersion between intervals,
at least 1 for counts of single events, and larger for events in bursts. s is the relative standard deviation by drift
within the recording. tau is the relative standard deviation between recordings of the same server (see noise.py). Rates
are compared on the scale on which this variance is constant,

    g(r) = 2 / sqrt(b) asinh(sqrt(b r / a)),  Var(r_b - r_a) = a r + b r^2 if both have mean r,

a square root for small counts and a logarithm for large ones (Anscombe, Biometrika 35 (1948), for the negative
binomial distribution), so that one test is valid for 0 and 20 events as well as for 10,000 and 12,000. The degrees of
freedom of a sum of variances are those of Welch and Satterthwaite.

If one side has hardly any events, its spread is taken from the other side. Then the split of the spread into bursts and
drift matters most. Example: a function had 0 of 758 samples in A, and 105 of 381 samples in B, where its share grew
during the recording. If this drift is counted as bursts, the change is reported as within noise, because A may have had
the same bursts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.student import MAX_DOF, quantiles, two_sided_p

if TYPE_CHECKING:
    import numpy.typing as npt

    from netprobe.analysis.compare.variance import RateTotals

    Floats = npt.NDArray[np.float64]

# Added to both counts: for 0 and n events (n = 5 to 20), p is within 10 % of the p-value of the binomial test.
_PSEUDO_COUNT = 1.5
# With fewer events the spread is not well known: the larger spread of the two sides is used.
_FEW_EVENTS = 20.0
# tau itself is an estimate: degrees of freedom of its t distribution.
TAU_DOF = 24.0
POWER = 0.8
CONFIDENCE = 0.95


@dataclass(frozen=True)
class RateComparison:
    """The comparison of two rates; each field has a value per metric.

    `p`: probability of such a difference or a larger one by noise alone, NaN if the spread is not known. `low`, `high`:
    confidence interval of the ratio B / A (`CONFIDENCE`); a small count is added to both sides, so that the interval
    exists for 0 as well.
    `dof`: degrees of freedom of the whole variance. `spread`: relative variance of the difference from the intervals,
    without tau. `load`: the smallest and the largest ratio that a difference of load alone explains.
    """

    p: Floats
    low: Floats
    high: Floats
    dof: Floats
    spread: Floats
    load: tuple[Floats, Floats]
    growth: Callable[[Floats], Floats]
    """Distance in standard errors -> the growth that causes it, as a share of the rate in A."""

    def scaled(self, factor: float) -> RateComparison:
        """The same comparison for ratios multiplied by `factor`."""
        load = (self.load[0] * factor, self.load[1] * factor)
        return replace(self, low=self.low * factor, high=self.high * factor, load=load)

    def where(self, selected: npt.NDArray[np.bool_], other: RateComparison) -> RateComparison:
        """The metrics of `other` where `selected`, else those of this comparison."""

        def pick(left: Floats, right: Floats) -> Floats:
            return np.where(selected, right, left)

        return RateComparison(
            pick(self.p, other.p),
            pick(self.low, other.low),
            pick(self.high, other.high),
            pick(self.dof, other.dof),
            pick(self.spread, other.spread),
            (pick(self.load[0], other.load[0]), pick(self.load[1], other.load[1])),
            lambda distance: pick(self.growth(distance), other.growth(distance)),
        )

    def smallest_detectable_growth(self, limit: float) -> Floats:
        """The smallest growth, as a share of the rate in A, that has p <= `limit` with probability `POWER`."""
        return self.growth(quantiles(limit, self.dof) + quantiles(2 * (1 - POWER), self.dof))


def compare(before: RateTotals, after: RateTotals, tau: Floats, load: tuple[Floats, Floats]) -> RateComparison:
    """Compare the metrics of two sides. `tau`: run-to-run variation of each metric, relative to its rate.

    `load`: the smallest and the largest ratio B / A that a difference of load alone explains.
    """
    few_a, few_b = before.count < _FEW_EVENTS, after.count < _FEW_EVENTS
    (phi_a, drift_a), (phi_b, drift_b) = _spread(before, few_a | few_b), _spread(after, few_a | few_b)
    # The bursts depend on the server; the variance of one event depends on the sampling rate of its side.
    burst = np.maximum(phi_a - before.event, phi_b - after.event)
    phi_a, phi_b = np.where(few_a, before.event + burst, phi_a), np.where(few_b, after.event + burst, phi_b)
    drift_a = np.where(few_a, np.maximum(drift_a, drift_b), drift_a)
    drift_b = np.where(few_b, np.maximum(drift_a, drift_b), drift_b)
    known = (before.exposure > 0) & (after.exposure > 0) & (before.dof > 0) & (after.dof > 0)
    exposure_a, exposure_b = np.maximum(before.exposure, 1e-12), np.maximum(after.exposure, 1e-12)
    part_a, part_b = phi_a / exposure_a, phi_b / exposure_b
    a, b = part_a + part_b, drift_a + drift_b + 2 * tau**2
    pseudo = _PSEUDO_COUNT * np.maximum(part_a, part_b)
    rate_a, rate_b = before.rate, after.rate
    pooled = (before.count + after.count) / (exposure_a + exposure_b)
    degrees = (*_degrees(before), *_degrees(after), TAU_DOF)
    nonzero = np.where(pooled > 0, pooled, 1.0)
    parts = (part_a / nonzero, drift_a, part_b / nonzero, drift_b, 2 * tau**2)
    dof = _satterthwaite(parts, degrees)
    distance = _distance(rate_a, rate_b, pseudo, a, b, load)
    padded_a, padded_b = rate_a + pseudo, rate_b + pseudo
    variances = (part_a / padded_a, drift_a, part_b / padded_b, drift_b, 2 * tau**2)
    low, high = _confidence_interval(padded_a, padded_b, variances, degrees)

    def growth(needed: Floats) -> Floats:
        end = _unstable(_stable(rate_a + pseudo, a, b) + needed, a, b) - pseudo
        return np.divide(end - rate_a, rate_a, out=np.full_like(rate_a, np.inf), where=rate_a > 0)

    return RateComparison(
        np.where(known, two_sided_p(distance, dof), np.nan),
        low,
        high,
        dof,
        drift_a + drift_b + np.divide(a, pooled, out=np.full_like(a, np.inf), where=pooled > 0),
        load,
        growth,
    )


def _spread(side: RateTotals, few: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """phi, and s^2: the variance beyond phi, relative to the squared count. `few`: a side has hardly any events."""
    nonzero = side.count > 0
    one = np.ones_like(side.count)
    whole = np.divide(side.variance, side.count, out=one.copy(), where=nonzero)
    short = whole if side.short is None else np.divide(side.short, side.count, out=one.copy(), where=nonzero)
    if side.rough:
        short = np.where(few, np.minimum(short, whole), whole)
    phi = np.maximum(short, side.event)
    drift = np.divide(np.maximum(whole - phi, 0.0), side.count, out=np.zeros_like(one), where=nonzero)
    return phi, drift


def _degrees(side: RateTotals) -> tuple[float, float]:
    return (side.dof if side.short is None else side.short_dof, side.dof)


def _stable(rate: Floats, a: Floats, b: Floats) -> Floats:
    scaled: Floats = 2 / np.sqrt(b) * np.arcsinh(np.sqrt(b * rate / a))
    return scaled


def _unstable(value: Floats, a: Floats, b: Floats) -> Floats:
    with np.errstate(over="ignore"):
        rate: Floats = a / b * np.sinh(value * np.sqrt(b) / 2) ** 2
    return rate


def _distance(
    rate_a: Floats, rate_b: Floats, pseudo: Floats, a: Floats, b: Floats, load: tuple[Floats, Floats]
) -> Floats:
    """Signed distance, in standard errors, of B from the range of rates that A would have at the load of B."""
    value = _stable(rate_b + pseudo, a, b)
    low, high = (_stable(rate_a * factor + pseudo, a, b) for factor in load)
    return np.where(value > high, value - high, np.where(value < low, value - low, 0.0))


def _satterthwaite(parts: tuple[Floats, ...], degrees: tuple[float, ...]) -> Floats:
    total = sum(parts)
    spread = np.asarray(sum(part**2 / max(degree, 1) for part, degree in zip(parts, degrees, strict=True)))
    found: Floats = np.clip(np.divide(total**2, spread, out=np.ones_like(spread), where=spread > 0), 1.0, MAX_DOF)
    return found


def _confidence_interval(
    rate_a: Floats, rate_b: Floats, parts: tuple[Floats, ...], degrees: tuple[float, ...]
) -> tuple[Floats, Floats]:
    """Confidence interval of the ratio B / A, from its logarithm: Var(ln r) = phi / y + s^2 + tau^2 on each side."""
    reach = quantiles(1 - CONFIDENCE, _satterthwaite(parts, degrees)) * np.sqrt(sum(parts))
    return rate_b / rate_a * np.exp(-reach), rate_b / rate_a * np.exp(reach)


FALSE_DISCOVERY_RATE = 0.05


def threshold(p: Floats, rate: float = FALSE_DISCOVERY_RATE) -> float:
    """The largest p-value that is significant; 0.0 if there is none.

    Benjamini and Yekutieli, Annals of Statistics 29 (2001): valid for any dependence of the comparisons.
    These comparisons have positive dependence (callers include callees) and negative dependence (shares of one total);
    the procedure of Benjamini and Hochberg is proven only for independence and positive dependence.
    """
    if not len(p):
        return 0.0
    ordered = np.sort(p)
    discoveries = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / (len(p) * _harmonic(len(p))))
    return float(ordered[discoveries[-1]]) if len(discoveries) else 0.0


def first_threshold(comparisons: int, rate: float = FALSE_DISCOVERY_RATE) -> float:
    """The p-value up to which a change is significant if no other change is."""
    return rate / (comparisons * _harmonic(comparisons)) if comparisons else rate


def _harmonic(number: int) -> float:
    return float((1 / np.arange(1, number + 1)).sum())
