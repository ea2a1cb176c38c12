import numpy as np
import pytest

from netprobe.run.table import Table, thread_rows


def test_rows_are_plain_values():
    table = Table("t", {"a": np.array([1, 2], np.uint64), "b": ["x", "y"]})
    assert list(table.rows("b", "a")) == [("x", 1), ("y", 2)]
    assert [type(value) for value in next(iter(table.rows("a", "b")))] == [int, str]
    assert len(table) == 2
    assert table.to_frame()["a"].tolist() == [1, 2]


def test_an_empty_table():
    assert len(Table("t", {})) == 0
    assert list(Table("t", {"a": []}).rows("a")) == []


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        list(Table("t", {"a": [1], "b": []}).rows("a", "b"))


def test_thread_rows_of_a_missing_table():
    assert list(thread_rows({}, "syscalls", "calls")) == []
