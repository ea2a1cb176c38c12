"""Kernel functions from /proc/kallsyms, or from a saved copy of it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from flamegraph.frames import Frame, Kind
from flamegraph.symbols.ranges import NO_OWNER, Ranges

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

KERNEL = "[kernel]"
BPF = "[bpf]"
UNKNOWN_KERNEL = Frame(KERNEL, KERNEL, Kind.UNKNOWN)

_MAX_FILE = 256 << 20
_PAGE = np.uint64(4096)
_LAST = np.uint64((1 << 64) - 1)
_AHEAD = 32
_ZERO_ENDED = bytes(0 if letter in b"\n\t" else letter for letter in range(256))
_CODE = np.zeros(256, bool)
_CODE[[ord(letter) for letter in "TtWw"]] = True
_DIGITS = np.full(256, 255, np.uint8)
for _value, _letter in enumerate(b"0123456789abcdef"):
    _DIGITS[[_letter, ord(chr(_letter).upper())]] = _value


class KernelSymbols:
    """Functions of the kernel, its modules and BPF programs.

    `addresses`: uint64, ascending; `names`; `modules`: "[kernel]", "[nf_tables]", "[bpf]"; `ends`: uint64, the first
    address after each, by default the start of the next function. `hidden`: the kernel shows zeros instead of
    addresses; `corrupt`: number of lines that could not be parsed.
    """

    def __init__(
        self,
        addresses: Addresses,
        names: Sequence[str],
        modules: Sequence[str],
        ends: Addresses | None = None,
        *,
        hidden: bool = False,
        corrupt: int = 0,
    ) -> None:
        self.addresses = addresses
        self.names, self.modules = names, modules
        self.ends = _next_ends(addresses, modules) if ends is None else ends
        self.hidden, self.corrupt = hidden, corrupt
        self._ranges = Ranges(self.addresses, self.ends)
        self._frames: dict[int, Frame] = {NO_OWNER: UNKNOWN_KERNEL}

    def __len__(self) -> int:
        return len(self.addresses)

    @classmethod
    def read(cls, path: Path = Path("/proc/kallsyms")) -> KernelSymbols:
        """Read lines of `address type name [module]`. Raises OSError if the file cannot be read."""
        with path.open("rb") as file:
            text = file.read(_MAX_FILE)
        return cls.parse(text)

    @classmethod
    def parse(cls, text: bytes) -> KernelSymbols:
        """Parse the lines of a text."""
        lines = _Lines(text)
        addresses = lines.addresses
        if not addresses.any():
            return cls(addresses[:0], [], [], hidden=bool(len(addresses)), corrupt=lines.corrupt)
        is_code = _CODE[lines.kinds]
        # perf shows the last of several names at one address: only that symbol has a size when perf chooses.
        order = np.lexsort((is_code, addresses))
        kept = order[np.append(addresses[order][1:] != addresses[order][:-1], True)]
        modules = lines.modules(kept)
        ends = _next_ends(addresses[kept], modules)
        code = np.flatnonzero(is_code[kept])
        names = _Names(lines.zero_ended, lines.name_begin[kept[code]])
        return cls(addresses[kept[code]], names, [modules[i] for i in code.tolist()], ends[code], corrupt=lines.corrupt)

    def with_extra(self, programs: Sequence[tuple[int, int, str]], module: str = BPF) -> KernelSymbols:
        """Add (address, length in bytes, name) of BPF programs, which take precedence."""
        valid = [span for span in programs if 0 < span[0] <= int(_LAST) and 0 < span[1] <= int(_LAST) - span[0]]
        start = np.array([address for address, _, _ in valid], np.uint64)
        end = np.array([address + length for address, length, _ in valid], np.uint64)
        return KernelSymbols(
            np.concatenate((self.addresses, start)),
            [*self.names, *(name for _, _, name in valid)],
            [*self.modules, *(module for _ in valid)],
            np.concatenate((self.ends, end)),
            hidden=self.hidden,
            corrupt=self.corrupt,
        )

    def relocated(self, by: int) -> KernelSymbols:
        """All addresses moved by an offset: the symbols of another boot with KASLR."""
        move = np.uint64(by & int(_LAST))
        return KernelSymbols(self.addresses + move, self.names, self.modules, self.ends + move, hidden=self.hidden)

    def address_of(self, name: str) -> int | None:
        """Address of the first function with this name."""
        try:
            return int(self.addresses[list(self.names).index(name)])
        except ValueError:
            return None

    def find(self, addresses: Addresses) -> Numbers:
        """Index of the function at each address (uint64); -1 where there is none."""
        return self._ranges.find(addresses)

    def frame(self, number: int) -> Frame:
        """The frame of a function; -1: `[kernel]`, unsymbolized."""
        found = self._frames.get(number)
        if found is None:
            found = self._frames[number] = Frame(self.names[number], self.modules[number], Kind.KERNEL)
        return found


def running_build_id(path: Path = Path("/sys/kernel/notes")) -> bytes | None:
    """Build-id of the running kernel; None where it is not available."""
    from flamegraph.symbols.elf import gnu_build_id

    try:
        data = path.read_bytes()
    except OSError:
        return None
    return gnu_build_id(data, "<" if struct.pack("=H", 1) == b"\1\0" else ">", 4)


class _Lines:
    """The lines as columns: `addresses` (uint64), `kinds` (uint8), and the offset of each name in `zero_ended`."""

    def __init__(self, text: bytes) -> None:
        if not text.endswith(b"\n"):
            text += b"\n"
        letters = np.frombuffer(text + bytes(_AHEAD), np.uint8)
        line_end = np.flatnonzero(letters == ord("\n"))
        line_begin = np.concatenate(([0], line_end[:-1] + 1))
        # All addresses of a file have the same width.
        width = min(max(text.find(b" "), 1), 16)
        digits = _DIGITS[letters[line_begin[:, None] + np.arange(width)]]
        whole = (line_end - line_begin > width + 3) & (digits < 16).all(axis=1)
        whole &= (letters[line_begin + width] == ord(" ")) & (letters[line_begin + width + 2] == ord(" "))
        self.corrupt = int(np.count_nonzero(~whole & (line_end > line_begin)))
        line_begin, self._line_end, digits = line_begin[whole], line_end[whole], digits[whole]
        self.addresses = np.zeros(len(line_begin), np.uint64)
        for column in range(width):
            self.addresses = (self.addresses << np.uint64(4)) | digits[:, column].astype(np.uint64)
        self.kinds = letters[line_begin + width + 1]
        self.name_begin = line_begin + width + 3
        self.zero_ended = text.translate(_ZERO_ENDED)
        self._tabs = np.append(np.flatnonzero(letters == ord("\t")), len(text))

    def modules(self, lines: Numbers) -> list[str]:
        """The module of each line."""
        tab = self._tabs[np.searchsorted(self._tabs, self.name_begin[lines])]
        end = self._line_end[lines]
        owned = np.flatnonzero(tab < end)
        found = [KERNEL] * len(lines)
        texts: dict[bytes, str] = {}
        for i, begin, stop in zip(owned.tolist(), (tab[owned] + 1).tolist(), end[owned].tolist(), strict=True):
            raw = self.zero_ended[begin:stop]
            text = texts.get(raw)
            if text is None:
                text = texts[raw] = _decoded(raw)
            found[i] = text
        return found


class _Names(Sequence[str]):
    """Names decoded on access: a profile shows a few hundred of 120,000."""

    def __init__(self, zero_ended: bytes, begin: Numbers) -> None:
        self._zero_ended, self._begin = zero_ended, begin

    def __len__(self) -> int:
        return len(self._begin)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._name(begin) for begin in self._begin[index].tolist()]
        return self._name(int(self._begin[index]))

    def _name(self, begin: int) -> str:
        return _decoded(self._zero_ended[begin : self._zero_ended.index(b"\0", begin)])


def _decoded(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _next_ends(addresses: Addresses, modules: Sequence[str]) -> Addresses:
    """A function ends where the next begins; the last one of the kernel or of a module within two pages."""
    if not len(addresses):
        return addresses
    page_end = (addresses & ~(_PAGE - np.uint64(1))) + 2 * _PAGE
    page_end[page_end < addresses] = _LAST
    ends = np.append(addresses[1:], page_end[-1])
    number = {module: i for i, module in enumerate(set(modules))}
    owner = np.array([number[module] for module in modules])
    last = np.append(owner[1:] != owner[:-1], True)
    ends[last] = np.minimum(ends[last], page_end[last])
    ends[-1] = page_end[-1]
    return ends
