"""Names of code compiled at run time, and the owners that are trusted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flamegraph.frames import Frame, Kind
from flamegraph.symbols.perf_map import PerfMap, UntrustedMapError, read_perf_map
from flamegraph.symbols.symbolizer import Symbolizer

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to other users")


def found(perf_map, *addresses):
    numbers = perf_map.find(np.array(addresses, np.uint64)).tolist()
    return [perf_map.names([number])[0] if number >= 0 else None for number in numbers]


def test_names_keep_their_spaces_and_sizes_their_ends():
    one = PerfMap(b"7f00 10 LazyCompile:~run /srv/a b.js:3\n0x8000 0x8 second\r\n9000 20 _ZN3Foo3barEi\n")
    assert found(one, 0x7EFF, 0x7F00, 0x7F0F, 0x7F10, 0x8007, 0x9001) == [
        None, "LazyCompile:~run /srv/a b.js:3", "LazyCompile:~run /srv/a b.js:3", None, "second", "Foo::bar",
    ]  # fmt: skip
    assert one.corrupt == 0


def test_corrupt_lines_are_skipped_and_counted():
    one = PerfMap(b"7f00 10 good\n7f2\n7f30 10\nzz 10 x\n-1 10 x\n11112222333344445 1 x\n\n7f40 10 half a na")
    assert len(one) == 1
    assert one.corrupt == 6


def test_the_newest_line_of_replaced_code_takes_precedence():
    one = PerfMap(b"1000 100 old\n1040 20 newer\n1048 8 newest\n2000 10 a\n2000 10 b\n3000 0 empty\n")
    assert found(one, 0x1000, 0x1040, 0x1048, 0x1050, 0x1060, 0x2000, 0x3000) == [
        "old", "newer", "newest", "newer", "old", "b", None,
    ]  # fmt: skip


def test_the_ends_of_the_address_space():
    one = PerfMap(b"fffffffffffffff0 ffffffffffffffff wrap\n0 ffffffffffffffff all\n")
    assert found(one, 5, 2**64 - 1) == ["all", None]


@as_root
def test_only_maps_of_the_target_user_and_root_are_trusted(tmp_path):
    path = tmp_path / "perf-1.map"
    path.write_text("1000 10 x\n")
    for owner, believed in ((0, True), (4242, True), (4243, False)):
        os.chown(path, owner, owner)
        if believed:
            assert len(read_perf_map(tmp_path, "/perf-1.map", {4242})) == 1
        else:
            with pytest.raises(UntrustedMapError, match="belongs to user 4243"):
                read_perf_map(tmp_path, "/perf-1.map", {4242})


def test_only_a_regular_file_is_opened(tmp_path):
    (tmp_path / "real").write_text("1000 10 x\n")
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
            read_perf_map(tmp_path, name, {os.geteuid()})


def test_the_newest_part_of_a_large_map_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("flamegraph.symbols.perf_map.MAX_SIZE", 25)
    (tmp_path / "m").write_text("1000 10 oldest\n2000 10 older\n3000 10 new\n")
    one = read_perf_map(tmp_path, "m", {os.geteuid()})
    assert found(one, 0x1000, 0x3000) == [None, "new"]
    assert (one.partial, one.corrupt) == (True, 0)


def test_the_map_of_an_exited_process_is_in_tmp(tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/perf-99999999.map").write_text("1000 10 x\n1010 1")
    symbolizer = Symbolizer(tmp_path)
    path = "/tmp/perf-99999999.map"
    assert symbolizer.jit_frames(99999999, np.array([0x1001, 5], np.uint64), "node") == [
        Frame("x", path, Kind.JIT), Frame("[perf-99999999.map]", path, Kind.UNKNOWN),
    ]  # fmt: skip
    assert symbolizer.notes() == [f"Corrupt lines of a perf map were skipped: 1 in {path} of node (99999999)."]


def test_without_a_map_code_is_unsymbolized_with_a_note():
    symbolizer = Symbolizer()
    frames = symbolizer.jit_frames(99999998, np.array([1, 2], np.uint64), "node")
    assert frames == [Frame("[perf-99999998.map]", "/tmp/perf-99999998.map", Kind.UNKNOWN)] * 2
    assert symbolizer.notes() == [
        "Code compiled at run time has no names, as there is no perf-PID.map: node (99999998)."
    ]


@as_root
def test_the_map_of_a_container_has_the_pid_of_its_namespace(tmp_path):
    (tmp_path / "tmp").mkdir()
    code = f"""
import os
os.chroot({str(tmp_path)!r}); os.chdir("/"); os.setresuid(4242, 4242, 4242)
print(os.getpid(), flush=True); os.read(0, 1)
"""
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        inside = process.stdout.readline().strip().decode()
        assert inside == "1"
        pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        path = tmp_path / "tmp/perf-1.map"
        path.write_text("1000 10 compiled\n")
        os.chown(path, 4242, 4242)
        frames = Symbolizer().jit_frames(pid, np.array([0x1000], np.uint64))
        os.chown(path, 4243, 4243)
        untrusted = Symbolizer()
        refused = untrusted.jit_frames(pid, np.array([0x1000], np.uint64), "node")
        process.stdin.close()
    assert frames == [Frame("compiled", "/tmp/perf-1.map", Kind.JIT)]
    assert refused == [Frame("[perf-1.map]", "/tmp/perf-1.map", Kind.UNKNOWN)]
    assert any("belongs to user 4243" in note for note in untrusted.notes())
