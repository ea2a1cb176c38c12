"""Names of real programs, compared with what binutils print."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time

import numpy as np
import pytest

from flamegraph.frames import Frame, Kind
from flamegraph.symbols.demangle import demangle
from flamegraph.symbols.symbolizer import MappedFile, Symbolizer


def names(path, offsets, **how):
    frames = Symbolizer(**how).file_frames(MappedFile(str(path)), np.array(offsets, np.int64))
    return [frame.name for frame in frames]


PYTHON = os.path.join(*sysconfig.get_config_vars("LIBDIR", "INSTSONAME"))
REAL = ["/usr/sbin/nginx", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libstdc++.so.6", PYTHON]


@pytest.mark.parametrize("path", REAL)
def test_every_exported_function_of_a_real_file_has_its_name(path, symbols_of, offset_of, tmp_path):
    path = os.path.realpath(path)
    if not os.path.exists(path):
        pytest.skip(f"{path} is not on this machine")
    # A copy below another root: without the debug files of this machine, which know more names.
    copy = tmp_path / path.lstrip("/")
    copy.parent.mkdir(parents=True)
    shutil.copy(path, copy)
    functions = [one for one in symbols_of(path, "-D") if one[2] in "TWi" and one[1]]
    by_address = {}
    for address, _, _, name in functions:
        by_address.setdefault(address, set()).add(demangle(name.partition("@")[0]))
    inside = [(address, address + size - 1) for address, size, _, _ in functions]
    assert len(functions) >= 5
    wanted = [address for pair in inside for address in pair]
    frames = Symbolizer(tmp_path, downloads=False).file_frames(
        MappedFile(path), np.array([offset_of(path, address) for address in wanted], np.int64)
    )
    starts = sorted(by_address)
    for address, frame in zip(wanted, frames, strict=True):
        assert frame.kind is Kind.USER
        assert frame.module == path
        owner = starts[np.searchsorted(starts, address, side="right") - 1]
        assert frame.name in by_address[owner], hex(address)


@pytest.mark.parametrize("flags", [(), ("-no-pie",), ("-static",), ("-shared", "-fPIC"), ("-Wl,-z,separate-code",)])
def test_every_function_is_found_at_its_first_and_last_byte(flags, build, symbols_of, offset_of):
    program = build("plain.c", *flags)
    functions = [one for one in symbols_of(program) if one[2] in "TtWi" and one[1]]
    known = {}
    for address, size, _, name in functions:
        for at in (address, address + size - 1):
            known.setdefault(at, set()).add(name.partition("@")[0])
    found = names(program, [offset_of(program, at) for at in known])
    wrong = [(hex(at), name, known[at]) for (at, name) in zip(known, found, strict=True) if name not in known[at]]
    assert {"inner", "outer", "main", "chosen"} <= set(found)
    # Assembler code of a static libc has a few functions that begin inside another one.
    assert len(wrong) <= len(known) // 200


def test_the_global_of_two_names_is_shown(build, symbols_of, offset_of):
    program = build("plain.c")
    at = {name: address for address, _, _, name in symbols_of(program)}
    assert at["outer"] == at["other"]
    assert names(program, [offset_of(program, at["outer"])]) == ["outer"]


def test_stubs_of_the_linkage_table_are_named_as_in_objdump(build, offset_of):
    for program in (build("plain.c"), build("plain.c", "-fcf-protection=full", "-Wl,-z,ibtplt"), "/usr/sbin/nginx"):
        if not os.path.exists(program):
            continue
        text = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", "-j", ".plt", "-j", ".plt.sec", "-j", ".plt.got", str(program)],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        heads = [line.split() for line in text.splitlines() if line.endswith("@plt>:")]
        stubs = [(int(head[0], 16), head[1][1:-2]) for head in heads if "ABS" not in head[1]]
        assert stubs
        found = names(program, [offset_of(program, address) for address, _ in stubs])
        assert found == [name.partition("@")[0] + "@plt" for _, name in stubs]


def test_cpp_names_are_shown_without_their_parameters(build, symbols_of, offset_of):
    program = build("words.cc")
    at = [address for address, _, _, name in symbols_of(program) if "shop" in name]
    assert set(names(program, [offset_of(program, address) for address in at])) == {
        "shop::Basket::total", "shop::Basket::operator()", "shop::largest<int>",
    }  # fmt: skip


def test_rust_names_of_both_manglings_are_shown_without_their_hash(build, symbols_of, offset_of):
    program = build("rusty.c")
    at = [address for address, _, _, name in symbols_of(program) if name.startswith("_R") or "17h" in name]
    assert len(at) == 3
    assert set(names(program, [offset_of(program, address) for address in at])) == {
        "mycrate::inner::run", "mycrate::outer::run", "<shop::Cart as Total>::sum",
    }  # fmt: skip


def test_symbols_without_a_size_extend_to_the_next_and_labels_do_not_split_functions(build, symbols_of, offset_of):
    program = build("bare.s", "-nostdlib", "-static")
    at = {name: address for address, _, _, name in symbols_of(program)}
    addresses = [at["first"] + 3, at["second"] + 1, at["sized"], at["label_within"], at["label_within"] + 1]
    assert names(program, [offset_of(program, one) for one in addresses]) == [
        "first",
        "second",
        "sized",
        "sized",
        "sized",
    ]
    assert at["late"] - at["_start"] > 3
    begin = offset_of(program, at["_start"])
    edges = [at["_start"] + 1, at["_start"] + 2, at["late"] + 1, at["late"] + 2]
    unknown = f"[{program.name}]"
    assert names(program, [begin + one - at["_start"] for one in edges]) == ["_start", unknown, "late", unknown]


def test_a_signal_handler_returns_into_a_trampoline(tmp_path, offset_of, symbols_of):
    """The return address is the first byte of a function that was never called; the byte before is in no function."""
    source, program = tmp_path / "signal.c", tmp_path / "signal"
    source.write_text(
        'asm(".text; front: ret; .type front, @function; .size front, .-front; .skip 16, 0x90;'
        ' back: ret; .type back, @function; .size back, .-back; .skip 8, 0x90");\n'
        "int main(void) { return 0; }\n"
    )
    subprocess.run(["gcc", "-o", program, source], check=True)
    [start] = [address for address, _, _, name in symbols_of(program) if name == "back"]
    at = offset_of(program, start)
    assert names(program, [at - 2, at - 1, at, at + 1]) == ["[signal]", "back", "back", "[signal]"]


def test_unsymbolized_addresses_are_named_after_their_file(build):
    frames = Symbolizer().file_frames(MappedFile(str(build("plain.c"))), np.array([0, 1 << 40, -1]))
    assert {frame.kind for frame in frames} == {Kind.UNKNOWN}
    assert {frame.name for frame in frames} == {f"[{build('plain.c').name}]"}


def test_a_missing_file_is_unsymbolized_with_one_note():
    symbolizer = Symbolizer()
    for offset in (1, 2):
        frames = symbolizer.file_frames(MappedFile("/no/such/libfoo.so.1"), np.array([offset]))
        assert frames == [Frame("[libfoo.so.1]", "/no/such/libfoo.so.1", Kind.UNKNOWN)]
    assert symbolizer.notes() == ["A file is missing: /no/such/libfoo.so.1."]


def test_no_file_at_all_is_unknown():
    symbolizer = Symbolizer()
    assert symbolizer.file_frames(MappedFile(""), np.array([5])) == [Frame("[unknown]", "", Kind.UNKNOWN)]
    assert symbolizer.file_frames(MappedFile("//anon"), np.array([5])) == [Frame("[anon]", "//anon", Kind.UNKNOWN)]
    assert symbolizer.notes() == []


def test_the_vdso_of_this_kernel_has_names():
    frames = Symbolizer().file_frames(MappedFile("[vdso]"), np.arange(0, 0x2000, 16))
    assert any("clock_gettime" in frame.name for frame in frames)
    wrong = Symbolizer()
    assert {one.kind for one in wrong.file_frames(MappedFile("[vdso]", b"\1" * 20), np.arange(0, 0x2000, 16))} == {
        Kind.UNKNOWN
    }
    assert wrong.notes() == ["The vdso belongs to another kernel, so it was not used."]


def test_a_deleted_file_is_read_through_the_process_that_maps_it(build, symbols_of, offset_of, tmp_path):
    program = build("plain.c", "-shared", "-fPIC")
    copy = tmp_path / "lib with space.so"
    shutil.copy(program, copy)
    code = (
        "import ctypes, os, sys; ctypes.CDLL(sys.argv[1]); os.unlink(sys.argv[1]);print(flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(copy)], **pipes) as process:
        process.stdout.readline()
        try:
            os.listdir(f"/proc/{process.pid}/map_files")
            next(os.scandir(f"/proc/{process.pid}/map_files")).stat()
        except PermissionError:
            process.stdin.close()
            pytest.skip("needs the right to look through /proc/PID/map_files")
        outer = next(address for address, _, _, name in symbols_of(program) if name == "outer")
        mapped = MappedFile(f"{copy} (deleted)", None, process.pid)
        frames = Symbolizer().file_frames(mapped, np.array([offset_of(program, outer)]))
        assert frames == [Frame("outer", f"{copy} (deleted)", Kind.USER)]
        process.stdin.close()
    frames = Symbolizer().file_frames(mapped, np.array([offset_of(program, outer)]))
    assert frames[0].kind is Kind.UNKNOWN


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to change the root directory")
def test_a_containers_file_is_found_through_its_root_and_its_links_stay_inside(build, symbols_of, offset_of, tmp_path):
    program = build("plain.c", "-static")
    (tmp_path / "app").mkdir()
    shutil.copy(program, tmp_path / "app" / "server")
    (tmp_path / "linked").symlink_to("/app/server")
    with subprocess.Popen([sys.executable, "-c", f"""
