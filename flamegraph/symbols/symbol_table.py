"""The functions of one file, from all of its symbol tables, ready for look-ups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.symbols.demangle import demangle_all
from flamegraph.symbols.elf import Functions
from flamegraph.symbols.ranges import Ranges

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

_UNDERSCORES = 8


def one_per_address(
    start: Addresses, has_size: npt.NDArray[np.bool_], rank: Numbers, name: Numbers, strings: bytes
) -> Numbers:
    """Indices of the symbols to keep, by ascending address; several symbols at one address by the rules of perf.

    A symbol with a size precedes one without, global precedes local precedes weak, fewer leading underscores precede
    more, then the longer name, then the earlier symbol (`choose_best_symbol` in tools/perf/util/symbol.c).
    `name`: offset of each name in `strings`, where a zero byte ends a name.
    """
    order = np.argsort(start, kind="stable")
    ordered = start[order]
    same_as_next = ordered[1:] == ordered[:-1]
    if not same_as_next.any():
        return order
    shared = np.zeros(len(order), bool)
    shared[1:] |= same_as_next
    shared[:-1] |= same_as_next
    group = order[shared]
    length, underscores = _shapes(name[group], strings)
    best = np.lexsort((group, -length, underscores, rank[group], ~has_size[group], start[group]))
    order[shared] = group[best]
    first = np.concatenate(([True], ~same_as_next))
    kept: Numbers = order[first]
    return kept


def _shapes(name: Numbers, strings: bytes) -> tuple[Numbers, Numbers]:
    """Length of each name in bytes, and the number of its leading underscores, up to 8."""
    letters = np.frombuffer(strings + bytes(_UNDERSCORES), np.uint8)
    ends = np.flatnonzero(letters == 0)
    length = ends[np.searchsorted(ends, name)] - name
    underscores = np.zeros(len(name), np.int64)
    leading = np.ones(len(name), bool)
    for i in range(_UNDERSCORES):
        leading &= letters[np.minimum(name + i, len(strings))] == ord("_")
        underscores += leading
    return length, underscores


_MAX_NAME = 16384
_PAGE = np.uint64(4096)
_NONE, _NO_NUMBERS = np.zeros(0, np.uint64), np.zeros(0, np.int64)
_EMPTY = Functions(_NONE, _NONE, _NONE, _NO_NUMBERS, _NO_NUMBERS, b"")
_LAST = np.uint64((1 << 64) - 1)
# `memcpy@@GLIBC_2.14` in .symtab: the version is not part of the name of the function.
_VERSION = re.compile(r"@@?(?!plt$)[A-Za-z_][\w.]*$")


class SymbolTable:
    """Functions by address (`vaddr` of the file)."""

    def __init__(self, parts: list[Functions]) -> None:
        parts = parts or [_EMPTY]
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
        """Approximate memory in bytes."""
        return len(self._strings) + 40 * len(self._name)

    def find(self, addresses: Addresses) -> Numbers:
        """Index of the function at each address (uint64); -1 where there is none."""
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
    """Whether a symbol without a size lies inside one with a size: a label, which would hide the rest of it."""
    covered = np.maximum.accumulate(_sum(start, size))
    inside = np.zeros(len(start), bool)
    inside[1:] = (size[1:] == 0) & (start[1:] < covered[:-1])
    return inside


def _ends(start: Addresses, size: Addresses, limit: Addresses) -> Addresses:
    """End of each symbol; one without a size extends to the next symbol or the end of its section."""
    following = np.concatenate((start[1:], _sum(start[-1:] & ~(_PAGE - np.uint64(1)), 2 * _PAGE)))
    reach = np.where(limit > start, np.minimum(following, limit), following)
    return np.where(size > 0, _sum(start, size), reach)


def _sum(start: Addresses, size: Addresses | np.uint64) -> Addresses:
    total = start + size
    wrapped: Addresses = np.where(total < start, _LAST, total)
    return wrapped
