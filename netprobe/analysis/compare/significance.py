"""Is the difference of two rates more than noise? One test for counts of any size, zero among them.

A count y of mean m varies as Var(y) = phi m + (s^2 + tau^2) m^2. phi >= 1 is how much more than independent events
it spreads from one interval to the next, as events do that come in bursts; s what it drifts beyond that within its
recording, which goes with its size; tau is how far two recordings of the same thing differ in addition (see
noise.py). Rates are compared on the scale on which such a variance is constant,

    g(r) = 2 / sqrt(b) asinh(sqrt(b r / a)),  Var(r_b - r_a) = a r + b r^2 if both have mean r,

a square root for small counts and a logarithm for large ones (Anscombe, Biometrika 35 (1948), for the negative
binomial distribution), so that 0 against 20 is evaluated as soundly as 10,000 against 12,000. The degrees of freedom
of a sum of variances are Welch's and Satterthwaite's.

Which part of a spread goes with the count and which with its square matters most where one side has next to nothing:
its own spread is taken from the other's. 0 of 758 samples were no change against 105 of 381 that became ever more
within their recording, as long as that drift was taken for bursts, which the side with none could have as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.student import MOST_DOF, quantiles, two_sided_p

if TYPE_CHECKING:
    import numpy.typing as npt

    from netprobe.analysis.compare.variance import RateTotals

    Floats = npt.NDArray[np.float64]

# Added to both counts: makes n against 0 as probable as the binomial test says, from n = 5 to 20 within 10 %.
_PSEUDO_COUNT = 1.5
# Below this a side's own spread is not known well: the larger one of both sides counts.
_FEW = 20.0
# tau is an estimate with tails of its own.
TAU_DOF = 24.0
POWER = 0.8
CONFIDENCE = 0.95


@dataclass(frozen=True)
class RateComparison:
    """One value for each metric.

    `p`: probability of such a difference by noise, NaN where it cannot be told. `least`, `most`: confidence
    interval of the ratio B / A (`CONFIDENCE`), of a little more than was counted, so that it is there for 0 as well.
    `dof`: of the whole variance. `spread`: relative variance of the difference from the intervals, tau apart.
    `load`: what load may do to the ratio.
    """

    p: Floats
    least: Floats
    most: Floats
    dof: Floats
    spread: Floats
    load: tuple[Floats, Floats]
    growth: Callable[[Floats], Floats]
    """Of a distance in standard errors: the growth, as a share of A's rate, that it takes."""

    def scaled(self, factor: float) -> RateComparison:
        """The same, said of a ratio that is `factor` times as large."""
        load = (self.load[0] * factor, self.load[1] * factor)
        return replace(self, least=self.least * factor, most=self.most * factor, load=load)

    def where(self, chosen: npt.NDArray[np.bool_], other: RateComparison) -> RateComparison:
        """Of the other one where `chosen`."""

        def pick(left: Floats, right: Floats) -> Floats:
            return np.where(chosen, right, left)

        return RateComparison(
            pick(self.p, other.p),
            pick(self.least, other.least),
            pick(self.most, other.most),
            pick(self.dof, other.dof),
            pick(self.spread, other.spread),
            (pick(self.load[0], other.load[0]), pick(self.load[1], other.load[1])),
            lambda distance: pick(self.growth(distance), other.growth(distance)),
        )

    def detectable(self, threshold: float) -> Floats:
        """The smallest growth, as a share of A's rate, that would be seen with probability `POWER` at this p."""
        return self.growth(quantiles(threshold, self.dof) + quantiles(2 * (1 - POWER), self.dof))


