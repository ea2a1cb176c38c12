"""Log-linear buckets of times, four per power of two (`log_linear_bucket` in bpf/common.h)."""

from __future__ import annotations

LOG_LINEAR_BUCKETS = 160


def bucket_start(bucket: int) -> int:
    """Smallest value in a bucket."""
    return bucket if bucket < 4 else (4 + bucket % 4) << (bucket // 4 - 1)
