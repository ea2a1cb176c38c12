"""Which of several symbols at one address gives the name: by the rules that perf has for it.

A size before none, global before local before weak, fewer leading underscores, then the longer name; the earlier one
where all that is equal (`choose_best_symbol` in the kernel's tools/perf/util/symbol.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

_UNDERSCORES = 8


def one_per_address(
    start: Addresses, has_size: npt.NDArray[np.bool_], rank: Numbers, name: Numbers, strings: bytes
) -> Numbers:
    """Numbers of the symbols to keep, in the order of their addresses.

    `name`: where each name begins in `strings`, in which a zero byte ends a name.
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
    """Length of each name in bytes, and how many underscores it begins with (no more than 8 are told apart)."""
    letters = np.frombuffer(strings + bytes(_UNDERSCORES), np.uint8)
    ends = np.flatnonzero(letters == 0)
    length = ends[np.searchsorted(ends, name)] - name
    underscores = np.zeros(len(name), np.int64)
    leading = np.ones(len(name), bool)
    for i in range(_UNDERSCORES):
        leading &= letters[np.minimum(name + i, len(strings))] == ord("_")
        underscores += leading
    return length, underscores
