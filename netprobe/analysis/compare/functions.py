"""Weights of functions in the profiles of two sides, with their spread over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import numpy as np

from flamegraph.names import same_frames
from flamegraph.profile import Profile, Samples, Stacks
from netprobe.analysis.compare.variance import RateTotals, cosines, fast_cosines, over_runs, projected

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.frames import Frame

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MatchedFrames:
    """Frames of several profiles with one numbering; `numbers[i]` maps the frames of profile i to it."""

    frames: tuple[Frame, ...]
    numbers: tuple[Ints, ...]


def match(profiles: Sequence[Profile]) -> MatchedFrames:
    """Number the frames: names that differ only in compiler suffixes are one function (flamegraph.names)."""
    same = same_frames(frame for profile in profiles for frame in profile.frames)
    numbers: dict[Frame, int] = {}
    matched = np.array([numbers.setdefault(frame, len(numbers)) for frame in same], np.int64)
    ends = np.cumsum([len(profile.frames) for profile in profiles])
    return MatchedFrames(tuple(numbers), tuple(np.split(matched, ends[:-1])))


def interval_seconds(profile: Profile, seconds: Floats | None) -> Floats:
    """Length of each interval of a profile: `seconds` if it covers all of them, else from the profile's metadata."""
    info = profile.info
    highest = int(profile.samples.interval.max(initial=0)) + 1
    if seconds is not None and len(seconds) >= highest:
        return seconds
    count = max(info.intervals, highest)
    lengths = np.full(count, info.interval_s or 1.0)
    if info.interval_s and info.seconds:
        lengths[-1] = min(max(info.seconds - info.interval_s * (count - 1), info.interval_s * 0.01), info.interval_s)
    return lengths


def weight_of_sample(profiles: Sequence[Profile]) -> float:
    """Mean weight of a sample over all profiles: divided by it, weights are counts of samples."""
    samples = sum(profile.count for profile in profiles)
    weight = sum(profile.total for profile in profiles)
    return weight / samples if samples and weight else 1.0


class Attribution(Protocol):
    """Assigns the weight of each group of samples to rows: to one row as self weight, to several as inclusive."""

    def sum(self, weight: Floats) -> tuple[Floats, Floats]:
        """Self and inclusive sums per row, from one weight per group."""


class FunctionAttribution:
    """Groups are stacks, rows are functions. `inside` and `function` are pairs: this stack contains this function."""

    def __init__(self, leaf: Ints, inside: Ints, function: Ints, count: int) -> None:
        self._leaf, self._inside, self._function, self._count = leaf, inside, function, count

    def sum(self, weight: Floats) -> tuple[Floats, Floats]:
        """Self and inclusive sums per function, from one weight per stack."""
        nonempty = self._leaf >= 0
        self_weight = _summed(self._leaf[nonempty], weight[nonempty], self._count)
        return self_weight, _summed(self._function, weight[self._inside], self._count)


def _summed(row: Ints, weight: Floats, count: int) -> Floats:
    return np.bincount(row, weight, count).astype(np.float64, copy=False)


def attribution_to_functions(profile: Profile, numbers: Ints, count: int) -> FunctionAttribution:
    """The attribution of a profile's stacks. A recursive function counts once per stack."""
    stacks = profile.stacks
    frame = numbers[stacks.frame] if len(stacks.frame) else np.zeros(0, np.int64)
    owner = np.repeat(np.arange(len(stacks)), stacks.depth)
    pairs = np.sort(owner * max(count, 1) + frame)
    inside, function = np.divmod(pairs[np.flatnonzero(np.diff(pairs, prepend=-1))], max(count, 1))
    leaf = np.full(len(stacks), -1, np.int64)
    nonempty = np.flatnonzero(stacks.depth)
    leaf[nonempty] = frame[stacks.start[1:][nonempty] - 1]
    return FunctionAttribution(leaf, inside, function, count)