import os
os.chroot({str(tmp_path)!r}); os.chdir("/"); print(flush=True); os.read(0, 1)
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # fmt: skip
        process.stdout.readline()
        outer = next(address for address, _, _, name in symbols_of(program) if name == "outer")
        offsets = np.array([offset_of(program, outer)])
        for path in ("/app/server", "/linked"):
            frames = Symbolizer().file_frames(MappedFile(path, None, process.pid), offsets)
            assert frames == [Frame("outer", path, Kind.USER)]
        outside = Symbolizer().file_frames(MappedFile(str(program), None, process.pid), offsets)
        assert outside[0].kind is Kind.UNKNOWN
        process.stdin.close()


def test_a_million_lookups_are_fast(build):
    symbolizer = Symbolizer()
    mapped = MappedFile(os.path.realpath(PYTHON))
    random = np.random.default_rng(1)
    unique = random.integers(0, os.path.getsize(mapped.path), 30_000)
    symbolizer.file_frames(mapped, unique)
    offsets = unique[random.integers(0, len(unique), 1_000_000)]
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        frames = symbolizer.file_frames(mapped, offsets)
        seconds.append(time.process_time() - begun)
    single = symbolizer.file_frames(mapped, offsets[:1000])
    assert frames[:1000] == single
    assert min(seconds) < 0.4


def test_names_that_are_not_utf8_are_escaped(make_elf, tmp_path):
    data = make_elf([("NAMEA", 0x11000, 16), ("NAMEB", 0x11010, 16)])
    data = data.replace(b"NAMEA", b"a\xff\x1b[m").replace(b"NAMEB", b"<b>;'")
    (tmp_path / "x").write_bytes(data)
    assert names(tmp_path / "x", [0x1000, 0x1010]) == ["a\\xff\x1b[m", "<b>;'"]
