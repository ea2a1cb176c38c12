"""Runs on disk: written atomically, with a clear error for everything that is not a Run."""

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import netprobe
from netprobe.errors import NetprobeError
from netprobe.run import destination, store
from netprobe.run.description import RecordingInfo, RunInfo, TargetInfo
from netprobe.run.model import Run
from netprobe.run.schema.arrow import to_arrow
from netprobe.run.schema.columns import Column, TableSchema
from netprobe.run.table import declared_table
from netprobe.run.versions import FORMAT_VERSION


def a_run(calls: int = 7, **info: Any) -> Run:
    thread = {"pid": [1, 1], "tid": [1, 2], "process": ["a", "a"], "thread": ["a", "b"]}
    columns = {"interval": [0, 1], **thread, "syscall": ["read", "a\x1b[31m"], "calls": [calls, 5]}
    recording = RecordingInfo(seconds=2.0, stopped_by="duration")
    described = RunInfo(recording=recording, target=TargetInfo(description="a test"), **info)
    return Run(described, {"syscalls": declared_table("syscalls", columns)})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_run_can_be_read(tmp_path):
    store.write_run(a_run(), tmp_path / "run")
    run = netprobe.load(tmp_path / "run")
    assert run.table("syscalls").drop(columns=["pid", "tid", "process", "thread"]).to_dict("list") == {
        "interval": [0, 1],
        "syscall": ["read", "a\x1b[31m"],
        "calls": [7, 5],
    }
    assert run.info.format_version == FORMAT_VERSION
    assert run.seconds == 2.0
    assert "a test" in repr(run)
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["run.json", "syscalls.parquet"]


def test_paths_as_text_and_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.write_run(a_run(), "run")
    assert len(netprobe.load("run").table("syscalls")) == 2


def test_an_older_run_is_replaced(tmp_path):
    assert store.write_run(a_run(7), tmp_path / "run") is False
    assert store.write_run(a_run(11), tmp_path / "run") is True
    assert netprobe.load(tmp_path / "run").table("syscalls")["calls"].tolist() == [11, 5]
    assert names(tmp_path) == ["run"]


def test_a_complete_run_exists_at_all_times(tmp_path, monkeypatch):
    """Also while an older Run is being replaced."""
    store.write_run(a_run(7), tmp_path / "run")
    real, seen = os.fsync, []

    def watched(fd: int) -> None:
        real(fd)
        seen.append(netprobe.load(tmp_path / "run").table("syscalls")["calls"].tolist()[0])

    monkeypatch.setattr(os, "fsync", watched)
    store.write_run(a_run(11), tmp_path / "run")
    assert set(seen) == {7}
    assert netprobe.load(tmp_path / "run").table("syscalls")["calls"].tolist() == [11, 5]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_failure_keeps_the_older_run(tmp_path, monkeypatch, number):
    store.write_run(a_run(7), tmp_path / "run")

    def full(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NetprobeError, match=os.strerror(number)) as error:
        store.write_run(a_run(11), tmp_path / "run")
    assert "Make room" in error.value.hint
    assert netprobe.load(tmp_path / "run").table("syscalls")["calls"].tolist() == [7, 5]
    assert names(tmp_path) == ["run"]


def test_a_file_system_without_exchange_of_names(tmp_path, monkeypatch):
    """renameat2 fails: the older Run is renamed first."""

    class NoExchange:
        def renameat2(self, *arguments: object) -> int:
            return -1

    monkeypatch.setattr(store.ctypes, "CDLL", lambda *a, **k: NoExchange())
    assert store.write_run(a_run(7), tmp_path / "run") is False
    assert store.write_run(a_run(11), tmp_path / "run") is True
    assert netprobe.load(tmp_path / "run").table("syscalls")["calls"].tolist() == [11, 5]
    assert names(tmp_path) == ["run"]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        store.write_run(a_run(), tmp_path / "run")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "run" / "run.json").stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", ["file", "directory", "empty directory", "link", "no parent"])
