"""Functions of two sides' profiles, with what is needed to know how each one's weight spreads over time."""

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
    """Frames of several profiles under one numbering; `numbers[i]` maps profile i's frames to it."""

    frames: tuple[Frame, ...]
    numbers: tuple[Ints, ...]


def match(profiles: Sequence[Profile]) -> MatchedFrames:
    """Equal names without what compilers append are one function (flamegraph.names)."""
    same = same_frames(frame for profile in profiles for frame in profile.frames)
    numbers: dict[Frame, int] = {}
    places = np.array([numbers.setdefault(frame, len(numbers)) for frame in same], np.int64)
    ends = np.cumsum([len(profile.frames) for profile in profiles])
    return MatchedFrames(tuple(numbers), tuple(np.split(places, ends[:-1])))


def interval_seconds(profile: Profile, seconds: Floats | None) -> Floats:
    """Length of each of a profile's intervals: a Run's own where it has as many, else by the profile's account."""
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
    """Mean weight of a sample over all profiles: the unit in which weights are counts."""
    samples = sum(profile.count for profile in profiles)
    weight = sum(profile.total for profile in profiles)
    return weight / samples if samples and weight else 1.0


class Summing(Protocol):
    """FunctionSums over places."""

    def sum(self, weight: Floats) -> tuple[Floats, Floats]:
        """Own and inclusive sums by place, of one weight for each group."""


class Places:
    """Where rows of samples belong: each row to one place of its own, and to several that contain it."""

    def __init__(self, own: Ints, inside: Ints, place: Ints, count: int) -> None:
        # Group (a stack) -> its own place; pairs (group, place) of all places that hold it.
        self._own, self._inside, self._place, self.count = own, inside, place, count

    def sum(self, weight: Floats) -> tuple[Floats, Floats]:
        """Own and inclusive sums by place, of one weight for each group."""
        real = self._own >= 0
        own = _summed(self._own[real], weight[real], self.count)
        return own, _summed(self._place, weight[self._inside], self.count)


def _summed(place: Ints, weight: Floats, count: int) -> Floats:
    return np.bincount(place, weight, count).astype(np.float64, copy=False)


def functions_of(profile: Profile, numbers: Ints, count: int) -> Places:
    """Stacks as groups, functions as places: a function that calls itself holds a stack once."""
    stacks = profile.stacks
    frame = numbers[stacks.frame] if len(stacks.frame) else np.zeros(0, np.int64)
    owner = np.repeat(np.arange(len(stacks)), stacks.depth)
    pairs = np.sort(owner * max(count, 1) + frame)
    inside, place = np.divmod(pairs[np.flatnonzero(np.diff(pairs, prepend=-1))], max(count, 1))
    own = np.full(len(stacks), -1, np.int64)
    filled = np.flatnonzero(stacks.depth)
    own[filled] = frame[stacks.start[1:][filled] - 1]
    return Places(own, inside, place, count)


def totals_of(
    profile: Profile, places: Summing, group: Ints, unit: float, groups: int, exposure: Floats
) -> FunctionSums:
    """Own and inclusive sums over a profile's intervals. `group`: of each row of samples; `exposure`: by interval."""
    samples, intervals = profile.samples, len(exposure)
    basis = np.vstack((np.ones(intervals), cosines(intervals), fast_cosines(intervals)))
    weight = samples.weight / unit
    sums = [places.sum(_summed(group, weight * row[samples.interval], groups)) for row in basis]
    parts = [np.array([one[part] for one in sums]) for part in (0, 1)]
    return FunctionSums(parts[0], parts[1], basis, weight_of_sample([profile]) / unit)


@dataclass(frozen=True)
class FunctionSums:
    """Own and inclusive weight, each (1 + cosines) x places: the sum, and the projections on the basis."""

    own: Floats
    inclusive: Floats
    basis: Floats
    sample: float
    """Mean weight of a sample, in the unit."""

    def over(self, exposure: Floats) -> tuple[RateTotals, RateTotals]:
        """Own and inclusive totals, divided by an exposure given by interval."""
        on_basis = self.basis[1:] @ exposure
        own, inclusive = (
            replace(projected(part[0], part[1:].T, float(exposure.sum()), on_basis, len(exposure)), event=self.sample)
            for part in (self.own, self.inclusive)
        )
        return own, inclusive


@dataclass(frozen=True)
class FunctionSumsByRun:
    """The same for Runs: own and inclusive weight, places x Runs."""

    own: Floats
    inclusive: Floats

    def over(self, exposure: Floats) -> tuple[RateTotals, RateTotals]:
        """Own and inclusive totals, divided by an exposure given by Run."""
        return over_runs(self.own, exposure), over_runs(self.inclusive, exposure)


def totals_of_runs(profiles: Sequence[Profile], matched: MatchedFrames, first: int, unit: float) -> FunctionSumsByRun:
    """FunctionSums of each function by Run; `first`: the first profile's number in `matched`."""
    count = len(matched.frames)
    own, inclusive = np.zeros((count, len(profiles))), np.zeros((count, len(profiles)))
    for number, profile in enumerate(profiles):
        places = functions_of(profile, matched.numbers[first + number], count)
        by_stack = _summed(profile.samples.stack, profile.samples.weight / unit, len(profile.stacks))
        own[:, number], inclusive[:, number] = places.sum(by_stack)
    return FunctionSumsByRun(own, inclusive)


def merged(profiles: Sequence[Profile]) -> Profile:
    """All samples of profiles of the same sort, in one; intervals stay numbered as each had them."""
    if len(profiles) == 1:
        return profiles[0]
    frames = list(accumulate((len(one.frames) for one in profiles), initial=0))
    stacks = list(accumulate((len(one.stacks) for one in profiles), initial=0))
    threads = list(accumulate((len(one.threads) for one in profiles), initial=0))
    places = list(accumulate((int(one.stacks.start[-1]) for one in profiles), initial=0))
    parts = [one.samples for one in profiles]
    samples = Samples(
        np.concatenate([part.stack + first for part, first in zip(parts, stacks, strict=False)]),
        np.concatenate([part.thread + first for part, first in zip(parts, threads, strict=False)]),
        np.concatenate([part.interval for part in parts]),
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )
    starts = [one.stacks.start[:-1] + first for one, first in zip(profiles, places, strict=False)]
    numbers = [one.stacks.frame + first for one, first in zip(profiles, frames, strict=False)]
    return Profile(
        [frame for one in profiles for frame in one.frames],
        Stacks(np.concatenate((*starts, [places[-1]])), np.concatenate(numbers)),
        [thread for one in profiles for thread in one.threads],
        samples,
        replace(profiles[0].info, seconds=sum(one.info.seconds for one in profiles)),
    )
