"""A long recording has a limited number of intervals, of equal length, with all counts."""

import itertools
import os
import resource
import tempfile

import numpy as np
import pytest

from netprobe.engine import counting
from netprobe.engine.interval_store import MAX_INTERVALS, IntervalStore
from netprobe.errors import NetprobeError
from netprobe.probes.base import Interval, MachineCounts

THREAD_ROWS = np.dtype(counting.THREAD_ROWS)

KEYED = np.dtype([("thread", "u4"), ("cpu", "u4"), ("count", "u8", (2,)), ("next", "S16")])


def interval(number: int) -> Interval:
    """Counts that depend on the number, some threads in some intervals only."""
    rows = np.array([(number % 3, 7, number + 1), (9, number % 5, 2)], THREAD_ROWS)
    keyed = np.array([(number % 2, 1, (number, 1), b"wrk"), (number % 2, 1, (5, 0), b"nginx")], KEYED)
    return Interval(float(number), 1.0, {"calls": rows, "keyed": keyed}, MachineCounts(number * 10, 1, 5, 2))


def store_of(reads: int) -> IntervalStore:
    store = IntervalStore()
    for number in range(reads):
        store.add(interval(number))
    return store


def open_files():
    # The descriptor of the listing itself is gone by then.
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")}


@pytest.mark.parametrize("reads", [1, 2, 239, 240, 241, 359, 480, 481, 959, 960, 1000, 3601])
def test_all_counts_are_kept(reads):
    store = store_of(reads)
    intervals = store.read()
    assert sum(int(one.rows["calls"]["count"].sum()) for one in intervals) == sum(n + 3 for n in range(reads))
    keyed = sum(one.rows["keyed"]["count"].sum(axis=0) for one in intervals)
    assert keyed.tolist() == [sum(n + 5 for n in range(reads)), reads]
    assert sum(one.machine.switches for one in intervals) == sum(n * 10 for n in range(reads))
    assert sum(one.machine.forks for one in intervals) == reads
    assert sum(one.duration_s for one in intervals) == store.seconds == reads


@pytest.mark.parametrize("reads", [1, 239, 240, 241, 480, 1000, 3601, 10_000])
def test_intervals_are_few_and_of_equal_length(reads):
    intervals = store_of(reads).read()
    assert len(intervals) <= MAX_INTERVALS
    assert len(intervals) >= min(reads, MAX_INTERVALS // 2)
    lengths = {one.duration_s for one in intervals[:-1]}
    assert len(lengths) <= 1
    assert intervals[-1].duration_s <= max(lengths, default=1)
    for before, after in itertools.pairwise(intervals):
        assert after.start_s == before.start_s + before.duration_s


def test_merged_intervals_keep_each_thread():
    intervals = store_of(480).read()
    for one in intervals:
        rows = one.rows["calls"]
        assert len(np.unique(rows[["thread", "cell"]])) == len(rows), "equal keys are one row"
    by_thread = {
        thread: sum(int(one.rows["calls"]["count"][one.rows["calls"]["thread"] == thread].sum()) for one in intervals)
        for thread in (0, 1, 2, 9)
    }
    assert by_thread == {
        **{thread: sum(n + 1 for n in range(480) if n % 3 == thread) for thread in range(3)},
        9: 960,
    }


def totals(intervals):
    return sum(int(one.rows["calls"]["count"].sum()) for one in intervals)


def test_rows_are_in_a_file_that_is_deleted_with_the_store():
    before = open_files()
    store = store_of(1000)
    (fd,) = open_files() - before
    assert os.fstat(fd).st_nlink == 0
    assert os.fstat(fd).st_size > 125 * 4 * THREAD_ROWS.itemsize
    assert len(store.read()) == 125
    store.close()
    assert open_files() == before


def test_without_a_temporary_directory_rows_stay_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    before = open_files()
    store = store_of(1000)
    assert open_files() == before
    assert totals(store.read()) == sum(n + 3 for n in range(1000))


@pytest.mark.parametrize("room", [0, 100, 5000])
def test_a_full_disk_loses_no_counts(room):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        store = store_of(1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert totals(store.read()) == sum(n + 3 for n in range(1000))


def test_a_truncated_spill_file_is_a_clear_error():
    before = open_files()
    store = store_of(10)
    (fd,) = open_files() - before
    os.ftruncate(fd, 0)
    with pytest.raises(NetprobeError, match="cannot be read back from a temporary file: it was truncated"):
        store.read()
