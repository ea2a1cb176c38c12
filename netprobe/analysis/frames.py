"""Shares of a server's time by the functions in its stacks, without the time that netprobe's own programs took."""

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

# Where tracepoints, fentry and perf events call BPF programs. Those of XDP, tc and SO_REUSEPORT run in other places.
_PROBE = re.compile(r"(__bpf_trace_|__traceiter_|bpf_trace_run\d|bpf_trampoline_|bpf_overflow_handler)")


@dataclass(frozen=True)
class Part:
    """A part of the samples: its share of all in percent, samples, and the frames it was chosen by, heaviest first."""

    pct: float
    samples: int
    frames: tuple[tuple[str, float], ...]
    """Names, each with its share of all samples in percent."""


@dataclass(frozen=True)
class Heaviest:
    """A function with what it and the functions called by it take in its own mode, in percent of all samples."""

    frame: Frame
    pct: float
    samples: int
    callers: tuple[str, ...]
    """The most frequent way to it, the outermost last."""
    ends_in: tuple[tuple[str, float], ...]
    """Where its samples end, itself among them: names with their share of all samples in percent, heaviest first."""


class Frames:
    """Asks one profile. Samples inside netprobe's programs are left out of everything, the total too."""

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
        """Whether any function is known to be the kernel's."""
        return any(self._is_kernel)

    def having(self, name: Callable[[str], object], below: Callable[[str], object] | None = None) -> Part:
        """Samples with a kernel frame of such a name anywhere; with `below`, only under a frame of such a name."""
        chosen, over = self._kernel(name), self._kernel(below) if below else None

        def first(stack: tuple[int, ...]) -> int | None:
            seen = over is None
            for frame in stack:
                if seen and frame in chosen:
                    return frame
                seen = seen or (over is not None and frame in over)
            return None

        return self._part(first)

    def ending(self, name: Callable[[str], object]) -> Part:
        """Samples whose innermost frame is a kernel frame of such a name."""
        chosen = self._kernel(name)
        return self._part(lambda stack: stack[-1] if stack[-1] in chosen else None)

    def own(self, frame: Frame) -> float:
        """Share of the samples that end in this very frame, in percent."""
        return self._pct(sum(heavy for stack, heavy, _ in self._rows if self._frames[stack[-1]] == frame))

    def most_own(self) -> tuple[tuple[str, str], float]:
        """(name, module) of the frame in which most samples end, and its share in percent."""
        weights: defaultdict[tuple[str, str], float] = defaultdict(float)
        for stack, heavy, _ in self._rows:
            weights[self._frames[stack[-1]].name, self._frames[stack[-1]].module] += heavy
        where = max(weights, key=lambda one: weights[one], default=("nothing", ""))
        return where, self._pct(weights[where]) if weights else 0.0

    def unnamed(self) -> Part:
        """Samples whose innermost frame has no name, by the modules that lack them."""
        unknown = {i for i, frame in enumerate(self._frames) if frame.kind is Kind.UNKNOWN}
        return self._part(lambda stack: stack[-1] if stack[-1] in unknown else None, module=True)

    def callers_in_program(self, name: Callable[[str], object]) -> set[str]:
        """Names of the program's own functions right above the kernel in stacks with a kernel frame of such a name."""
        chosen, found = self._kernel(name), set()
        for stack, _, _ in self._rows:
            if chosen.intersection(stack):
                own = [number for number in stack if not is_kernel(self._frames[number])]
                found |= {self._frames[number].name for number in own[-2:]}
        return found

    def heaviest(
        self, ignored: Callable[[str], object], waits: Callable[[str], object], levels: int, least: float
    ) -> list[Heaviest]:
        """Functions with all that ends in them or at most `levels` calls below, in their own mode; heaviest first.

        `ignored` innermost frames do not count, nor what is below a kernel frame that `waits`. `least`: percent that a
        function has to take.
        """
        skipped, waiting = self._kernel(ignored), self._kernel(waits)
        rows = [row for row in self._rows if row[0][-1] not in skipped and not waiting.intersection(row[0])]
        near = self._near([stack for stack, _, _ in rows], levels)
        weight = np.repeat([heavy for _, heavy, _ in rows], levels + 1).reshape(near.shape)
        taken = np.bincount(near[near >= 0], weight[near >= 0], len(self._frames))
        heavy_enough = (near >= 0) & (taken >= least / 100 * self.total)[near]
        ends: defaultdict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
        count: Counter[int] = Counter()
        ways: defaultdict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
        for number, level in np.argwhere(heavy_enough).tolist():
            stack, heavy, samples = rows[number]
            place = len(stack) - 1 - level
            frame = stack[place]
            ends[frame][stack[-1]] += heavy
            count[frame] += samples
            ways[frame][stack[max(0, place - 3) : place][::-1]] += samples
        found = [
            Heaviest(
                self._frames[frame],
                self._pct(sum(ends[frame].values())),
                count[frame],
                self._names(ways[frame]),
                tuple((self._frames[end].name, self._pct(w)) for end, w in sorted(ends[frame].items(), key=_second)),
            )
            for frame in ends
        ]
        return sorted(found, key=lambda one: -one.pct)

    def _near(self, stacks: list[tuple[int, ...]], levels: int) -> Ints:
        """Of each stack the innermost frame and those above it that are of the same mode, each once; -1 for none."""
        found = np.full((len(stacks), levels + 1), -1, np.int64)
        for level in range(levels + 1):
            found[:, level] = [stack[-1 - level] if len(stack) > level else -1 for stack in stacks]
        kernel = np.array([*self._is_kernel, False])
        same = (found >= 0) & (kernel[found] == kernel[found[:, :1]])
        found[~np.logical_and.accumulate(same, axis=1)] = -1
        for level in range(1, levels + 1):
            found[(found[:, :level] == found[:, level : level + 1]).any(axis=1), level] = -1
        return found

    def _names(self, ways: Counter[tuple[int, ...]]) -> tuple[str, ...]:
        return tuple(self._frames[frame].name for frame in ways.most_common(1)[0][0])

    @cached_property
    def _is_kernel(self) -> list[bool]:
        return [is_kernel(frame) for frame in self._frames]

    def _kernel(self, name: Callable[[str], object]) -> set[int]:
        return {i for i, frame in enumerate(self._frames) if is_kernel(frame) and name(frame.name)}

    def _part(self, chosen: Callable[[tuple[int, ...]], int | None], module: bool = False) -> Part:
        weights: defaultdict[str, float] = defaultdict(float)
        samples = 0
        for stack, heavy, count in self._rows:
            if (frame := chosen(stack)) is not None:
                weights[self._frames[frame].module if module else self._frames[frame].name] += heavy
                samples += count
        shares = tuple((name, self._pct(heavy)) for name, heavy in sorted(weights.items(), key=lambda one: -one[1]))
        return Part(self._pct(sum(weights.values())), samples, shares)

    def _pct(self, weight: float) -> float:
        return 100 * weight / self.total if self.total else 0.0


def _second(one: tuple[int, float]) -> float:
    return -one[1]


def is_kernel(frame: Frame) -> bool:
    """Whether the kernel runs it: also its modules and BPF programs, and code of it without a name."""
    return frame.kind is Kind.KERNEL or (frame.kind is Kind.UNKNOWN and frame.module == "[kernel]")
