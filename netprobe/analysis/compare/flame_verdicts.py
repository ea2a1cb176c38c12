"""Verdicts with statistics for the frames of a flame graph diff: the rule that `flamegraph.diff` applies.

from netprobe.analysis.compare.flame_verdicts import verdict_rule
diff(before, after, DiffOptions(rule=verdict_rule(before, after)))
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.diff import Diff, DiffOptions, diff
from flamegraph.verdicts import UnknownNoise, Verdict, VerdictInput
from netprobe.analysis.compare.evaluation import MIN_CHANGE, MIN_EVENTS
from netprobe.analysis.compare.functions import (
    Attribution,
    FunctionSums,
    attribution_to_functions,
    interval_seconds,
    sums_over_intervals,
    weight_of_sample,
)
from netprobe.analysis.compare.noise import of_cpu_time
from netprobe.analysis.compare.significance import compare, threshold
from netprobe.analysis.compare.variance import MIN_INTERVALS, RateTotals

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile
    from flamegraph.tree import Tree
    from flamegraph.verdicts import VerdictRule, Verdicts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

# A larger ratio is more than run-to-run variation, even if the samples are too few for a significant change: it is
# shown as inconclusive, not as noise.
_MAX_NOISE_RATIO = 2.0
# tau for two parts of one recording: a drift that its intervals do not show.
_TAU_WITHIN_RECORDING = 0.03


def verdict_rule(
    before: Profile, after: Profile, options: DiffOptions | None = None, pinned: bool = False
) -> VerdictRule:
    """The rule for the diff of these profiles with these options; the spread is taken from their time intervals.

    All verdicts are inconclusive if a profile has no times, fewer than four intervals, or weights without samples.
    `pinned`: each serving thread may run on one CPU only, which reduces the variation between two recordings.
    """
    if reason := _reason_for_no_statistics(before, after):
        return UnknownNoise(reason)
    return IntervalRule(before, after, replace(options or DiffOptions(), rule=_no_verdicts), of_cpu_time(pinned))


def verdict_rule_within_recording(before: Profile, after: Profile, options: DiffOptions | None = None) -> VerdictRule:
    """The rule for two parts of one recording, which have no run-to-run variation."""
    rule = verdict_rule(before, after, options)
    return replace(rule, tau=_TAU_WITHIN_RECORDING) if isinstance(rule, IntervalRule) else rule


@dataclass(frozen=True)
class IntervalRule:
    """Verdicts for the frames and the functions of one diff, each a family with at most 5 % false discoveries."""

    before: Profile
    after: Profile
    options: DiffOptions
    tau: float
    _kept: dict[tuple[bool, bool], Verdicts] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, compared: VerdictInput) -> Verdicts:
        """A verdict per frame, or per function if no row of samples is assigned to a frame."""
        functions = not len(compared.member_a) and not len(compared.member_b)
        key = (functions, compared.inclusive)
        if key not in self._kept:
            left, right = self._function_totals if functions else self._node_totals
            number = 1 if compared.inclusive else 0
            self._kept[key] = _verdicts(left[number], right[number], self.tau)
        return self._kept[key]

    def __str__(self) -> str:
        return (
            "Frames within the variation over time intervals and between recordings are grey (“noise”); at most 5 % of"
            " the coloured frames are false discoveries. A frame that doubled or halved, but in too few or too uneven"
            " intervals for a significant change, is “inconclusive”."
        )

    @cached_property
    def _whole(self) -> Diff:
        return diff(self.before, self.after, self.options)

    @cached_property
    def _function_totals(self) -> tuple[tuple[RateTotals, RateTotals], tuple[RateTotals, RateTotals]]:
        both = self._whole.both
        attribution = attribution_to_functions(both, np.arange(len(both.frames)), len(both.frames))
        return self._sides(attribution, both.samples.stack, len(both.stacks))

    @cached_property
    def _node_totals(self) -> tuple[tuple[RateTotals, RateTotals], tuple[RateTotals, RateTotals]]:
        tree = self._whole.tree
        return self._sides(NodeAttribution(tree), tree.leaf, len(tree))

    def _sides(
        self, attribution: Attribution, group: Ints, groups: int
    ) -> tuple[tuple[RateTotals, RateTotals], tuple[RateTotals, RateTotals]]:
        rows = len(self.before.samples)
        left = self._over(self.before, attribution, group[:rows], groups)
        return left, self._over(self.after, attribution, group[rows:], groups)

    def _over(
        self, profile: Profile, attribution: Attribution, group: Ints, groups: int
    ) -> tuple[RateTotals, RateTotals]:
        requests = self.options.requests_a if profile is self.before else self.options.requests_b
        # The mean weight of a sample may differ between the sides: one unit for both.
        unit = weight_of_sample([self.before, self.after])
        exposure = _exposure(profile, self.options.per, requests or 1.0, unit)
        sums: FunctionSums = sums_over_intervals(profile, attribution, group, unit, groups, exposure)
        return sums.over(exposure)


def _no_verdicts(compared: VerdictInput) -> Verdicts:
    return np.full(len(compared.rate_a), Verdict.INCONCLUSIVE, np.uint8)


def _reason_for_no_statistics(before: Profile, after: Profile) -> str:
    """Why the spread is not known; "" if it is."""
    for which, side in (("first", before), ("second", after)):
        if not side.info.interval_s:
            return f"The {which} input has no times."
        if side.info.intervals < MIN_INTERVALS:
            return (
                f"The {which} recording is too short: the spread of {side.info.intervals} time intervals is not known."
            )
        if not side.count:
            return f"The {which} input gives weights without samples."
    return ""


def _exposure(profile: Profile, per: str, requests: float, unit: float) -> Floats:
    """Per interval: seconds; samples, if rates are shares; or requests, distributed in proportion to time."""
    seconds = interval_seconds(profile, None)
    if per == "share":
        return np.bincount(profile.samples.interval, profile.samples.weight / unit, len(seconds)).astype(np.float64)
    return seconds * (requests / seconds.sum()) if per == "request" else seconds


class NodeAttribution:
    """Groups and rows are the nodes of a call tree: the inclusive weight of a node includes its descendants."""

    def __init__(self, tree: Tree) -> None:
        self._parent = tree.parent
        levels = int(tree.depth.max(initial=0))
        self._levels = [np.flatnonzero(tree.depth == level) for level in range(levels, 0, -1)]

    def sum(self, weight: Floats) -> tuple[Floats, Floats]:
        """Self and inclusive sums per node, from one weight per node."""
        total = weight.copy()
        for nodes in self._levels:
            np.add.at(total, self._parent[nodes], total[nodes])
        return weight, total


def _verdicts(before: RateTotals, after: RateTotals, tau: float) -> Verdicts:
    rows = len(before.count)
    found = compare(before, after, np.full(rows, tau), (np.ones(rows), np.ones(rows)))
    enough = before.count + after.count >= MIN_EVENTS
    limit = threshold(found.p[enough & np.isfinite(found.p)])
    significant = enough & (found.p <= limit)
    verdict = np.full(rows, Verdict.NOISE)
    verdict[~enough] = Verdict.INCONCLUSIVE
    large = _MAX_NOISE_RATIO * np.minimum(before.rate, after.rate) <= np.maximum(before.rate, after.rate)
    verdict[large] = Verdict.INCONCLUSIVE
    verdict[significant & (after.rate > before.rate)] = Verdict.GROWN
    verdict[significant & (after.rate < before.rate)] = Verdict.SHRUNK
    verdict[significant & (before.count == 0)] = Verdict.NEW
    verdict[significant & (after.count == 0)] = Verdict.GONE
    # Equal, or a change without practical consequence.
    change, larger = np.abs(after.rate - before.rate), np.maximum(before.rate, after.rate)
    verdict[(enough & significant & (change < MIN_CHANGE * larger)) | (change <= 1e-12 * larger)] = Verdict.UNCHANGED
    return verdict.astype(np.uint8)