def test_unsuitable_destinations_are_refused(tmp_path, kind):
    path = tmp_path / "there"
    if kind == "file":
        path.write_text("mine")
    elif kind == "no parent":
        path = tmp_path / "no" / "there"
    elif kind == "link":
        store.write_run(a_run(), tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
        if kind == "directory":
            (path / "thesis").write_text("mine")
    before = {str(one): one.read_text() for one in tmp_path.rglob("*") if one.is_file() and one.suffix != ".parquet"}
    for ask in (destination.check_destination, lambda place: store.write_run(a_run(), place)):
        with pytest.raises(NetprobeError) as error:
            ask(path)
        assert error.value.hint
    after = {str(one): one.read_text() for one in tmp_path.rglob("*") if one.is_file() and one.suffix != ".parquet"}
    assert before == after


@pytest.mark.parametrize("folder", ["/proc", "/sys", "/proc/self/task"])
def test_a_directory_that_nobody_can_write_to(folder):
    with pytest.raises(NetprobeError, match=f"netprobe cannot write in {folder}: ") as error:
        destination.check_destination(Path(folder, "run"))
    assert "another place" in error.value.hint
    assert "Make room" not in error.value.hint


def test_a_name_that_is_too_long_for_its_temporary_name(tmp_path):
    with pytest.raises(NetprobeError, match="File name too long"):
        destination.check_destination(tmp_path / ("r" * 250))


def test_a_directory_over_quota(tmp_path, monkeypatch):
    def full(*arguments: object, **options: object) -> str:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(destination.tempfile, "mkdtemp", full)
    with pytest.raises(NetprobeError, match="quota exceeded") as error:
        destination.check_destination(tmp_path / "run")
    assert "Make room" in error.value.hint


def test_the_check_of_a_destination_leaves_no_file(tmp_path):
    destination.check_destination(tmp_path / "run")
    assert names(tmp_path) == []


def test_paths_without_a_run(tmp_path):
    with pytest.raises(NetprobeError, match="no Run at") as error:
        netprobe.load(tmp_path / "nowhere")
    assert "-o" in error.value.hint
    with pytest.raises(NetprobeError):
        netprobe.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NetprobeError):
        netprobe.load(tmp_path / "file")


def corrupt(tmp_path: Path, **changes: Any) -> Path:
    """A Run whose run.json has these changes; None removes a key."""
    store.write_run(a_run(), tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    info = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))
    return tmp_path / "run"


def test_a_run_of_version_1(tmp_path, checkout):
    """Reading does not change it; a copy is written in the current version."""
    path = checkout / "tests" / "data" / "runs" / "polling"
    assert json.loads((path / "run.json").read_text())["format_version"] == 1
    run = netprobe.load(path)
    assert run.table("syscalls")["calls"].sum() > 0
    assert "reactor-preempted" in {one.code for one in run.findings()}
    store.write_run(run, tmp_path / "again")
    again = netprobe.load(tmp_path / "again")
    assert again.info.format_version == FORMAT_VERSION > 1
    assert set(again.tables) == set(run.tables)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99, 0, -1, "1", 1.5, [], {}, True])
def test_unknown_versions_are_refused(tmp_path, version):
    with pytest.raises(NetprobeError, match="format version") as error:
        netprobe.load(corrupt(tmp_path, format_version=version))
    assert repr(version) in error.value.message
    assert "Update" in error.value.hint


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"null", b'"text"', b"{}", b"\xff\xfe\x00", b"[" * 100_000, b'{"format_version": 1'],
)
def test_a_corrupt_run_json(tmp_path, content):
    path = corrupt(tmp_path)
    (path / "run.json").write_bytes(content)
    with pytest.raises(NetprobeError, match=r"cannot be read|format version") as error:
        netprobe.load(path)
    assert "run.json" in error.value.message


@pytest.mark.parametrize(
    "tables", [5, "syscalls", {"syscalls": 1}, [5, None, ["x"]], ["../../etc/passwd", "/etc/passwd"]]
)
def test_an_invalid_list_of_tables(tmp_path, tables):
    path = corrupt(tmp_path, tables=tables)
    try:
        run = netprobe.load(path)
    except NetprobeError:
        return
    for name in run.tables:
        assert Path(name).name == name
    with pytest.raises(NetprobeError):
        run.table("nosuchtable")


