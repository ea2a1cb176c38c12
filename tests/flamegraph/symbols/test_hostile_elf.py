"""Truncated, corrupt and hostile ELF files: unsymbolized frames and a note, in limited time."""

import random
import resource
import struct
import time

import numpy as np
import pytest

from flamegraph.frames import Kind
from flamegraph.symbols.elf import SHT_SYMTAB, Elf, ElfError, MemoryBytes
from flamegraph.symbols.symbolizer import MappedFile, Symbolizer


@pytest.fixture
def frames_of(tmp_path):
    path = tmp_path / "hostile"

    def frames(data):
        path.write_bytes(data)
        symbolizer = Symbolizer(downloads=False)
        found = symbolizer.file_frames(MappedFile(str(path)), np.array([0x1000, 0x1010, 0, 1 << 62, -5]))
        assert len(found) == 5
        assert all(isinstance(frame.name, str) and isinstance(frame.kind, Kind) for frame in found)
        return found, symbolizer.notes()

    return frames


FUNCTIONS = [("first", 0x11000, 16), ("second", 0x11010, 16)]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_either_word_size_and_byte_order(wide, order, make_elf, frames_of):
    found, notes = frames_of(make_elf(FUNCTIONS, wide=wide, order=order))
    assert [frame.name for frame in found] == ["first", "second"] + ["[hostile]"] * 3
    assert notes == []


@pytest.mark.parametrize("wide", [True, False])
def test_a_file_truncated_anywhere_is_unsymbolized_with_a_note(wide, make_elf, frames_of):
    data = make_elf(FUNCTIONS, wide=wide)
    for length in [*range(150), *range(0x2000, len(data), 3)]:
        found, notes = frames_of(data[:length])
        assert {frame.kind for frame in found} == {Kind.UNKNOWN}, length
        assert notes, length


def test_random_corruption_never_crashes_or_hangs(make_elf, build, frames_of):
    chance = random.Random(5)
    small = make_elf(FUNCTIONS)
    real = build("plain.c").read_bytes()
    begun = time.monotonic()
    for data, rounds in ((small, 300), (real, 300)):
        tables = [*range(200), *range(len(data) - 4000, len(data))]
        for _ in range(rounds):
            twisted = bytearray(data)
            for _ in range(chance.choice((1, 3, 20))):
                twisted[chance.choice(tables)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            frames_of(bytes(twisted))
    assert time.monotonic() - begun < 15


def patched(data, at, layout, *values):
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, *values)
    return bytes(changed)


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFF0000])
def test_excessive_offsets_and_sizes(value, make_elf, frames_of):
    data = make_elf(FUNCTIONS)
    sections = struct.unpack_from("<Q", data, 40)[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    places = [32, 40, *(64 + at for at in (8, 16, 32, 40))]
    places += [sections + 64 * number + at for number in range(1, 5) for at in (16, 24, 32, 56)]
    for at in places:
        frames_of(patched(data, at, "<Q", value))
    for at in (54, 56, 58, 60, 62):
        frames_of(patched(data, at, "<H", value & 0xFFFF))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000


def test_symbols_with_impossible_sizes_and_names(make_elf, frames_of):
    last = (1 << 64) - 1
    functions = [("all", 0, last), ("wraps", last - 1, last), ("first", 0x11000, 16), ("none", 0x11000, 0)]
    found, _ = frames_of(make_elf(functions))
    assert found[0].name == "first"
    assert found[1].name == "all"
    assert {frame.kind for frame in found[2:]} == {Kind.UNKNOWN}
    long = "n" * 100_000
    found, _ = frames_of(make_elf([(long, 0x11000, 16)]))
    assert found[0].name == long[:16384]


def test_a_section_with_gigabytes_of_a_sparse_file(make_elf, tmp_path):
    data = make_elf(FUNCTIONS)
    sections = struct.unpack_from("<Q", data, 40)[0]
    path = tmp_path / "sparse"
    path.write_bytes(patched(data, sections + 64 * 2 + 32, "<Q", 1 << 35))
    with path.open("r+b") as file:
        file.truncate(1 << 36)
    symbolizer = Symbolizer(downloads=False)
    begun = time.monotonic()
    assert symbolizer.file_frames(MappedFile(str(path)), np.array([0x1000]))[0].kind is Kind.UNKNOWN
    assert time.monotonic() - begun < 2
    assert "A symbol table was not used, as its section .symtab is" in symbolizer.notes()[0]


def test_many_overlapping_symbols_are_fast(make_elf):
    count = 100_000
    rows = b"".join(struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x11000 + i, 2 * (count - i)) for i in range(count))
    data = make_elf([("x", 0x11000, 1)])
    sections = struct.unpack_from("<Q", data, 40)[0]
    data = patched(data, sections + 64 * 2 + 24, "<QQ", len(data), len(rows)) + rows
    begun = time.monotonic()
    found = Elf(MemoryBytes(data)).functions(SHT_SYMTAB)
    assert len(found.start) == count
    from flamegraph.symbols.symbol_table import SymbolTable

    table = SymbolTable([found])
    assert table.find(np.array([0x11000 + 50_000, 0x11000 + count + 5], np.uint64)).tolist() == [50_000, count - 6]
    assert time.monotonic() - begun < 2


def test_only_regular_files_are_opened(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), str(tmp_path), "/dev/zero", "/dev/watchdog", "/x\0y", "/" + "a/" * 5000):
        frames = Symbolizer(downloads=False).file_frames(MappedFile(path), np.array([1]))
        assert frames[0].kind is Kind.UNKNOWN


def test_errors_name_the_reason():
    with pytest.raises(ElfError, match="not an ELF file"):
        Elf(MemoryBytes(b"#!/bin/sh\n" * 10))
    with pytest.raises(ElfError, match="word size"):
        Elf(MemoryBytes(b"\x7fELF\x07" + bytes(60)))
