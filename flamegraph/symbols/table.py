"""The functions of one file, from all of its symbol tables, ready to be looked up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.symbols.aliases import one_per_address
from flamegraph.symbols.demangle import demangle_all
from flamegraph.symbols.elf import Functions
from flamegraph.symbols.ranges import Ranges

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

_MAX_NAME = 16384
_PAGE = np.uint64(4096)
_NONE, _NO_NUMBERS = np.zeros(0, np.uint64), np.zeros(0, np.int64)
_NOTHING = Functions(_NONE, _NONE, _NONE, _NO_NUMBERS, _NO_NUMBERS, b"")
_LAST = np.uint64((1 << 64) - 1)
# `memcpy@@GLIBC_2.14` in .symtab: the version is no part of the function's name.
_VERSION = re.compile(r"@@?(?!plt$)[A-Za-z_][\w.]*$")


class SymbolTable:
    """Functions by address (`vaddr` of the file)."""

    def __init__(self, parts: list[Functions]) -> None:
        parts = parts or [_NOTHING]
        self._strings = parts[0].strings if len(parts) == 1 else b"\0".join(part.strings for part in parts)
        start, size, limit, rank, name = _merged(parts)
        kept = one_per_address(start, size > 0, rank, name, self._strings)
        start, size, limit, name = start[kept], size[kept], limit[kept], name[kept]
        outside = ~_inside_another(start, size)
        start, size, limit, name = start[outside], size[outside], limit[outside], name[outside]
        self._name = name
        self._ranges = Ranges(start, _ends(start, size, limit))
        self._text: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._name)

    @property
    def size(self) -> int:
        """Memory, about, in bytes."""
        return len(self._strings) + 40 * len(self._name)

    def find(self, addresses: Addresses) -> Numbers:
        """The number of the function at each address (uint64); -1 where there is none."""
        return self._ranges.find(addresses)

    def names(self, numbers: list[int]) -> list[str]:
        """Demangled names of functions."""
        new = [number for number in numbers if number not in self._text]
        raw = [self._raw(number) for number in new]
        self._text.update(zip(new, demangle_all(raw), strict=True))
        return [self._text[number] for number in numbers]

    def _raw(self, number: int) -> str:
        at = int(self._name[number])
        end = self._strings.find(b"\0", at, at + _MAX_NAME)
        cut = self._strings[at : end if end >= 0 else at + _MAX_NAME]
        return _VERSION.sub("", cut.decode(errors="backslashreplace"))


def _merged(parts: list[Functions]) -> tuple[Addresses, Addresses, Addresses, Numbers, Numbers]:
    begin, names = 0, []
    for part in parts:
        names.append(part.name + begin)
        begin += len(part.strings) + 1
    start, size, limit, rank = (np.concatenate([part[field] for part in parts]) for field in range(4))
    return start, size, limit, rank, np.concatenate(names)


def _inside_another(start: Addresses, size: Addresses) -> npt.NDArray[np.bool_]:
    """Symbols without a size within one that has a size: labels, which would hide the rest of their function."""
    covered = np.maximum.accumulate(_sum(start, size))
    inside = np.zeros(len(start), bool)
    inside[1:] = (size[1:] == 0) & (start[1:] < covered[:-1])
    return inside


def _ends(start: Addresses, size: Addresses, limit: Addresses) -> Addresses:
    """A symbol without a size reaches to the next one, but not out of its section."""
    following = np.concatenate((start[1:], _sum(start[-1:] & ~(_PAGE - np.uint64(1)), 2 * _PAGE)))
    reach = np.where(limit > start, np.minimum(following, limit), following)
    return np.where(size > 0, _sum(start, size), reach)


def _sum(start: Addresses, size: Addresses | np.uint64) -> Addresses:
    total = start + size
    wrapped: Addresses = np.where(total < start, _LAST, total)
    return wrapped
