"""Whether a node or function changed: verdicts, the interface of verdict rules, and two rules without statistics."""

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
    """Change of a node or function from before to after."""

    UNCHANGED = 0
    GROWN = 1
    SHRUNK = 2
    NEW = 3
    GONE = 4
    INCONCLUSIVE = 5
    NOISE = 6
    """Differs by no more than two recordings of the same workload do."""

    @property
    def word(self) -> str:
        """Label in pages and tables."""
        return self.name.lower().replace("_", " ")

    @property
    def sign(self) -> str:
        """One character, so that verdicts are distinguishable without colours."""
        return "=+−✚✕?≈"[self]


@dataclass(frozen=True)
class VerdictInput:
    """Input of a verdict rule; arrays have one value per node or function.

    `rate_a`, `rate_b`: normalized weights; `samples_a`, `samples_b`: their samples, None where a source has only
    weights; `whole_a`, `whole_b`: the rate of the root. `member_a`, `member_b`: the last node of each row of samples
    (empty for functions), which with `before.samples.interval` gives values by time interval.
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


VerdictRule = Callable[[VerdictInput], "Verdicts"]


@dataclass(frozen=True)
class SimpleRule:
    """Thresholds without statistics.

    Inconclusive: fewer than `samples` samples on both sides together, or a change of less than twice the counting
    error (an underestimate, since samples are not independent). Unchanged: a change of less than `relative` of the
    larger side, or of less than `points` of the total.
    """

    samples: int = 30
    relative: float = 0.10
    points: float = 0.001

    def __call__(self, compared: VerdictInput) -> Verdicts:
        """A verdict per node or function."""
        a, b = compared.rate_a, compared.rate_b
        change, larger = b - a, np.maximum(a, b)
        verdict = np.where(change > 0, Verdict.GROWN, Verdict.SHRUNK)
        verdict[(a == 0) & (b > 0)] = Verdict.NEW
        verdict[(b == 0) & (a > 0)] = Verdict.GONE
        smallest = np.maximum(self.relative * larger, self.points * max(compared.whole_a, compared.whole_b))
        if compared.samples_a is not None and compared.samples_b is not None:
            few = compared.samples_a + compared.samples_b < self.samples
            error = np.sqrt(_variance(a, compared.samples_a) + _variance(b, compared.samples_b))
            verdict[few | (np.abs(change) <= 2 * error)] = Verdict.INCONCLUSIVE
            verdict[~few & (np.abs(change) < smallest)] = Verdict.UNCHANGED
        else:
            verdict[np.abs(change) < smallest] = Verdict.UNCHANGED
        verdict[change == 0] = Verdict.UNCHANGED
        return verdict.astype(np.uint8)

    def __str__(self) -> str:
        return (
            f"Thresholds without statistics: a change below {self.relative:.0%} of the frame or {self.points:.1%} of"
            f" the total is “unchanged”; fewer than {self.samples} samples, or a change below twice the counting"
            " error, is “inconclusive”."
        )


_ROUNDING = 1e-12


@dataclass(frozen=True)
class UnknownNoise:
    """Every increase and decrease is inconclusive, since the noise of the weights is unknown.

    Pictures then tint frames by the side that has more. A node on one side only is new or gone where it has enough
    samples that its absence from the other side is not chance.
    """

    reason: str
    samples: int = 15

    def __call__(self, compared: VerdictInput) -> Verdicts:
        """A verdict per node or function."""
        a, b = compared.rate_a, compared.rate_b
        # Sums of the same weights in a different order may differ by this.
        differs = np.abs(b - a) > _ROUNDING * np.maximum(a, b)
        verdict = np.where(differs, Verdict.INCONCLUSIVE, Verdict.UNCHANGED)
        if compared.samples_a is not None and compared.samples_b is not None:
            verdict[(a == 0) & (compared.samples_b >= self.samples)] = Verdict.NEW
            verdict[(b == 0) & (compared.samples_a >= self.samples)] = Verdict.GONE
        return verdict.astype(np.uint8)

    def __str__(self) -> str:
        return (
            f"{self.reason} So no change can be distinguished from noise: the tint shows which side has more. "
            f"A frame on one side only, with {self.samples} samples or more, is new or gone."
        )


def _variance(rate: Floats, samples: Floats) -> Floats:
    squared: Floats = rate**2 / np.maximum(samples, 1)
    return squared
