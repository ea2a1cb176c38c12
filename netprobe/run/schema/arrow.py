"""Tables of a Run as Arrow has them: their types, the checks when a file is read, and their columns as NumPy arrays.

Without pandas, which Arrow's own conversion imports: that takes a quarter second.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from netprobe.errors import NetprobeError
from netprobe.run.schema.columns import Column, Dtype, TableSchema

if TYPE_CHECKING:
    import numpy.typing as npt

    ArrowColumn = pa.ChunkedArray[Any]

_TYPES: dict[Dtype, Any] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "list[int64]": pa.list_(pa.int64()),
}
_NAMES = {"double": "float64"}


class ColumnError(Exception):
    """A column that is not as declared; the message names it."""


def to_arrow(schema: TableSchema | None, name: str, values: Any) -> pa.Array[Any]:
    """A column to be written, in its declared type; the type follows from the values where none is declared.

    From buffers, as `pa.array` imports pandas: 50 MB, and a quarter second at the end of each recording.
    """
    column = schema.column(name) if schema else None
    if column is None:
        inferred: pa.Array[Any] = pa.array(values)
        return inferred
    if column.dtype == "string":
        return _of_strings(values)
    if column.dtype == "list[int64]":
        return _of_lists(values)
    missing = column.nullable and not isinstance(values, np.ndarray) and None in values
    plain = [0 if value is None else value for value in values] if missing else values
    numbers = np.asarray(plain, column.dtype)
    validity = _bits([value is not None for value in values]) if missing else None
    data = _bits(numbers) if column.dtype == "bool" else pa.py_buffer(np.ascontiguousarray(numbers).data)
    array: pa.Array[Any] = pa.Array.from_buffers(_TYPES[column.dtype], len(numbers), [validity, data])
    return array


def _bits(values: Any) -> Any:
    return pa.py_buffer(np.packbits(np.asarray(values, bool), bitorder="little").data)


def _of_strings(values: Any) -> pa.Array[Any]:
    """Strings, of which any may be None."""
    encoded = [b"" if value is None else value.encode() for value in values]
    validity = _bits([value is not None for value in values]) if any(value is None for value in values) else None
    buffers = [validity, _offsets(encoded), pa.py_buffer(b"".join(encoded))]
    array: pa.Array[Any] = pa.Array.from_buffers(pa.string(), len(encoded), buffers)
    return array


def _of_lists(values: Any) -> pa.Array[Any]:
    flat = np.array([number for row in values for number in row], np.int64)
    numbers = pa.Array.from_buffers(pa.int64(), len(flat), [None, pa.py_buffer(flat.data)])
    array: pa.Array[Any] = pa.Array.from_buffers(
        _TYPES["list[int64]"], len(values), [None, _offsets(values)], children=[numbers]
    )
    return array


def _offsets(parts: Any) -> Any:
    """Where each part begins, and where the last one ends."""
    ends = np.cumsum([0, *(len(part) for part in parts)])
    if ends[-1] > np.iinfo(np.int32).max:
        raise NetprobeError("A Run cannot have more than 2 GB of text in one column.")
    return pa.py_buffer(ends.astype(np.int32).data)


def columns_of(table: pa.Table, schema: TableSchema | None, intervals: int, old: bool) -> dict[str, npt.NDArray[Any]]:
    """The columns of a table as NumPy arrays; raises `ColumnError` for the first that is not as declared.

    `intervals`: how many the recording has; 0 where that is not known. `old`: the file is of a format version in which
    counters were unsigned and columns without rows had no type; they get the declared type.
    """
    columns = {name: table.column(name) for name in table.column_names}
    for column in schema.columns if schema else ():
        if column.name in columns:
            if old:
                columns[column.name] = _with_declared_type(columns[column.name], column)
            maximum = intervals - 1 if column.name == "interval" and intervals else column.maximum
            _check(columns[column.name], column, maximum)
        elif not column.optional:
            raise ColumnError(f"column {column.name} is missing")
    return {name: values_of(column) for name, column in columns.items()}


def _with_declared_type(found: ArrowColumn, column: Column) -> ArrowColumn:
    """The column of an older version; a type of another kind is left alone and refused by `_check`."""
    declared = _TYPES[column.dtype]
    if pa.types.is_null(found.type):
        return pa.chunked_array([pa.nulls(len(found), declared)])
    numeric = pa.types.is_integer(found.type) or pa.types.is_floating(found.type)
    if found.type.equals(declared) or column.dtype not in ("int64", "float64") or not numeric or found.null_count:
        return found
    values = values_of(found)
    if column.dtype == "float64":
        return _of_numbers(values.astype(np.float64), declared)
    if values.dtype.kind == "f":
        # Counts that were computed from imported rates had fractions.
        values = np.rint(values)
    if len(values) and not -(1 << 63) <= values.min() <= values.max() < 1 << 63:
        raise ColumnError(f"column {column.name} is out of range: {values.max()} does not fit int64")
    return _of_numbers(values.astype(np.int64), declared)


def _of_numbers(values: npt.NDArray[Any], kind: pa.DataType) -> ArrowColumn:
    """Without `pa.array`, which imports pandas."""
    array: Any = pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values.data)])
    return pa.chunked_array([array])


def _check(found: ArrowColumn, column: Column, maximum: float | None) -> None:
    if not found.type.equals(_TYPES[column.dtype]):
        kind = _NAMES.get(str(found.type), str(found.type))
        raise ColumnError(f"column {column.name} has type {kind}, expected {column.dtype}")
    if found.null_count and not column.nullable:
        raise ColumnError(f"column {column.name} has {found.null_count} null values")
    if column.minimum is None:
        return
    values = values_of(found)
    outside = values < column.minimum if maximum is None else (values < column.minimum) | (values > maximum)
    if outside.any():
        allowed = f"at least {column.minimum:g}" if maximum is None else f"{column.minimum:g} to {maximum:g}"
        raise ColumnError(f"column {column.name} is out of range: {values[outside][0]}, expected {allowed}")


def values_of(column: ArrowColumn) -> npt.NDArray[Any]:
    """The values of a column: numbers and booleans as such, read-only; strings and lists of numbers as objects.

    Anything else, such as numbers with nulls, as Arrow converts it.
    """
    kind = column.type
    array: Any = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], kind)
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        return np.array(array.to_pylist(), object)
    if array.null_count == 0:
        if pa.types.is_boolean(kind):
            return np.array(array.to_pylist(), np.bool_)
        if _is_numeric(kind):
            return _numbers(array)
        if pa.types.is_list(kind) and _is_numeric(kind.value_type) and not array.values.null_count:
            return _lists(array)
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
