"""Shares of the server's time by function, without the samples in BPF programs of netprobe."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Frame, Kind

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile

    Ints = npt.NDArray[np.int64]

Matches = Callable[[str], object]
"""Whether a function's name matches: the method `match` or `search` of a compiled pattern."""

# Callers of BPF programs attached to tracepoints, fentry and perf events. Programs of XDP, tc and SO_REUSEPORT have
# other callers: they belong to the server.
_PROBE = re.compile(r"(__bpf_trace_|__traceiter_|bpf_trace_run\d|bpf_trampoline_|bpf_overflow_handler)")


@dataclass(frozen=True)
class FrameShare:
    """Selected samples: their share of all samples in percent, their number, and the frames that selected them."""

    pct: float
    samples: int
    frames: tuple[tuple[str, float], ...]
    """Names, each with its share of all samples in percent, largest first."""


@dataclass(frozen=True)
class HeavyFunction:
    """A function with the time in it and in the functions that it calls in the same mode, in percent of all samples."""

    frame: Frame
    pct: float
    samples: int
    callers: tuple[str, ...]
    """The most frequent call path to the function, the outermost caller last."""
    ends_in: tuple[tuple[str, float], ...]
    """The innermost functions of its samples, itself included, with their shares in percent, largest first."""


class FrameShares:
    """Shares of the samples of one profile. Samples in BPF programs of netprobe are excluded, also from the total."""

    def __init__(self, profile: Profile) -> None:
        self.event = profile.info.event
        self._frames = profile.frames
        flat, start = profile.stacks.frame.tolist(), profile.stacks.start.tolist()
        stacks = [tuple(flat[begin:end]) for begin, end in pairwise(start)]
        probes = {i for i, frame in enumerate(profile.frames) if is_kernel(frame) and _PROBE.match(frame.name)}
        samples = profile.samples
        weight = np.bincount(samples.stack, samples.weight, len(stacks))
        count = np.bincount(samples.stack, samples.count, len(stacks))
        self._rows = [
            (stack, float(weight[number]), int(count[number]))
            for number, stack in enumerate(stacks)
            if stack and weight[number] and not probes.intersection(stack)
        ]
        self.total = sum(row[1] for row in self._rows)
        self.samples = sum(row[2] for row in self._rows)

    @property
    def has_kernel(self) -> bool:
        """Whether any frame is marked as a kernel function."""
        return any(self._is_kernel)

    def having(self, name: Matches, below: Matches | None = None) -> FrameShare:
        """Samples with a matching kernel frame anywhere; with `below`, only under a kernel frame that matches it."""
        chosen, over = self._kernel(name), self._kernel(below) if below else None

        def first(stack: tuple[int, ...]) -> int | None:
            seen = over is None
            for frame in stack:
                if seen and frame in chosen:
                    return frame
                seen = seen or (over is not None and frame in over)
            return None

        return self._share(first)

    def ending(self, name: Matches) -> FrameShare:
        """Samples whose innermost frame is a matching kernel frame."""
        chosen = self._kernel(name)
        return self._share(lambda stack: stack[-1] if stack[-1] in chosen else None)

    def self_pct(self, frame: Frame) -> float:
        """Share of the samples with this innermost frame, in percent."""
        return self._pct(sum(weight for stack, weight, _ in self._rows if self._frames[stack[-1]] == frame))

    def top_self(self, count: int) -> list[tuple[Frame, float]]:
        """The most frequent innermost frames, each with its share in percent."""
        weights: defaultdict[Frame, float] = defaultdict(float)
        for stack, weight, _ in self._rows:
            weights[self._frames[stack[-1]]] += weight
        return [
            (frame, self._pct(weight)) for frame, weight in sorted(weights.items(), key=lambda one: -one[1])[:count]
        ]

    def largest_self(self) -> tuple[tuple[str, str], float]:
        """(name, module) of the most frequent innermost frame, and its share in percent."""
        weights: defaultdict[tuple[str, str], float] = defaultdict(float)
        for stack, weight, _ in self._rows:
            weights[self._frames[stack[-1]].name, self._frames[stack[-1]].module] += weight
        largest = max(weights, key=lambda key: weights[key], default=("nothing", ""))
        return largest, self._pct(weights[largest]) if weights else 0.0

    def unsymbolized(self) -> FrameShare:
        """Samples whose innermost frame has no symbol, by module."""
        unknown = {i for i, frame in enumerate(self._frames) if frame.kind is Kind.UNKNOWN}
        return self._share(lambda stack: stack[-1] if stack[-1] in unknown else None, module=True)

    def user_callers(self, name: Matches) -> set[str]:
        """Names of the two innermost user functions of stacks that have a matching kernel frame."""
        chosen, found = self._kernel(name), set()
        for stack, _, _ in self._rows:
            if chosen.intersection(stack):
                user = [number for number in stack if not is_kernel(self._frames[number])]
                found |= {self._frames[number].name for number in user[-2:]}
        return found

    def heaviest(self, ignored: Matches, waits: Matches, levels: int, min_pct: float) -> list[HeavyFunction]:
        """Functions of at least `min_pct` percent, with callees up to `levels` calls below in the same mode.

        Samples with an `ignored` innermost frame or below a kernel frame that `waits` are not counted. The heaviest
        function is first.
        """
        skipped, waiting = self._kernel(ignored), self._kernel(waits)
        rows = [row for row in self._rows if row[0][-1] not in skipped and not waiting.intersection(row[0])]
        near = self._near([stack for stack, _, _ in rows], levels)
        weight = np.repeat([row[1] for row in rows], levels + 1).reshape(near.shape)
        taken = np.bincount(near[near >= 0], weight[near >= 0], len(self._frames))
        heavy_enough = (near >= 0) & (taken >= min_pct / 100 * self.total)[near]
        ends: defaultdict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
        count: Counter[int] = Counter()
        paths: defaultdict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
        for number, level in np.argwhere(heavy_enough).tolist():
            stack, stack_weight, samples = rows[number]
            place = len(stack) - 1 - level
            frame = stack[place]
            ends[frame][stack[-1]] += stack_weight
            count[frame] += samples
            paths[frame][stack[max(0, place - 3) : place][::-1]] += samples
        found = [
            HeavyFunction(
                self._frames[frame],
                self._pct(sum(weights.values())),
                count[frame],
                self._names(paths[frame]),
                tuple(
                    (self._frames[end].name, self._pct(end_weight))
                    for end, end_weight in sorted(weights.items(), key=lambda item: -item[1])
                ),
            )
            for frame, weights in ends.items()
        ]
        return sorted(found, key=lambda function: -function.pct)

    def _near(self, stacks: list[tuple[int, ...]], levels: int) -> Ints:
        """For each stack the innermost frame and its callers of the same mode, without repetitions; -1 for none."""
        found = np.full((len(stacks), levels + 1), -1, np.int64)
        for level in range(levels + 1):
            found[:, level] = [stack[-1 - level] if len(stack) > level else -1 for stack in stacks]
        kernel = np.array([*self._is_kernel, False])
        same = (found >= 0) & (kernel[found] == kernel[found[:, :1]])
        found[~np.logical_and.accumulate(same, axis=1)] = -1
        for level in range(1, levels + 1):
            found[(found[:, :level] == found[:, level : level + 1]).any(axis=1), level] = -1
        return found

    def _names(self, paths: Counter[tuple[int, ...]]) -> tuple[str, ...]:
        return tuple(self._frames[frame].name for frame in paths.most_common(1)[0][0])

    @cached_property
    def _is_kernel(self) -> list[bool]:
        return [is_kernel(frame) for frame in self._frames]

    def _kernel(self, name: Matches) -> set[int]:
        return {i for i, frame in enumerate(self._frames) if is_kernel(frame) and name(frame.name)}

    def _share(self, select: Callable[[tuple[int, ...]], int | None], module: bool = False) -> FrameShare:
        """The samples of the stacks in which `select` finds a frame, by that frame's name or module."""
        weights: defaultdict[str, float] = defaultdict(float)
        samples = 0
        for stack, weight, count in self._rows:
            if (frame := select(stack)) is not None:
                weights[self._frames[frame].module if module else self._frames[frame].name] += weight
                samples += count
        ordered = sorted(weights.items(), key=lambda item: -item[1])
        shares = tuple((name, self._pct(weight)) for name, weight in ordered)
        return FrameShare(self._pct(sum(weights.values())), samples, shares)

    def _pct(self, weight: float) -> float:
        return 100 * weight / self.total if self.total else 0.0


def is_kernel(frame: Frame) -> bool:
    """Whether a frame is kernel code: the kernel, its modules, BPF programs, and unsymbolized kernel addresses."""
    return frame.kind is Kind.KERNEL or (frame.kind is Kind.UNKNOWN and frame.module == "[kernel]")
