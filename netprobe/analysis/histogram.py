"""Percentiles of histograms whose buckets are a quarter of an octave (netprobe/probes/histogram.py)."""

from __future__ import annotations

from collections.abc import Mapping


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The value below which `share` (0..1) of the counted values lie; None where nothing was counted.

    `counts` is bucket start -> count. Values are taken as evenly spread in their bucket, whose width is at
    most a quarter of its start: the result is within 13 % of the true one.
    """
    total = sum(counts.values())
    if not total:
        return None
    wanted, seen = share * total, 0
    for start in sorted(counts):
        here = counts[start]
        if seen + here >= wanted:
            return start + _width(start) * (wanted - seen) / here
        seen += here
    return None


def _width(start: int) -> int:
    return 1 if start < 8 else 1 << (start.bit_length() - 3)
