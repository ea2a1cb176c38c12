"""Profile: unique stacks with their weights by thread and time interval. Data only; `FlameGraph` draws it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.names import fold_names

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Pick = str | Callable[[str], bool]

# Tolerance for the index of an interval computed in floating point: 0.3 / 0.1 is 2.9999999999999996.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Stacks:
    """Unique stacks, root first. Stack i is `frame[start[i]:start[i + 1]]`: indices into the frames of the profile.

    `start`: int64, one element more than there are stacks; `frame`: int32 or int64.
    """

    start: Ints
    frame: Ints

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, index: int) -> Ints:
        return self.frame[self.start[index] : self.start[index + 1]]

    @cached_property
    def depth(self) -> Ints:
        """Number of frames in each stack."""
        return np.diff(self.start)


@dataclass(frozen=True)
class Samples:
    """One row per stack, thread and time interval with samples; five columns of equal length.

    `stack`, `thread`, `interval`: indices; `count`: number of samples (0 where only a weight is known); `weight`: in
    the unit of the profile.
    """

    stack: Ints
    thread: Ints
    interval: Ints
    count: Ints
    weight: Floats

    def __len__(self) -> int:
        return len(self.stack)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Samples:
        """The rows that a mask selects."""
        return Samples(
            self.stack[chosen], self.thread[chosen], self.interval[chosen], self.count[chosen], self.weight[chosen]
        )


@dataclass(frozen=True)
class Info:
    """Recording details."""

    event: str = ""
    """`cycles`, `cpu-clock`, `off-cpu` …; "" where the source does not name it."""
    unit: str = "samples"
    """What a weight counts: `samples`, `ns`, `cycles` …"""
    seconds: float = 0.0
    """Length of the recording; 0 where the source has no times."""
    interval_s: float = 0.0
    """Length of a time interval; 0 where the source has no times, and all samples are in interval 0."""
    intervals: int = 1
    lost: int = 0
    """Samples that the kernel or the recorder dropped."""
    truncated: int = 0
    """Samples whose stack was deeper than the recorded depth."""
    title: str = ""
    notes: tuple[str, ...] = ()
    """Sentences shown with the profile: limits of the recording and of its symbols."""
    other_events: tuple[str, ...] = ()
    """Events of the same file that were not read."""


@dataclass(frozen=True)
class Profile:
    """Unique stacks with their weights by thread and time interval, and recording details."""

    frames: Sequence[Frame]
    stacks: Stacks
    threads: Sequence[Thread]
    samples: Samples
    info: Info = field(default_factory=Info)

    @property
    def total(self) -> float:
        """Sum of all weights, in `info.unit`."""
        return float(self.samples.weight.sum())

    @property
    def count(self) -> int:
        """Number of samples; 0 where the source has only weights."""
        return int(self.samples.count.sum())

    @property
    def unsymbolized_share(self) -> float:
        """Share of the weight in stacks whose leaf has no name, 0 to 1."""
        if not self.total:
            return 0.0
        unnamed = np.fromiter((frame.kind is Kind.UNKNOWN for frame in self.frames), bool, len(self.frames))
        filled = self.stacks.depth > 0
        unnamed_leaf = np.zeros(len(self.stacks), bool)
        unnamed_leaf[filled] = unnamed[self.stacks.frame[self.stacks.start[1:][filled] - 1]]
        return float(self.samples.weight[unnamed_leaf[self.samples.stack]].sum()) / self.total

    def __repr__(self) -> str:
        info = self.info
        return (
            f"{type(self).__name__}(event={info.event!r}, samples={self.count}, stacks={len(self.stacks)},"
            f" seconds={info.seconds:.4g})"
        )

    def filter(
        self,
        thread: Pick | None = None,
        time: tuple[float, float] | None = None,
        frame: Pick | None = None,
    ) -> Self:
        """The samples that meet every given condition.

        `thread`: the exact name of a thread, or a function of the name; `time`: begin and end in seconds from the
        start, widened to whole intervals, of which the first becomes interval 0; `frame`: the exact name of a
        function in the stack, or a function of the name. Raises `ProfileError` for `time` where the profile has no
        times.
        """
        if time is not None and not self.info.interval_s:
            raise ProfileError("The profile has no times to choose from.")
        if time is not None:
            return self._within(*time).filter(thread, frame=frame)
        keep = np.ones(len(self.samples), bool)
        if thread is not None:
            keep &= _matching([owner.comm for owner in self.threads], thread)[self.samples.thread]
        if frame is not None:
            keep &= self._with_frame(frame)[self.samples.stack]
        return replace(self, samples=self.samples.where(keep))

    def fold_threads(self) -> Self:
        """The same profile with `reactor-0`, `reactor-1` … merged into `reactor-N`."""
        folded = fold_names(thread.comm for thread in self.threads)
        return replace(self, threads=[thread._replace(comm=folded[thread.comm]) for thread in self.threads])

    def to_frame(self) -> pd.DataFrame:
        """One row per stack, thread and interval: comm, pid, tid, start_s, stack (`a;b;c`), samples, weight."""
        import pandas as pd

        names = [frame.name for frame in self.frames]
        stacks = [";".join(names[number] for number in self.stacks[i]) for i in range(len(self.stacks))]
        threads = [self.threads[number] for number in self.samples.thread]
        return pd.DataFrame(
            {
                "comm": [thread.comm for thread in threads],
                "pid": [thread.pid for thread in threads],
                "tid": [thread.tid for thread in threads],
                "start_s": self.samples.interval * self.info.interval_s,
                "stack": [stacks[number] for number in self.samples.stack],
                "samples": self.samples.count,
                f"weight_{self.info.unit}": self.samples.weight,
            }
        )

    def _within(self, begin_s: float, end_s: float) -> Self:
        info = self.info
        intervals = max(info.intervals, int(self.samples.interval.max(initial=0)) + 1)
        first = int(min(max(begin_s / info.interval_s + _ROUNDING, 0), intervals))
        end = math.ceil(min(max(end_s / info.interval_s - _ROUNDING, first), intervals))
        if (first, end) == (0, intervals):
            return self
        kept = self.samples.where((self.samples.interval >= first) & (self.samples.interval < end))
        span = f"seconds {first * info.interval_s:.4g} to {min(end * info.interval_s, info.seconds):.4g}"
        note = f"Part of the recording: {span} of {info.seconds:.4g}."
        if info.lost or info.truncated:
            note += f" In total {info.lost} samples were lost and {info.truncated} stacks truncated."
        part = replace(
            info,
            seconds=min((end - first) * info.interval_s, info.seconds),
            intervals=end - first,
            lost=0,
            truncated=0,
            notes=(*info.notes, note),
        )
        return replace(self, samples=replace(kept, interval=kept.interval - first), info=part)

    def _with_frame(self, pick: Pick) -> npt.NDArray[np.bool_]:
        hit = _matching([frame.name for frame in self.frames], pick)
        counted = np.concatenate(([0], np.cumsum(hit[self.stacks.frame])))
        has: npt.NDArray[np.bool_] = counted[self.stacks.start[1:]] > counted[self.stacks.start[:-1]]
        return has


def _matching(names: Sequence[str], pick: Pick) -> npt.NDArray[np.bool_]:
    if not (callable(pick) or isinstance(pick, str)):
        raise TypeError(f"{pick!r} is neither a name nor a function of a name, such as re.compile(…).search")
    fits = pick if callable(pick) else pick.__eq__
    return np.fromiter((bool(fits(name)) for name in names), bool, len(names))
