import numpy as np
import pytest

from netprobe.engine import counting
from netprobe.engine.counting import merged

THREAD_ROWS = np.dtype(counting.THREAD_ROWS)

KEYED = np.dtype([("thread", "u4"), ("cpu", "u4"), ("count", "u8", (2,)), ("next_user_tid", "u8"), ("next", "S16")])


def test_counts_of_equal_keys_add_up():
    first = np.array([(1, 5, 10), (1, 6, 1)], THREAD_ROWS)
    second = np.array([(1, 5, 7), (2, 5, 3)], THREAD_ROWS)
    assert merged([first, second]).tolist() == [(1, 5, 17), (1, 6, 1), (2, 5, 3)]
    assert first.tolist() == [(1, 5, 10), (1, 6, 1)], "the parts stay as they are"


def test_pairs_of_counters():
    first = np.array([(1, 0, (1, 2), 77, b"wrk")], KEYED)
    second = np.array([(1, 0, (10, 20), 77, b"wrk"), (1, 0, (5, 5), 78, b"wrk"), (1, 1, (3, 3), 77, b"wrk")], KEYED)
    found = merged([first, second])
    assert found["count"].tolist() == [[11, 22], [5, 5], [3, 3]]
    assert found["next_user_tid"].tolist() == [77, 78, 77]


@pytest.mark.parametrize("dtype", [THREAD_ROWS, KEYED])
def test_no_rows(dtype):
    empty = np.empty(0, dtype)
    assert len(merged([empty, empty])) == 0
    one = np.zeros(1, dtype)
    assert merged([empty, one]).tobytes() == one.tobytes()


def test_large_counts_do_not_round():
    part = np.array([(1, 1, 2**63 - 1)], THREAD_ROWS)
    assert merged([part, part])["count"].tolist() == [2**64 - 2]


def test_random_parts_keep_their_sum():
    source = np.random.default_rng(3)
    parts = []
    for _ in range(7):
        rows = np.zeros(int(source.integers(0, 50)), THREAD_ROWS)
        rows["thread"] = source.integers(0, 5, len(rows))
        rows["cell"] = source.integers(0, 5, len(rows))
        rows["count"] = source.integers(0, 1000, len(rows))
        parts.append(rows)
    together, found = np.concatenate(parts), merged(parts)
    for thread in range(5):
        for cell in range(5):
            pick = (together["thread"] == thread) & (together["cell"] == cell)
            mine = found[(found["thread"] == thread) & (found["cell"] == cell)]
            assert len(mine) == min(1, pick.sum())
            assert mine["count"].sum() == together["count"][pick].sum()
