"""Layout of a picture: the call tree with siblings in the order of their names, positions, pruning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Frame
from flamegraph.profile import Stacks
from flamegraph.tree import Tree, root_name

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pruned:
    """Nodes to draw; number of skipped nodes, and their weight (that of the topmost)."""

    keep: npt.NDArray[np.bool_]
    skipped: int
    weight: float


def arranged(tree: Tree) -> tuple[Tree, Ints]:
    """The tree with siblings adjacent and ordered by name, and the new index of each old node."""
    rank = np.empty(len(tree.frames) + 1, np.int64)
    rank[sorted(range(len(tree.frames)), key=lambda number: tree.frames[number].name)] = np.arange(len(tree.frames))
    depth = _levels(tree)
    by_level = np.argsort(depth, kind="stable")
    ends = np.cumsum(np.bincount(depth))
    order, place = np.zeros(len(tree), np.int64), np.zeros(len(tree), np.int64)
    for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        level = by_level[begin:end]
        key = place[tree.parent[level]] * len(rank) + rank[tree.frame[level]]
        level = level[np.argsort(key, kind="stable")]
        order[begin:end] = level
        place[level] = np.arange(begin, end)
    parent = np.where(order > 0, place[tree.parent[order]], -1)
    return Tree(tree.frames, parent, tree.frame[order], depth[order], place[tree.leaf]), place


def _levels(tree: Tree) -> Ints:
    """Distance of each node from the root; one less for a stack without the frame of a thread at its base."""
    depth = np.zeros(len(tree), np.int64)
    for level in range(1, int(tree.depth.max(initial=0)) + 1):
        nodes = np.flatnonzero(tree.depth == level)
        depth[nodes] = depth[tree.parent[nodes]] + 1
    return depth


def totals(tree: Tree, self_weight: Floats) -> Floats:
    """Total weight of each node from self weights; for arranged trees, in which each level is a range."""
    total: Floats = self_weight.astype(np.float64)
    ends = np.cumsum(np.bincount(tree.depth)).tolist()
    for level in range(len(ends) - 1, 0, -1):
        nodes = slice(ends[level - 1], ends[level])
        above = slice(ends[level - 2] if level > 1 else 0, ends[level - 1])
        total[above] += np.bincount(tree.parent[nodes] - above.start, total[nodes], above.stop - above.start)
    return total


def starts(tree: Tree, width: Floats) -> Floats:
    """Left edge of each node; children are adjacent from the left edge of their parent."""
    before = np.concatenate(([0.0], np.cumsum(width)[:-1]))
    parent = np.maximum(tree.parent, 0)
    first = np.concatenate(([True], np.diff(tree.parent) != 0))
    offset = before - before[first][np.cumsum(first) - 1]
    begin: Floats = offset.copy()
    ends = np.cumsum(np.bincount(tree.depth)).tolist()
    for level in range(1, len(ends)):
        nodes = slice(ends[level - 1], ends[level])
        begin[nodes] += begin[parent[nodes]]
    return begin


def prune(tree: Tree, width: Floats, min_width: float) -> Pruned:
    """Skip nodes narrower than `min_width` and nodes without width."""
    keep = (width >= min_width) & (width > 0)
    keep[0] = True
    drawn = width > 0
    topmost = drawn & ~keep & keep[np.maximum(tree.parent, 0)]
    return Pruned(keep, int((drawn & ~keep).sum()), float(width[topmost].sum()))


def reversed_stacks(profile: Profile, root: str) -> Profile:
    """The profile with reversed stacks, the process or thread last: callers of each function."""
    samples, stacks = profile.samples, profile.stacks
    pairs, numbers = np.unique(samples.thread * max(len(stacks), 1) + samples.stack, return_inverse=True)
    thread, stack = np.divmod(pairs, max(len(stacks), 1))
    frames = list(profile.frames)
    base = _bases(profile, root, frames)[thread]
    depth = stacks.depth[stack] if len(stack) else np.zeros(0, np.int64)
    start = np.concatenate(([0], np.cumsum(depth + (base >= 0))))
    number = np.zeros(int(start[-1]), np.int64)
    owner = np.repeat(np.arange(len(stack)), depth)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(depth) - depth, depth)
    number[start[:-1][owner] + within] = stacks.frame[stacks.start[1:][stack][owner] - 1 - within]
    number[start[1:][base >= 0] - 1] = base[base >= 0]
    return replace(
        profile,
        frames=frames,
        stacks=Stacks(start, number),
        samples=replace(samples, stack=numbers.reshape(-1)),
    )


def _bases(profile: Profile, root: str, frames: list[Frame]) -> Ints:
    """Index of the frame of each thread, -1 for none; appends the frames to the list."""
    numbers = {"": -1}
    if root != "none":
        for thread in profile.threads:
            name = root_name(thread, root)
            if name not in numbers:
                numbers[name] = len(frames)
                frames.append(Frame(name))
    names = [root_name(thread, root) if root != "none" else "" for thread in profile.threads]
    return np.array([numbers[name] for name in names] or [-1], np.int64)
