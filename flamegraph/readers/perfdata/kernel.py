"""Whose symbols name the recorded kernel: those of the running one, a vmlinux with its build-id, or none."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.frames import Frame, Kind
from flamegraph.readers.perfdata.header import Features
from flamegraph.readers.perfdata.maps import Layout
from flamegraph.readers.perfdata.sideband import Mapping
from flamegraph.readers.perfdata.threads import KernelSpan
from flamegraph.symbols.kallsyms import KernelSymbols, running_build_id
from flamegraph.symbols.symboliser import MappedFile, Symboliser

if TYPE_CHECKING:
    from flamegraph.readers.perfdata.walk import Ints, Words

_KALLSYMS = "[kernel.kallsyms]"
_PROC_KALLSYMS = Path("/proc/kallsyms")
# perf names the map after the symbol that stands at its start.
_REFERENCES = ("_text", "_stext")
_EARLY_LINES = 1000
_PT_LOAD = 1


class _Text(NamedTuple):
    """Where the kernel's text was."""

    start: int
    end: int
    reference: str
    address: int


class RecordedKernel:
    """Names kernel addresses of a recording."""

    def __init__(
        self,
        symboliser: Symboliser,
        features: Features,
        maps: Sequence[Mapping],
        root: Path,
        early: Future[KernelSymbols] | None = None,
    ) -> None:
        """`early`: symbols of the running kernel that somebody began to read."""
        self._early = early
        self._symboliser, self._features, self._root = symboliser, features, root
        self._maps, self._text = maps, _text_of(maps)
        self._modules = [mapping for mapping in maps if not mapping.path.startswith(_KALLSYMS)]
        self.notes: list[str] = []
        self._symbols: KernelSymbols | None = None
        self._running: bool | None = None

    def frames(self, addresses: Words, programs: Layout[KernelSpan]) -> list[Frame]:
        """One for each address; `programs`: what had come into the kernel besides modules."""
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
        return self._elsewhere(addresses, extra)

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

    def _elsewhere(self, addresses: Words, extra: list[tuple[int, int, str]]) -> list[Frame]:
        """Of another kernel: its vmlinux, the names of modules, BPF programs."""
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


def difference(features: Features, maps: Sequence[Mapping]) -> str:
    """Why /proc/kallsyms is not of the recorded kernel; empty if it is."""
    release, here, text = features.release, os.uname().release, _text_of(maps)
    if release and release != here:
        return f"the recording is of kernel {release}, and {here} runs here"
    recorded, running = features.build_ids.get(_KALLSYMS), running_build_id()
    if recorded and running and recorded != running:
        return "the recording is of another build of the kernel that runs here"
    if text is None:
        return "" if release and recorded else "the recording does not say which kernel it is of"
    at = _address_of(text.reference)
    if at and at != text.address:
        return "the kernel has been started again since, and its addresses have changed"
    return ""


def _fill(frames: list[Frame], addresses: Words, start: int, end: int, frame: Frame) -> None:
    last = (1 << 64) - 1
    for place in np.flatnonzero((addresses >= min(start, last)) & (addresses < min(end, last))).tolist():
        frames[place] = frame


def _text_of(maps: Sequence[Mapping]) -> _Text | None:
    for mapping in maps:
        reference = mapping.path.removeprefix(_KALLSYMS)
        if mapping.path.startswith(_KALLSYMS) and reference in _REFERENCES:
            return _Text(mapping.start, mapping.end, reference, mapping.offset)
    return None


def _address_of(symbol: str) -> int:
    """In /proc/kallsyms; 0 if it is not near its top, or hidden."""
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
    """Byte of the file where the text begins: the first segment of a vmlinux."""
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
