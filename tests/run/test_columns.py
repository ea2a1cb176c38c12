import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from netprobe.run.columns import values_of

COLUMNS = {
    "numbers": pa.chunked_array([pa.array([1, 2], pa.int64()), pa.array([3], pa.int64())]),
    "part of a longer one": pa.chunked_array([pa.array([9, 1, 2, 3, 9], pa.int64()).slice(1, 3)]),
    "small numbers": pa.chunked_array([pa.array([1, 2, 3], pa.uint8())]),
    "fractions": pa.chunked_array([pa.array([1.0, 2.0, 3.0])]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_keep_their_type(name):
    values = values_of(COLUMNS[name])
    assert values.tolist() == [1, 2, 3]
    assert values.dtype == COLUMNS[name].type.to_pandas_dtype()


def test_truths_texts_and_nothing():
    assert values_of(pa.chunked_array([pa.array([True, False])])).tolist() == [True, False]
    assert values_of(pa.chunked_array([pa.array(["a", None, "\u202e"])])).tolist() == ["a", None, "\u202e"]
    assert values_of(pa.chunked_array([], pa.int64())).tolist() == []
    assert values_of(pa.chunked_array([pa.nulls(2)])).tolist() == [None, None]


def test_lists_of_numbers():
    lists = values_of(pa.chunked_array([pa.array([[9], [1, 2], [], [3]], pa.list_(pa.int64())).slice(1)]))
    assert [one.tolist() for one in lists] == [[1, 2], [], [3]]


def test_what_is_missing_stays_missing():
    values = values_of(pa.chunked_array([pa.array([1, None, 3], pa.int64())]))
    assert np.isnan(values[1])
    assert values[[0, 2]].tolist() == [1, 3]


def test_without_pandas():
    """Its import takes longer than reading a million rows."""
    path = Path(__file__).parents[1] / "data" / "runs" / "recv"
    code = "import sys, netprobe; run = netprobe.load(sys.argv[1]); "
    code += "[run.tables[name].columns for name in run.tables]; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, path], check=True)
