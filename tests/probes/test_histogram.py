"""The buckets are the same in C (log_linear_bucket in bpf/common.h) and in Python."""

import random
import re
import subprocess

import pytest

from netprobe.probes.histogram import LOG_LINEAR_BUCKETS, bucket_start


def log_linear_bucket(value: int) -> int:
    """The formula of the C function."""
    if value < 4:
        return value
    octave = value.bit_length() - 1
    return min(octave * 4 + ((value >> (octave - 2)) & 3) - 4, LOG_LINEAR_BUCKETS - 1)


def test_starts_rise_without_gap():
    starts = [bucket_start(bucket) for bucket in range(LOG_LINEAR_BUCKETS)]
    assert starts[:10] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert starts == sorted(set(starts))
    assert starts[-1] < 2**41 < 1.3 * starts[-1]


@pytest.mark.parametrize("bucket", range(LOG_LINEAR_BUCKETS))
def test_first_and_last_value_of_a_bucket(bucket):
    start = bucket_start(bucket)
    assert log_linear_bucket(start) == bucket
    if bucket:
        assert log_linear_bucket(start - 1) == bucket - 1


def test_a_bucket_is_at_most_a_quarter_wide():
    for bucket in range(4, LOG_LINEAR_BUCKETS - 1):
        assert bucket_start(bucket + 1) - bucket_start(bucket) <= bucket_start(bucket) / 4


def test_values_beyond_the_last_bucket():
    assert log_linear_bucket(2**64 - 1) == LOG_LINEAR_BUCKETS - 1


MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#define LOG_LINEAR_BUCKETS %d
typedef unsigned long long u64;
#define __always_inline inline
static unsigned bpf_log2l(u64 v) { return 64 - __builtin_clzll(v); }
%s
int main(void) { u64 v; while (scanf("%%llu", &v) == 1) printf("%%llu\n", log_linear_bucket(v)); return 0; }
"""


def test_the_c_function_itself(checkout, tmp_path):
    """Compiled for user space, with BCC's bpf_log2l: the position of the highest bit, counted from 1."""
    source = (checkout / "bpf" / "common.h").read_text()
    (function,) = re.findall(r"^static __always_inline u64 log_linear_bucket.*?^}", source, re.MULTILINE | re.DOTALL)
    (bounded,) = re.findall(r"^#define BOUNDED.*?\}\)$", source, re.MULTILINE | re.DOTALL)
    (tmp_path / "q.c").write_text(MAIN % (LOG_LINEAR_BUCKETS, f"{bounded}\n{function}"))
    subprocess.run(["cc", "-O1", "-o", tmp_path / "q", tmp_path / "q.c"], check=True, timeout=60)
    source_of_values = random.Random(7)
    values = [bucket_start(bucket) + step for bucket in range(LOG_LINEAR_BUCKETS) for step in (-1, 0, 1)][1:]
    values += [source_of_values.randrange(2**41) >> source_of_values.randrange(41) for _ in range(1000)]
    text = "\n".join(map(str, values))
    said = subprocess.run([tmp_path / "q"], input=text, capture_output=True, text=True, check=True, timeout=10).stdout
    assert [int(line) for line in said.split()] == [log_linear_bucket(value) for value in values]