def compare(before: RateTotals, after: RateTotals, tau: Floats, load: tuple[Floats, Floats]) -> RateComparison:
    """Compare two sides' metrics. `tau`: run-to-run variation of each metric, as a share of it.

    `load`: the least and the most that the difference of load alone may make of the ratio B / A.
    """
    few_a, few_b = before.count < _FEW, after.count < _FEW
    (phi_a, drift_a), (phi_b, drift_b) = _spread(before, few_a | few_b), _spread(after, few_a | few_b)
    # Bursts are of the server; a single event has another size where the one side was sampled more often.
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
    there = np.where(pooled > 0, pooled, 1.0)
    parts = (part_a / there, drift_a, part_b / there, drift_b, 2 * tau**2)
    dof = _satterthwaite(parts, degrees)
    distance = _distance(rate_a, rate_b, pseudo, a, b, load)
    near_a, near_b = rate_a + pseudo, rate_b + pseudo
    least, most = _interval(near_a, near_b, (part_a / near_a, drift_a, part_b / near_b, drift_b, 2 * tau**2), degrees)

    def growth(needed: Floats) -> Floats:
        end = _unstable(_stable(rate_a + pseudo, a, b) + needed, a, b) - pseudo
        return np.divide(end - rate_a, rate_a, out=np.full_like(rate_a, np.inf), where=rate_a > 0)

    return RateComparison(
        np.where(known, two_sided_p(distance, dof), np.nan),
        least,
        most,
        dof,
        drift_a + drift_b + np.divide(a, pooled, out=np.full_like(a, np.inf), where=pooled > 0),
        load,
        growth,
    )


def _spread(side: RateTotals, few: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """phi, and s^2: what the intervals' spread is beyond it, as a share of the square. `few`: a side has hardly any."""
    some = side.count > 0
    one = np.ones_like(side.count)
    whole = np.divide(side.variance, side.count, out=one.copy(), where=some)
    short = whole if side.short is None else np.divide(side.short, side.count, out=one.copy(), where=some)
    if side.rough:
        short = np.where(few, np.minimum(short, whole), whole)
    phi = np.maximum(short, side.event)
    drift = np.divide(np.maximum(whole - phi, 0.0), side.count, out=np.zeros_like(one), where=some)
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
    """Standard errors between B and the nearest value that A could have at B's load; signed."""
    here = _stable(rate_b + pseudo, a, b)
    least, most = (_stable(rate_a * factor + pseudo, a, b) for factor in load)
    return np.where(here > most, here - most, np.where(here < least, here - least, 0.0))


def _satterthwaite(parts: tuple[Floats, ...], degrees: tuple[float, ...]) -> Floats:
    total = sum(parts)
    spread = np.asarray(sum(part**2 / max(degree, 1) for part, degree in zip(parts, degrees, strict=True)))
    found: Floats = np.clip(np.divide(total**2, spread, out=np.ones_like(spread), where=spread > 0), 1.0, MOST_DOF)
    return found


def _interval(
    rate_a: Floats, rate_b: Floats, parts: tuple[Floats, ...], degrees: tuple[float, ...]
) -> tuple[Floats, Floats]:
    """Of the ratio B / A, by its logarithm: Var(ln r) = phi / y + s^2 + tau^2 on each side."""
    reach = quantiles(1 - CONFIDENCE, _satterthwaite(parts, degrees)) * np.sqrt(sum(parts))
    return rate_b / rate_a * np.exp(-reach), rate_b / rate_a * np.exp(reach)


RATE = 0.05


def threshold(p: Floats, rate: float = RATE) -> float:
    """The largest p-value that counts as a discovery; 0.0 if none does.

    Benjamini and Yekutieli, Annals of Statistics 29 (2001): valid however the comparisons depend on each other.
    Ours do in both directions, since callers contain callees and shares of one total displace each other, so
    that the plain procedure of Benjamini and Hochberg is not proven for them.
    """
    if not len(p):
        return 0.0
    ordered = np.sort(p)
    fits = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / (len(p) * _harmonic(len(p))))
    return float(ordered[fits[-1]]) if len(fits) else 0.0


def first_threshold(comparisons: int, rate: float = RATE) -> float:
    """The p-value that a change needs if it is the only one."""
    return rate / (comparisons * _harmonic(comparisons)) if comparisons else rate


def _harmonic(number: int) -> float:
    return float((1 / np.arange(1, number + 1)).sum())
