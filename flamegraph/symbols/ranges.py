"""Address ranges that may overlap, made into one sorted list that is searched by bisection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

NOBODY = -1


class Ranges:
    """Who owns an address; where ranges overlap, the one that stands later in the list.

    `start`, `end`: uint64, the end is the first address behind the range. Empty and backward ranges own nothing.
    """

    def __init__(self, start: Addresses, end: Addresses) -> None:
        self._edges, self._owner = _flatten(start, end)

    def find(self, addresses: Addresses) -> Numbers:
        """The number of the range that holds each address; -1 where none does."""
        owners: Numbers = self._owner[np.searchsorted(self._edges, addresses, side="right")]
        return owners


def _flatten(start: Addresses, end: Addresses) -> tuple[Addresses, Numbers]:
    """Edges (sorted) and the owner before the first, between any two, and behind the last edge."""
    valid = np.flatnonzero(end > start)
    edges = np.unique(np.concatenate((start[valid], end[valid])))
    owner = np.full(len(edges) + 1, NOBODY, np.int64)
    if not len(valid):
        return edges, owner
    first = np.searchsorted(edges, start[valid])
    pieces = np.searchsorted(edges, end[valid]) - first
    # As in a sparse table: n pieces are two runs of 2^k that may overlap, and a run of 2^k is two of 2^(k-1). Taking
    # the larger number at each step makes the later range win; the whole is n log n however deep ranges are nested.
    power = np.frexp(pieces.astype(np.float64))[1] - 1
    row = np.full(len(edges), NOBODY, np.int64)
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
