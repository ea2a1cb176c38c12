"""Checks, types and empty tables from the declarations; Arrow columns as NumPy arrays."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import netprobe
from netprobe.errors import NetprobeError
from netprobe.run.description import RecordingInfo, RunInfo, TargetInfo
from netprobe.run.model import Run
from netprobe.run.schema.arrow import ColumnError, columns_of, values_of
from netprobe.run.schema.columns import Column, TableSchema
from netprobe.run.schema.tables import TABLES, compared_columns, probe_of, tables_used_with, usable
from netprobe.run.store import write_run
from netprobe.run.table import declared_table, empty_table

COLUMNS = {
    "two chunks": pa.chunked_array([pa.array([1, 2], pa.int64()), pa.array([3], pa.int64())]),
    "slice": pa.chunked_array([pa.array([9, 1, 2, 3, 9], pa.int64()).slice(1, 3)]),
    "uint8": pa.chunked_array([pa.array([1, 2, 3], pa.uint8())]),
    "float64": pa.chunked_array([pa.array([1.0, 2.0, 3.0])]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_keep_their_type(name):
    values = values_of(COLUMNS[name])
    assert values.tolist() == [1, 2, 3]
    assert values.dtype == COLUMNS[name].type.to_pandas_dtype()


def test_booleans_strings_and_nulls():
    assert values_of(pa.chunked_array([pa.array([True, False])])).tolist() == [True, False]
    assert values_of(pa.chunked_array([pa.array(["a", None, "\u202e"])])).tolist() == ["a", None, "\u202e"]
    assert values_of(pa.chunked_array([], pa.int64())).tolist() == []
    assert values_of(pa.chunked_array([pa.nulls(2)])).tolist() == [None, None]


def test_lists_of_numbers():
    lists = values_of(pa.chunked_array([pa.array([[9], [1, 2], [], [3]], pa.list_(pa.int64())).slice(1)]))
    assert [one.tolist() for one in lists] == [[1, 2], [], [3]]


def test_nulls_of_numbers_become_nan():
    values = values_of(pa.chunked_array([pa.array([1, None, 3], pa.int64())]))
    assert np.isnan(values[1])
    assert values[[0, 2]].tolist() == [1, 3]


def test_reading_a_run_does_not_import_pandas():
    """The import takes longer than reading a million rows."""
    path = Path(__file__).parents[1] / "data" / "runs" / "recv"
    code = "import sys, netprobe; run = netprobe.load(sys.argv[1]); "
    code += "[run.tables[name].columns for name in run.tables]; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, path], check=True)


UNITS = {"ns", "us", "s", "kib", "bytes"}


def test_units_are_in_the_column_names():
    for table in TABLES.values():
        for column in table.columns:
            ending = column.name.rpartition("_")[2]
            if ending in UNITS - {"bytes"} and column.name != "bucket_start_ns":
                assert column.unit in (ending, ""), f"{table.name}.{column.name}"
            assert not column.unit or ending in (column.unit, "pct") or column.name in ("value", "weight"), column.name


def test_every_table_and_column_is_described():
    for table in TABLES.values():
        assert table.description.endswith("."), table.name
        assert table.source, table.name
        assert len({column.name for column in table.columns}) == len(table.columns)
        assert all(column.description for column in table.columns), table.name


def test_compared_columns_name_columns_of_their_table():
    for table, column, compared in compared_columns():
        names = set(re.findall(r"{(\w+)}", compared.name + compared.detail))
        assert names <= {other.name for other in table.columns}, f"{table.name}.{column.name}"
        assert compared.computed or (compared.name and compared.unit)
    assert {"syscalls", "switches", "messages", "profile_samples"} <= {table.name for table, _, _ in compared_columns()}


def test_probe_that_fills_a_table():
    assert probe_of("next_tasks") == "switches"
    assert probe_of("reuseport_groups") == "sockets, serving"
    assert probe_of("no_such_table") == "no_such_table"


def test_an_incomplete_group_of_tables_is_skipped():
    stacks = tables_used_with("stacks")
    assert usable(["syscalls", *stacks]) == (("syscalls", *stacks), [])
    assert usable(["syscalls", *stacks[1:]]) == (
        ("syscalls",),
        ["the tables of stacks cannot be used: the Run has no table profile_frames"],
    )


# ---- Tables that probes make ----


def test_counters_become_int64():
    columns = {"pid": np.array([1], np.uint32), "tid": [1], "process": ["a"], "thread": ["b"]}
    columns |= {"interval": [0], "voluntary": np.array([7], np.uint64), "involuntary": [2.6]}
    table = declared_table("switches", columns)
    assert {name: str(np.asarray(values).dtype) for name, values in table.columns.items() if name != "process"} == {
        "interval": "int64", "pid": "int64", "tid": "int64", "thread": "<U1", "voluntary": "int64",
        "involuntary": "int64",
    }  # fmt: skip
    assert next(table.rows("voluntary", "involuntary")) == (7, 3)


def test_a_table_with_a_missing_or_an_undeclared_column():
    columns = {column.name: () for column in TABLES["run_queue"].columns}
    with pytest.raises(ValueError, match=r"missing \['total_ns'\]"):
        declared_table("run_queue", {name: columns[name] for name in columns if name != "total_ns"})
    with pytest.raises(ValueError, match=r"not declared \['waits'\]"):
        declared_table("run_queue", columns | {"waits": ()})


def test_an_id_of_64_bits_keeps_its_bits(monkeypatch):
    schema = TableSchema("t", "", "T.", (Column("id", "int64", "an id", all_64_bits=True),))
    monkeypatch.setitem(TABLES, "t", schema)
    (value,) = declared_table("t", {"id": [0xFFFF_8880_0000_0001]}).columns["id"].tolist()
    assert value < 0
    assert value & (1 << 64) - 1 == 0xFFFF_8880_0000_0001


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_has_typed_columns(tmp_path, name):
    table = empty_table(name)
    assert len(table) == 0
    write_run(run_with(table), tmp_path / "run")
    types = {field.name: str(field.type) for field in pq.ParquetFile(tmp_path / "run" / f"{name}.parquet").schema_arrow}
    arrow = {"float64": "double", "list[int64]": "list<element: int64>"}
    assert types == {column.name: arrow.get(column.dtype, column.dtype) for column in TABLES[name].columns}
    # A part of the tables of a group cannot be used.
    run = netprobe.load(tmp_path / "run")
    assert not run.tables or len(run.table(name)) == 0


# ---- The checks when a table is read ----


def run_with(*tables):
    info = RunInfo(target=TargetInfo(description="a test"), recording=RecordingInfo(seconds=1.0, intervals=4))
    return Run(info, {table.name: table for table in tables})


def switches(**changed):
    columns = {"interval": [0, 3], "pid": [1, 1], "tid": [1, 2], "process": ["a", "a"], "thread": ["a", "b"]}
    return {**columns, "voluntary": [5, 6], "involuntary": [0, 0], **changed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"voluntary": None}, "column voluntary is missing"),
        ({"voluntary": ["5", "6"]}, "column voluntary has type string, expected int64"),
        ({"voluntary": [5.0, 6.0]}, "column voluntary has type float64, expected int64"),
        ({"voluntary": np.array([5, 6], np.uint64)}, "column voluntary has type uint64, expected int64"),
        ({"voluntary": [5, None]}, "column voluntary has 1 null values"),
        ({"thread": [None, None]}, "column thread has type null, expected string"),
        ({"thread": ["a", None]}, "column thread has 1 null values"),
        ({"voluntary": [5, -6]}, "column voluntary is out of range: -6, expected at least 0"),
        ({"interval": [0, 4]}, "column interval is out of range: 4, expected 0 to 3"),
        ({"pid": [1, -2]}, "column pid is out of range: -2, expected at least -1"),
    ],
)
def test_a_column_that_differs_from_its_declaration_is_refused(tmp_path, changed, message):
    write_run(run_with(declared_table("switches", switches())), tmp_path / "run")
    file = tmp_path / "run" / "switches.parquet"
    pq.write_table(pa.table({name: pa.array(v) for name, v in switches(**changed).items() if v is not None}), file)
    with pytest.raises(NetprobeError) as error:
        netprobe.load(tmp_path / "run").columns("switches")
    assert error.value.message == f"The table {file} is corrupt: {message}."
    assert error.value.hint


def test_undeclared_columns_are_kept(tmp_path):
    write_run(run_with(declared_table("switches", switches())), tmp_path / "run")
    file = tmp_path / "run" / "switches.parquet"
    pq.write_table(pa.table(switches(newer=["x", "y"])), file)
    assert netprobe.load(tmp_path / "run").columns("switches").columns["newer"].tolist() == ["x", "y"]


@pytest.mark.parametrize("kind", ["a FIFO", "a directory", "a device"])
@pytest.mark.parametrize("name", ["switches.parquet", "run.json"])
def test_a_path_that_is_no_regular_file_is_refused(tmp_path, name, kind):
    """A FIFO without a writer would block."""
    write_run(run_with(declared_table("switches", switches())), tmp_path / "run")
    file = tmp_path / "run" / name
    file.unlink()
    if kind == "a FIFO":
        os.mkfifo(file)
    elif kind == "a directory":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(NetprobeError) as error:
        netprobe.load(tmp_path / "run").columns("switches")
    assert str(file) in error.value.message
    assert f"cannot be read: it is {kind}, not a file." in error.value.message


def test_tables_of_older_versions_get_the_declared_types():
    """Their counters are unsigned, and their columns without rows have no type."""
    run = netprobe.load(Path(__file__).parents[1] / "data" / "runs" / "polling")
    for name, table in run.tables.items():
        for column, values in table.columns.items():
            declared = TABLES[name].column(column)
            if declared.dtype in ("int64", "float64", "bool") and not declared.nullable:
                assert values.dtype == declared.dtype, f"{name}.{column}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([5, 1 << 63], np.uint64), "column voluntary is out of range: 9223372036854775808 does not fit int64"),
        (np.array([5, np.inf]), "column voluntary is out of range: inf does not fit int64"),
        (["5", "6"], "column voluntary has type string, expected int64"),
    ],
)
def test_a_value_of_an_older_version_that_does_not_fit_is_refused(values, message):
    with pytest.raises(ColumnError, match=message):
        columns_of(pa.table(switches(voluntary=values)), TABLES["switches"], 4, old=True)


def test_values_of_an_older_version_keep_all_their_digits():
    table = pa.table(switches(voluntary=np.array([(1 << 53) + 1, 0], np.uint64), involuntary=[1.6, 2.0]))
    columns = columns_of(table, TABLES["switches"], 4, old=True)
    assert columns["voluntary"].tolist() == [(1 << 53) + 1, 0]
    assert columns["involuntary"].tolist() == [2, 2]
