"""Percentiles of log-linear histograms, compared with those of the values."""

import random
from collections import Counter

import pytest

from netprobe.analysis.syscalls import percentile
from netprobe.probes.histogram import LOG_LINEAR_BUCKETS, bucket_start

STARTS = [bucket_start(bucket) for bucket in range(LOG_LINEAR_BUCKETS)]


def bucketed(values: list[int]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for value in values:
        counts[max(start for start in STARTS if start <= value)] += 1
    return counts


def exact(values: list[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


SHAPES = {
    "uniform": lambda source: source.randrange(1, 1_000_000),
    "exponential": lambda source: int(source.expovariate(1 / 50_000)) + 8,
    "log-normal": lambda source: int(source.lognormvariate(10, 2)) + 8,
    "two humps": lambda source: (
        int(source.gauss(2_000, 50)) if source.random() < 0.7 else int(source.gauss(900_000, 9))
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_the_error_is_at_most_a_bucket(shape, seed, share):
    source = random.Random(seed)
    values = [SHAPES[shape](source) for _ in range(997)]
    true = exact(values, share)
    found = percentile(bucketed(values), share)
    # The value may be in the next bucket.
    assert found == pytest.approx(true, rel=0.26)


@pytest.mark.parametrize("value", [*range(1, 70), 1_000, 20_000_000, 2**40 - 1])
def test_equal_values_are_within_13_percent(value):
    assert percentile(bucketed([value] * 101), 0.5) == pytest.approx(value, rel=0.13, abs=0.51)


def test_many_equal_times_of_20_ms():
    assert percentile(bucketed([20_070_000] * 23), 0.5) == pytest.approx(20_070_000, rel=0.13)


def test_without_counts_there_is_no_percentile():
    assert percentile({}, 0.5) is None
    assert percentile({8: 0}, 0.5) is None


def test_percentiles_are_ordered():
    counts = bucketed([8] * 50 + [1024] * 50)
    assert percentile(counts, 0.25) < 10
    assert percentile(counts, 0.75) >= 1024
    assert percentile(counts, 1.0) <= 1280
    found = [percentile(counts, share / 100) for share in range(1, 101)]
    assert found == sorted(found)