@pytest.mark.parametrize("key", ["recording", "target"])
def test_a_run_json_without_a_required_field(tmp_path, key):
    """The error names the file."""
    with pytest.raises(NetprobeError, match=r"run\.json"):
        repr(netprobe.load(corrupt(tmp_path, **{key: None})))


def test_a_missing_table(tmp_path):
    path = corrupt(tmp_path)
    (path / "syscalls.parquet").unlink()
    run = netprobe.load(path)
    with pytest.raises(NetprobeError) as error:
        run.table("syscalls")
    assert error.value.message == (
        f"The Run at {path} is not complete: run.json lists the table syscalls, and syscalls.parquet is not there."
    )
    assert "Copy the whole directory again" in error.value.hint


def test_a_table_that_cannot_be_opened(tmp_path):
    """The message is that of the system; the message of the library repeats the path."""
    file = corrupt(tmp_path) / "syscalls.parquet"
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(NetprobeError) as error:
        netprobe.load(tmp_path / "run").table("syscalls")
    assert error.value.message == f"The table {file} cannot be read: Too many levels of symbolic links."


def test_a_table_that_is_not_in_the_run(tmp_path):
    with pytest.raises(NetprobeError, match="no table 'switches'") as error:
        netprobe.load(corrupt(tmp_path)).table("switches")
    assert "syscalls" in error.value.hint


def test_a_table_without_a_column_that_is_needed(tmp_path):
    path = corrupt(tmp_path)
    file = path / "syscalls.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["calls"]), file)
    with pytest.raises(NetprobeError, match=r"syscalls\.parquet is corrupt: column calls is missing"):
        list(netprobe.load(path).columns("syscalls").rows("calls"))


@pytest.mark.parametrize("keep", [0, 4, 30, -1, -9])
def test_a_truncated_table(tmp_path, keep):
    file = corrupt(tmp_path) / "syscalls.parquet"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(NetprobeError, match=r"syscalls\.parquet"):
        netprobe.load(tmp_path / "run").table("syscalls")


def test_a_table_of_garbage(tmp_path):
    file = corrupt(tmp_path) / "syscalls.parquet"
    content = file.read_bytes()
    for place in range(4, len(content) - 8, 37):
        file.write_bytes(content[:place] + b"\xff\x00\xff\x00" + content[place + 4 :])
        # What still makes a table may pass; nothing but our own error may come.
        with contextlib.suppress(NetprobeError):
            netprobe.load(tmp_path / "run").table("syscalls")


def test_tables_are_read_when_they_are_first_used(tmp_path):
    store.write_run(a_run(), tmp_path / "run")
    run = netprobe.load(tmp_path / "run")
    assert run.columns("syscalls") is run.columns("syscalls")
    assert list(run.tables) == ["syscalls"]
    assert len(run.tables) == 1


def test_nullable_columns_and_odd_texts_are_written(tmp_path):
    """Buffers are built without Arrow's conversion: None, empty and non-ASCII texts, lists, booleans."""
    texts = ["", "a", "Ä€😀", "x" * 1000, "\0"]
    columns = {
        "a": pa.array([1, None, 3], pa.int64()),
        "b": pa.array([True, False, None], pa.bool_()),
    }
    text = Column("t", "string", "", nullable=True)
    schema = TableSchema(
        "x", "", "", (text, Column("a", "int64", "", nullable=True), Column("b", "bool", "", nullable=True))
    )
    assert to_arrow(schema, "t", [*texts, None]).to_pylist() == [*texts, None]
    assert to_arrow(schema, "t", []).to_pylist() == []
    assert to_arrow(schema, "a", [1, None, 3]).equals(columns["a"])
    assert to_arrow(schema, "b", [True, False, None]).equals(columns["b"])
    assert to_arrow(schema, "a", np.array([5, 6], np.uint32)[::-1]).to_pylist() == [6, 5]