@dataclass(frozen=True)
class FunctionSums:
    """Self and inclusive weight, each (1 + cosines) x rows: the sum, and its projections on the basis."""

    self_weight: Floats
    inclusive: Floats
    basis: Floats
    sample: float
    """Mean weight of a sample, in the unit."""

    def over(self, exposure: Floats) -> tuple[RateTotals, RateTotals]:
        """Self and inclusive totals; `exposure`: per interval."""
        on_basis = self.basis[1:] @ exposure
        self_totals, inclusive = (
            replace(projected(sums[0], sums[1:].T, float(exposure.sum()), on_basis, len(exposure)), event=self.sample)
            for sums in (self.self_weight, self.inclusive)
        )
        return self_totals, inclusive


def sums_over_intervals(
    profile: Profile, attribution: Attribution, group: Ints, unit: float, groups: int, exposure: Floats
) -> FunctionSums:
    """Self and inclusive sums of one profile. `group`: of each row of samples; `exposure`: per interval."""
    samples, intervals = profile.samples, len(exposure)
    basis = np.vstack((np.ones(intervals), cosines(intervals), fast_cosines(intervals)))
    weight = samples.weight / unit
    sums = [attribution.sum(_summed(group, weight * row[samples.interval], groups)) for row in basis]
    self_weight, inclusive = (np.array([both[number] for both in sums]) for number in (0, 1))
    return FunctionSums(self_weight, inclusive, basis, weight_of_sample([profile]) / unit)


@dataclass(frozen=True)
class FunctionSumsByRun:
    """Self and inclusive weight, functions x Runs."""

    self_weight: Floats
    inclusive: Floats

    def over(self, exposure: Floats) -> tuple[RateTotals, RateTotals]:
        """Self and inclusive totals; `exposure`: per Run."""
        return over_runs(self.self_weight, exposure), over_runs(self.inclusive, exposure)


def sums_over_runs(profiles: Sequence[Profile], matched: MatchedFrames, first: int, unit: float) -> FunctionSumsByRun:
    """Sums of each function per Run; `first`: number of the first profile in `matched`."""
    count = len(matched.frames)
    self_weight, inclusive = np.zeros((count, len(profiles))), np.zeros((count, len(profiles)))
    for number, profile in enumerate(profiles):
        attribution = attribution_to_functions(profile, matched.numbers[first + number], count)
        by_stack = _summed(profile.samples.stack, profile.samples.weight / unit, len(profile.stacks))
        self_weight[:, number], inclusive[:, number] = attribution.sum(by_stack)
    return FunctionSumsByRun(self_weight, inclusive)


def merged(profiles: Sequence[Profile]) -> Profile:
    """One profile with the samples of all; their events and units are equal. Interval numbers are kept."""
    if len(profiles) == 1:
        return profiles[0]
    frames = list(accumulate((len(profile.frames) for profile in profiles), initial=0))
    stacks = list(accumulate((len(profile.stacks) for profile in profiles), initial=0))
    threads = list(accumulate((len(profile.threads) for profile in profiles), initial=0))
    offsets = list(accumulate((int(profile.stacks.start[-1]) for profile in profiles), initial=0))
    parts = [profile.samples for profile in profiles]
    samples = Samples(
        np.concatenate([part.stack + first for part, first in zip(parts, stacks, strict=False)]),
        np.concatenate([part.thread + first for part, first in zip(parts, threads, strict=False)]),
        np.concatenate([part.interval for part in parts]),
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )
    starts = [profile.stacks.start[:-1] + first for profile, first in zip(profiles, offsets, strict=False)]
    numbers = [profile.stacks.frame + first for profile, first in zip(profiles, frames, strict=False)]
    return Profile(
        [frame for profile in profiles for frame in profile.frames],
        Stacks(np.concatenate((*starts, [offsets[-1]])), np.concatenate(numbers)),
        [thread for profile in profiles for thread in profile.threads],
        samples,
        replace(profiles[0].info, seconds=sum(profile.info.seconds for profile in profiles)),
    )
