"""The call tree of a profile (equal beginnings of stacks merged) and its functions as a flat table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.frames import Frame, Kind, Thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from flamegraph.profile import Profile

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

ROOTS = ("none", "comm", "pid", "tid")
_UNKNOWN_THREAD = Thread(-1, -1, "")


@dataclass(frozen=True)
class Tree:
    """Nodes in an order in which parents precede their children; node 0 is the root ("all").

    `parent` (-1 for the root), `frame` (index into `frames`; -1 for the root), `depth`: int64, one per node.
    `leaf`: the last node of each row of the samples of the profile. A process or thread at the base is a frame, too:
    its name is that of `root_name`, its kind USER, its module "".
    """

    frames: Sequence[Frame]
    parent: Ints
    frame: Ints
    depth: Ints
    leaf: Ints

    def __len__(self) -> int:
        return len(self.parent)

    def self_weight(self, weight: Floats) -> Floats:
        """Self weight of each node; `weight`: one value per row of samples."""
        return np.bincount(self.leaf, weight, len(self)).astype(np.float64, copy=False)

    def total_weight(self, weight: Floats) -> Floats:
        """Weight of each node and its descendants; `weight`: one value per row of samples."""
        total = self.self_weight(weight)
        for level in range(int(self.depth.max(initial=0)), 0, -1):
            nodes = np.flatnonzero(self.depth == level)
            np.add.at(total, self.parent[nodes], total[nodes])
        return total


def root_name(thread: Thread, root: str) -> str:
    """Name of the frame of a thread at the base: `nginx`, `nginx-2512` or `nginx-2512/2513`; `?` for an unknown id.

    "" where nothing is known, as in folded text: such a thread has no frame.
    """
    if root == "comm" or thread == _UNKNOWN_THREAD:
        return thread.comm
    pid, tid = ("?" if number < 0 else number for number in (thread.pid, thread.tid))
    return f"{thread.comm}-{pid}" if root == "pid" else f"{thread.comm}-{pid}/{tid}"


def build(profile: Profile, root: str = "comm") -> Tree:
    """Merge equal beginnings of stacks level by level, with one sort per level."""
    if root not in ROOTS:
        raise ValueError(f"root {root!r} is not one of {', '.join(ROOTS)}")
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
    """Index of the base frame of each thread, -1 for none; appends the frames to the list."""
    numbers = {"": -1}
    for thread in profile.threads:
        name = root_name(thread, root)
        if name not in numbers:
            numbers[name] = len(frames)
            frames.append(Frame(name, "", Kind.USER))
    return np.array([numbers[root_name(thread, root)] for thread in profile.threads], np.int64)


class _Levels:
    """The nodes created so far, level by level."""

    def __init__(self, frames: int) -> None:
        self._frames = max(frames, 1)
        self._parent, self._frame = [np.array([-1])], [np.array([-1])]
        self._nodes = 1

    def add(self, parent: Ints, frame: Ints) -> Ints:
        """The node of each (parent, frame), created on first use."""
        keys, numbers = np.unique(parent * self._frames + frame, return_inverse=True)
        self._parent.append(keys // self._frames)
        self._frame.append(keys % self._frames)
        first = self._nodes
        self._nodes += len(keys)
        nodes: Ints = first + numbers
        return nodes

    def columns(self) -> tuple[Ints, Ints, Ints]:
        """Parent, frame and depth of every node."""
        depth = np.zeros(self._nodes, np.int64)
        begin = 1
        for parent in self._parent[1:]:
            depth[begin : begin + len(parent)] = depth[parent] + 1
            begin += len(parent)
        return np.concatenate(self._parent), np.concatenate(self._frame), depth


class TopRow(NamedTuple):
    """A function; weights in the unit of the profile. Recursive calls count once in `total_weight`."""

    frame: Frame
    self_weight: float
    total_weight: float
    samples: int
    """Samples with the function as leaf."""


def top(profile: Profile, rows: int = 30) -> list[TopRow]:
    """Functions by descending self weight; `rows`: 0 for all."""
    stacks, samples = profile.stacks, profile.samples
    weight = np.bincount(samples.stack, samples.weight, len(stacks))
    count = np.bincount(samples.stack, samples.count, len(stacks))
    owner = np.repeat(np.arange(len(stacks)), stacks.depth)
    pairs = np.unique(owner * max(len(profile.frames), 1) + stacks.frame)
    in_stack, frame = np.divmod(pairs, max(len(profile.frames), 1))
    total = np.bincount(frame, weight[in_stack], len(profile.frames))
    filled = np.flatnonzero(stacks.depth)
    leaf = stacks.frame[stacks.start[1:][filled] - 1]
    self_weight = np.bincount(leaf, weight[filled], len(profile.frames))
    self_count = np.bincount(leaf, count[filled], len(profile.frames))
    order = np.lexsort((-total, -self_weight))
    chosen = order[total[order] > 0]
    chosen = chosen[:rows] if rows else chosen
    return [
        TopRow(profile.frames[i], float(self_weight[i]), float(total[i]), int(self_count[i])) for i in chosen.tolist()
    ]
