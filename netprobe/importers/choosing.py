"""Which blocks are one recording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from netprobe.errors import NetprobeError
from netprobe.importers.block import Block

TIMELESS = frozenset({"load", "listeners"})
"""Kinds that do not say how long the rest took."""
_SHARE, _SECOND = 0.05, 1.0


def chosen(blocks: Sequence[Block], numbers: Sequence[int]) -> list[tuple[int, Block]]:
    """The blocks of these numbers, counted from 1, with their numbers; all without numbers."""
    wrong = [number for number in numbers if number > len(blocks)]
    if wrong:
        raise NetprobeError(
            f"There is no block {wrong[0]}: {len(blocks)} {'was' if len(blocks) == 1 else 'were'} found.",
            todo="netprobe import FILE without --block lists them.",
        )
    return [(number, block) for number, block in enumerate(blocks, 1) if not numbers or number in numbers]


def why_apart(blocks: Sequence[Block], seconds: float | None) -> str:
    """Why blocks are not one recording, in words; "" if they are. `seconds`: of those that do not say."""
    names: dict[str, Block] = {}
    for block in blocks:
        for name in _names(block):
            if other := names.get(name):
                return f"there is more than one block of {block.kind} ({other.place}; {block.place})"
            names[name] = block
    counts = [block for block in blocks if block.kind not in TIMELESS]
    for one, other in pairwise(counts):
        if not agree(one.seconds or seconds, other.seconds or seconds):
            lengths = [_length(block.seconds or seconds) for block in (one, other)]
            return f"{one.format} took {lengths[0]} and {other.format} {lengths[1]}, so they are not of the same time"
    return ""


def agree(one: float | None, other: float | None) -> bool:
    """Whether two lengths may be of the same time: both unknown, or equal within a second or 5 %."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= max(_SECOND, _SHARE * max(one, other))


def _names(block: Block) -> set[str]:
    names = {table.name for table in block.contents.tables}
    return names | {"stacks"} if block.contents.profile is not None else names


def _length(seconds: float | None) -> str:
    return "an unknown time (say it with -d)" if seconds is None else f"{seconds:g} s"
