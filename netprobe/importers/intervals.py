"""Lengths of the intervals that a tool printed times for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from netprobe.importers.lines import later, of_clock

_MOST_GAPS = 3


def lengths(start: int | None, ends: Sequence[int]) -> tuple[tuple[float, ...] | None, list[str]]:
    """Seconds of each interval and sentences on what is missing; None where they cannot be told.

    `start`: the time of the heading, which is that of the interval before the first row. Where more than one
    interval lies between two rows, rows are missing, and the row is one of the usual length.
    """
    times = [start, *ends]
    steps = [later(a, b) if a is not None and b is not None else 0 for a, b in pairwise(times)]
    usual = Counter(step for step in steps if step > 0).most_common(1)
    if not usual:
        return None, []
    step = min(length for length, times_seen in Counter(steps).items() if length > 0 and times_seen == usual[0][1])
    gaps = [
        f"rows are missing between {of_clock(before)} and {of_clock(after)}"
        for before, after, length in zip(times, ends, steps, strict=False)
        if before is not None and length > 1.5 * step
    ]
    if len(gaps) > _MOST_GAPS:
        gaps = [*gaps[:_MOST_GAPS], f"rows are missing in {len(gaps) - _MOST_GAPS} more places"]
    return tuple(float(length if 0 < length <= 1.5 * step else step) for length in steps), gaps
