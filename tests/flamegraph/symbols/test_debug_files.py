"""Separate debug files: by build-id, by .gnu_debuglink, inside the file; and files that are not the recorded ones."""

import lzma
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from flamegraph.frames import Kind
from flamegraph.symbols.debug_files import debug_link_paths
from flamegraph.symbols.symbolizer import MappedFile, Symbolizer


class Stripped(NamedTuple):
    root: Path
    path: str
    debug: Path
    build_id: bytes
    offset: int
    """Frames of the static function `inner`, which is in no exported table."""

    def frame(self, symbolizer, build_id=None):
        return symbolizer.file_frames(MappedFile(self.path, build_id), np.array([self.offset]))[0]

    def place(self, *parts):
        target = self.root.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.debug, target)
        return target

    def place_by_build_id(self):
        digits = self.build_id.hex()
        return self.place("usr/lib/debug/.build-id", digits[:2], digits[2:] + ".debug")


@pytest.fixture
def stripped(build, symbols_of, offset_of, build_id_of, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    program = build("plain.c", "-fPIE", "-pie")
    root = tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    debug = tmp_path / "server.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["strip", "-o", root / "opt/server", program], check=True)
    inner = next(address for address, _, _, name in symbols_of(program) if name == "inner")
    return Stripped(root, "/opt/server", debug, build_id_of(program), offset_of(program, inner))


def link(stripped):
    command = ["objcopy", f"--add-gnu-debuglink={stripped.debug}", stripped.root / "opt/server"]
    subprocess.run(command, check=True)


def test_without_a_debug_file_the_function_is_unsymbolized_with_a_note(stripped):
    symbolizer = Symbolizer(stripped.root)
    frame = stripped.frame(symbolizer)
    assert (frame.name, frame.kind) == ("[server]", Kind.UNKNOWN)
    assert "Stripped" in symbolizer.notes()[0]
    assert "/opt/server" in symbolizer.notes()[0]


def test_a_debug_file_is_found_by_its_build_id(stripped):
    stripped.place_by_build_id()
    symbolizer = Symbolizer(stripped.root)
    assert stripped.frame(symbolizer) == ("inner", "/opt/server", Kind.USER)
    assert symbolizer.notes() == []


def test_a_link_below_the_root_stays_below_it(stripped):
    target = stripped.place_by_build_id()
    moved = stripped.root / "usr/lib/debug/opt/server.debug"
    moved.parent.mkdir(parents=True)
    target.rename(moved)
    target.symlink_to("/usr/lib/debug/opt/server.debug")
    assert stripped.frame(Symbolizer(stripped.root)).name == "inner"


def test_a_debug_file_with_another_build_id_is_not_used(stripped, build):
    target = stripped.place_by_build_id()
    shutil.copy(build("plain.c", "-O2"), target)
    symbolizer = Symbolizer(stripped.root)
    assert stripped.frame(symbolizer).kind is Kind.UNKNOWN
    assert any("build-id differs" in note for note in symbolizer.notes())


@pytest.mark.parametrize("place", ["opt/server.debug", "opt/.debug/server.debug", "usr/lib/debug/opt/server.debug"])
def test_a_debug_link_is_followed_where_gdb_follows_it(stripped, place):
    link(stripped)
    stripped.place(place)
    assert stripped.frame(Symbolizer(stripped.root)).name == "inner"


def test_a_debug_link_whose_checksum_differs_is_not_followed(stripped):
    link(stripped)
    target = stripped.place("opt/server.debug")
    target.write_bytes(target.read_bytes() + b"\0")
    symbolizer = Symbolizer(stripped.root)
    assert stripped.frame(symbolizer).kind is Kind.UNKNOWN
    assert any("checksum" in note for note in symbolizer.notes())


def test_a_debug_link_cannot_leave_its_folder():
    assert debug_link_paths("/opt/server", "../../etc/passwd") == []
    assert debug_link_paths("/opt/server", "..") == []


def add_section(stripped, tmp_path, content):
    packed = tmp_path / "packed"
    packed.write_bytes(content)
    command = ["objcopy", "--add-section", f".gnu_debugdata={packed}", stripped.root / "opt/server"]
    subprocess.run(command, check=True)


def test_the_packed_table_inside_a_file_names_its_static_functions(stripped, build, tmp_path):
    small = tmp_path / "small"
    subprocess.run(["objcopy", "-S", "--keep-symbol=inner", build("plain.c", "-fPIE", "-pie"), small], check=True)
    add_section(stripped, tmp_path, lzma.compress(small.read_bytes()))
    symbolizer = Symbolizer(stripped.root)
    assert stripped.frame(symbolizer).name == "inner"
    assert symbolizer.notes() == []


@pytest.mark.parametrize("content", [b"no xz", lzma.compress(b"no elf"), lzma.compress(bytes(200 << 20), preset=0)])
def test_a_corrupt_packed_table_is_skipped_with_a_note(stripped, tmp_path, content):
    add_section(stripped, tmp_path, content)
    symbolizer = Symbolizer(stripped.root)
    assert stripped.frame(symbolizer).kind is Kind.UNKNOWN
    assert any("A symbol table was not used" in note for note in symbolizer.notes())


def test_a_program_with_another_build_id_is_not_used(stripped, build):
    shutil.copy(build("plain.c", "-O2"), stripped.root / "opt/server")
    symbolizer = Symbolizer(stripped.root, downloads=False)
    assert stripped.frame(symbolizer, stripped.build_id) == ("[server]", "/opt/server", Kind.UNKNOWN)
    assert symbolizer.notes() == ["Not the recorded file (its build-id differs), so not used: /opt/server."]


def test_a_program_without_a_build_id_is_not_used_where_one_was_recorded(stripped, build):
    shutil.copy(build("plain.c", "-Wl,--build-id=none"), stripped.root / "opt/server")
    assert stripped.frame(Symbolizer(stripped.root), stripped.build_id).kind is Kind.UNKNOWN
    assert stripped.frame(Symbolizer(stripped.root)).kind is Kind.USER


def test_a_build_id_that_perf_padded_with_zeros_is_the_same(build, symbols_of, offset_of):
    program = build("plain.c", "-Wl,--build-id=md5")
    outer = next(address for address, _, _, name in symbols_of(program) if name == "outer")
    text = subprocess.run(["readelf", "-nW", program], capture_output=True, text=True, check=True).stdout
    build_id = bytes.fromhex(next(line for line in text.splitlines() if "Build ID" in line).split()[-1])
    assert len(build_id) == 16
    mapped = MappedFile(str(program), build_id + bytes(4))
    assert Symbolizer().file_frames(mapped, np.array([offset_of(program, outer)]))[0].name == "outer"


def test_the_copy_of_perf_record_is_used_when_the_file_has_changed(stripped, build, tmp_path):
    digits = stripped.build_id.hex()
    copy = tmp_path / "home/.debug/.build-id" / digits[:2] / digits[2:] / "elf"
    copy.parent.mkdir(parents=True)
    shutil.copy(build("plain.c", "-fPIE", "-pie"), copy)
    shutil.copy(build("plain.c", "-O2"), stripped.root / "opt/server")
    assert stripped.frame(Symbolizer(stripped.root), stripped.build_id).name == "inner"
