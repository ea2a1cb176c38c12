"""Selects reports by number, and determines which reports are of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from netprobe.errors import NetprobeError
from netprobe.importers.report import Report

TIMELESS = frozenset({"load", "listeners"})
"""Kinds of reports whose length is not that of the recording."""
_SHARE, _SECOND = 0.05, 1.0


def selected(reports: Sequence[Report], numbers: Sequence[int]) -> list[tuple[int, Report]]:
    """The reports of these numbers, counted from 1, with their numbers; all reports if there are no numbers."""
    wrong = [number for number in numbers if number > len(reports)]
    if wrong:
        raise NetprobeError(
            f"There is no report {wrong[0]}: {len(reports)} {'was' if len(reports) == 1 else 'were'} found.",
            hint="netprobe import FILE without --report lists them.",
        )
    return [(number, report) for number, report in enumerate(reports, 1) if not numbers or number in numbers]


def why_separate(reports: Sequence[Report], seconds: float | None) -> str:
    """Why reports are not of one recording; "" if they are. `seconds`: length of the reports that do not contain it."""
    names: dict[str, Report] = {}
    for report in reports:
        for name in _names(report):
            if other := names.get(name):
                return f"there is more than one report of {report.kind} ({other.place}; {report.place})"
            names[name] = report
    counts = [report for report in reports if report.kind not in TIMELESS]
    for one, other in pairwise(counts):
        if not same_length(one.seconds or seconds, other.seconds or seconds):
            lengths = [_length(report.seconds or seconds) for report in (one, other)]
            return f"{one.format} took {lengths[0]} and {other.format} {lengths[1]}, so they are not of the same time"
    return ""


def same_length(one: float | None, other: float | None) -> bool:
    """Whether two lengths may be of the same time: both unknown, or equal within a second or 5 %."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= max(_SECOND, _SHARE * max(one, other))


def _names(report: Report) -> set[str]:
    names = {table.name for table in report.contents.tables}
    return names | {"stacks"} if report.contents.profile is not None else names


def _length(seconds: float | None) -> str:
    return "an unknown time (specify it with -d)" if seconds is None else f"{seconds:g} s"
