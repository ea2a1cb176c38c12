"""Frames for the addresses of a recording: user space by mapped file, kernel by its symbols."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.frames import UNKNOWN, Frame, Kind
from flamegraph.names import tidy
from flamegraph.readers.perfdata.header import Features
from flamegraph.readers.perfdata.sideband import MapRecord
from flamegraph.readers.perfdata.thread_contexts import KernelSpan, Layout
from flamegraph.symbols.kallsyms import KernelSymbols, running_build_id
from flamegraph.symbols.symbolizer import MappedFile, Symbolizer

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.stack_table import Numbers
    from flamegraph.readers.perfdata.walk import Ints, Words

_NOWHERE = Frame(UNKNOWN, "", Kind.UNKNOWN)
# Memory without a file: executable code there was compiled at run time, and may be listed in a perf-PID.map.
_ANONYMOUS = ("//anon", "/dev/zero", "/anon_hugepage", "[stack", "[heap]", "/SYSV")
_LAST = (1 << 64) - 1


class JitCode(NamedTuple):
    """Code that a process compiled at run time."""

    pid: int
    comm: str
    java: bool


class ImageRequest(NamedTuple):
    """Addresses in one image that are to be named."""

    slots: Ints
    """Indices of the frames in the result."""
    offsets: Ints
    """File offsets, or addresses of JIT code, to look up."""
    shown: Ints
    """Addresses to show where there is no name; that of a caller is one more than the address to look up."""


class UserFrames:
    """Collects the addresses of all address spaces, then names those of each file at once."""

    def __init__(self, symbolizer: Symbolizer, addresses: bool) -> None:
        self._symboliser, self._show_addresses = symbolizer, addresses
        self._requests: dict[MappedFile | JitCode | None, list[ImageRequest]] = {}

    def request(
        self, maps: Layout[MapRecord] | None, comm: str, java: bool, slots: Ints, ips: Words, looked_up: Words
    ) -> None:
        """Request frames for these addresses, with these indices in the result."""
        spans = maps.spans if maps else []
        starts = np.array([min(start, _LAST) for start in maps.starts] if maps else [], np.uint64)
        ends = np.array([min(end, _LAST) for end in maps.ends] if maps else [], np.uint64)
        found = np.searchsorted(starts, looked_up, "right") - 1
        if len(starts):
            found[(found >= 0) & (looked_up >= ends[found])] = -1
        for number in np.unique(found).tolist():
            own = found == number
            self._request_span(spans[number] if number >= 0 else None, comm, java, slots[own], ips[own], looked_up[own])

    def _request_span(
        self, span: MapRecord | None, comm: str, java: bool, slots: Ints, ips: Words, looked_up: Words
    ) -> None:
        target: MappedFile | JitCode | None = None
        by = 0
        if span and span.executable and span.path.startswith(_ANONYMOUS):
            target = JitCode(span.pid, comm, java)
        elif span:
            target = MappedFile(span.path, span.build_id)
            by = (span.offset - span.start) & _LAST
        moved = (looked_up + np.uint64(by)).view(np.int64)
        self._requests.setdefault(target, []).append(ImageRequest(slots, moved, (ips + np.uint64(by)).view(np.int64)))

    def resolve(self, intern: Callable[[list[Frame]], Numbers]) -> tuple[Ints, Numbers]:
        """All requested indices, and the number of the frame of each, which `intern` assigns."""
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
                # Many processes map the same libraries.
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
    """Frames with names as in folded `perf script` text; frames without a name are unchanged."""
    known = {
        frame: frame if frame.kind is Kind.UNKNOWN else frame._replace(name=tidy(frame.name, java=java))
        for frame in set(frames)
    }
    return [known[frame] for frame in frames]


def with_address(frame: Frame, address: int) -> Frame:
    """The frame with its address in place of a missing name: `[libc.so.6 <7f0012>]`."""
    if frame.kind is not Kind.UNKNOWN or not frame.name.endswith("]"):
        return frame
    return frame._replace(name=f"{frame.name[:-1]} <{address:x}>]")


_KALLSYMS = "[kernel.kallsyms]"
_PROC_KALLSYMS = Path("/proc/kallsyms")
# perf names the map after the symbol at its start.
_REFERENCES = ("_text", "_stext")
_EARLY_LINES = 1000
_PT_LOAD = 1


class _Text(NamedTuple):
    """Address range of the text of the recorded kernel."""

    start: int
    end: int
    reference: str
    address: int


class RecordedKernel:
    """Names kernel addresses by the symbols of the running kernel, of a vmlinux with the recorded build-id, or none."""

    def __init__(
        self,
        symbolizer: Symbolizer,
        features: Features,
        maps: Sequence[MapRecord],
        root: Path,
        early: Future[KernelSymbols] | None = None,
    ) -> None:
        """`early`: symbols of the running kernel that are being read already."""
        self._early = early
        self._symboliser, self._features, self._root = symbolizer, features, root
        self._maps, self._text = maps, _text_of(maps)
        self._modules = [mapping for mapping in maps if not mapping.path.startswith(_KALLSYMS)]
        self.notes: list[str] = []
        self._symbols: KernelSymbols | None = None
        self._running: bool | None = None

    def frames(self, addresses: Words, programs: Layout[KernelSpan]) -> list[Frame]:
        """One frame per address; `programs`: code loaded into the kernel besides modules."""
        if len(addresses) == 0:
            return []
        if self._running is None:
            self._running = self._is_running()
            self._symbols = self._read() if self._running else None
        extra = [
            (start, span.end - span.start, span.name)
            for start, span in zip(programs.starts, programs.spans, strict=True)
        ]
        if self._symbols is not None:
            symbols = self._symbols.with_extra(extra) if extra else self._symbols
            return self._symboliser.kernel_frames(addresses, symbols)
        return self._other_kernel(addresses, extra)

    def _read(self) -> KernelSymbols | None:
        try:
            return self._early.result() if self._early else KernelSymbols.read()
        except OSError as error:
            self.notes.append(f"Kernel functions have no names: /proc/kallsyms cannot be read ({error.strerror}).")
            return None

    def _is_running(self) -> bool:
        reason = difference(self._features, self._maps)
        if reason:
            self.notes.append(
                f"Kernel functions have no names where no vmlinux with the recorded build-id is installed: {reason}."
            )
        return not reason

    def _other_kernel(self, addresses: Words, extra: list[tuple[int, int, str]]) -> list[Frame]:
        """Frames of another kernel: by its vmlinux, the names of modules, and BPF programs."""
        frames = [Frame(_KALLSYMS.join("[]"), "[kernel]", Kind.UNKNOWN)] * len(addresses)
        for mapping in self._modules:
            name = os.path.basename(mapping.path).split(".ko")[0].strip("[]") or "unknown"
            _fill(frames, addresses, mapping.start, mapping.end, Frame(f"[{name}]", f"[{name}]", Kind.UNKNOWN))
        if self._text is not None:
            inside = np.flatnonzero((addresses >= self._text.start) & (addresses < min(self._text.end, (1 << 64) - 1)))
            for place, frame in zip(inside.tolist(), self._of_vmlinux(addresses[inside]), strict=True):
                frames[place] = frame
        for start, length, name in extra:
            _fill(frames, addresses, start, start + length, Frame(name, "[bpf]", Kind.KERNEL))
        return frames

    def _of_vmlinux(self, addresses: Words) -> list[Frame]:
        unknown = Frame(_KALLSYMS.join("[]"), "[kernel]", Kind.UNKNOWN)
        build_id = self._features.build_ids.get(_KALLSYMS)
        place = _vmlinux(self._root, build_id) if build_id else None
        offset = _text_offset(place) if place else None
        if place is None or offset is None or self._text is None:
            return [unknown] * len(addresses)
        offsets: Ints = (addresses - np.uint64(self._text.address)).astype(np.int64) + offset
        found = self._symboliser.file_frames(MappedFile("/" + str(place.relative_to(self._root)), build_id), offsets)
        return [
            unknown if frame.kind is Kind.UNKNOWN else frame._replace(module="[kernel]", kind=Kind.KERNEL)
            for frame in found
        ]


def difference(features: Features, maps: Sequence[MapRecord]) -> str:
    """Why /proc/kallsyms does not fit the recorded kernel; empty where it fits."""
    release, running_release, text = features.release, os.uname().release, _text_of(maps)
    if release and release != running_release:
        return f"the recording is of kernel {release}, and {running_release} is running"
    recorded, running = features.build_ids.get(_KALLSYMS), running_build_id()
    if recorded and running and recorded != running:
        return "the recording is of another build of the running kernel"
    if text is None:
        return "" if release and recorded else "the recording does not identify its kernel"
    at = _address_of(text.reference)
    if at and at != text.address:
        return "the machine was rebooted since, and kernel addresses changed"
    return ""


def _fill(frames: list[Frame], addresses: Words, start: int, end: int, frame: Frame) -> None:
    last = (1 << 64) - 1
    for place in np.flatnonzero((addresses >= min(start, last)) & (addresses < min(end, last))).tolist():
        frames[place] = frame


def _text_of(maps: Sequence[MapRecord]) -> _Text | None:
    for mapping in maps:
        reference = mapping.path.removeprefix(_KALLSYMS)
        if mapping.path.startswith(_KALLSYMS) and reference in _REFERENCES:
            return _Text(mapping.start, mapping.end, reference, mapping.offset)
    return None


def _address_of(symbol: str) -> int:
    """Address of a symbol at the top of /proc/kallsyms; 0 where it is not there or hidden."""
    try:
        with _PROC_KALLSYMS.open("rb") as lines:
            for _, line in zip(range(_EARLY_LINES), lines, strict=False):
                if line.split()[2:3] == [symbol.encode()]:
                    return int(line.split()[0], 16)
    except (OSError, ValueError):
        pass
    return 0


def _vmlinux(root: Path, build_id: bytes) -> Path | None:
    number = build_id.hex()
    place = root / "usr/lib/debug/.build-id" / number[:2] / f"{number[2:]}.debug"
    return place if place.is_file() else None


def _text_offset(path: Path) -> int | None:
    """File offset of the text: the first segment of a vmlinux."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01":
                return None
            table, entry, count = (*struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54))
            file.seek(table)
            headers = file.read(entry * count)
        for at in range(0, entry * count, max(entry, 1)):
            kind, _, offset = struct.unpack_from("<IIQ", headers, at)
            if kind == _PT_LOAD:
                return int(offset)
    except (OSError, struct.error):
        pass
    return None
