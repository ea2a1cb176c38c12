"""The user addresses of one address space: which file each is in, and where in that file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.frames import UNKNOWN, Frame, Kind
from flamegraph.readers.perf_names import tidy
from flamegraph.readers.perfdata.maps import Layout
from flamegraph.readers.perfdata.sideband import Mapping
from flamegraph.symbols.symboliser import MappedFile, Symboliser

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.addresses import Numbers
    from flamegraph.readers.perfdata.walk import Ints, Words

_NOWHERE = Frame(UNKNOWN, "", Kind.UNKNOWN)
# Memory without a file: whoever executes there compiled it himself, and may have left a perf-PID.map.
_ANONYMOUS = ("//anon", "/dev/zero", "/anon_hugepage", "[stack", "[heap]", "/SYSV")
_LAST = (1 << 64) - 1


class JitCode(NamedTuple):
    """Code that a process made at run time."""

    pid: int
    comm: str
    java: bool


class Request(NamedTuple):
    """Addresses that wait for their frames."""

    slots: Ints
    """Where the frames go."""
    offsets: Ints
    """Of the file, or addresses of a JIT, to be looked up."""
    shown: Ints
    """To be shown where there is no name: a caller's is one more than what is looked up."""


class UserFrames:
    """Collects the addresses of all address spaces, then names each file's at once."""

    def __init__(self, symboliser: Symboliser, addresses: bool) -> None:
        self._symboliser, self._show_addresses = symboliser, addresses
        self._requests: dict[MappedFile | JitCode | None, list[Request]] = {}

    def ask(
        self, maps: Layout[Mapping] | None, comm: str, java: bool, slots: Ints, ips: Words, looked_up: Words
    ) -> None:
        """Frames for these addresses, to go into these slots."""
        spans = maps.spans if maps else []
        starts = np.array([min(start, _LAST) for start in maps.starts] if maps else [], np.uint64)
        ends = np.array([min(end, _LAST) for end in maps.ends] if maps else [], np.uint64)
        found = np.searchsorted(starts, looked_up, "right") - 1
        if len(starts):
            found[(found >= 0) & (looked_up >= ends[found])] = -1
        for number in np.unique(found).tolist():
            own = found == number
            self._ask_span(spans[number] if number >= 0 else None, comm, java, slots[own], ips[own], looked_up[own])

    def _ask_span(self, span: Mapping | None, comm: str, java: bool, slots: Ints, ips: Words, looked_up: Words) -> None:
        target: MappedFile | JitCode | None = None
        by = 0
        if span and span.executable and span.path.startswith(_ANONYMOUS):
            target = JitCode(span.pid, comm, java)
        elif span:
            target = MappedFile(span.path, span.build_id)
            by = (span.offset - span.start) & _LAST
        moved = (looked_up + np.uint64(by)).view(np.int64)
        self._requests.setdefault(target, []).append(Request(slots, moved, (ips + np.uint64(by)).view(np.int64)))

    def answer(self, intern: Callable[[list[Frame]], Numbers]) -> tuple[Ints, Numbers]:
        """All slots, and the number that `intern` gives to the frame of each."""
        slots: list[Ints] = [np.empty(0, np.int64)]
        numbers: list[Numbers] = [np.empty(0, np.int32)]
        for target, requests in self._requests.items():
            slots += [request.slots for request in requests]
            offsets = np.concatenate([request.offsets for request in requests])
            if self._show_addresses:
                shown = np.concatenate([request.shown for request in requests]).view(np.uint64).tolist()
                named = self._named(target, offsets)
                numbers.append(intern([with_address(*pair) for pair in zip(named, shown, strict=True)]))
            else:
                # Many processes have the same libraries.
                different, back = np.unique(offsets, return_inverse=True)
                numbers.append(intern(self._named(target, different))[back.reshape(-1)])
        return np.concatenate(slots), np.concatenate(numbers)

    def _named(self, target: MappedFile | JitCode | None, offsets: Ints) -> list[Frame]:
        if target is None:
            return [_NOWHERE] * len(offsets)
        if isinstance(target, JitCode):
            frames = self._symboliser.jit_frames(target.pid, offsets.view(np.uint64), target.comm)
            return tidied(frames, java=target.java)
        return tidied(self._symboliser.file_frames(target, offsets))


def tidied(frames: list[Frame], java: bool = False) -> list[Frame]:
    """Named as in folded `perf script` text; frames without a name stay as they are."""
    known = {
        frame: frame if frame.kind is Kind.UNKNOWN else frame._replace(name=tidy(frame.name, java=java))
        for frame in set(frames)
    }
    return [known[frame] for frame in frames]


def with_address(frame: Frame, address: int) -> Frame:
    """`[libc.so.6 <7f0012>]` for a frame without a name."""
    if frame.kind is not Kind.UNKNOWN or not frame.name.endswith("]"):
        return frame
    return frame._replace(name=f"{frame.name[:-1]} <{address:x}>]")
