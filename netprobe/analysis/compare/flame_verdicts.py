"""Says of each box and function of a flame-graph diff whether it changed: the judge for `flamegraph.diff`.

from netprobe.analysis.compare.flame_verdicts import judge_for
diff(before, after, DiffOptions(judge=judge_for(before, after)))
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.diff import Diff, DiffOptions, diff
from flamegraph.verdicts import Evidence, NothingKnown, Verdict
from netprobe.analysis.compare.functions import (
    FunctionSums,
    Summing,
    functions_of,
    interval_seconds,
    totals_of,
    weight_of_sample,
)
from netprobe.analysis.compare.noise import of_cpu_time
from netprobe.analysis.compare.significance import compare, threshold
from netprobe.analysis.compare.variance import FEWEST_BLOCKS, RateTotals

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile
    from flamegraph.tree import Tree
    from flamegraph.verdicts import Judge, Verdicts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_FEWEST = 15.0
_LEAST = 0.01
# Neither two recordings of the same thing nor many samples differ as much by themselves: no noise to be greyed.
_LARGE = 2.0


def judge_for(before: Profile, after: Profile, options: DiffOptions | None = None, pinned: bool = False) -> Judge:
    """A judge for the diff of these two profiles with these options; intervals of time are what is repeated.

    Where a profile has no times, fewer than four intervals, or weights without samples, nothing can be told.
    `pinned`: the threads that serve may run on one CPU only, so that two recordings resemble each other more.
    """
    if why := _why_not(before, after):
        return NothingKnown(why)
    return IntervalJudge(before, after, replace(options or DiffOptions(), judge=_undecided), of_cpu_time(pinned))


def halves_judge(before: Profile, after: Profile, options: DiffOptions | None = None) -> Judge:
    """The same for two parts of one recording: between them is no difference from run to run to be allowed for."""
    judge = judge_for(before, after, options)
    return replace(judge, tau=_WITHIN) if isinstance(judge, IntervalJudge) else judge


# A drift within one recording that its intervals do not show.
_WITHIN = 0.03


@dataclass(frozen=True)
class IntervalJudge:
    """Judges boxes and functions of one diff, each kind as one family with 5 % false discoveries."""

    before: Profile
    after: Profile
    options: DiffOptions
    tau: float
    _kept: dict[tuple[bool, bool], Verdicts] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, evidence: Evidence) -> Verdicts:
        """A verdict for each box, or for each function where the evidence says of no row where it belongs."""
        functions = not len(evidence.member_a) and not len(evidence.member_b)
        key = (functions, evidence.inclusive)
        if key not in self._kept:
            left, right = self._function_totals if functions else self._box_totals
            part = 1 if evidence.inclusive else 0
            self._kept[key] = _verdicts(left[part], right[part], self.tau)
        return self._kept[key]

    def __str__(self) -> str:
        return (
            "What spreads over the recordings' time intervals, and from one recording to the next, is noise and grey;"
            " of what is coloured, 5 % at most are false discoveries. What is twice as much or half, in too few or too"
            " uneven intervals to be sure, is “inconclusive”."
        )

    @cached_property
    def _whole(self) -> Diff:
        return diff(self.before, self.after, self.options)

    @cached_property
    def _function_totals(self) -> tuple[tuple[RateTotals, RateTotals], tuple[RateTotals, RateTotals]]:
        both = self._whole.both
        places = functions_of(both, np.arange(len(both.frames)), len(both.frames))
        return self._sides(places, both.samples.stack, len(both.stacks))

    @cached_property
    def _box_totals(self) -> tuple[tuple[RateTotals, RateTotals], tuple[RateTotals, RateTotals]]:
        tree = self._whole.tree
        return self._sides(BoxPlaces(tree), tree.leaf, len(tree))

    def _sides(
        self, places: Summing, group: Ints, groups: int
    ) -> tuple[tuple[RateTotals, RateTotals], tuple[RateTotals, RateTotals]]:
        rows = len(self.before.samples)
        left = self._over(self.before, places, group[:rows], groups)
        return left, self._over(self.after, places, group[rows:], groups)

    def _over(self, profile: Profile, places: Summing, group: Ints, groups: int) -> tuple[RateTotals, RateTotals]:
        requests = self.options.requests_a if profile is self.before else self.options.requests_b
        # One unit for both sides: mean weights may differ.
        unit = weight_of_sample([self.before, self.after])
        exposure = _exposure(profile, self.options.per, requests or 1.0, unit)
        sums: FunctionSums = totals_of(profile, places, group, unit, groups, exposure)
        return sums.over(exposure)


def _undecided(evidence: Evidence) -> Verdicts:
    return np.full(len(evidence.rate_a), Verdict.CANNOT_TELL, np.uint8)


def _why_not(before: Profile, after: Profile) -> str:
    """Why nothing can be told; "" where it can."""
    for which, side in (("first", before), ("second", after)):
        if not side.info.interval_s:
            return f"The {which} input has no times."
        if side.info.intervals < FEWEST_BLOCKS:
            return (
                f"The {which} recording is too short: {side.info.intervals} time intervals say nothing of their spread."
            )
        if not side.count:
            return f"The {which} input gives weights without samples."
    return ""


def _exposure(profile: Profile, per: str, requests: float, unit: float) -> Floats:
    """By interval: seconds; of a share, all samples; requests as if they were spread as the time is."""
    seconds = interval_seconds(profile, None)
    if per == "share":
        return np.bincount(profile.samples.interval, profile.samples.weight / unit, len(seconds)).astype(np.float64)
    return seconds * (requests / seconds.sum()) if per == "request" else seconds


class BoxPlaces:
    """Boxes as groups and as places: a box is inside itself and inside all below it."""

    def __init__(self, tree: Tree) -> None:
        self._parent = tree.parent
        levels = int(tree.depth.max(initial=0))
        self._levels = [np.flatnonzero(tree.depth == level) for level in range(levels, 0, -1)]

    def sum(self, weight: Floats) -> tuple[Floats, Floats]:
        """Own and inclusive sums by box, of one weight for each."""
        total = weight.copy()
        for boxes in self._levels:
            np.add.at(total, self._parent[boxes], total[boxes])
        return weight, total


def _verdicts(before: RateTotals, after: RateTotals, tau: float) -> Verdicts:
    rows = len(before.count)
    found = compare(before, after, np.full(rows, tau), (np.ones(rows), np.ones(rows)))
    enough = before.count + after.count >= _FEWEST
    limit = threshold(found.p[enough & np.isfinite(found.p)])
    seen = enough & (found.p <= limit)
    verdict = np.full(rows, Verdict.NOISE)
    verdict[~enough] = Verdict.CANNOT_TELL
    verdict[_LARGE * np.minimum(before.rate, after.rate) <= np.maximum(before.rate, after.rate)] = Verdict.CANNOT_TELL
    verdict[seen & (after.rate > before.rate)] = Verdict.GROWN
    verdict[seen & (after.rate < before.rate)] = Verdict.SHRUNK
    verdict[seen & (before.count == 0)] = Verdict.NEW
    verdict[seen & (after.count == 0)] = Verdict.GONE
    # Equal, or so nearly that it is none that anyone would act upon.
    change, larger = np.abs(after.rate - before.rate), np.maximum(before.rate, after.rate)
    verdict[(enough & seen & (change < _LEAST * larger)) | (change <= 1e-12 * larger)] = Verdict.UNCHANGED
    return verdict.astype(np.uint8)
