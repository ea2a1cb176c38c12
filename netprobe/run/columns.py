"""Columns of Arrow as NumPy arrays, without pandas: Arrow's own conversion imports it, which takes a quarter second."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt


def values_of(column: pa.ChunkedArray[Any]) -> npt.NDArray[Any]:
    """Its values: numbers and truths as such, read-only; texts and lists of numbers as objects.

    Anything else, such as numbers some of which are missing, as Arrow converts it.
    """
    kind = column.type
    whole: Any = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], kind)
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        return np.array(whole.to_pylist(), object)
    if whole.null_count == 0:
        if pa.types.is_boolean(kind):
            return np.array(whole.to_pylist(), np.bool_)
        if _is_numeric(kind):
            return _numbers(whole)
        if pa.types.is_list(kind) and _is_numeric(kind.value_type) and not whole.values.null_count:
            return _lists(whole)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_float64(kind)


def _numbers(array: Any) -> npt.NDArray[Any]:
    dtype = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(memoryview(array.buffers()[1]), dtype, len(array), array.offset * dtype.itemsize)


def _lists(array: Any) -> npt.NDArray[Any]:
    values, offsets = _numbers(array.values), _numbers(array.offsets).tolist()
    found = np.empty(len(array), object)
    for number, (begin, end) in enumerate(pairwise(offsets)):
        found[number] = values[begin:end]
    return found
