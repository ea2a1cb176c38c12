"""Symbolizer for live and recorded profiles: addresses in, frames out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import UNKNOWN, Frame, Kind
from flamegraph.symbols.kallsyms import UNKNOWN_KERNEL, KernelSymbols
from flamegraph.symbols.object_files import MappedFile, Notes, ObjectFile, ObjectFiles
from flamegraph.symbols.perf_map import MAX_SIZE, PerfMap, UntrustedMapError, read_perf_map
from flamegraph.symbols.process import identity, root_of
from flamegraph.symbols.ranges import NO_OWNER

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.symbols.symbol_table import SymbolTable

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

__all__ = ["MappedFile", "Symbolizer"]

_MANY = 4096
_UNNAMED = Frame(UNKNOWN, "", Kind.UNKNOWN)


class Symbolizer:
    """Names addresses of programs, the kernel and code compiled at run time.

    `root`: root directory of the files of the recorded machine; `downloads`: whether to query the servers of
    DEBUGINFOD_URLS. Symbol tables are cached within limits: use one instance per profile.
    """

    def __init__(self, root: Path = Path("/"), downloads: bool = True) -> None:
        self._notes = Notes()
        self._root = root
        self._files = ObjectFiles(root, downloads, self._notes)
        self._kernel: KernelSymbols | None = None
        self._maps: dict[int, tuple[str, PerfMap | None]] = {}

    def file_frames(self, file: MappedFile, offsets: npt.NDArray[np.int64]) -> list[Frame]:
        """The function at each file offset (int64: ip - map.start + map.pgoff); one frame for each offset."""
        unknown = Frame(f"[{os.path.basename(file.path) or 'unknown'}]", file.path, Kind.UNKNOWN)
        program = self._files.find(file)
        if program is None or not len(offsets):
            return [unknown if file.path else _UNNAMED] * len(offsets)
        different, back = _once(np.asarray(offsets).astype(np.int64, copy=False).view(np.uint64))
        table, numbers = self._find(program, different)
        seen = _distinct(numbers, len(table))
        frames = [Frame(name, file.path, Kind.USER) for name in table.names(seen)]
        return _spread(numbers[back], len(table), seen, frames, unknown)

    def kernel_frames(self, addresses: Addresses, symbols: KernelSymbols | None = None) -> list[Frame]:
        """The kernel function at each address (uint64), by default of the running kernel."""
        if symbols is None:
            symbols = self._running_kernel()
        if symbols.hidden:
            self._notes.add(
                "The kernel hides its addresses (kptr_restrict), so its functions have no names; "
                "run as root, or `sysctl kernel.kptr_restrict=0`"
            )
        if symbols.corrupt:
            self._notes.add(f"{symbols.corrupt} lines of the kernel's symbols could not be read and were skipped")
        different, back = _once(addresses)
        numbers = symbols.find(different)
        seen = _distinct(numbers, len(symbols))
        frames = [symbols.frame(number) for number in seen]
        return _spread(numbers[back], len(symbols), seen, frames, UNKNOWN_KERNEL)

    def jit_frames(self, pid: int, addresses: Addresses, comm: str = "") -> list[Frame]:
        """The function compiled at run time at each address (uint64), from the perf-PID.map of the process."""
        if pid not in self._maps:
            self._maps[pid] = self._perf_map(pid, f"{comm} ({pid})" if comm else str(pid))
        path, found = self._maps[pid]
        unknown = Frame(f"[{os.path.basename(path)}]", path, Kind.UNKNOWN)
        if found is None:
            return [unknown] * len(addresses)
        different, back = _once(addresses)
        numbers = found.find(different)
        seen = _distinct(numbers, len(found))
        frames = [Frame(name, path, Kind.JIT) for name in found.names(seen)]
        return _spread(numbers[back], len(found), seen, frames, unknown)

    def notes(self) -> list[str]:
        """Sentences: what could not be symbolized, and why."""
        return self._notes.sentences()

    def _find(self, program: ObjectFile, offsets: Addresses) -> tuple[SymbolTable, Numbers]:
        """The symbol table, and the index in it of the function at each offset."""
        addresses, inside = program.segments.addresses(offsets)
        numbers = program.table.find(addresses)
        numbers[~inside] = NO_OWNER
        missing = inside & (numbers == NO_OWNER)
        if missing.any() and self._files.complete(program):
            numbers = program.table.find(addresses)
            numbers[~inside] = NO_OWNER
            missing = inside & (numbers == NO_OWNER)
        if missing.any():
            numbers[missing] = program.table.find(addresses[missing] + _BEFORE)
            missing = inside & (numbers == NO_OWNER)
        if program.stripped and missing.any():
            self._notes.add(
                "Stripped, and no debug file was found, so that only exported functions have names "
                "(install its debug package, or set DEBUGINFOD_URLS)",
                program.path,
            )
        return program.table, numbers

    def _running_kernel(self) -> KernelSymbols:
        if self._kernel is None:
            try:
                self._kernel = KernelSymbols.read()
            except OSError as error:
                self._notes.add(
                    f"The kernel's symbols cannot be read ({error.strerror}), so its functions have no names"
                )
                self._kernel = KernelSymbols(np.zeros(0, np.uint64), [], [])
        return self._kernel

    def _perf_map(self, pid: int, process: str) -> tuple[str, PerfMap | None]:
        """The displayed path, and the map; None where there is no trusted map."""
        places = self._map_places(pid)
        for root, path, owners in places:
            try:
                found = read_perf_map(root, path, owners)
            except FileNotFoundError:
                continue
            except UntrustedMapError as error:
                self._notes.add(f"A perf map was not trusted, as {error}", f"{path} of {process}")
                continue
            except OSError as error:
                self._notes.add(f"A perf map could not be read ({error.strerror})", f"{path} of {process}")
                continue
            if found.corrupt:
                self._notes.add("Corrupt lines of a perf map were skipped", f"{found.corrupt} in {path} of {process}")
            if found.partial:
                self._notes.add(f"Only the newest {MAX_SIZE >> 20} MiB of a perf map were read", f"{path} of {process}")
            return path, found
        self._notes.add("Code compiled at run time has no names, as there is no perf-PID.map", process)
        return places[0][1], None

    def _map_places(self, pid: int) -> Sequence[tuple[Path, str, frozenset[int]]]:
        """Root, path and trusted users of each possible location."""
        target = identity(pid)
        if target is None:
            return [(self._root, f"/tmp/perf-{pid}.map", frozenset((os.geteuid(),)))]
        numbers = dict.fromkeys((target.namespace_pid, pid))
        return [(root_of(pid), f"/tmp/perf-{number}.map", target.users) for number in numbers]


# A signal handler returns to the first byte of a trampoline that was never called, so the byte before it, where a call
# would be, is in no function (__restore_rt; glibc puts a nop there for the same reason).
_BEFORE = np.uint64(1)


def _once(addresses: npt.ArrayLike) -> tuple[Addresses, Numbers | slice]:
    """Each address once, and the index of each given address. Bisection in ascending order stays in the CPU cache."""
    given = np.asarray(addresses).astype(np.uint64, copy=False)
    if len(given) <= _MANY:
        return given, slice(None)
    different, back = np.unique(given, return_inverse=True)
    return different, back.reshape(-1)


def _distinct(numbers: Numbers, size: int) -> list[int]:
    """The different numbers that are not -1."""
    seen = np.zeros(size + 1, bool)
    seen[numbers] = True
    return np.flatnonzero(seen[:size]).tolist()


def _spread(numbers: Numbers, size: int, seen: list[int], frames: list[Frame], unknown: Frame) -> list[Frame]:
    """The frame of each number; -1 is the last row of the table."""
    table = np.empty(size + 1, object)
    table[size] = unknown
    for number, frame in zip(seen, frames, strict=True):
        table[number] = frame
    spread: list[Frame] = table[numbers].tolist()
    return spread
