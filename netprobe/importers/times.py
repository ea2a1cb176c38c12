"""Times as tools print them, and the lengths of the intervals between them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

_CLOCK = re.compile(r"(\d{1,2}):(\d\d):(\d\d)")
_EPOCH = re.compile(r"\d{9,11}")
_DAY = 86_400
_MAX_GAPS = 3
# Rows are missing where two times are further apart than this multiple of the usual interval.
_GAP = 1.5


def clock(fields: list[str]) -> tuple[int, int] | None:
    """The time that a line begins with, in seconds of the day or the epoch, and its number of fields; or None."""
    if not fields:
        return None
    if _EPOCH.fullmatch(fields[0]):
        return int(fields[0]), 1
    found = _CLOCK.fullmatch(fields[0])
    if not found:
        return None
    hour, minute, second = (int(part) for part in found.groups())
    used = 1
    if len(fields) > 1 and fields[1].upper() in ("AM", "PM"):
        hour, used = hour % 12 + (12 if fields[1].upper() == "PM" else 0), 2
    if hour > 23 or minute > 59 or second > 60:
        return None
    return hour * 3600 + minute * 60 + second, used


def seconds_between(before: int, after: int) -> int:
    """Seconds from one time to the next, which may be on the next day."""
    passed = after - before
    return passed + _DAY if passed < -_DAY // 2 and before < _DAY else passed


def clock_text(seconds: int) -> str:
    """A time of the day as 13:05:00; a time of the epoch as a number."""
    if seconds >= _DAY:
        return str(seconds)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def interval_lengths(start: int | None, ends: Sequence[int]) -> tuple[tuple[float, ...] | None, list[str]]:
    """Seconds of each interval, and sentences about missing rows; None if the lengths are not known.

    `start`: the time of the heading, which is the start of the first interval. Where rows are missing between two
    times, the later row is given the usual length.
    """
    times = [start, *ends]
    steps = [seconds_between(a, b) if a is not None and b is not None else 0 for a, b in pairwise(times)]
    most_frequent = Counter(step for step in steps if step > 0).most_common(1)
    if not most_frequent:
        return None, []
    usual = min(
        length for length, frequency in Counter(steps).items() if length > 0 and frequency == most_frequent[0][1]
    )
    gaps = [
        f"rows are missing between {clock_text(before)} and {clock_text(after)}"
        for before, after, length in zip(times, ends, steps, strict=False)
        if before is not None and length > _GAP * usual
    ]
    if len(gaps) > _MAX_GAPS:
        gaps = [*gaps[:_MAX_GAPS], f"rows are missing in {len(gaps) - _MAX_GAPS} more places"]
    return tuple(float(length if 0 < length <= _GAP * usual else usual) for length in steps), gaps
