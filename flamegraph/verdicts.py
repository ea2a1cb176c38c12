"""Says of each box whether it changed: the words, the interface for statistics, and two judges without any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Verdicts = npt.NDArray[np.uint8]


class Verdict(IntEnum):
    """What became of a box from before to after."""

    UNCHANGED = 0
    GROWN = 1
    SHRUNK = 2
    NEW = 3
    GONE = 4
    CANNOT_TELL = 5
    NOISE = 6
    """It differs, but no more than two recordings of the same thing do."""

    @property
    def word(self) -> str:
        """As pages and tables write it."""
        return self.name.lower().replace("_", " ")

    @property
    def sign(self) -> str:
        """One character, told apart without colours."""
        return "=+−✚✕?≈"[self]


@dataclass(frozen=True)
class Evidence:
    """What a judge may look at; each array has one value for each box or function that is judged.

    `rate_a`, `rate_b`: weight over the denominator; `samples_a`, `samples_b`: samples behind it, None where a
    source has only weights; `whole_a`, `whole_b`: the rate of everything. `member_a`, `member_b`: rows of the
    profiles' samples and the box each ends in (empty for functions): with `before.samples.interval` they give
    values by time interval.
    """

    rate_a: Floats
    rate_b: Floats
    samples_a: Floats | None
    samples_b: Floats | None
    whole_a: float
    whole_b: float
    before: Profile
    after: Profile
    member_a: Ints
    member_b: Ints
    inclusive: bool


Judge = Callable[[Evidence], "Verdicts"]


@dataclass(frozen=True)
class SimpleRule:
    """Thresholds alone, no statistics.

    Inconclusive: fewer than `samples` samples on both sides together, or a change inside twice the counting error
    (which is too small a measure, since samples are not independent). Unchanged: a change of less than `relative`
    of the larger side, or of less than `points` of everything.
    """

    samples: int = 30
    relative: float = 0.10
    points: float = 0.001

    def __call__(self, evidence: Evidence) -> Verdicts:
        """A verdict for each."""
        a, b = evidence.rate_a, evidence.rate_b
        change, larger = b - a, np.maximum(a, b)
        verdict = np.where(change > 0, Verdict.GROWN, Verdict.SHRUNK)
        verdict[(a == 0) & (b > 0)] = Verdict.NEW
        verdict[(b == 0) & (a > 0)] = Verdict.GONE
        least = np.maximum(self.relative * larger, self.points * max(evidence.whole_a, evidence.whole_b))
        if evidence.samples_a is not None and evidence.samples_b is not None:
            few = evidence.samples_a + evidence.samples_b < self.samples
            error = np.sqrt(_variance(a, evidence.samples_a) + _variance(b, evidence.samples_b))
            verdict[few | (np.abs(change) <= 2 * error)] = Verdict.CANNOT_TELL
            verdict[~few & (np.abs(change) < least)] = Verdict.UNCHANGED
        else:
            verdict[np.abs(change) < least] = Verdict.UNCHANGED
        verdict[change == 0] = Verdict.UNCHANGED
        return verdict.astype(np.uint8)

    def __str__(self) -> str:
        return (
            f"A simple rule, no statistics: a change below {self.relative:.0%} of the box or {self.points:.1%} of"
            f" everything is “unchanged”; fewer than {self.samples} samples, or a change inside twice the counting"
            " error, is “inconclusive”."
        )


_ROUNDING = 1e-12


@dataclass(frozen=True)
class NothingKnown:
    """Inconclusive of what has more or less: nothing says how much the numbers would differ by themselves.

    Pictures then show by paler colours which side has more. What stands on one side only, with so many samples that
    its absence from the other is no chance, is new or gone all the same.
    """

    why: str
    samples: int = 15

    def __call__(self, evidence: Evidence) -> Verdicts:
        """A verdict for each."""
        a, b = evidence.rate_a, evidence.rate_b
        # Sums of the same weights in another order.
        differs = np.abs(b - a) > _ROUNDING * np.maximum(a, b)
        verdict = np.where(differs, Verdict.CANNOT_TELL, Verdict.UNCHANGED)
        if evidence.samples_a is not None and evidence.samples_b is not None:
            verdict[(a == 0) & (evidence.samples_b >= self.samples)] = Verdict.NEW
            verdict[(b == 0) & (evidence.samples_a >= self.samples)] = Verdict.GONE
        return verdict.astype(np.uint8)

    def __str__(self) -> str:
        return (
            f"{self.why} So nothing says which change is more than noise: paler colours show which side has more. "
            f"What stands on one side only, with {self.samples} samples or more, is new or gone."
        )


def _variance(rate: Floats, samples: Floats) -> Floats:
    squared: Floats = rate**2 / np.maximum(samples, 1)
    return squared
