"""Address ranges that may overlap, flattened to a sorted list for bisection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

NO_OWNER = -1


class Ranges:
    """Finds the range of an address; where ranges overlap, the later one in the list takes precedence.

    `start`, `end`: uint64; the end is the first address after the range. Empty and backward ranges are ignored.
    """

    def __init__(self, start: Addresses, end: Addresses) -> None:
        self._edges, self._owner = _flatten(start, end)

    def find(self, addresses: Addresses) -> Numbers:
        """Index of the range that contains each address; -1 where there is none."""
        owners: Numbers = self._owner[np.searchsorted(self._edges, addresses, side="right")]
        return owners


def _flatten(start: Addresses, end: Addresses) -> tuple[Addresses, Numbers]:
    """Sorted edges, and the owner before the first, between each two, and after the last edge."""
    valid = np.flatnonzero(end > start)
    edges = np.unique(np.concatenate((start[valid], end[valid])))
    owner = np.full(len(edges) + 1, NO_OWNER, np.int64)
    if not len(valid):
        return edges, owner
    first = np.searchsorted(edges, start[valid])
    pieces = np.searchsorted(edges, end[valid]) - first
    # As in a sparse table, n pieces are two runs of 2^k that may overlap, and a run of 2^k is two of 2^(k-1). The
    # maximum at each step gives the later range precedence. The cost is n log n for any depth of nesting.
    power = np.frexp(pieces.astype(np.float64))[1] - 1
    row = np.full(len(edges), NO_OWNER, np.int64)
    for k in range(int(power.max()), -1, -1):
        chosen = np.flatnonzero(power == k)
        numbers, begin = valid[chosen], first[chosen]
        np.maximum.at(row, begin, numbers)
        np.maximum.at(row, begin + pieces[chosen] - (1 << k), numbers)
        if k:
            half = 1 << (k - 1)
            np.maximum(row[half:], row[:-half].copy(), out=row[half:])
    owner[1:] = row
    return edges, owner
