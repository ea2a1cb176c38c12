"""The buckets of times: a quarter of an octave each (`quarter_octave` in bpf/common.h)."""

from __future__ import annotations

QUARTER_OCTAVES = 160


def bucket_start(bucket: int) -> int:
    """Smallest value in a bucket."""
    return bucket if bucket < 4 else (4 + bucket % 4) << (bucket // 4 - 1)
