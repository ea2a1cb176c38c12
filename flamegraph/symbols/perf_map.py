"""Functions that a process compiled at run time, as it lists them in `perf-PID.map`: `START SIZE name`, hexadecimal.

Format: tools/perf/Documentation/jit-interface.txt of the kernel. The directory of the file is world-writable, so a map
is trusted by its owner only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.symbols.demangle import demangle_all
from flamegraph.symbols.ranges import Ranges
from flamegraph.symbols.rooted import open_below

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

MAX_SIZE = 256 << 20
_LINE = re.compile(rb"(?:0[xX])?([0-9a-fA-F]{1,16})[ \t]+(?:0[xX])?([0-9a-fA-F]{1,16})[ \t]+(\S.*)")
_MAX_NAME = 16384


class UntrustedMapError(Exception):
    """A map of another owner, or not a regular file; the message says which."""


class PerfMap:
    """The functions of one map; where they overlap, the later line takes precedence."""

    def __init__(self, text: bytes) -> None:
        """`text`: complete lines. Lines that cannot be parsed, and text after the last line end, count in `corrupt`."""
        starts, sizes, names, corrupt = [], [], [], 0
        *lines, rest = text.split(b"\n")
        for line in lines:
            match = _LINE.fullmatch(line.rstrip(b"\r"))
            if match is None or len(match[3]) > _MAX_NAME:
                corrupt += bool(line.strip())
                continue
            starts.append(int(match[1], 16))
            sizes.append(int(match[2], 16))
            names.append(match[3])
        self.corrupt = corrupt + bool(rest)
        self.partial = False
        """Whether only the newest part of a file above the size limit was read."""
        self._names = names
        self._text: dict[int, str] = {}
        start = np.array(starts, np.uint64)
        end = start + np.array(sizes, np.uint64)
        self._ranges = Ranges(start, end)

    def __len__(self) -> int:
        return len(self._names)

    def find(self, addresses: Addresses) -> Numbers:
        """Index of the function at each address (uint64); -1 where there is none."""
        return self._ranges.find(addresses)

    def names(self, numbers: list[int]) -> list[str]:
        """Demangled names of functions."""
        new = [number for number in numbers if number not in self._text]
        raw = [self._names[number].decode(errors="backslashreplace").rstrip() for number in new]
        self._text.update(zip(new, demangle_all(raw), strict=True))
        return [self._text[number] for number in numbers]


def read_perf_map(root: Path, path: str, owners: Collection[int]) -> PerfMap:
    """Read a map below a root directory, if it is a regular file owned by one of these users (uid) or by root.

    Raises OSError where it cannot be read, `UntrustedMapError` where it is not trusted.
    """
    with open_below(root, path, follow_last=False) as file:
        status = os.fstat(file)
        if status.st_uid != 0 and status.st_uid not in owners:
            raise UntrustedMapError(f"it belongs to user {status.st_uid}")
        skipped = max(status.st_size - MAX_SIZE, 0)
        text = _read(file, skipped, status.st_size - skipped)
    if skipped:
        text = text[text.find(b"\n") + 1 :]
    found = PerfMap(text)
    found.partial = skipped > 0
    return found


def _read(file: int, offset: int, length: int) -> bytes:
    pieces = []
    while length > 0:
        piece = os.pread(file, min(length, 1 << 24), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)
