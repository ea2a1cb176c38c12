"""Builds a Profile sample by sample, for sources that deliver text or one stack at a time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from flamegraph.frames import Frame, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

_Key = TypeVar("_Key", bound=Hashable)


class Builder:
    """Numbers frames, stacks and threads, and sums samples."""

    def __init__(self) -> None:
        self._frames: dict[Frame, int] = {}
        self._stacks: dict[tuple[int, ...], int] = {}
        self._threads: dict[Thread, int] = {}
        self._rows: dict[tuple[int, int, int], list[float]] = {}

    def frame(self, frame: Frame) -> int:
        """The number of a frame."""
        return _number(self._frames, frame)

    def stack(self, frames: Sequence[int]) -> int:
        """The number of a stack of frame numbers, root first."""
        return _number(self._stacks, tuple(frames))

    def thread(self, thread: Thread) -> int:
        """The number of a thread."""
        return _number(self._threads, thread)

    def add(self, stack: int, thread: int, interval: int = 0, *, count: int = 1, weight: float = 1.0) -> None:
        """Add samples of one stack in one thread and time interval."""
        row = self._rows.get((stack, thread, interval))
        if row is None:
            self._rows[stack, thread, interval] = [count, weight]
        else:
            row[0] += count
            row[1] += weight

    def numbers_of(self, other: Profile) -> tuple[Ints, Ints]:
        """The number in this builder of each stack and each thread of another profile."""
        frames = np.array([self.frame(frame) for frame in other.frames], np.int64)
        numbers, start = frames[other.stacks.frame].tolist(), other.stacks.start.tolist()
        stacks = [self.stack(numbers[begin:end]) for begin, end in pairwise(start)]
        threads = [self.thread(thread) for thread in other.threads]
        return np.array(stacks, np.int64), np.array(threads, np.int64)

    def profile(self, info: Info) -> Profile:
        """The profile of all added samples."""
        keys = np.array(list(self._rows), np.int64).reshape(-1, 3)
        values = np.array(list(self._rows.values()), np.float64).reshape(-1, 2)
        samples = Samples(keys[:, 0], keys[:, 1], keys[:, 2], values[:, 0].astype(np.int64), values[:, 1])
        depths = np.fromiter((len(stack) for stack in self._stacks), np.int64, len(self._stacks))
        frames = np.fromiter((number for stack in self._stacks for number in stack), np.int64, int(depths.sum()))
        stacks = Stacks(np.concatenate(([0], np.cumsum(depths))), frames)
        return Profile(list(self._frames), stacks, list(self._threads), samples, info)


def _number(numbers: dict[_Key, int], key: _Key) -> int:
    return numbers.setdefault(key, len(numbers))
