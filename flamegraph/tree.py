"""The call tree of a profile: equal beginnings of stacks merged into one box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Frame, Kind, Thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from flamegraph.profile import Profile

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

ROOTS = ("none", "comm", "pid", "tid")
_NOBODY = Thread(-1, -1, "")


@dataclass(frozen=True)
class Tree:
    """Boxes in an order in which parents stand before their children; box 0 is the root ("all").

    `parent` (-1 for the root), `frame` (numbers into `frames`; -1 for the root), `depth`: int64 a box.
    `leaf`: the box in which each row of the profile's samples ends. A process or thread at the base is a frame
    as well: its name is what `root_name` gives, its kind USER, its module "".
    """

    frames: Sequence[Frame]
    parent: Ints
    frame: Ints
    depth: Ints
    leaf: Ints

    def __len__(self) -> int:
        return len(self.parent)

    def own(self, weight: Floats) -> Floats:
        """Weight that ends in each box, of one weight for each row of samples."""
        return np.bincount(self.leaf, weight, len(self)).astype(np.float64, copy=False)

    def total(self, weight: Floats) -> Floats:
        """Weight of each box and of all above it."""
        total = self.own(weight)
        for level in range(int(self.depth.max(initial=0)), 0, -1):
            boxes = np.flatnonzero(self.depth == level)
            np.add.at(total, self.parent[boxes], total[boxes])
        return total


def root_name(thread: Thread, root: str) -> str:
    """What stands at the base for a thread: `nginx`, `nginx-2512` or `nginx-2512/2513`; `?` where a number is
    not known. "" where nothing is known, as in folded text: such a thread has no box.
    """
    if root == "comm" or thread == _NOBODY:
        return thread.comm
    pid, tid = ("?" if number < 0 else number for number in (thread.pid, thread.tid))
    return f"{thread.comm}-{pid}" if root == "pid" else f"{thread.comm}-{pid}/{tid}"


def build(profile: Profile, root: str = "comm") -> Tree:
    """Merge equal beginnings, level by level: each level is one sort, however many stacks there are."""
    if root not in ROOTS:
        raise ValueError(f"root {root!r} is none of {', '.join(ROOTS)}")
    frames = list(profile.frames)
    samples, stacks = profile.samples, profile.stacks
    pairs, row_pair = np.unique(np.stack((samples.thread, samples.stack)), axis=1, return_inverse=True)
    node = np.zeros(pairs.shape[1], np.int64)
    levels = _Levels(len(frames) + len(profile.threads))
    if root != "none":
        base = _base_frames(profile, root, frames)
        has = np.flatnonzero(base[pairs[0]] >= 0)
        node[has] = levels.add(node[has], base[pairs[0, has]])
    start, depth = stacks.start[pairs[1]], stacks.depth[pairs[1]]
    for level in range(int(depth.max(initial=0))):
        deep = np.flatnonzero(depth > level)
        node[deep] = levels.add(node[deep], stacks.frame[start[deep] + level])
    parent, frame, depths = levels.columns()
    return Tree(frames, parent, frame, depths, node[row_pair.reshape(-1)])


def _base_frames(profile: Profile, root: str, frames: list[Frame]) -> Ints:
    """Number of each thread's base frame, -1 for none; the frames are added to the list."""
    numbers = {"": -1}
    for thread in profile.threads:
        name = root_name(thread, root)
        if name not in numbers:
            numbers[name] = len(frames)
            frames.append(Frame(name, "", Kind.USER))
    return np.array([numbers[root_name(thread, root)] for thread in profile.threads], np.int64)


class _Levels:
    """Boxes made so far, level by level."""

    def __init__(self, frames: int) -> None:
        self._frames = max(frames, 1)
        self._parent, self._frame = [np.array([-1])], [np.array([-1])]
        self._boxes = 1

    def add(self, parent: Ints, frame: Ints) -> Ints:
        """The boxes of (parent, frame), new ones made once; a number for each pair."""
        keys, numbers = np.unique(parent * self._frames + frame, return_inverse=True)
        self._parent.append(keys // self._frames)
        self._frame.append(keys % self._frames)
        first = self._boxes
        self._boxes += len(keys)
        boxes: Ints = first + numbers
        return boxes

    def columns(self) -> tuple[Ints, Ints, Ints]:
        """Parent, frame and depth of every box."""
        depth = np.zeros(self._boxes, np.int64)
        begin = 1
        for parent in self._parent[1:]:
            depth[begin : begin + len(parent)] = depth[parent] + 1
            begin += len(parent)
        return np.concatenate(self._parent), np.concatenate(self._frame), depth
